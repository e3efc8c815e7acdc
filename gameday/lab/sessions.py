"""What a login is worth: a token, signed with a key that those who accept it know as well.

A token is two texts in base64url with a dot between: the claims (a JSON object; its ``kid`` names the key), and the
HMAC-SHA256 of the first text under that key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path

from gameday.model.base import JSON

__all__ = ["accepted", "token"]


def token(claims: Mapping[str, JSON], key: str) -> str:
    """The claims, signed."""
    text = _encoded(json.dumps(claims, sort_keys=True, separators=(",", ":")).encode())
    return f"{text}.{_encoded(_digest(text, key))}"


def accepted(told: str, keys: Mapping[str, str]) -> Mapping[str, JSON] | None:
    """The claims of a token; None unless it is signed with the key in the file that ``keys`` has for its ``kid``.

    The file is read anew each time, so that a key that was replaced counts from then on, and one that is gone, or
    empty, opens nothing.
    """
    text, _, signature = told.partition(".")
    try:
        claims = json.loads(_decoded(text))
        key = Path(keys[claims["kid"]]).read_text(encoding="ascii").strip()
        given = _decoded(signature)
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        return None
    if not key or not hmac.compare_digest(_digest(text, key), given):
        return None
    found: Mapping[str, JSON] = claims
    return found


def _digest(text: str, key: str) -> bytes:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """ValueError if it is no base64url."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
