"""The backend as a client library for Vault sees it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest
from aiohttp import web
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest

from gameday.lab.config import SecretsConfig
from gameday.lab.secrets import build


class Served:
    """An application on a port of its own, in a thread."""

    def __init__(self, app: web.Application) -> None:
        self.url = ""
        self._app = app
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A backend whose leases last 30 real seconds."""
    (tmp_path / "token").write_text("s.right")
    (tmp_path / "key").write_text("the key")
    config = SecretsConfig(
        token_file=str(tmp_path / "token"),
        scale=30,
        client_token_file=str(tmp_path / "token"),
        secrets={"accounts/signing": str(tmp_path / "key")},
        lease=900,
    )
    served = Served(build(config.model_dump_json()))
    yield served.url
    served.close()


@pytest.fixture
def client(url: str) -> hvac.Client:
    client = hvac.Client(url=url, token="s.right")
    client.session.trust_env = False
    return client


def test_a_secret_is_read_with_its_version_and_a_lease(client: hvac.Client) -> None:
    found = client.secrets.kv.v2.read_secret_version("accounts/signing", raise_on_deleted_version=True)
    assert found["data"]["data"] == {"key": "the key"}
    assert found["data"]["metadata"]["version"] == 1
    assert found["data"]["metadata"]["destroyed"] is False
    assert found["request_id"]
    assert (found["renewable"], found["lease_duration"]) == (True, 30)
    again = client.sys.renew_lease(found["lease_id"])
    assert (again["lease_id"], again["lease_duration"]) == (found["lease_id"], 30)


def test_the_token_can_be_looked_up_and_renewed(client: hvac.Client) -> None:
    assert client.is_authenticated()
    found = client.auth.token.lookup_self()["data"]
    assert found["renewable"] is True
    assert found["ttl"] > 0
    renewed = client.auth.token.renew_self()["auth"]
    assert renewed["client_token"] == "s.right"
    assert renewed["lease_duration"] >= found["ttl"]


def test_another_token_gets_nothing(url: str) -> None:
    client = hvac.Client(url=url, token="s.wrong")
    client.session.trust_env = False
    assert not client.is_authenticated()
    with pytest.raises(Forbidden, match="permission denied"):
        client.secrets.kv.v2.read_secret_version("accounts/signing", raise_on_deleted_version=True)
    with pytest.raises(Forbidden):
        client.sys.renew_lease("x")


def test_what_is_not_there(client: hvac.Client) -> None:
    for path, version in (("accounts/other", None), ("accounts/signing", 2)):
        with pytest.raises(InvalidPath):
            client.secrets.kv.v2.read_secret_version(path, version=version, raise_on_deleted_version=True)
    with pytest.raises(InvalidRequest, match="lease not found"):
        client.sys.renew_lease("secret/data/accounts/signing/none")


def test_health_asks_for_no_token(url: str) -> None:
    client = hvac.Client(url=url)
    client.session.trust_env = False
    assert client.sys.is_initialized()
    assert not client.sys.is_sealed()
    assert client.sys.read_health_status(method="GET")["standby"] is False
    assert client.sys.read_health_status().status_code == 200
