"""The alert sink's token in a whole run: used, and written nowhere."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from gameday.timeline import read
from tests.e2e.conftest import Cli, wait_for
from tests.e2e.test_commands import Payments

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TOKEN = "a-token-of-the-test-7f3c"
WATCHDOG = {
    "version": "4",
    "receiver": "oncall",
    "alerts": [
        {"status": "firing", "labels": {"alertname": "Watchdog"}, "startsAt": "2026-11-01T10:00:00Z"},
    ],
}
ALERTS = """
  observers:
    alerts:
      source: sink
      listen: "127.0.0.1:{port}"
      advertise: "https://gd.example/hook"
      token: "file:{token}"
      receivers: {{oncall: oncall}}
      watchdog: {{every: 1s}}
"""


@pytest.fixture
def payments(cli: Cli) -> Iterator[Payments]:
    made = Payments(cli)
    yield made
    made.close()


def with_sink(payments: Payments, token: str) -> int:
    """Give the environment a sink at a free port with that token; the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    secret = payments.cli.folder / "secret"
    secret.write_text(token + "\n", encoding="utf-8")
    environment = payments.cli.folder / "experiments" / "environments" / "mine.yaml"
    text = environment.read_text(encoding="utf-8")
    environment.write_text(text + ALERTS.format(port=port, token=secret), encoding="utf-8")
    return port


def post(port: int, path: str, **headers: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        with contextlib.suppress(requests.ConnectionError):
            url = f"http://127.0.0.1:{port}/{path}"
            return session.post(url, json=WATCHDOG, headers=headers, timeout=5).status_code
    return 0


def holders(folder: Path, token: str) -> list[str]:
    """The files below the folder that hold the token."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "secret"]
    assert len(files) > 5
    return [str(path) for path in files if token.encode() in path.read_bytes()]


def test_a_token_is_used_and_written_nowhere(payments: Payments) -> None:
    port = with_sink(payments, TOKEN)
    process = payments.cli.start(*payments.arguments)
    wait_for(lambda: post(port, f"hook/{TOKEN}") == 200, 60)
    assert post(port, "hook", Authorization=f"Bearer {TOKEN}") == 200
    assert post(port, f"hook/{TOKEN}x") == 404
    with socket.create_connection(("127.0.0.1", port), 5) as broken:
        broken.sendall(f"POST /hook/{TOKEN} HTTP/9.x\r\n\r\n".encode())
        while broken.recv(4096):
            pass
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    kinds = [event.kind for event in read(payments.cli.folder / "run" / "timeline.jsonl").events]
    assert (kinds.count("alert.received"), kinds.count("alert.refused")) == (2, 2)
    notices = " ".join(notice["text"] for notice in json.loads(out)["grade"]["notices"])
    assert "refused requests without its token, or with another: 2 or more" in notices
    assert TOKEN not in out + err
    assert holders(payments.cli.folder, TOKEN) == []


def test_a_weak_token_is_refused_before_anything_is_injected_and_not_told(payments: Payments) -> None:
    with_sink(payments, "short-7f3c")
    done = payments.cli(*payments.arguments)
    assert done.returncode == 2
    assert "is not 16 to 256 letters" in done.stderr
    assert "short-7f3c" not in done.stdout + done.stderr
    assert holders(payments.cli.folder, "short-7f3c") == []
