"""Whether a login is worth something, by those who accept it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gameday.lab.accounts import Origin, signed
from gameday.lab.config import EdgeConfig, Version
from gameday.lab.edge import build
from gameday.lab.parts import PARTS
from gameday.lab.sessions import accepted, token

CLAIMS = {"sub": "ada", "kid": "signing"}


@pytest.fixture
def keys(tmp_path: Path) -> Mapping[str, str]:
    found = {}
    for kid, key in {"signing": "the key", "break-glass": "the glass"}.items():
        (tmp_path / kid).write_text(f"{key}\n")
        found[kid] = str(tmp_path / kid)
    return found


def test_what_is_signed_with_the_key_of_its_kid_is_accepted(keys: Mapping[str, str]) -> None:
    assert accepted(token(CLAIMS, "the key"), keys) == CLAIMS
    glass = {"sub": "ada", "kid": "break-glass"}
    assert accepted(token(glass, "the glass"), keys) == glass


@pytest.mark.parametrize("origin", [Origin.LIVE, Origin.CACHED, Origin.BREAK_GLASS])
def test_a_login_is_such_a_token(keys: Mapping[str, str], origin: Origin) -> None:
    key = "the glass" if origin is Origin.BREAK_GLASS else "the key"
    told = signed("ada", origin, key)
    claims = accepted(str(told["token"]), keys)
    assert claims == {"sub": told["sub"], "kid": told["kid"]}
    assert str(told["token"]).endswith(f".{told['signature']}")
    assert accepted(str(signed("ada", origin, "")["token"]), keys) is None, "signed with nothing"


def test_what_is_not_signed_so_is_not(keys: Mapping[str, str]) -> None:
    good = token(CLAIMS, "the key")
    text, _, signature = good.partition(".")
    other, _, _ = token({**CLAIMS, "sub": "eve"}, "the key").partition(".")
    deep = base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=")
    for told in (
        "",
        ".",
        text,
        f"{text}.",
        f".{signature}",
        f"{other}.{signature}",
        f"{text}.{signature[:-2]}",
        f"{good}.{signature}",
        f"ä{good}",
        f"{deep}.{signature}",
        token(CLAIMS, "another"),
        token(CLAIMS, ""),
        token({**CLAIMS, "kid": "break-glass"}, "the key"),
        token({**CLAIMS, "kid": "unknown"}, "the key"),
        token({**CLAIMS, "kid": ["signing"]}, "the key"),
        token({"sub": "ada"}, "the key"),
    ):
        assert accepted(told, keys) is None, told
    assert accepted(good, keys) == CLAIMS
    assert accepted(good, {}) is None


def test_a_key_that_was_replaced_counts_from_then_on(keys: Mapping[str, str]) -> None:
    old, new = token(CLAIMS, "the key"), token(CLAIMS, "the next")
    Path(keys["signing"]).write_text("the next")
    assert (accepted(old, keys), accepted(new, keys)) == (None, CLAIMS)
    Path(keys["signing"]).write_text("")
    assert accepted(token(CLAIMS, ""), keys) is None
    Path(keys["signing"]).unlink()
    assert accepted(new, keys) is None


def test_the_edge_opens_a_session_for_whoever_has_one(keys: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    versions = {"stable": Version(weight=1, replicas=("http://127.0.0.1:1",))}
    config = EdgeConfig(token_file=str(tmp_path / "token"), scale=60, versions=versions, session_keys=dict(keys))
    good = token(CLAIMS, "the key")

    async def ask(edge: EdgeConfig, said: dict[str, str]) -> tuple[int, str]:
        async with (
            TestClient(TestServer(build(edge.model_dump_json()))) as client,
            client.get("/session", headers=said) as answer,
        ):
            return answer.status, await answer.text()

    async def day() -> None:
        status, text = await ask(config, {"Authorization": f"Bearer {good}"})
        assert (status, json.loads(text)) == (200, CLAIMS)
        for said in (good, f"Basic {good}", "Bearer x", "Bearer"):
            assert (await ask(config, {"Authorization": said}))[0] == 401
        assert (await ask(config, {}))[0] == 401
        nobody = config.model_copy(update={"session_keys": {}})
        assert (await ask(nobody, {"Authorization": f"Bearer {good}"}))[0] == 404

    asyncio.run(day())


def test_every_key_of_a_part_is_a_secret_of_its_lab() -> None:
    for part in PARTS.values():
        known = {name for other in (part, *(PARTS[need] for need in part.needs)) for name in other.secrets}
        assert set(part.sessions.values()) <= known
        assert not part.sessions or set(part.sessions) == {"signing", "break-glass"}
