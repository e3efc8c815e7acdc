"""The driver against the stock Go server, where there is one, and the same against gameday's own proxy."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import requests

from gameday.drivers.toxiproxy import ToxiproxyDriver, server
from gameday.drivers.toxiproxy import removal as removing
from gameday.errors import DriverError
from gameday.model.enums import FaultKind
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.observers.http import HttpClient, NoAnswer
from gameday.ports import Target
from tests.stock import Answers, Quiet, ask, embedded, needed, serve, toxiproxy

pytestmark = pytest.mark.slow

RUN = "20260101-120000-ab12"
NAME = f"gameday-{RUN}.broken"
GIVEN = removing._REMOVAL
RESET = {"kind": "brownout", "with": {"share": "30%", "as": "reset"}}
TIMEOUT = {"kind": "brownout", "with": {"share": "30%", "as": "timeout"}}
LATENCY = {"kind": "latency", "with": {"delay": "400ms", "jitter": "50ms"}}
OUTAGE = {"kind": "outage", "with": {}}
ALL = {"reset": RESET, "timeout": TIMEOUT, "latency": LATENCY, "outage": OUTAGE}
Asked = Callable[..., Any]


@pytest.fixture(scope="module", params=[pytest.param(toxiproxy, marks=needed, id="stock"), embedded])
def api(request: pytest.FixtureRequest) -> Iterator[str]:
    with request.param() as address:
        yield address


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with ExitStack() as stack:
        yield serve(Answers, stack)


@pytest.fixture
def listen(api: str, upstream: str) -> Iterator[str]:
    """One proxy, ``payments``: where it listens."""
    made = ask(api, "POST", "/proxies", {"name": "payments", "listen": "127.0.0.1:0", "upstream": upstream})
    yield made["listen"]
    for name in ask(api, "GET", "/proxies"):
        ask(api, "DELETE", f"/proxies/{name}")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stands still with the whole machine for a second or two has not failed to answer."""
    monkeypatch.setattr(server, "_TIMEOUT", 20.0)
    monkeypatch.setattr(removing, "_REMOVAL", 20.0)


@pytest.fixture
def driver() -> ToxiproxyDriver:
    return ToxiproxyDriver()


def target(api: str, fault: dict[str, Any]) -> Target:
    common = {"id": "broken", "service": "payments", "at": "6s", "for": "30s", "proof": "payments-answers"}
    binding = {"driver": "toxiproxy", "api": api, "proxy": "payments"}
    return Target(run=RUN, plan=BoundFault.model_validate({**common, **fault, "binding": binding}), api=api)


def again(token: Token) -> Token:
    """The token as another process reads it from the ledger."""
    return Token.model_validate_json(token.model_dump_json())


def elsewhere(token: Token, api: str) -> Token:
    return token.model_copy(update={"data": {**token.data, "api": api}})


def checks(listen: str, count: int, timeout: float = 20.0) -> list[str]:
    """What a probe with fresh connections gets."""
    client = HttpClient(f"http://{listen}", keep=False)
    found = []
    for _ in range(count):
        try:
            found.append(str(client.ask("GET", "/", timeout).status))
        except NoAnswer as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("fault", ALL.values(), ids=ALL)
def test_the_whole_way(api: str, listen: str, driver: ToxiproxyDriver, fault: dict[str, Any]) -> None:
    before = ask(api, "GET", "/proxies")
    token = driver.resolve(target(api, fault))
    assert ask(api, "GET", "/proxies") == before
    assert token.kind == fault["kind"]
    driver.undo(token)  # as preflight does
    assert driver.is_clear(token)
    driver.inject(token)
    assert driver.in_effect(token)
    assert not driver.is_clear(token)
    assert driver.find(api) == [token]
    other = ToxiproxyDriver()
    for _ in range(2):
        other.undo(again(token))
        assert other.is_clear(again(token))
    assert not driver.in_effect(token)
    assert driver.find(api) == []
    assert ask(api, "GET", "/proxies") == before


@pytest.mark.parametrize("fault", ALL.values(), ids=ALL)
def test_what_is_found_can_be_undone(api: str, listen: str, driver: ToxiproxyDriver, fault: dict[str, Any]) -> None:
    before = ask(api, "GET", "/proxies")
    driver.inject(driver.resolve(target(api, fault)))
    [found] = ToxiproxyDriver().find(api)
    driver.undo(found)
    assert ask(api, "GET", "/proxies") == before


def test_a_reset_strikes_its_share_of_connections(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(api, RESET))
    assert set(checks(listen, 20)) == {"200"}
    driver.inject(token)
    got = checks(listen, 600)
    driver.undo(token)
    bad = [one for one in got if one != "200"]
    # Binomial, n = 600, p = 0.3: 5 standard deviations are 56.
    assert 124 <= len(bad) <= 236
    assert set(bad) <= {"connection reset", "the connection was closed without an answer"}
    assert set(checks(listen, 20)) == {"200"}


def test_a_timeout_says_nothing_until_it_is_removed(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    fault = {"kind": "brownout", "with": {"share": "100%", "as": "timeout"}}
    token = driver.resolve(target(api, fault))
    driver.inject(token)
    assert checks(listen, 1, timeout=0.3) == ["timed out"]
    driver.undo(token)
    assert checks(listen, 5) == ["200"] * 5


def test_a_latency_is_felt_by_whoever_waits_for_less(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(api, LATENCY))
    driver.inject(token)
    assert checks(listen, 2, timeout=0.2) == ["timed out"] * 2
    begin = time.monotonic()
    assert checks(listen, 1, timeout=5) == ["200"]
    assert time.monotonic() - begin >= 0.35
    driver.undo(token)
    assert checks(listen, 1) == ["200"]


def test_an_outage_ends_open_connections_and_takes_no_new_ones(
    api: str, listen: str, driver: ToxiproxyDriver
) -> None:
    host, _, port = listen.partition(":")
    token = driver.resolve(target(api, OUTAGE))
    with socket.create_connection((host, int(port)), 5) as kept:
        kept.settimeout(5)
        kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(100)
        driver.inject(token)
        with suppress(ConnectionError):
            while kept.recv(1000):
                pass
    assert checks(listen, 2) == ["connection refused"] * 2
    driver.undo(token)
    assert checks(listen, 2) == ["200"] * 2


def test_a_share_that_32_bits_can_not_hold_is_read_back(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    fault = {"kind": "brownout", "with": {"share": "33.3333333%", "as": "reset"}}
    token = driver.resolve(target(api, fault))
    driver.inject(token)
    assert driver.in_effect(token)
    ask(api, "POST", f"/proxies/payments/toxics/{NAME}", {"toxicity": 0.34})
    assert not driver.in_effect(token)
    driver.undo(token)
    assert driver.is_clear(token)


def test_it_has_no_error_of_http(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    """Or, gameday's own, not on a proxy that does not read HTTP."""
    fault = {"kind": "brownout", "with": {"share": "20%", "as": "status"}}
    with pytest.raises(DriverError, match=r"(without 'http_error'|\"http\": true), which 'as: status' needs"):
        driver.resolve(target(api, fault))


def test_an_outage_of_what_is_disabled_already_is_refused(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    ask(api, "POST", "/proxies/payments", {"enabled": False})
    with pytest.raises(DriverError, match="the proxy payments is disabled"):
        driver.resolve(target(api, OUTAGE))


def test_an_outage_that_somebody_ended_is_left_as_it_is(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(api, OUTAGE))
    driver.inject(token)
    ask(api, "POST", "/reset")
    assert not driver.in_effect(token)
    assert driver.is_clear(token)
    ask(api, "POST", "/proxies/payments", {"upstream": "127.0.0.1:9"})
    driver.undo(token)
    assert driver.is_clear(token)
    assert ask(api, "GET", "/proxies/payments")["upstream"] == "127.0.0.1:9"


def test_a_disabled_proxy_is_never_clear_whoever_disabled_it(
    api: str, listen: str, driver: ToxiproxyDriver
) -> None:
    """Such as by an injection that lands late, after the mark is gone."""
    token = driver.resolve(target(api, OUTAGE))
    driver.inject(token)
    driver.undo(token)
    ask(api, "POST", "/proxies/payments", {"enabled": False})
    assert not driver.is_clear(token)
    driver.undo(token)
    assert ask(api, "GET", "/proxies/payments")["enabled"]


def test_a_mark_without_an_outage_is_removed(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(api, OUTAGE))
    driver.inject(token)
    ask(api, "POST", "/proxies/payments", {"enabled": True})
    assert not driver.is_clear(token)
    driver.undo(token)
    assert driver.is_clear(token)
    assert ask(api, "GET", "/proxies/payments/toxics") == []


def test_an_outage_of_a_proxy_that_is_gone_is_not_clear(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    """Its port is refused, as it was while it was disabled: that proves nothing."""
    token = driver.resolve(target(api, OUTAGE))
    driver.inject(token)
    ask(api, "DELETE", "/proxies/payments")
    for call in (driver.is_clear, driver.undo):
        with pytest.raises(DriverError, match="which was disabled: is it another server"):
            call(token)
    ask(api, "POST", "/proxies", {"name": "payments", "listen": listen, "upstream": "127.0.0.1:9"})
    driver.undo(token)
    assert driver.is_clear(token)


# A server that does not remove a toxic


class Shim(Quiet):
    """The server's API, but for the removal of toxics: ``removal`` says what becomes of that."""

    api: str
    removal: Callable[[Shim], None]
    also: Callable[[str], bool] = lambda path: False

    def pass_on(self) -> None:
        broken = (self.command == "DELETE" and "/toxics/" in self.path) or type(self).also(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if broken:
            type(self).removal(self)
            return
        with requests.Session() as session:
            session.trust_env = False
            got = session.request(self.command, self.api + self.path, data=body, timeout=5)
        self.answer(got.status_code, got.content)

    do_GET = do_POST = do_DELETE = pass_on

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def shim(api: str) -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:

        def start(removal: Callable[[Shim], None], **more: Any) -> str:
            made = type("Made", (Shim,), {"api": api, "removal": staticmethod(removal), **more})
            return f"http://{serve(made, stack)}"

        yield start


def refuse(request: Shim) -> None:
    request.answer(503, b'{"error":"busy","status":503}\n')


def hang(request: Shim) -> None:
    request.connection.settimeout(5)
    with suppress(OSError):
        request.connection.recv(1)  # until the client has gone


@pytest.mark.parametrize(("removal", "times"), [(refuse, 3), (hang, 1)])
@pytest.mark.parametrize("fault", [RESET, LATENCY], ids=["reset", "latency"])
def test_a_toxic_that_is_not_removed_goes_with_its_proxy(
    api: str,
    listen: str,
    shim: Asked,
    fault: dict[str, Any],
    removal: Callable[[Shim], None],
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(removing, "_REMOVAL", GIVEN)
    asked: list[None] = []

    def counted(request: Shim) -> None:
        asked.append(None)
        removal(request)

    before = ask(api, "GET", "/proxies")
    driver, stuck = ToxiproxyDriver(), shim(counted)
    token = driver.resolve(target(stuck, fault))
    driver.inject(token)
    driver.undo(again(token))
    assert len(asked) == times  # a second one that says nothing would take longer than the whole call may
    assert driver.is_clear(token)
    assert ask(api, "GET", "/proxies") == before
    assert checks(listen, 3) == ["200"] * 3


def test_an_outage_ends_though_its_mark_is_not_removed(api: str, listen: str, shim: Asked) -> None:
    before = ask(api, "GET", "/proxies")
    driver, stuck = ToxiproxyDriver(), shim(refuse)
    token = driver.resolve(target(stuck, OUTAGE))
    driver.inject(token)
    with pytest.raises(DriverError, match="answered 503: busy"):
        driver.undo(token)
    assert checks(listen, 1) == ["200"]
    assert not driver.is_clear(token)
    driver.undo(token)  # as the engine does
    assert driver.is_clear(token)
    assert ask(api, "GET", "/proxies") == before


def test_a_refusal_that_passes_cuts_no_connection(api: str, listen: str, shim: Asked) -> None:
    refused: list[None] = []

    def once(request: Shim) -> None:
        refused.append(None)
        if len(refused) == 1:
            refuse(request)
        else:
            ask(api, "DELETE", request.path)
            request.answer(204, b"")

    driver, stuck = ToxiproxyDriver(), shim(once)
    token = driver.resolve(target(stuck, LATENCY))
    host, _, port = listen.partition(":")
    driver.inject(token)
    with socket.create_connection((host, int(port)), 5) as kept:
        driver.undo(token)
        kept.settimeout(5)
        kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(1000).startswith(b"HTTP/1.0 200")
    assert len(refused) == 2


@pytest.mark.parametrize("change", ["toxic", "upstream", "disabled"])
def test_what_somebody_else_changed_is_not_replaced(api: str, listen: str, shim: Asked, change: str) -> None:
    driver, stuck = ToxiproxyDriver(), shim(refuse)
    token = driver.resolve(target(stuck, RESET))
    driver.inject(token)
    if change == "toxic":
        ask(api, "POST", "/proxies/payments/toxics", {"name": "theirs", "type": "noop"})
    else:
        body = {"upstream": "127.0.0.1:9"} if change == "upstream" else {"enabled": False}
        ask(api, "POST", "/proxies/payments", body)
    before = ask(api, "GET", "/proxies")
    with pytest.raises(DriverError, match="answered 503: busy"):
        driver.undo(token)
    assert ask(api, "GET", "/proxies") == before
    assert not driver.is_clear(token)


def test_a_server_that_refuses_all_is_told_of_and_not_clear(api: str, listen: str, shim: Asked) -> None:
    driver = ToxiproxyDriver()
    token = driver.resolve(target(api, RESET))
    driver.inject(token)
    stuck = elsewhere(
        token, shim(refuse, also=staticmethod(lambda path: path in {"/populate", "/proxies/payments"}))
    )
    with pytest.raises(DriverError, match="answered 503: busy"):
        driver.undo(stuck)
    with pytest.raises(DriverError, match="answered 503: busy"):
        driver.is_clear(stuck)
    populating = elsewhere(token, shim(refuse, also=staticmethod(lambda path: path == "/populate")))
    with pytest.raises(DriverError, match="nor could the proxy be replaced"):
        driver.undo(populating)
    assert not driver.is_clear(populating)
    assert ask(api, "GET", "/proxies/payments")["enabled"]


def test_a_replacement_that_was_not_finished_is_set_right(
    api: str, listen: str, upstream: str, driver: ToxiproxyDriver
) -> None:
    """The process died after the proxy was replaced."""
    token = driver.resolve(target(api, RESET))
    driver.inject(token)
    host, _, port = upstream.partition(":")
    replacement = {"name": "payments", "listen": listen, "upstream": f"{host}:0{port}", "enabled": True}
    ask(api, "POST", "/populate", [replacement])
    assert checks(listen, 3) == ["200"] * 3
    assert not driver.is_clear(token)
    driver.undo(token)
    assert driver.is_clear(token)
    assert ask(api, "GET", "/proxies/payments")["upstream"] == upstream


def test_a_token_of_a_version_before_still_works(api: str, listen: str, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(api, RESET))
    driver.inject(token)
    old = {key: token.data[key] for key in ("api", "proxy", "toxic", "stream", "toxicity", "attributes")}
    driver.undo(token.model_copy(update={"data": old, "kind": FaultKind.BROWNOUT}))
    assert driver.is_clear(token)
