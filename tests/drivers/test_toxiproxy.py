from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any

import pytest
import requests
from toxiproxy.api import APIConsumer

from gameday.drivers import INFO
from gameday.drivers.toxiproxy import ToxiproxyDriver, removal, server
from gameday.errors import DriverError
from gameday.model.enums import FaultKind
from gameday.model.environment import DriverBinding
from gameday.model.experiment import Brownout
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.ports import Driver, Target

RUN = "20260101-120000-ab12"
NAME = f"gameday-{RUN}.brown-out"
GIVEN = server._TIMEOUT


class Proxy:
    """A proxy process; ``api`` is its control address."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "gameday.proxy", "--port", "0", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self._process.stdout is not None
        self.api: str = json.loads(self._process.stdout.readline())["api"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, self.api + path, json=body, timeout=5)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def empty(self) -> None:
        for name in self.ask("GET", "/proxies"):
            self.ask("DELETE", f"/proxies/{name}")

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=5)


class Answers(BaseHTTPRequestHandler):
    """An upstream that always says 200, on kept connections."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def process() -> Iterator[Proxy]:
    running = Proxy()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(5)


@pytest.fixture
def proxy(process: Proxy, upstream: str) -> Iterator[Proxy]:
    """The proxy process with one proxy, ``payments``."""
    process.ask("POST", "/proxies", {"name": "payments", "upstream": upstream, "http": True})
    yield process
    process.empty()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that stands still with the whole machine for a second or two has not failed to answer."""
    monkeypatch.setattr(server, "_TIMEOUT", 20.0)
    monkeypatch.setattr(removal, "_REMOVAL", 20.0)


@pytest.fixture
def driver() -> ToxiproxyDriver:
    return ToxiproxyDriver()


@pytest.fixture
def fake() -> Iterator[Callable[..., str]]:
    """Some other server: answers every request with these bytes."""
    with ExitStack() as stack:

        def start(answer: bytes, host: str = "127.0.0.1") -> str:
            listener = socket.create_server((host, 0))
            thread = threading.Thread(target=_serve, args=(listener, answer))
            thread.start()
            stack.callback(_end, listener, thread)
            return f"http://{host}:{listener.getsockname()[1]}"

        yield start


def _serve(listener: socket.socket, answer: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                connection.recv(65536)
                connection.sendall(answer)
                connection.recv(1 if not answer else 0)


def _end(listener: socket.socket, thread: threading.Thread) -> None:
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(6)


def answer(status: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data


def target(api: str, share: float = 0.2, proxy: str = "payments", way: str = "status") -> Target:
    fault = BoundFault.model_validate(
        {
            "id": "brown-out",
            "kind": FaultKind.BROWNOUT,
            "service": "payments",
            "at": "6m",
            "for": "30m",
            "with": Brownout.model_validate({"share": f"{share * 100:g}%", "as": way, "status": 503}),
            "proof": "payments-answers",
            "binding": DriverBinding.model_validate({"driver": "toxiproxy", "api": "lab://proxy", "proxy": proxy}),
        }
    )
    return Target(run=RUN, plan=fault, api=api)


def again(token: Token) -> Token:
    """The token as another process reads it from the ledger."""
    return Token.model_validate_json(token.model_dump_json())


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def test_it_is_a_driver(driver: ToxiproxyDriver) -> None:
    assert isinstance(driver, Driver)
    assert driver.kinds == INFO.kinds == {FaultKind.BROWNOUT, FaultKind.LATENCY, FaultKind.OUTAGE}
    module, _, name = INFO.path.partition(":")
    assert getattr(import_module(module), name) is ToxiproxyDriver
    assert INFO.options == {"proxy"}
    assert INFO.modes == {FaultKind.BROWNOUT: {"status", "reset", "timeout"}}
    assert set(INFO.needs) == {"status", "reset", "timeout", "latency"}
    assert set(INFO.needs.values()) - INFO.stock == {"http_error"}


def test_importing_the_package_loads_no_network_client() -> None:
    code = "import sys, gameday.drivers; sys.exit('requests' in sys.modules or 'toxiproxy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


def test_resolving_changes_nothing_and_says_what_will_be_touched(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    before = proxy.ask("GET", "/proxies")
    token = driver.resolve(target(proxy.api, share=0.07))
    assert proxy.ask("GET", "/proxies") == before
    assert (token.driver, token.kind, token.id) == (INFO.path, FaultKind.BROWNOUT, "brown-out")
    assert (token.run, token.service, token.replicas) == (RUN, "payments", 0)
    assert token.data == {
        "api": proxy.api,
        "listen": proxy.ask("GET", "/proxies/payments")["listen"],
        "proxy": "payments",
        "upstream": proxy.ask("GET", "/proxies/payments")["upstream"],
        "http": True,
        "toxic": NAME,
        "type": "http_error",
        "stream": "downstream",
        "toxicity": 1.0,
        "attributes": {"status": 503, "percent": 7.0},
        "disables": False,
    }
    assert again(token) == token


def test_the_whole_way(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(proxy.api))
    assert not driver.in_effect(token)
    assert driver.is_clear(token)
    driver.inject(token)
    assert driver.in_effect(token)
    assert not driver.is_clear(token)
    [toxic] = proxy.ask("GET", "/proxies/payments/toxics")
    assert toxic == {
        "attributes": {"status": 503, "percent": 20.0},
        "name": NAME,
        "type": "http_error",
        "stream": "downstream",
        "toxicity": 1.0,
    }
    other = ToxiproxyDriver()
    for _ in range(2):
        other.undo(again(token))
        assert other.is_clear(again(token))
    assert not driver.in_effect(token)
    assert proxy.ask("GET", "/proxies/payments/toxics") == []


def test_callers_feel_it_while_it_stands_and_not_after(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(proxy.api))
    host, _, port = proxy.ask("GET", "/proxies/payments")["listen"].partition(":")
    kept = http.client.HTTPConnection(host, int(port), timeout=5)

    def errors(requests: int) -> int:
        count = 0
        for _ in range(requests):
            kept.request("GET", "/")
            response = kept.getresponse()
            response.read()
            count += response.status == 503
        return count

    assert errors(50) == 0
    driver.inject(token)
    # Binomial, n = 1000, p = 0.2: 5 standard deviations are 63.
    assert 137 <= errors(1000) <= 263
    driver.undo(token)
    assert errors(100) == 0
    kept.close()


def test_a_second_injection_is_refused_and_the_first_stands(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(proxy.api))
    driver.inject(token)
    with pytest.raises(DriverError, match="toxic already exists"):
        driver.inject(token)
    assert driver.in_effect(token)


def test_another_server_at_the_old_address_is_not_clear(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(proxy.api))
    driver.inject(token)
    other = Proxy()
    try:
        moved = token.model_copy(update={"data": {**token.data, "api": other.api}})
        for call in (driver.is_clear, driver.undo):
            with pytest.raises(DriverError, match="is it another server"):
                call(moved)
    finally:
        other.close()
    driver.undo(token)
    assert driver.is_clear(token)


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0", "[::]", ""])
def test_a_proxy_that_is_gone_is_clear_once_its_port_is_refused(
    proxy: Proxy, driver: ToxiproxyDriver, listen: str
) -> None:
    token = driver.resolve(target(proxy.api))
    proxy.ask("DELETE", "/proxies/payments")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as taken:
        data = {**token.data, "listen": f"{listen}:{taken.getsockname()[1]}"}
        moved = token.model_copy(update={"data": data})
        with pytest.raises(DriverError, match="may still be in use"):
            driver.is_clear(moved)
        with ExitStack() as stack:
            for _ in range(4):  # until nothing more is let in: nobody can say who listens
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(taken.getsockname())
            with pytest.raises(DriverError, match="may still be in use"):
                driver.is_clear(moved)
    assert driver.is_clear(moved)


def test_the_loopback_of_another_machine_can_not_be_looked_at_from_here(
    proxy: Proxy, driver: ToxiproxyDriver, fake: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = driver.resolve(target(proxy.api))
    other = fake(answer("404 Not Found", {"error": "proxy not found", "status": 404}))
    proxy.ask("DELETE", "/proxies/payments")
    assert driver.is_clear(token.model_copy(update={"data": {**token.data, "api": other}}))
    own = socket.getaddrinfo

    def named(host: Any, *arguments: Any, **keywords: Any) -> Any:
        return own("127.0.0.1" if host == "proxy.stage" else host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", named)
    elsewhere = other.replace("127.0.0.1", "proxy.stage")
    with pytest.raises(DriverError, match="may still be in use"):
        driver.is_clear(token.model_copy(update={"data": {**token.data, "api": elsewhere}}))


def test_the_port_of_a_proxy_elsewhere_is_looked_at_there(
    proxy: Proxy, driver: ToxiproxyDriver, fake: Callable[..., str]
) -> None:
    token = driver.resolve(target(proxy.api))
    elsewhere = fake(answer("404 Not Found", {"error": "proxy not found", "status": 404}), "127.0.0.2")
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        data = {**token.data, "api": elsewhere, "listen": f"0.0.0.0:{stranger.getsockname()[1]}"}
        assert driver.is_clear(token.model_copy(update={"data": data}))


@pytest.mark.parametrize("name", ["gameday-", "gameday-team-experiment", "gameday-../x.y", "gameday-r1.brownout"])
def test_what_only_begins_like_our_names_is_not_ours(proxy: Proxy, driver: ToxiproxyDriver, name: str) -> None:
    driver.resolve(target(proxy.api))
    proxy.ask(
        "POST",
        "/proxies/payments/toxics",
        {"name": name, "type": "http_error", "attributes": {"status": 500, "percent": 1}},
    )
    assert driver.find(proxy.api) == []


def test_find_tells_gamedays_toxics_from_others(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(proxy.api))
    assert driver.find(proxy.api) == []
    driver.inject(token)
    theirs = {"name": "theirs", "type": "http_error", "attributes": {"status": 500, "percent": 1}}
    proxy.ask("POST", "/proxies/payments/toxics", theirs)
    assert driver.find(proxy.api) == [token]
    [found] = driver.find(proxy.api)
    driver.undo(found)
    assert driver.find(proxy.api) == []
    assert [toxic["name"] for toxic in proxy.ask("GET", "/proxies/payments/toxics")] == ["theirs"]


@pytest.mark.parametrize("change", [{"attributes": {"percent": 50}}, {"toxicity": 0.5}])
def test_a_toxic_that_somebody_changed_is_not_in_effect_and_is_still_removed(
    proxy: Proxy, driver: ToxiproxyDriver, change: dict[str, Any]
) -> None:
    token = driver.resolve(target(proxy.api))
    driver.inject(token)
    proxy.ask("POST", f"/proxies/payments/toxics/{NAME}", change)
    assert not driver.in_effect(token)
    assert not driver.is_clear(token)
    driver.undo(token)
    assert driver.is_clear(token)


def test_a_disabled_proxy_is_not_in_effect_and_not_clear(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(proxy.api))
    driver.inject(token)
    proxy.ask("POST", "/proxies/payments", {"enabled": False})
    assert not driver.in_effect(token)
    assert not driver.is_clear(token)
    driver.undo(token)
    assert driver.is_clear(token)


def test_a_proxy_that_is_gone_is_clear(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(proxy.api))
    driver.inject(token)
    proxy.ask("DELETE", "/proxies/payments")
    assert not driver.in_effect(token)
    assert driver.is_clear(token)
    driver.undo(token)
    with pytest.raises(DriverError, match="proxy not found"):
        driver.inject(token)


def test_resolve_refuses_what_is_not_suitable(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    proxy.ask("POST", "/proxies", {"name": "raw", "upstream": "127.0.0.1:9"})
    proxy.ask("POST", "/proxies", {"name": "off", "upstream": "127.0.0.1:9", "http": True, "enabled": False})
    for name, message in [
        ("absent", "there is no proxy named absent; there are: off, payments, raw"),
        ("raw", 'the proxy raw was not created with "http": true'),
        ("off", "the proxy off is disabled"),
    ]:
        with pytest.raises(DriverError) as caught:
            driver.resolve(target(proxy.api, proxy=name))
        assert message in caught.value.message


def test_resolve_refuses_a_proxy_of_ours_from_before(driver: ToxiproxyDriver, fake: Callable[..., str]) -> None:
    version = {"version": "2.12.0-gameday", "gameday": {"toxics": ["http_error"]}}
    with pytest.raises(DriverError, match="without 'reset_peer', which 'as: reset' needs"):
        driver.resolve(target(fake(answer("200 OK", version)), way="reset"))


def test_an_outage_where_nothing_can_mark_it(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    """Of a server without ``noop``."""
    before = proxy.ask("GET", "/proxies")
    fault = target(proxy.api).plan.model_dump(by_alias=True)
    outage = BoundFault.model_validate({**fault, "id": "out", "kind": "outage", "with": {}})
    marked = driver.resolve(Target(run=RUN, plan=outage, api=proxy.api))
    token = marked.model_copy(update={"data": {**marked.data, "toxic": ""}})
    assert (token.kind, token.data["toxic"], token.data["disables"]) == (FaultKind.OUTAGE, "", True)
    assert driver.is_clear(token)
    driver.inject(token)
    assert driver.in_effect(token)
    assert not driver.is_clear(token)
    assert not proxy.ask("GET", "/proxies/payments")["enabled"]
    assert driver.find(proxy.api) == []
    for _ in range(2):
        ToxiproxyDriver().undo(again(token))
        assert driver.is_clear(token)
    assert not driver.in_effect(token)
    assert proxy.ask("GET", "/proxies") == before


@pytest.mark.parametrize(("name", "hint"), [("theirs", ""), ("gameday-old.x", "gameday recover")])
def test_resolve_refuses_a_proxy_with_toxics(proxy: Proxy, driver: ToxiproxyDriver, name: str, hint: str) -> None:
    toxic = {"name": name, "type": "http_error", "attributes": {"status": 500, "percent": 1}}
    proxy.ask("POST", "/proxies/payments/toxics", toxic)
    with pytest.raises(DriverError, match=f"already has toxics: {name}") as caught:
        driver.resolve(target(proxy.api))
    assert hint in caught.value.hint


def test_resolve_refuses_a_stock_toxiproxy(driver: ToxiproxyDriver, fake: Callable[[bytes], str]) -> None:
    with pytest.raises(DriverError, match=r"Toxiproxy 2\.9\.0 without 'http_error'"):
        driver.resolve(target(fake(answer("200 OK", {"version": "2.9.0"}))))


@pytest.mark.parametrize(
    "api",
    ["", "127.0.0.1:8474", "https://127.0.0.1:1", "http://", "http://a:b@h:1", "http://h:99999", "http://h/x"],
)
def test_what_is_no_address_is_refused(driver: ToxiproxyDriver, api: str) -> None:
    with pytest.raises(DriverError, match="is no address of a proxy's API"):
        driver.find(api)


def every_call(driver: ToxiproxyDriver, token: Token, api: str) -> list[Callable[[], object]]:
    moved = token.model_copy(update={"data": {**token.data, "api": api}})
    return [
        lambda: driver.resolve(target(api)),
        lambda: driver.inject(moved),
        lambda: driver.in_effect(moved),
        lambda: driver.undo(moved),
        lambda: driver.is_clear(moved),
        lambda: driver.find(api),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        answer("503 Unavailable", {"error": "busy", "status": 503}),
        answer("404 Not Found", "404 page not found"),
        answer("404 Not Found", {"error": "no such thing"}),
        answer("400 Bad Request", {"error": "bad"}),
        answer("409 Conflict", {"error": "exists"}),
        answer("302 Found", {}).replace(b"\r\n", b"\r\nLocation: http://127.0.0.1:1/\r\n", 1),
        answer("200 OK", {"something": "else"}),
        answer("200 OK", []),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut",
        b"garbage\r\n\r\n",
    ],
)
def test_any_other_answer_is_an_error_and_never_clear(
    proxy: Proxy, driver: ToxiproxyDriver, fake: Callable[[bytes], str], reply: bytes
) -> None:
    token = driver.resolve(target(proxy.api))
    for call in every_call(driver, token, fake(reply)):
        with pytest.raises(DriverError):
            call()


def test_a_redirect_is_not_followed(proxy: Proxy, driver: ToxiproxyDriver, fake: Callable[[bytes], str]) -> None:
    token = driver.resolve(target(proxy.api))
    where = f"\r\nLocation: {proxy.api}/proxies/payments\r\n".encode()
    moved = token.model_copy(
        update={"data": {**token.data, "api": fake(answer("302 Found", {}).replace(b"\r\n", where, 1))}}
    )
    with pytest.raises(DriverError, match="answered 302"):
        driver.is_clear(moved)


def test_an_unreachable_proxy_is_an_error_and_never_clear(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    token = driver.resolve(target(proxy.api))
    for call in every_call(driver, token, closed_port()):
        with pytest.raises(DriverError, match="does not answer: Connection refused"):
            call()


def test_a_silent_proxy_is_given_up_after_a_second(
    proxy: Proxy, driver: ToxiproxyDriver, fake: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = driver.resolve(target(proxy.api))
    moved = token.model_copy(update={"data": {**token.data, "api": fake(b"")}})
    monkeypatch.setattr(server, "_TIMEOUT", GIVEN)
    with pytest.raises(DriverError, match="does not answer: ReadTimeout"):
        driver.is_clear(moved)


def test_a_token_of_another_driver_is_refused(driver: ToxiproxyDriver) -> None:
    token = Token(driver="x:Y", kind=FaultKind.BROWNOUT, id="i", run="r", service="s", data={"pod": "p"})
    for call in (driver.inject, driver.in_effect, driver.undo, driver.is_clear):
        with pytest.raises(DriverError, match="not one of the toxiproxy driver"):
            call(token)


def test_the_environments_proxies_and_netrc_are_not_used(
    proxy: Proxy, driver: ToxiproxyDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, closed_port())
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get(proxy.api + "/version", timeout=1)  # or this test would show nothing
    token = driver.resolve(target(proxy.api))
    driver.inject(token)
    assert driver.in_effect(token)
    assert driver.find(proxy.api) == [token]
    driver.undo(token)
    assert driver.is_clear(token)


def test_credentials_of_netrc_are_not_sent(
    driver: ToxiproxyDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen = b""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once() -> None:
            nonlocal seen
            connection, _ = listener.accept()
            with connection:
                seen = connection.recv(65536)
                connection.sendall(answer("200 OK", {}))

        thread = threading.Thread(target=once)
        thread.start()
        assert driver.find(f"http://127.0.0.1:{listener.getsockname()[1]}") == []
        thread.join(5)
    assert seen.startswith(b"GET /proxies ")
    assert b"authorization" not in seen.lower()


def test_two_servers_at_once_and_the_librarys_own_address_stays(proxy: Proxy, driver: ToxiproxyDriver) -> None:
    second = Proxy("--flaw", "stuck")
    try:
        second.ask("POST", "/proxies", {"name": "payments", "upstream": "127.0.0.1:9", "http": True})
        tokens = [driver.resolve(target(api)) for api in (proxy.api, second.api)]
        driver.inject(tokens[1])
        assert driver.is_clear(tokens[0])
        assert not driver.is_clear(tokens[1])
        assert (APIConsumer.host, APIConsumer.port) == ("127.0.0.1", 8474)
        # The second is stuck: nothing can be undone there, and that must be said.
        with pytest.raises(DriverError, match="503: stuck"):
            driver.undo(tokens[1])
        assert not driver.is_clear(tokens[1])
        assert driver.in_effect(tokens[1])
        second.ask("POST", "/_lab/mend")
        driver.undo(tokens[1])
        assert driver.is_clear(tokens[1])
    finally:
        second.close()


def test_an_injection_that_the_proxy_does_not_show_is_an_error(
    proxy: Proxy, driver: ToxiproxyDriver, fake: Callable[[bytes], str]
) -> None:
    shown = {"name": "payments", "enabled": True, "http": True, "toxics": []}
    token = driver.resolve(target(proxy.api))
    moved = token.model_copy(update={"data": {**token.data, "api": fake(answer("200 OK", shown))}})
    with pytest.raises(DriverError, match="does not show it"):
        driver.inject(moved)


def test_a_removal_that_the_proxy_still_shows_is_an_error(
    proxy: Proxy, driver: ToxiproxyDriver, fake: Callable[[bytes], str]
) -> None:
    token = driver.resolve(target(proxy.api))
    driver.inject(token)
    shown = proxy.ask("GET", "/proxies/payments")
    moved = token.model_copy(update={"data": {**token.data, "api": fake(answer("200 OK", shown))}})
    with pytest.raises(DriverError, match="still shows it"):
        driver.undo(moved)
