from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import requests

from gameday.proxy import VERSION
from gameday.proxy.listener import Flaw
from gameday.proxy.toxics import TYPES

UP = "127.0.0.1:9"
TOXIC = {"type": "http_error", "attributes": {"status": 503, "percent": 20}}
SHOWN = {
    "attributes": {"status": 503, "percent": 20},
    "name": "http_error_downstream",
    "type": "http_error",
    "stream": "downstream",
    "toxicity": 1.0,
}


@pytest.fixture
def standing(server: Any) -> Any:
    """A server with the proxy ``p`` (HTTP), the proxy ``raw`` (not), and a toxic on ``p``."""
    server.proxy(9)
    server.proxy(9, name="raw", http=False)
    server.break_it(20)
    return server


def test_version_tells_the_embedded_proxy_from_the_stock_server(server: Any) -> None:
    answer = server.ask("GET", "/version")
    assert answer.status_code == 200
    assert answer.json() == {"version": VERSION, "gameday": {"toxics": list(TYPES)}}
    assert set(TYPES) == {"http_error", "latency", "noop", "reset_peer", "timeout"}
    assert VERSION.startswith("2.")


def test_a_proxys_body(server: Any) -> None:
    answer = server.ask(
        "POST", "/proxies", {"name": "a/b c", "upstream": UP, "listen": "127.0.0.1:0", "unknown": 1}
    )
    assert answer.status_code == 201
    body = answer.json()
    assert int(body.pop("listen").removeprefix("127.0.0.1:")) > 0
    assert body == {"name": "a/b c", "upstream": UP, "enabled": True, "http": False, "Logger": {}, "toxics": []}
    assert server.ask("GET", "/proxies/a%2Fb%20c").json() == answer.json()


CALLS = [
    ("GET", "/version", None, 200),
    ("GET", "/proxies", None, 200),
    ("POST", "/proxies", {"name": "new", "upstream": UP}, 201),
    ("POST", "/proxies", {"name": "new", "upstream": UP, "enabled": False}, 201),
    ("GET", "/proxies/p", None, 200),
    ("POST", "/proxies/p", {"enabled": False}, 200),
    ("PATCH", "/proxies/p", {"upstream": "127.0.0.1:10"}, 200),
    ("DELETE", "/proxies/p", None, 204),
    ("GET", "/proxies/p/toxics", None, 200),
    ("POST", "/proxies/p/toxics", {**TOXIC, "name": "n"}, 200),
    ("GET", "/proxies/p/toxics/http_error_downstream", None, 200),
    ("POST", "/proxies/p/toxics/http_error_downstream", {"toxicity": 0.5}, 200),
    ("PATCH", "/proxies/p/toxics/http_error_downstream", {"attributes": {"percent": 1}}, 200),
    ("DELETE", "/proxies/p/toxics/http_error_downstream", None, 204),
    ("POST", "/populate", [{"name": "q", "upstream": UP}], 201),
    ("POST", "/reset", None, 204),
    ("POST", "/_lab/mend", None, 204),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), CALLS)
def test_endpoints(standing: Any, method: str, path: str, body: Any, status: int) -> None:
    answer = standing.ask(method, path, body)
    assert answer.status_code == status
    if status == 204:
        assert answer.content == b""
    else:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.text.endswith("\n")


REFUSED = [
    ("POST", "/proxies", {"upstream": UP}, 400, "missing required field: name"),
    ("POST", "/proxies", {"name": "x"}, 400, "missing required field: upstream"),
    ("POST", "/proxies", [], 400, "bad request body: an object is expected"),
    ("POST", "/proxies", {"name": 1, "upstream": UP}, 400, "bad request body: name must be a text"),
    ("POST", "/proxies", {"name": "p", "upstream": UP}, 409, "proxy already exists"),
    ("GET", "/proxies/x", None, 404, "proxy not found"),
    ("POST", "/proxies/x", {}, 404, "proxy not found"),
    ("PATCH", "/proxies/x", None, 404, "proxy not found"),
    ("DELETE", "/proxies/x", None, 404, "proxy not found"),
    ("POST", "/proxies/p", None, 400, "bad request body: EOF"),
    ("GET", "/proxies/x/toxics", None, 404, "proxy not found"),
    ("POST", "/proxies/x/toxics", TOXIC, 404, "proxy not found"),
    ("POST", "/proxies/p/toxics", TOXIC, 409, "toxic already exists"),
    ("POST", "/proxies/p/toxics", {**TOXIC, "type": "slicer"}, 400, "invalid toxic type"),
    (
        "POST",
        "/proxies/p/toxics",
        {**TOXIC, "stream": "x"},
        400,
        "stream was invalid, can be either upstream or downstream",
    ),
    ("POST", "/proxies/raw/toxics", TOXIC, 400, 'http_error needs a proxy that was created with "http": true'),
    ("POST", "/proxies/raw/toxics", {"type": "slicer"}, 400, "invalid toxic type"),
    ("GET", "/proxies/p/toxics/x", None, 404, "toxic not found"),
    ("POST", "/proxies/p/toxics/x", {}, 404, "toxic not found"),
    ("DELETE", "/proxies/p/toxics/x", None, 404, "toxic not found"),
    ("GET", "/proxies/x/toxics/x", None, 404, "proxy not found"),
    ("POST", "/populate", {}, 400, "bad request body: a list is expected"),
    (
        "POST",
        "/populate",
        [{"name": "q", "upstream": UP}, {"upstream": UP}],
        400,
        "missing required field: name at proxy 2",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), REFUSED)
def test_refusals(standing: Any, method: str, path: str, body: Any, status: int, message: str) -> None:
    before = standing.ask("GET", "/proxies").json()
    answer = standing.ask(method, path, body)
    shown = {"proxies": None} if path == "/populate" else {}
    assert (answer.status_code, answer.json()) == (status, {"error": message, "status": status, **shown})
    assert answer.text.endswith("\n")
    assert standing.ask("GET", "/proxies").json() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/proxies"),
        ("HEAD", "/version"),
        ("DELETE", "/proxies"),
        ("GET", "/reset"),
        ("PUT", "/proxies/p/toxics/t"),
    ],
)
def test_other_methods_are_405_and_empty(server: Any, method: str, path: str) -> None:
    answer = server.ask(method, path)
    assert (answer.status_code, answer.content) == (405, b"")


@pytest.mark.parametrize("path", ["/", "/nowhere", "/proxies/p/toxics/t/x"])
def test_unknown_paths_are_404_as_text(server: Any, path: str) -> None:
    answer = server.ask("GET", path)
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_a_huge_body_is_refused(server: Any) -> None:
    answer = server.ask("POST", "/proxies", {"name": "x" * 2_000_000})
    assert answer.status_code == 413
    assert answer.json()["status"] == 413


def test_browsers_are_kept_out(server: Any) -> None:
    assert server.ask("GET", "/version", headers={"User-Agent": "Mozilla/5.0 (X11)"}).status_code == 403
    assert server.ask("GET", "/version", headers={"User-Agent": "curl/8 Mozilla/5.0"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:8474", 200),
        ("[::1]:8474", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.example@localhost.evil.example", 403),
        ("10.0.0.1", 403),
        ("[", 403),
        ("", 403),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/version"), ("POST", "/reset"), ("GET", "/nowhere")])
def test_names_that_were_made_to_point_here_are_kept_out(
    server: Any, host: str, status: int, method: str, path: str
) -> None:
    got = server.ask(method, path, headers={"Host": host}).status_code
    assert got == (403 if status == 403 else {"/version": 200, "/reset": 204, "/nowhere": 404}[path])


def test_toxics_as_shown(standing: Any) -> None:
    path = "/proxies/p/toxics/http_error_downstream"
    assert standing.ask("GET", "/proxies/p").json()["toxics"] == [SHOWN]
    assert standing.ask("GET", "/proxies/p/toxics").json() == [SHOWN]
    assert standing.ask("GET", path).json() == SHOWN
    changed = {**SHOWN, "attributes": {"status": 503, "percent": 50}, "toxicity": 0.5}
    assert standing.ask("POST", path, {"attributes": {"percent": 50}, "toxicity": 0.5}).json() == changed
    assert standing.ask("GET", path).json() == changed
    assert standing.ask("PATCH", path, {"attributes": {"percent": 500}}).status_code == 400
    assert standing.ask("GET", path).json() == changed
    assert standing.ask("DELETE", path).status_code == 204
    assert standing.ask("GET", "/proxies/p/toxics").json() == []


def test_a_port_in_use_is_a_500(server: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        answer = server.ask("POST", "/proxies", {"name": "x", "upstream": UP, "listen": listen})
    assert answer.status_code == 500
    assert "address already in use" in answer.json()["error"]
    assert server.ask("GET", "/proxies").json() == {}


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:x", "256.1.1.1:0"])
def test_what_can_not_be_listened_on_is_a_500(server: Any, listen: str) -> None:
    answer = server.ask("POST", "/proxies", {"name": "x", "upstream": UP, "listen": listen})
    assert (answer.status_code, answer.json()["status"]) == (500, 500)


def test_a_new_upstream_takes_effect_on_the_same_port(
    server: Any, upstream: Any, dial: Callable[[int], socket.socket]
) -> None:
    old, new = (upstream(lambda peer, name=name: peer.sendall(name)) for name in (b"old", b"new"))
    port = server.proxy(old.port, http=False)
    assert dial(port).recv(10) == b"old"
    answer = server.ask("POST", "/proxies/p", {"upstream": f"127.0.0.1:{new.port}"})
    assert answer.json()["listen"] == f"127.0.0.1:{port}"
    assert dial(port).recv(10) == b"new"


def test_populate_creates_keeps_and_replaces(standing: Any) -> None:
    listen = standing.ask("GET", "/proxies/p").json()["listen"]
    body = [
        {"name": "p", "upstream": "127.0.0.1:9", "listen": listen, "http": True},
        {"name": "raw", "upstream": "127.0.0.1:10"},
        {"name": "off", "upstream": UP, "enabled": False},
    ]
    answer = standing.ask("POST", "/populate", body)
    assert answer.status_code == 201
    kept, replaced, off = answer.json()["proxies"]
    assert (kept["listen"], kept["toxics"]) == (listen, [SHOWN])
    assert replaced["upstream"] == "127.0.0.1:10"
    assert off["enabled"] is False
    assert set(standing.ask("GET", "/proxies").json()) == {"p", "raw", "off"}


def test_a_populate_that_fails_keeps_what_it_created(server: Any) -> None:
    body = [{"name": "a", "upstream": UP}, {"name": "b", "upstream": UP, "listen": "nonsense"}]
    answer = server.ask("POST", "/populate", body)
    assert answer.status_code == 500
    assert answer.json()["status"] == 500
    assert [proxy["name"] for proxy in answer.json()["proxies"]] == ["a"]
    assert set(server.ask("GET", "/proxies").json()) == {"a"}


def test_reset_removes_toxics_and_enables(standing: Any) -> None:
    standing.ask("POST", "/proxies/p", {"enabled": False})
    assert standing.ask("POST", "/reset").status_code == 204
    proxy = standing.ask("GET", "/proxies/p").json()
    assert (proxy["enabled"], proxy["toxics"]) == (True, [])


def test_the_flaw_noop_shows_toxics_that_do_nothing(server: Any, webapp: Any) -> None:
    server.lab.flaw = Flaw.NOOP
    url = f"http://127.0.0.1:{server.proxy(webapp[1].port)}/"
    server.break_it(100)
    assert server.ask("GET", "/proxies/p/toxics").json()[0]["attributes"]["percent"] == 100
    assert _status(url) == 200
    assert server.ask("POST", "/_lab/mend").status_code == 204
    assert _status(url) == 503


def _status(url: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=5).status_code


CHANGES = [(method, path, body) for method, path, body, _ in CALLS if method != "GET" and path != "/_lab/mend"]


def test_the_flaw_stuck_refuses_every_change_once_a_toxic_was_set(server: Any, webapp: Any) -> None:
    server.lab.flaw = Flaw.STUCK
    url = f"http://127.0.0.1:{server.proxy(webapp[1].port)}/"
    server.proxy(9, name="raw", http=False)
    server.break_it(100)
    before = server.ask("GET", "/proxies").json()
    for method, path, body in CHANGES:
        answer = server.ask(method, path, body)
        assert (answer.status_code, answer.json()["status"]) == (503, 503), (method, path)
        assert "stuck" in answer.json()["error"]
    assert server.ask("GET", "/proxies").json() == before
    assert _status(url) == 503
    assert server.ask("POST", "/_lab/mend").status_code == 204
    assert server.ask("DELETE", "/proxies/p/toxics/http_error_downstream").status_code == 204
    assert _status(url) == 200
