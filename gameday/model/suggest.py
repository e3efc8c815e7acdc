"""'Did you mean': the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest", "one_of"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest, if any is close."""
    by_fold = {item.casefold().replace("_", ""): item for item in sorted(set(known))}
    close = difflib.get_close_matches(name.casefold().replace("_", ""), by_fold, n=1, cutoff=0.6)
    return by_fold[close[0]] if close else None


def one_of(name: str, known: Iterable[str], what: str = "known") -> str:
    """A hint: the nearest name, else all of them."""
    names = sorted(set(known))
    close = nearest(name, names)
    if close is not None and close != name:
        return f"did you mean '{close}'?"
    return f"{what}: {', '.join(names)}" if names else f"{what}: none"
