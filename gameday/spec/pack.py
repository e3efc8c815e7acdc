"""Whether a load pack is Python at all; it is not imported, and nothing in it runs."""

from __future__ import annotations

import warnings

from gameday.errors import Problem

__all__ = ["syntax_problem"]


def syntax_problem(text: str, shown: str) -> Problem | None:
    """What this Python can not read in the text; None if it can. ``shown`` is the file's name for people."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is only odd is the author's own affair
            # Not by its name: Python would tell columns by the lines of whatever file has that name here.
            compile(text, "<load pack>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return Problem(shown, error.lineno or 1, max(1, error.offset or 1), f"no Python: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL character; nested too deeply
        return Problem(shown, 1, 1, f"no Python: {error or type(error).__name__}")
    return None
