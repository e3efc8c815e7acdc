"""Errors for people (and, under ``-o json``, for programs): what, where, what to do; and the exit code."""

from __future__ import annotations

import itertools
import json
import sys
import traceback
from collections.abc import Sequence

import click

from gameday.errors import GamedayError, SpecError

__all__ = ["guarded"]

_INTERNAL = 3
_ABORTED = 5


def guarded(command: click.Command, arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code whatever happens."""
    as_json = _wants_json(arguments)
    try:
        # Not `main`: click's own ends the process with exit code 1 where a reader has gone.
        with command.make_context("gameday", list(arguments)) as context:
            code = command.invoke(context)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        _say(as_json, "usage", error.format_message(), _usage_hint(error))
        return 2
    except (click.Abort, KeyboardInterrupt):
        print("gameday: interrupted", file=sys.stderr)
        return _ABORTED
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback ever reaches a user
        if "--debug" in arguments:
            traceback.print_exc()
        return _explain(as_json, error)


def _explain(as_json: bool, error: Exception) -> int:
    if isinstance(error, GamedayError):
        _tell(as_json, error)
        return error.exit_code
    if isinstance(error, OSError):
        _say(as_json, "io", str(error), "what stands, if anything, is told by `gameday status`")
    else:
        hint = "this is a bug of gameday; run it again with --debug to see where"
        _say(as_json, "internal", f"internal error: {type(error).__name__}: {error}", hint)
    return _INTERNAL


def _wants_json(arguments: Sequence[str]) -> bool:
    apart = any(flag in {"-o", "--output"} and value == "json" for flag, value in itertools.pairwise(arguments))
    return apart or "-ojson" in arguments or "--output=json" in arguments


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path} --help`" if context is not None else "see `gameday --help`"


def _tell(as_json: bool, error: GamedayError) -> None:
    if not isinstance(error, SpecError):
        _say(as_json, error.code, error.message, error.hint)
    elif as_json:
        problems = [
            {
                "code": error.code,
                "message": problem.message,
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "hint": problem.hint,
            }
            for problem in error.problems
        ]
        print(json.dumps({"error": problems[0], "errors": problems}), file=sys.stderr)
    else:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        count = len(error.problems)
        print(f"gameday: {count} problem{'s' if count > 1 else ''}; nothing was started", file=sys.stderr)


def _say(as_json: bool, code: str, message: str, hint: str) -> None:
    if as_json:
        body = {"code": code, "message": message, "file": None, "line": None, "column": None, "hint": hint}
        print(json.dumps({"error": body}), file=sys.stderr)
        return
    print(f"gameday: {message}", file=sys.stderr)
    if hint:
        print(f"  hint: {hint}", file=sys.stderr)
