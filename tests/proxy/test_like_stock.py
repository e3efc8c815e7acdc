"""The same calls and the same traffic on the stock Go server, where there is one, and on gameday's own proxy."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from tests.proxy.conftest import DEADLINE, Server, Upstream
from tests.stock import needed, toxiproxy

NOW = 0.1  # seconds in which nothing is to come
DELAY = 400  # milliseconds
BOTH = ["upstream", "downstream"]
Talk = Callable[[socket.socket], None]


class Api:
    """A Toxiproxy's API, and connections through its proxy ``p``."""

    def __init__(self, address: str, stack: ExitStack) -> None:
        self._address = address
        self._session = stack.enter_context(requests.Session())
        self._session.trust_env = False
        self._stack = stack
        self.port = 0

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        answer = self._session.request(method, self._address + path, json=body, timeout=DEADLINE, **more)
        text = answer.text
        return answer.status_code, json.loads(text) if text.startswith(("{", "[")) else text

    def proxy(self, upstream: int) -> None:
        body = {"name": "p", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream}"}
        status, made = self.call("POST", "/proxies", body)
        assert status == 201, made
        self.port = int(made["listen"].rpartition(":")[2])

    def set(self, kind: str, stream: str = "downstream", toxicity: float = 1.0, **attributes: int) -> str:
        body = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        status, made = self.call("POST", "/proxies/p/toxics", body)
        assert status == 200, made
        return str(made["name"])

    def remove(self, name: str) -> None:
        assert self.call("DELETE", f"/proxies/p/toxics/{name}") == (204, "")

    def dial(self) -> Caller:
        return Caller(self._stack.enter_context(socket.create_connection(("127.0.0.1", self.port), DEADLINE)))


class Caller:
    """A connection through the proxy."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def get(self, within: float = DEADLINE) -> bytes | str:
        """What comes next: bytes, ``nothing`` in that time, ``closed`` or ``reset``."""
        self._connection.settimeout(within)
        try:
            return self._connection.recv(65536) or "closed"
        except TimeoutError:
            return "nothing"
        except ConnectionResetError:
            return "reset"

    def read(self, size: int) -> bytes:
        """So many bytes, however they come."""
        data = b""
        while len(data) < size:
            more = self.get()
            assert isinstance(more, bytes), (more, data)
            data += more
        return data

    def echoes(self, data: bytes = b"x") -> bool:
        self.send(data)
        return self.get() == data


@pytest.fixture(scope="module")
def stock() -> Iterator[str]:
    with toxiproxy() as address:
        yield address


@pytest.fixture(params=["embedded", pytest.param("stock", marks=[needed, pytest.mark.slow])])
def address(request: pytest.FixtureRequest) -> str:
    if request.param == "stock":
        return str(request.getfixturevalue("stock"))
    server: Server = request.getfixturevalue("server")
    return server.api


@pytest.fixture
def api(address: str, echoing: Upstream) -> Iterator[Api]:
    with ExitStack() as stack:
        made = Api(address, stack)
        made.proxy(echoing.port)
        stack.callback(made.call, "DELETE", "/proxies/p")
        yield made


# The API

CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/proxies", None),
    ("POST", "/proxies", {"name": "p", "upstream": "127.0.0.1:9"}),
    ("POST", "/proxies", {"upstream": "127.0.0.1:9"}),
    ("POST", "/proxies", {"name": "q"}),
    ("GET", "/proxies/q", None),
    ("POST", "/proxies/q/toxics", {"type": "latency"}),
    ("GET", "/proxies/p/toxics", None),
    ("POST", "/proxies/p/toxics", {"type": "latency"}),
    ("POST", "/proxies/p/toxics", {"type": "latency"}),
    ("POST", "/proxies/p/toxics", {"type": "timeout", "stream": "upstream", "attributes": {"timeout": 3}}),
    ("POST", "/proxies/p/toxics", {"type": "reset_peer", "stream": "UPSTREAM", "toxicity": 0.25}),
    ("POST", "/proxies/p/toxics", {"type": "noop", "name": "mark", "attributes": {"unknown": 1}}),
    ("POST", "/proxies/p/toxics", {"type": "noop", "name": "null", "attributes": None}),
    (
        "POST",
        "/proxies/p/toxics",
        {"type": "latency", "name": "odd", "toxicity": 1.5, "attributes": {"jitter": -1}},
    ),
    ("POST", "/proxies/p/toxics", {"type": "latency", "name": "null2", "attributes": {"latency": None}}),
    ("POST", "/proxies/p/toxics", {"type": "latency", "name": "x", "attributes": {"latency": "1"}}),
    ("POST", "/proxies/p/toxics", {"type": "latency", "name": "x", "attributes": {"latency": 1.5}}),
    ("POST", "/proxies/p/toxics", {"type": "latency", "name": "x", "attributes": {"latency": 2**63}}),
    ("POST", "/proxies/p/toxics", {"type": "latency", "name": "x", "attributes": [1]}),
    ("POST", "/proxies/p/toxics", {"type": "latency", "name": "x", "toxicity": "1"}),
    ("POST", "/proxies/p/toxics", {"type": "latency", "name": "x", "stream": "sideways"}),
    ("POST", "/proxies/p/toxics", {"type": "nonsense"}),
    ("POST", "/proxies/p/toxics", {"type": "nonsense", "stream": "sideways"}),
    ("POST", "/proxies/p/toxics", {}),
    ("POST", "/proxies/p/toxics", None),
    ("POST", "/proxies/p/toxics", []),
    ("GET", "/proxies/p/toxics", None),
    ("GET", "/proxies/p/toxics/mark", None),
    ("GET", "/proxies/p/toxics/absent", None),
    ("POST", "/proxies/p/toxics/latency_downstream", {"attributes": {"latency": 7}}),
    ("PATCH", "/proxies/p/toxics/latency_downstream", {"attributes": {"jitter": 2}}),
    ("PATCH", "/proxies/p/toxics/latency_downstream", {"toxicity": 0.5}),
    ("PATCH", "/proxies/p/toxics/latency_downstream", {"attributes": {"jitter": "x"}}),
    ("PATCH", "/proxies/p/toxics/latency_downstream", {"name": "z", "type": "noop", "stream": "upstream"}),
    ("POST", "/proxies/p/toxics/absent", {}),
    ("PUT", "/proxies/p/toxics/mark", None),
    ("DELETE", "/proxies/p/toxics/mark", None),
    ("DELETE", "/proxies/p/toxics/mark", None),
    ("POST", "/proxies/p", {"enabled": False}),
    ("POST", "/proxies/p/toxics", {"type": "noop"}),
    ("GET", "/proxies", None),
    ("POST", "/reset", None),
    ("GET", "/proxies", None),
    ("POST", "/populate", [{"name": "q", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9"}, {"name": "r"}]),
    ("POST", "/populate", [{"name": "q", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9", "enabled": True}]),
    ("DELETE", "/proxies/q", None),
    ("DELETE", "/proxies/q", None),
    ("POST", "/populate", {}),
    ("POST", "/populate", []),
    ("GET", "/nowhere", None),
]


def alike(body: Any) -> Any:
    """Without ports that differ, gameday's own ``http``, and how a language words what is wrong with a body."""
    if isinstance(body, list):
        return [alike(item) for item in body]
    if not isinstance(body, dict):
        return body
    shown = {key: alike(value) for key, value in body.items() if key != "http"}
    if "listen" in shown:
        shown["listen"] = shown["listen"].rpartition(":")[0]
    if str(shown.get("error", "")).startswith("bad request body: "):
        shown["error"] = "bad request body: "
    return shown


@needed
def test_the_same_calls_have_the_same_answers(server: Server, stock: str) -> None:
    with ExitStack() as stack:
        ours, theirs = Api(server.api, stack), Api(stock, stack)
        for api in (ours, theirs):
            api.proxy(9)
        stack.callback(theirs.call, "DELETE", "/proxies/p")
        for call in CALLS:
            assert _asked(ours, call) == _asked(theirs, call), call


def _asked(api: Api, call: tuple[str, str, Any]) -> tuple[int, Any]:
    status, body = api.call(*call)
    return status, alike(body)


# Traffic


@pytest.mark.parametrize("stream", BOTH)
def test_latency_delays_each_piece_and_keeps_the_order(api: Api, stream: str) -> None:
    open_before = api.dial()
    assert open_before.echoes()
    name = api.set("latency", stream, latency=DELAY)
    pieces = [b"%02d" % number for number in range(50)]
    for caller in (open_before, api.dial()):
        begin = time.monotonic()
        assert caller.echoes()
        assert time.monotonic() - begin >= DELAY / 1000
        begin = time.monotonic()
        for piece in pieces:
            sent = time.monotonic()
            caller.send(piece)
            time.sleep(0.01)  # so that most are pieces of their own
        assert caller.read(100) == b"".join(pieces)
        assert time.monotonic() - sent >= DELAY / 1000
        assert time.monotonic() - begin < 10, "side by side: one after the other they would take 20 s"
    api.remove(name)
    assert open_before.echoes()


def test_latencies_of_both_directions_add(api: Api) -> None:
    for stream in BOTH:
        api.set("latency", stream, latency=DELAY // 2, jitter=DELAY // 20)
    caller = api.dial()
    begin = time.monotonic()
    assert caller.echoes()
    assert time.monotonic() - begin >= 0.9 * DELAY / 1000


@pytest.mark.parametrize("stream", BOTH)
def test_what_a_latency_holds_is_let_go_of_when_it_is_removed(api: Api, stream: str) -> None:
    name = api.set("latency", stream, latency=60_000)
    caller = api.dial()
    caller.send(b"held")
    assert caller.get(NOW) == "nothing"
    api.remove(name)
    assert caller.get() == b"held"
    assert caller.echoes()


def test_a_latency_holds_the_end_behind_the_last_piece(api: Api, upstream: Callable[[Talk], Upstream]) -> None:
    brief = upstream(lambda connection: connection.sendall(b"last words"))
    api.call("POST", "/proxies/p", {"upstream": f"127.0.0.1:{brief.port}"})
    api.set("latency", latency=DELAY)
    begin = time.monotonic()
    caller = api.dial()
    assert [caller.get(), caller.get()] == [b"last words", "closed"]
    assert time.monotonic() - begin >= DELAY / 1000


@pytest.mark.parametrize("stream", BOTH)
def test_a_timeout_drops_all_and_closes_what_met_it_when_removed(api: Api, stream: str) -> None:
    open_before = api.dial()
    assert open_before.echoes()
    name = api.set("timeout", stream, timeout=0)
    after = api.dial()
    for caller in (open_before, after):
        caller.send(b"lost")
        assert caller.get(NOW) == "nothing"
    api.remove(name)
    assert [open_before.get(), after.get()] == ["closed", "closed"]
    assert api.dial().echoes()


@pytest.mark.parametrize("stream", BOTH)
def test_a_timeout_closes_after_its_time_without_data(api: Api, stream: str) -> None:
    api.set("timeout", stream, timeout=DELAY)
    for _ in range(20):
        begin = time.monotonic()
        caller = api.dial()
        heard = caller.get(NOW)
        caller.send(b"more")
        if time.monotonic() - begin < DELAY / 2000:
            break  # else the machine stood still, and its time may have been over
    assert heard == "nothing"
    assert caller.get() == "closed"
    assert time.monotonic() - begin >= DELAY / 1000 + NOW


def test_a_timeout_lets_an_end_pass(api: Api, upstream: Callable[[Talk], Upstream]) -> None:
    brief = upstream(lambda connection: connection.sendall(b"lost"))
    api.call("POST", "/proxies/p", {"upstream": f"127.0.0.1:{brief.port}"})
    api.set("timeout", timeout=0)
    assert api.dial().get() == "closed"


@pytest.mark.parametrize("stream", BOTH)
def test_one_that_was_spared_is_closed_too_when_a_timeout_is_removed(api: Api, stream: str) -> None:
    name = api.set("timeout", stream, toxicity=0, timeout=0)
    spared = api.dial()
    assert spared.echoes()
    api.remove(name)
    assert spared.get() == "closed"


@pytest.mark.parametrize("stream", BOTH)
def test_a_reset_resets_new_connections_and_closes_open_ones(api: Api, stream: str) -> None:
    open_before = api.dial()
    assert open_before.echoes()
    name = api.set("reset_peer", stream, timeout=0)
    new = api.dial()
    assert new.get(NOW) == "nothing", "not before there is data"
    new.send(b"lost")
    open_before.send(b"lost")
    assert [new.get(), open_before.get()] == ["reset", "closed"]
    api.remove(name)
    assert api.dial().echoes()


@pytest.mark.parametrize("stream", BOTH)
def test_a_reset_can_take_its_time(api: Api, stream: str) -> None:
    api.set("reset_peer", stream, timeout=DELAY)
    begin = time.monotonic()
    caller = api.dial()
    caller.send(b"lost")
    assert caller.get() == "reset"
    assert time.monotonic() - begin >= DELAY / 1000


@pytest.mark.parametrize("kind", ["latency", "timeout", "reset_peer"])
def test_toxicity_is_drawn_once_for_each_connection(api: Api, kind: str) -> None:
    api.set(kind, "downstream", 0.5, **({"latency": 60_000} if kind == "latency" else {"timeout": 0}))
    callers = [api.dial() for _ in range(60)]
    for caller in callers:
        caller.send(b"x")
    time.sleep(0.25)  # most answers of spared ones are here by then; others count as struck
    spared = [caller for caller in callers if caller.get(0.01) == b"x"]
    # Binomial, n = 60, p = 0.5: 5 standard deviations are 19.4.
    assert 10 <= len(spared) <= 50
    assert all(caller.echoes() for _ in range(3) for caller in spared)


def test_a_change_is_drawn_anew_and_takes_effect_at_once(api: Api) -> None:
    name = api.set("latency", toxicity=0, latency=60_000)
    caller = api.dial()
    assert caller.echoes()
    api.call("POST", f"/proxies/p/toxics/{name}", {"toxicity": 1})
    caller.send(b"held")
    assert caller.get(NOW) == "nothing"
    api.call("POST", f"/proxies/p/toxics/{name}", {"attributes": {"latency": 0}})
    assert caller.get() == b"held"
    assert caller.echoes()


def test_disabling_closes_and_refuses_all_and_enabling_restores(api: Api) -> None:
    api.set("latency", latency=60_000)
    caller = api.dial()
    caller.send(b"held")
    assert caller.get(NOW) == "nothing"
    api.call("POST", "/proxies/p", {"enabled": False})
    assert caller.get() == "closed"
    with pytest.raises(ConnectionRefusedError):
        api.dial()
    assert api.call("GET", "/proxies/p")[1]["toxics"] != []
    api.call("POST", "/reset")
    assert api.dial().echoes()


def test_resetting_the_server_removes_toxics_of_open_connections(api: Api) -> None:
    api.set("latency", latency=60_000)
    caller = api.dial()
    caller.send(b"held")
    assert caller.get(NOW) == "nothing"
    assert api.call("POST", "/reset") == (204, "")
    assert caller.get() == b"held"


def test_toxics_act_in_the_order_they_were_set(api: Api) -> None:
    """What a timeout drops was never delayed; what it closes, a latency behind it holds no more."""
    api.set("timeout", timeout=0)
    api.set("latency", latency=60_000)
    caller = api.dial()
    caller.send(b"lost")
    assert caller.get(NOW) == "nothing"
    api.remove("timeout_downstream")
    assert caller.get() == "closed"


def test_one_that_leaves_leaves_nothing_behind(server: Server, echoing: Upstream) -> None:
    """Gameday's own: nothing is kept of connections that ended while toxics held something of theirs."""
    with ExitStack() as stack:
        api = Api(server.api, stack)
        api.proxy(echoing.port)
        api.set("timeout", "upstream", timeout=0)
        api.set("latency", "downstream", latency=60_000)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", api.port), DEADLINE) as connection:
                connection.sendall(b"x")
        relays: set[Any] = server.collection.proxies["p"]._roster.relays
        deadline = time.monotonic() + DEADLINE
        while relays and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not relays
