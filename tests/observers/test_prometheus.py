"""Queries, answered by small servers that say what Prometheus says, and by Prometheus itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import web

from gameday.app.planning import RunRequest
from gameday.app.run import run
from gameday.errors import PreflightError
from gameday.model.enums import RunVerdict, Verdict
from gameday.model.environment import PrometheusObserver
from gameday.model.events import CounterPair, CounterSample, ProbeSample
from gameday.model.plan import BoundProbe, BoundSlo
from gameday.observers import sampling
from gameday.observers.chaostoolkit import ChaosProbe
from gameday.observers.prometheus import Answered, Prometheus, PrometheusSlo, PromqlProbe, Said
from tests.stock import free

GOOD, TOTAL = 'sum(hits_total{outcome="ok"})', "sum(hits_total)  # of all outcomes"
AMPLE = 10.0
"""Seconds for one query, where the time is not what is tested."""
NO_PROXY = {"http": "", "https": ""}


def binding(**more: Any) -> PrometheusObserver:
    return PrometheusObserver.model_validate({"url": "http://prom.example", "scrape": "500ms"} | more)


def bound_slo(good: str = GOOD, total: str = TOTAL, interval: float = 0.5) -> BoundSlo:
    def source(query: str) -> dict[str, Any]:
        return {"type": "prometheus", "spec": {"query": query}}

    return BoundSlo.model_validate(
        {
            "role": "customer",
            "name": "shop",
            "service": "shop",
            "target": 0.99,
            "period": 1000,
            "good": source(good),
            "total": source(total),
            "pairs": [],
            "interval": interval,
            "lag": interval,
        }
    )


def bound_probe(query: str = "errors", rate: float = 2.0, **bounds: float) -> BoundProbe:
    check = {"query": query} | (bounds or {"below": 0.5})
    return BoundProbe.model_validate({"name": "errors", "promql": check, "rate": rate})


def series(value: str, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "value": [1.0, value]}


def vector(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(found)}} | more


def pair(good: str, total: str) -> dict[str, Any]:
    return vector(series(good, gameday_part="0"), series(total, gameday_part="1"))


class Fake:
    """Answers with what is next in ``answers``, the last of them for ever; keeps what it was asked."""

    def __init__(self, *answers: Any, status: int = 200) -> None:
        self.answers: list[Any] = list(answers)
        self.status = status
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST" or request.path != "/api/v1/query":
            return web.Response(status=404)
        form = await request.post()
        self.forms.append({key: str(value) for key, value in form.items()})
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, int):
            return web.Response(status=answer, text="no")
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(status=self.status, text=text, content_type="application/json")


def ask(serve: Any, *answers: Any, status: int = 200, query: str = "errors") -> Answered:
    return Prometheus(binding(), serve(Fake(*answers, status=status)).url).one(query, AMPLE)


def error(text: str) -> dict[str, Any]:
    return {"status": "error", "errorType": "bad_data", "error": text}


SCALAR = {"status": "success", "data": {"resultType": "scalar", "result": [1.0, "7"]}}
MATRIX = {"status": "success", "data": {"resultType": "matrix", "result": []}}
HISTOGRAM = {"metric": {}, "histogram": [1.0, {"count": "1"}]}


@pytest.mark.parametrize(
    ("answer", "status", "said", "why"),
    [
        (vector(series("0.25")), 200, Said.VALUE, ""),
        (SCALAR, 200, Said.VALUE, ""),
        (vector(series("3"), infos=["metric might not be a counter"]), 200, Said.VALUE, ""),
        (vector(series("3"), warnings=[]), 200, Said.VALUE, ""),
        (vector(series("NaN")), 200, Said.NO_TRAFFIC, "gives NaN"),
        (vector(), 200, Said.NO_DATA, "the query 'errors' gives nothing"),
        (vector(series("1"), series("2"), series("3")), 200, Said.SEVERAL, "'errors' gives 3 series, not one"),
        (vector(series("3"), warnings=["store b: unreachable"]), 200, Said.UNKNOWN, "partial: store b"),
        (vector(series("3"), infos=["Partial response"]), 200, Said.UNKNOWN, "partial"),
        (vector(series("3"), isPartial=True), 200, Said.UNKNOWN, "partial"),
        (vector(series("+Inf")), 200, Said.UNKNOWN, r"\+Inf, not a number"),
        (vector(series("many")), 200, Said.UNKNOWN, "many, not a number"),
        (vector(HISTOGRAM), 200, Said.UNKNOWN, "a histogram, not a number"),
        (vector({"metric": {}, "value": "1"}), 200, Said.UNKNOWN, "no result of a query"),
        ("<html>", 200, Said.UNKNOWN, "no answer to a query"),
        (MATRIX, 200, Said.REFUSED, "matrix"),
        (error("1:5: parse error"), 400, Said.REFUSED, "answered 400: 1:5: parse error"),
        (error("too many samples"), 422, Said.REFUSED, "answered 422: too many samples"),
        (error("oddly"), 200, Said.REFUSED, "oddly"),
        ("unauthorized", 401, Said.REFUSED, "answered 401"),
        ("moved", 302, Said.REFUSED, "answered 302"),
        (error("overloaded"), 503, Said.UNKNOWN, "answered 503"),
        (error("later"), 429, Said.UNKNOWN, "answered 429"),
    ],
)
def test_what_an_answer_comes_to(serve: Any, answer: Any, status: int, said: Said, why: str) -> None:
    answered = ask(serve, answer, status=status)
    assert answered.said is said
    assert answered.why == "" if not why else re.search(why, answered.why)


def test_both_numbers_come_from_one_answer_for_a_pinned_time(serve: Any) -> None:
    fake = Fake(pair("98", "100"))
    began = time.time()
    good, total = Prometheus(binding(scrape="15s"), serve(fake).url + "/").two((GOOD, TOTAL), AMPLE)
    assert (good.value, total.value) == (98, 100)
    (form,) = fake.forms
    assert began - 0.001 <= float(form["time"]) <= time.time() + 0.001
    assert form["query"] == (
        f'label_replace((\n{GOOD}\n), "gameday_part", "0", "", "") or '
        f'label_replace((\n{TOTAL}\n), "gameday_part", "1", "", "")'
    )
    assert (form["lookback_delta"], form["partial_response"]) == ("45.000", "false")


def test_of_two_queries_each_is_judged_for_itself(serve: Any) -> None:
    only_total = vector(series("1", gameday_part="1"), series("2", gameday_part="1", code="500"))
    good, total = Prometheus(binding(), serve(Fake(only_total)).url).two((GOOD, TOTAL), AMPLE)
    assert good.said is Said.NO_DATA
    assert total.said is Said.SEVERAL
    assert "'sum(hits_total) # of all outcomes' gives 2 series" in total.why


def test_one_more_attempt_for_the_same_instant(serve: Any) -> None:
    fake = Fake(503, vector(series("1")))
    assert Prometheus(binding(), serve(fake).url).one("errors", AMPLE).value == 1
    assert len(fake.forms) == 2
    assert fake.forms[0] == fake.forms[1]
    fake = Fake(503)
    assert Prometheus(binding(), serve(fake).url).one("errors", AMPLE).said is Said.UNKNOWN
    assert len(fake.forms) == 2
    fake = Fake(error("no"), status=400)
    assert Prometheus(binding(), serve(fake).url).one("errors", AMPLE).said is Said.REFUSED
    assert len(fake.forms) == 1, "what is refused is not asked again"


def test_a_server_that_hangs_costs_no_more_than_the_timeout(serve: Any) -> None:
    asked = 0

    async def hang(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        await asyncio.sleep(30)
        return web.Response()

    began = time.monotonic()
    answered = Prometheus(binding(), serve(hang).url).one("errors", 0.3)
    assert answered == Answered(Said.UNKNOWN, answered.value, "timed out")
    assert 0.25 < time.monotonic() - began < 5
    assert asked == 1


def test_proxies_of_the_environment_are_left_alone(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(serve, vector(series("1"))).said is Said.VALUE


# Who asks ------------------------------------------------------------------------------------------------------


def test_the_token_and_the_tenant_are_sent(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_PROM", "s3cret-token")
    fake = Fake(vector(series("1")))
    Prometheus(binding(bearer="env:GAMEDAY_PROM", orgId="team-a"), serve(fake).url).one("errors", AMPLE)
    assert fake.headers[0]["Authorization"] == "Bearer s3cret-token"
    assert fake.headers[0]["X-Scope-OrgID"] == "team-a"


def test_a_password_from_a_file(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pa:ss\n")
    fake = Fake(vector(series("1")))
    login = {"user": "x", "password": f"file:{tmp_path}/password"}
    Prometheus(binding(basic=login), serve(fake).url).one("errors", AMPLE)
    assert base64.b64decode(fake.headers[0]["Authorization"].removeprefix("Basic ")) == b"x:pa:ss"
    assert "X-Scope-OrgID" not in fake.headers[0]


def test_secrets_are_shown_nowhere(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_PROM", "s3cret-token")
    told = error("bad token s3cret-token")
    server = Prometheus(binding(bearer="env:GAMEDAY_PROM"), serve(Fake(told, status=403)).url)
    assert server.one("errors", AMPLE).why == "answered 403: bad token ***"
    with pytest.raises(PreflightError, match=r"answered 403: bad token \*\*\*"):
        server.check()


@pytest.mark.parametrize("secret", ["", "two\nlines", "ümlaut"])
def test_a_secret_that_can_not_be_sent(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("GAMEDAY_PROM", secret)
    with pytest.raises(PreflightError, match="the secret env:GAMEDAY_PROM for Prometheus") as caught:
        Prometheus(binding(bearer="env:GAMEDAY_PROM"), "http://127.0.0.1:9")
    assert not secret or secret not in str(caught.value)


def test_secrets_and_certificates_that_are_not_there(tmp_path: Path) -> None:
    for more in ({"bearer": f"file:{tmp_path}/none"}, {"ca": f"file:{tmp_path}/none"}, {"ca": f"file:{__file__}"}):
        with pytest.raises(PreflightError, match=r"none|test_prometheus\.py"):
            Prometheus(binding(**more), "https://127.0.0.1:9")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1's own, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here to make a certificate with")
    path = tmp_path / "server.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    words += ["-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", "-"]
    made = subprocess.run([openssl, *words], capture_output=True, check=True, timeout=30)
    path.write_bytes(path.read_bytes() + made.stdout)
    return path


def test_a_certificate_of_ones_own_is_trusted_if_it_is_named(certificate: Path) -> None:
    class Tls(_Handler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.say(json.dumps(vector(series("4"))), "application/json")

    with _listening(Tls, certificate) as port:
        url = f"https://127.0.0.1:{port}"
        assert Prometheus(binding(ca=f"file:{certificate}"), url).one("errors", AMPLE).value == 4
        assert "certificate" in Prometheus(binding(), url).one("errors", AMPLE).why


# Before the run ------------------------------------------------------------------------------------------------


def clock(ahead: float) -> Fake:
    now = {"status": "success", "data": {"resultType": "scalar", "result": [1.0, f"{time.time() + ahead:.3f}"]}}
    return Fake(now)


@pytest.mark.parametrize("ahead", [-30.0, 30.0])
def test_a_clock_of_another_time_is_refused(serve: Any, ahead: float) -> None:
    fake = clock(ahead)
    with pytest.raises(PreflightError, match=r"are [23]\d\.\d s apart"):
        Prometheus(binding(), serve(fake).url).check()
    assert "time" not in fake.forms[0], "it says what it takes for now"


def test_a_server_that_answers_and_one_that_does_not(serve: Any) -> None:
    Prometheus(binding(), serve(clock(0)).url).check()
    with pytest.raises(PreflightError, match=r"http://127\.0\.0\.1:9 does not answer: connection refused"):
        Prometheus(binding(), "http://127.0.0.1:9").check()


def test_a_query_that_can_not_be_right_is_refused(serve: Any) -> None:
    several = serve(Fake(vector(series("1", gameday_part="0"), series("2", gameday_part="0"))))
    with pytest.raises(PreflightError, match=r"slo/shop: the query 'sum.* gives 2 series, not one"):
        PrometheusSlo(bound_slo(), Prometheus(binding(), several.url)).check()
    wrong = serve(Fake(error("1:5: parse error"), status=400))
    with pytest.raises(PreflightError, match="probe/errors: Prometheus answered 400: 1:5: parse error"):
        PromqlProbe(bound_probe(), Prometheus(binding(), wrong.url)).check()


@pytest.mark.parametrize("answer", [vector(), pair("NaN", "NaN"), 503])
def test_what_may_still_come_is_not_refused(serve: Any, answer: Any) -> None:
    PrometheusSlo(bound_slo(), Prometheus(binding(), serve(Fake(answer)).url)).check()


def test_each_observer_has_its_kind() -> None:
    server = Prometheus(binding(), "http://127.0.0.1:9")
    http = BoundProbe.model_validate({"name": "x", "http": {"service": "s"}, "rate": 1})
    with pytest.raises(ValueError, match="asks no query"):
        PromqlProbe(http, server)
    load = bound_slo().model_copy(update={"good": {"type": "load"}})
    with pytest.raises(ValueError, match="not read from Prometheus"):
        PrometheusSlo(load, server)


# During the run ------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats that may be quick, since a server may be slow."""
    monkeypatch.setattr(sampling, "query_timeout", lambda _: AMPLE)
    monkeypatch.setattr(sampling, "_EAGER", 0.05)


@pytest.mark.usefixtures("quick")
def test_counters_as_they_come(records: Any, running: Any, serve: Any) -> None:
    answers = [pair("90", "100"), pair("190", "200"), pair("95", "100"), pair("100", "110"), pair("210", "220")]
    with running(PrometheusSlo(bound_slo(interval=0.1), Prometheus(binding(), serve(Fake(*answers)).url))):
        records.wait(lambda: len(records.all(CounterSample)) >= 5)
    told = [(one.instances["prometheus"].total, one.base) for one in records.all(CounterSample)[:5]]
    assert told == [(100, True), (200, False), (100, True), (110, False), (220, True)]
    assert records.all(CounterSample)[0].instances == {"prometheus": CounterPair(good=90, total=100)}
    assert ["went back (200 to 100)" in gap.reason for gap in records.gaps] == [True, False]
    assert "leapt (110 to 220)" in records.gaps[1].reason
    order = [payload.KIND for _, payload in records.events[:4]]
    assert order == ["sample", "sample", "source.gap", "sample"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (vector(), "gives nothing"),
        (pair("NaN", "5"), "gives NaN"),
        (pair("6", "5"), "6 good of 5"),
        (pair("-1", "5"), "-1 good of 5"),
        (vector(series("1", gameday_part="0"), series("5", gameday_part="1"), warnings=["half"]), "half"),
        (503, "answered 503"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_what_is_no_reading_is_a_gap(records: Any, running: Any, serve: Any, answer: Any, reason: str) -> None:
    with running(PrometheusSlo(bound_slo(), Prometheus(binding(), serve(Fake(answer)).url))):
        records.wait(lambda: records.gaps)
    assert records.all(CounterSample) == []
    assert reason in records.gaps[0].reason
    assert records.events[0][0] == "slo/shop"


@pytest.mark.usefixtures("quick")
def test_no_traffic_is_heard_and_counts_nothing(records: Any, running: Any, serve: Any) -> None:
    fake = Fake(pair("NaN", "NaN"), pair("1000", "1000"))
    with running(PrometheusSlo(bound_slo(), Prometheus(binding(), serve(fake).url))):
        records.wait(lambda: len(records.all(CounterSample)) >= 2)
    idle, first = records.all(CounterSample)[:2]
    assert (idle.instances, idle.base) == ({}, False)
    assert first.base, "what was counted before the first reading is no growth"
    assert records.gaps == []


@pytest.mark.usefixtures("quick")
def test_a_probe_is_good_bad_or_neither(records: Any, running: Any, serve: Any) -> None:
    fake = Fake(vector(series("0.4")), vector(series("0.5")), vector(series("NaN")), vector())
    with running(PromqlProbe(bound_probe(rate=10, below=0.5), Prometheus(binding(), serve(fake).url))):
        records.wait(lambda: records.gaps)
    good, bad, idle = records.all(ProbeSample)
    assert (good.ok, good.value, good.idle, good.status) == (True, 0.4, False, None)
    assert (bad.ok, bad.value, bad.idle) == (False, 0.5, False)
    assert (idle.ok, idle.value, idle.idle) == (False, None, True)
    assert all(0 <= one.end - one.start < AMPLE * 1e9 for one in (good, bad, idle))
    assert "gives nothing" in records.gaps[0].reason
    assert {source for source, _ in records.events} == {"probe/errors"}


@pytest.mark.usefixtures("quick")
def test_the_first_answer_is_waited_for_eagerly(records: Any, running: Any, serve: Any) -> None:
    fake = Fake(vector(), vector(), vector(series("0")))
    with running(PromqlProbe(bound_probe(rate=1 / 60), Prometheus(binding(scrape="60s"), serve(fake).url))):
        records.wait(lambda: records.all(ProbeSample))
    assert len(fake.forms) == 3


# Prometheus itself ---------------------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    """Quiet, and says what it is told to."""

    def say(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@contextlib.contextmanager
def _listening(handler: type[_Handler], certificate: Path | None = None, port: int = 0) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        # A handshake that the client breaks off is what one of the tests is about.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Target:
    """One instance of a shop: counters from 0, which it forgets when it is started again."""

    def __init__(self) -> None:
        self.good = self.bad = 0
        self.up = True

    def page(self) -> str:
        head = "# TYPE hits counter\n"
        return head + f'hits_total{{outcome="ok"}} {self.good}\nhits_total{{outcome="error"}} {self.bad}\n'

    def handler(self) -> type[_Handler]:
        target = self

        class Scraped(_Handler):
            def do_GET(self) -> None:
                if target.up:
                    self.say(target.page(), "text/plain; version=0.0.4")
                else:
                    self.send_error(503)

        return Scraped


class Shop:
    """A Prometheus that scrapes two instances once a second."""

    def __init__(self, url: str, targets: list[Target]) -> None:
        self.url = url
        self.targets = targets
        self.server = Prometheus(binding(scrape="1s"), url)

    def until(self, query: str, done: Callable[[Answered], bool]) -> Answered:
        deadline = time.monotonic() + 30
        while not done(answered := self.server.one(query, AMPLE)):
            assert time.monotonic() < deadline, answered
            time.sleep(0.1)
        return answered


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("there is no prometheus on this machine (Debian: apt-get install prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    targets = [Target(), Target()]
    with ExitStack() as stack:
        ports = [stack.enter_context(_listening(target.handler())) for target in targets]
        named = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: [{named}]}}]}}]\n"
        )
        port = free().rpartition(":")[2]
        words = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        words += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        log = stack.enter_context((folder / "log").open("w"))
        process = subprocess.Popen([program, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        found = Shop(f"http://127.0.0.1:{port}", targets)
        _ready(found.url)
        found.until("count(hits_total) == 4", lambda one: one.said is Said.VALUE)
        yield found


def _ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{url}/-/ready", timeout=5, proxies=NO_PROXY).status_code == 200:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_sound_ratio(shop: Shop) -> None:
    shop.server.check()
    shop.targets[0].good, shop.targets[0].bad, shop.targets[1].good = 90, 5, 5
    shop.until("sum(hits_total)", lambda one: one.value == 100)
    good, total = shop.server.two((GOOD, TOTAL), AMPLE)
    assert (good.value, total.value) == (95, 100)
    ratio = shop.server.one('sum(hits_total{outcome="error"}) / sum(hits_total)', AMPLE)
    assert ratio.value == pytest.approx(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "said", "why"),
    [
        ("sum(hits_total) * 0 / 0", Said.NO_TRAFFIC, "gives NaN"),
        ("sum(no_such_counter)", Said.NO_DATA, "an empty vector"),
        ("hits_total", Said.SEVERAL, "gives 4 series"),
        ("sum(", Said.REFUSED, "parse error"),
        ("hits_total[5m]", Said.REFUSED, "matrix"),
        ("vector(1) / 0", Said.UNKNOWN, "+Inf"),
        ("42", Said.VALUE, ""),
    ],
)
def test_what_prometheus_itself_says(shop: Shop, query: str, said: Said, why: str) -> None:
    answered = shop.server.one(query, AMPLE)
    assert answered.said is said
    assert why in answered.why
    if said in (Said.NO_TRAFFIC, Said.NO_DATA, Said.SEVERAL):
        assert [one.said for one in shop.server.two((query, query), AMPLE)] == [said, said]


@pytest.mark.slow
def test_chaos_toolkits_own_query_gives_the_same_value(shop: Shop, records: Any, running: Any) -> None:
    shop.targets[0].good, shop.targets[0].bad, shop.targets[1].good = 90, 5, 5
    shop.until("sum(hits_total)", lambda one: one.value == 100)
    query = 'sum(hits_total{outcome="error"}) / sum(hits_total)'
    check = {
        "module": "chaosprometheus.probes",
        "func": "query",
        "arguments": {"query": query},
        "configuration": {"prometheus_base_url": shop.url},
        "path": ["data", "result", "only", "value", 1],
        "tolerance": {"type": "range", "range": [0, 0.1]},
        "every": 10,
        "timeout": 10,
    }
    theirs = BoundProbe.model_validate({"name": "theirs", "chaostoolkit": check, "rate": 0.1})
    ours = bound_probe(query, below=0.1)

    def told(name: str) -> list[ProbeSample]:
        found = [payload for source, payload in records.events if source == f"probe/{name}"]
        return [payload for payload in found if isinstance(payload, ProbeSample)]

    with running(ChaosProbe(theirs)), running(PromqlProbe(ours, shop.server)):
        records.wait(lambda: told("theirs") and told(ours.name), 60)
    assert told("theirs")[0].value == told(ours.name)[0].value == pytest.approx(0.05)
    assert told("theirs")[0].ok is told(ours.name)[0].ok is True


@pytest.mark.slow
def test_an_instance_that_is_started_again_or_comes_back_is_no_traffic(
    shop: Shop, records: Any, running: Any
) -> None:
    """What grows in all is never more than what was really counted, whatever became of an instance."""
    first, second = shop.targets
    first.good, first.bad, second.good, second.bad = 1000, 0, 1000, 0
    shop.until("sum(hits_total)", lambda one: one.value == 2000)  # what it had before is none of the growth

    def told() -> list[CounterSample]:
        return [one for one in records.all(CounterSample) if one.instances]

    def total(now: float) -> None:
        records.wait(lambda: told() and told()[-1].instances["prometheus"].total == now, 30)

    with running(PrometheusSlo(bound_slo(), shop.server)):
        total(2000)
        second.good = 3  # started again
        total(1003)
        first.up = False  # not scraped any more, then back with all that it had
        total(3)
        first.up, first.good = True, 1010
        total(1013)
        first.bad = 7
        total(1020)
    growth = [
        (now.instances["prometheus"].total - before.instances["prometheus"].total)
        for before, now in zip(told(), told()[1:], strict=False)
        if not now.base
    ]
    assert min(growth) >= 0
    assert sum(growth) <= 17, "of 1000 that came back with an instance, none"
    assert told()[-1].instances["prometheus"] == CounterPair(good=1013, total=1020)
    reasons = " ".join(gap.reason for gap in records.gaps)
    assert "went back (2000 to 1003)" in reasons
    assert "leapt (3 to 1013)" in reasons


PROJECT = {
    "experiments/watch.yaml": """
apiVersion: gameday/v1
kind: Experiment
metadata: {name: watch, proves: "it is well"}
spec:
  hypothesis: It is well.
  roles: {services: [], slos: [customer], probes: [few-errors]}
  steadyState:
    - {slo: customer, burn: {below: 1}, minEvents: 100}
    - {probe: few-errors, atLeast: 100%, minEvents: 3}
  control: true
  after: 8s
  expect: [{kind: slo, slo: customer, budget: 50%}]
""",
    "experiments/environments/own.yaml": """
apiVersion: gameday/v1
kind: Environment
metadata: {name: own}
spec:
  tier: staging
  probeRate: 1/s
  services:
    db:
      name: db
      url: "http://127.0.0.1:9"
  slos: {customer: shop}
  probes: {few-errors: few-errors}
  observers: {prometheus: {url: "URL", scrape: 1s}}
  blastRadius: {faults: []}
""",
    "probes/shop.yaml": """
apiVersion: openslo/v1
kind: SLO
metadata: {name: shop, annotations: {gameday/burn: "2:1m/10s page"}}
spec:
  service: shop
  indicator:
    metadata: {name: answers}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: prometheus, spec: {query: 'sum(hits_total{outcome="ok"})'}}}
        total: {metricSource: {type: prometheus, spec: {query: sum(hits_total)}}}
  timeWindow: [{duration: 1h, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.95}]
""",
    "probes/few-errors.yaml": """
apiVersion: gameday/v1
kind: Probe
metadata: {name: few-errors}
spec:
  promql: {query: 'sum(rate(hits_total{outcome="error"}[4s])) / sum(rate(hits_total[4s]))', below: 0.05}
""",
}


@contextlib.contextmanager
def _customers(target: Target, bad: int) -> Iterator[None]:
    """A hundred requests a second, of which so many go wrong."""
    over = threading.Event()

    def call() -> None:
        while not over.wait(0.1):
            target.good, target.bad = target.good + 10 - bad, target.bad + bad

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "verdict"), [(0, RunVerdict.PASS), (2, RunVerdict.FAIL)])
def test_a_whole_run_that_only_prometheus_tells_of(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int, verdict: RunVerdict
) -> None:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.replace("URL", shop.url).lstrip())
    with _customers(shop.targets[0], bad):
        errors = 'sum(rate(hits_total{outcome="error"}[4s])) / sum(rate(hits_total[4s]))'
        shop.until(errors, lambda one: one.said is Said.VALUE and abs(one.value - bad / 10) < 0.02)
        result = run(RunRequest("watch", "own", confirm="own", project=tmp_path))
    found = {one.id: one for one in result.grade.criteria}
    assert result.grade.verdict is verdict, found
    assert found["steady_before"].verdict is Verdict(verdict.value)
    assert all("few-errors" in text or "shop" in text for text in found["steady_before"].details)
