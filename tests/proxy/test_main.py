from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from gameday.proxy.__main__ import main


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "gameday.proxy", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_cleanly_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    config = tmp_path / "proxies.json"
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        address = f"127.0.0.1:{upstream.getsockname()[1]}"
        config.write_text(json.dumps([{"name": "p", "upstream": address, "http": True}]))
        process = start("--port", "0", "--config", str(config), "--flaw", "stuck")
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            api = json.loads(line)["api"]
            assert json.loads(line) == {"api": api}
            with requests.Session() as session:
                session.trust_env = False
                listen = session.get(f"{api}/proxies/p", timeout=30).json()["listen"]
                host, port = listen.split(":")
                # Neither an open connection nor a kept control connection may hold the end up.
                with socket.create_connection((host, int(port)), timeout=5):
                    process.send_signal(number)
                    out, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.communicate()
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_in_use_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["--port", str(other.getsockname()[1])]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "address already in use" in captured.err


@pytest.mark.parametrize(
    "text", ["{", "{}", '[{"name": "p"}]', '[{"name": "p", "upstream": "a:1", "listen": "b"}]']
)
def test_a_bad_config_is_said(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "proxies.json"
    config.write_text(text)
    assert main(["--port", "0", "--config", str(config)]) == 2
    assert capsys.readouterr().err.startswith("gameday.proxy: ")
    assert main(["--port", "0", "--config", str(tmp_path / "absent")]) == 2
