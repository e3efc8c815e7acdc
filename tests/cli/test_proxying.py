from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from gameday.cli.commands import gameday
from gameday.errors import UsageError

COMMAND = [sys.executable, "-W", "error", "-m", "gameday", "proxy", "--port", "0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_alone_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    config = tmp_path / "proxies.json"
    config.write_text('[{"name": "p", "upstream": "127.0.0.1:9"}]')
    command = [*COMMAND, "--config", str(config)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        said = re.fullmatch(
            r"The proxy's API is at (http://127\.0\.0\.1:\d+); Ctrl-C ends it\.\n", process.stdout.readline()
        )
        assert said is not None
        with requests.Session() as session:
            session.trust_env = False
            toxic = session.post(f"{said[1]}/proxies/p/toxics", json={"type": "latency"}, timeout=30)
            other = session.get(f"{said[1]}/proxies", headers={"Host": "evil.example"}, timeout=30)
            assert (toxic.status_code, other.status_code) == (200, 403)
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "", "")


def refused(*arguments: str) -> UsageError:
    result = CliRunner().invoke(gameday, ["proxy", *arguments])
    assert isinstance(result.exception, UsageError)
    assert result.output == ""
    return result.exception


def test_a_port_in_use_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        error = refused("--port", port)
    assert (error.message, error.exit_code) == (f"127.0.0.1:{port} is in use by another program", 2)
    assert "--port 0" in error.hint


@pytest.mark.parametrize("host", ["256.1.1.1", "a..b", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_said(host: str) -> None:
    assert host in refused("--host", host, "--port", "0").message


@pytest.mark.parametrize(
    "text", ["{", "{}", '[{"name": "p"}]', '[{"name": "p", "upstream": "a:1", "listen": "b"}]']
)
def test_a_config_that_can_not_be_is_said(tmp_path: Path, text: str) -> None:
    config = tmp_path / "proxies.json"
    config.write_text(text)
    assert str(config) in refused("--port", "0", "--config", str(config)).message
