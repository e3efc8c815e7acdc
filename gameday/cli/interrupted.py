"""What a signal is answered with while something is being undone: what still stands, and how it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gameday.cli import terminal
from gameday.engine import Entry

__all__ = ["interrupted", "lines"]


def interrupted(rest: str, descriptor: int = 2) -> Callable[[str, Sequence[Entry]], None]:
    """Tells a signal's name and what stands, to stderr; ``rest`` says what comes then, and ends
    with what removes it should this process die.

    It never blocks: a terminal that is stopped, or a pipe that nobody reads, is told nothing.
    """

    def tell(signal: str, entries: Sequence[Entry]) -> None:
        # It begins on a line of its own: a line that is being redrawn may stand there.
        terminal.tell("\n".join(("", *lines(signal, entries, rest))), descriptor)

    return tell


def lines(signal: str, entries: Sequence[Entry], rest: str) -> list[str]:
    """What there is to tell; ``rest`` as for `interrupted`."""
    if not entries:
        return [f"gameday: {signal} is noted. Nothing stands; this ends as soon as what is under way lets it."]
    named = sorted({entry.environment for entry in entries})
    again = " or ".join(f"gameday recover --env {name}" for name in named)
    return [
        f"gameday: {signal} is noted; an undo is never interrupted. STILL STANDS:",
        *(f"  {e.token.id} ({e.token.kind.value} on {e.token.service}) of run {e.token.run}" for e in entries),
        f"What is under way is carried to its end. {rest} `{again}`.",
    ]
