"""References to secrets: files, plans and tokens say where a secret is, never what it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["secret", "secrets"]


def secret(reference: str) -> str:
    """What ``env:NAME`` or ``file:PATH`` holds, without white space around it.

    LookupError that names the reference. An empty one is not there: it would pass for a secret, and be none.
    """
    scheme, _, name = reference.partition(":")
    found = os.environ.get(name, "") if scheme == "env" else ""
    if scheme == "file":
        try:
            found = Path(name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise LookupError(f"{reference} can not be read: {type(error).__name__}") from error
    if not found.strip():
        raise LookupError(f"{reference} is not set, or empty")
    return found.strip()


def secrets(references: Mapping[str, str]) -> dict[str, str]:
    """Variable -> what its reference holds; LookupError, as `secret`."""
    return {name: secret(reference) for name, reference in references.items()}
