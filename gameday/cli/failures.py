"""Errors for people (and, under ``-o json``, for programs): what, where, what to do; and the exit code."""

from __future__ import annotations

import itertools
import json
import sys
import traceback
from collections.abc import Sequence

import click

from gameday.cli.terminal import give_up, reader_gone, tell, whatever_the_terminal_does
from gameday.errors import GamedayError, SpecError

__all__ = ["guarded"]

_USAGE = 2
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
    except (click.Abort, KeyboardInterrupt):
        give_up(sys.stdout)
        tell("gameday: interrupted")
        return _ABORTED
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback ever reaches a user
        if isinstance(error, BrokenPipeError) and reader_gone():
            return 0
        with whatever_the_terminal_does(stderr=True):
            if "--debug" in arguments and not isinstance(error, click.ClickException):
                traceback.print_exc()
            _explain(as_json, error)
        return _code(error)


def _code(error: Exception) -> int:
    if isinstance(error, GamedayError):
        return error.exit_code
    return _USAGE if isinstance(error, click.ClickException) else _INTERNAL


def _explain(as_json: bool, error: Exception) -> None:
    if isinstance(error, GamedayError):
        _tell(as_json, error)
    elif isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
    elif isinstance(error, click.ClickException):
        _say(as_json, "usage", error.format_message(), _usage_hint(error))
    elif isinstance(error, OSError):
        _say(as_json, "io", str(error), "what stands, if anything, is told by `gameday status`")
    else:
        hint = "this is a bug of gameday; run it again with --debug to see where"
        _say(as_json, "internal", f"internal error: {type(error).__name__}: {error}", hint)


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
            print(_visible(str(problem)), file=sys.stderr)
        count = len(error.problems)
        print(f"gameday: {count} problem{'s' if count > 1 else ''}; nothing was started", file=sys.stderr)
        if error.hint:
            print(_visible(f"  hint: {error.hint}"), file=sys.stderr)


def _say(as_json: bool, code: str, message: str, hint: str) -> None:
    if as_json:
        body = {"code": code, "message": message, "file": None, "line": None, "column": None, "hint": hint}
        print(json.dumps({"error": body}), file=sys.stderr)
        return
    print(_visible(f"gameday: {message}"), file=sys.stderr)
    if hint:
        print(_visible(f"  hint: {hint}"), file=sys.stderr)


def _visible(text: str) -> str:
    from gameday.cli.output import visible  # slow, and only needed once something went wrong

    return visible(text)
