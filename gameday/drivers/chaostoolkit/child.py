"""The child process in which any function of Chaos Toolkit's extensions is called: ``python -m`` of this file.

It calls functions through chaoslib's own provider, so that ``configuration``, ``secrets`` and ``${name}`` in
arguments mean what they mean to ``chaos run``. chaoslib's runner is not used: see docs/decisions/0002. What it
leaves unchecked is checked here: that the function takes exactly these arguments, that it is no coroutine (which
would be taken for a value, and never run), and what it returned.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import queue
import re
import signal
import string
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import IO, Any

from gameday import extensions
from gameday.extensions import Question, Reply, masked
from gameday.model.base import JSON
from gameday.model.chaostoolkit import Call, Unclear, number_of, picked, shown
from gameday.model.suggest import one_of
from gameday.programs import parts

__all__ = ["answer", "main"]

_ORPHAN = 2.0
"""Real seconds past its time after which a child ends by itself: whoever would have ended it is dead."""
_INSTALL = "pip install 'gameday[chaostoolkit]'"
_ABSENT = "install the extension beside gameday; 'gameday[chaostoolkit]' has those for Kubernetes and Prometheus"
_SCALARS: tuple[type, ...] = (bool, int, float, str)
_TAKES: Mapping[type, tuple[type, ...]] = {bool: (bool,), int: (int,), float: (float, int), str: (str,)}
"""What a parameter of that annotation is given, without anything being cast."""
_MOST: Mapping[str, int] = {"returned": 120, "unclear": 300, "failed": 2000}
"""Characters of an answer, once secrets are masked in it."""
_GIVEN = "gameday"
"""chaoslib keeps secrets by target; ours are all of one."""


def main() -> None:
    """Answer what is asked, on the standard output that whoever began this process reads."""
    questions, answers = _private_streams()
    told = json.loads(os.environ.pop(extensions.SECRETS, "{}"))
    secrets: dict[str, str] = told.get("secrets", {})
    hidden = parts([*secrets.values(), *told.get("masked", ())])
    asked = os.getpid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # what a hand ignores, its children would ignore too
    for line in _lines(questions):
        reply = _masked(answer(Question.model_validate_json(line), secrets), hidden)
        if os.getpid() != asked:
            os._exit(0)  # a fork that came back: a second answer would be taken for that of the next question
        _flush()
        answers.write(reply.model_dump_json() + "\n")
        answers.flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # whatever an extension made of it
            stream.flush()


def _private_streams() -> tuple[IO[str], IO[str]]:
    """Whatever an extension prints goes to the standard error, and it reads nothing: only answers are answers."""
    questions, answers = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return os.fdopen(questions, encoding="utf-8"), os.fdopen(answers, "w", encoding="utf-8")


def _lines(questions: IO[str]) -> Iterator[str]:
    """The lines of the standard input; at its end the process ends, also in the middle of a call."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in questions:
            waiting.put(line)
        os._exit(0)

    threading.Thread(target=read, name="questions", daemon=True).start()
    while True:
        yield waiting.get()


def _masked(reply: Reply, secrets: list[str]) -> Reply:
    if any(masked(text, secrets) != text for text in reply.texts):
        return Reply(failed="it returned a secret, which may not be kept")
    words = {name: _short(masked(getattr(reply, name), secrets), most) for name, most in _MOST.items()}
    return reply.model_copy(update=words)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def answer(question: Question, secrets: Mapping[str, str]) -> Reply:
    """What became of it, whatever the function does short of ending the process; in the main thread."""
    signal.setitimer(signal.ITIMER_REAL, question.seconds + _ORPHAN)
    try:
        return _carry_out(question, secrets)
    except _Refused as error:
        return Reply(failed=str(error), hint=error.hint)
    except BaseException as error:  # noqa: BLE001 - SystemExit too: whatever it raises is an answer
        return Reply(failed=_raised(question.call, error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Refused(Exception):
    """It can not be called so."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def _raised(call: Call | None, error: BaseException) -> str:
    who = call.name if call is not None else "the extension"
    text = str(error).strip()
    if type(error).__name__ == "ActivityFailed":
        return f"{who}: {text}"
    return f"{who}: {type(error).__name__}" + (f": {text}" if text else "")


def _carry_out(question: Question, secrets: Mapping[str, str]) -> Reply:
    run = _provider()
    known = {*question.configuration, *secrets}
    for call in (*question.verify, *([question.call] if question.call is not None else [])):
        _fits(call, known)
    if question.call is None:
        return Reply()
    value = run(_activity(question.call), dict(question.configuration), {_GIVEN: dict(secrets)})
    if inspect.isawaitable(value) or inspect.isgenerator(value):
        raise _Refused(f"{question.call.name} returned {shown(value)}, which has not done anything yet")
    return _judged(question, value)


def _provider() -> Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], Any]:
    """What calls functions for ``chaos run``."""
    try:
        from chaoslib.provider.python import run_python_activity
    except ImportError as error:
        raise _Refused(f"Chaos Toolkit is not installed ({error})", _INSTALL) from error
    run: Callable[..., Any] = run_python_activity
    return run


def _activity(call: Call) -> dict[str, Any]:
    """As chaoslib wants it."""
    return {
        "name": call.name,
        "type": "action",
        "provider": {
            "type": "python",
            "module": call.module,
            "func": call.func,
            "arguments": dict(call.arguments),
            "secrets": [_GIVEN],
        },
    }


def _fits(call: Call, known: set[str]) -> None:
    """_Refused unless the function is there and takes exactly these arguments."""
    function = _function(call)
    signature = inspect.signature(function)
    apart = [name for name in ("configuration", "secrets") if name in signature.parameters]
    takes = [name for name in signature.parameters if name not in apart]
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature.parameters.values())
    for name in call.arguments:
        if name not in takes and not open_ended:
            raise _Refused(f"{call.name} takes no argument '{name}'", one_of(name, takes, "it takes"))
    try:
        signature.bind(**call.arguments, **dict.fromkeys(apart))
    except TypeError as error:
        raise _Refused(f"{call.name}: {error}; it takes: {', '.join(takes) or 'nothing'}") from error
    for name in _named(call.arguments):
        if name not in known:
            raise _Refused(f"{call.name}: neither 'configuration' nor 'secrets' has the '{name}' of ${{{name}}}")
    _typed(call, function)


def _function(call: Call) -> Any:
    try:
        module = import_module(call.module)
    except Exception as error:
        hint = _ABSENT if isinstance(error, ImportError) else ""
        raise _Refused(f"{call.module} can not be imported: {type(error).__name__}: {error}", hint) from error
    function = getattr(module, call.func, None)
    if not callable(function) or inspect.isclass(function):
        raise _Refused(f"{call.module} has no function '{call.func}'")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise _Refused(f"{call.name} is a coroutine or a generator: to call it does nothing")
    return function


def _named(value: JSON) -> Iterator[str]:
    """The names that chaoslib would put in place of ``${name}``."""
    if isinstance(value, str):
        found = (match.group("braced") for match in string.Template.pattern.finditer(value))
        yield from (name for name in found if name)
    elif isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _named(below)


def _typed(call: Call, function: Any) -> None:
    """_Refused for a plain value where the function says that it takes another plain type: ``"2"`` for an int."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - a hint that can not be read says nothing
        return
    for name, value in call.arguments.items():
        wanted = [one for one in _members(hints.get(name)) if one is not type(None)]
        if not wanted or not all(one in _SCALARS for one in wanted) or _is_filled(value):
            continue
        if type(value) not in {able for one in wanted for able in _TAKES[one]}:
            what = " or ".join(one.__name__ for one in wanted)
            raise _Refused(f"{call.name}: '{name}' is {shown(value)}, and the function takes {what}")


def _members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _is_filled(value: JSON) -> bool:
    return isinstance(value, str) and re.search(r"\$\{?\w", value) is not None


def _judged(question: Question, value: Any) -> Reply:
    returned = shown(value)
    if question.texts:
        return _texts(returned, value)
    nothing = value is False or (isinstance(value, str | bytes | list | tuple | dict | set) and not value)
    try:
        at = picked(value, question.path)
    except Unclear as error:
        return Reply(returned=returned, nothing=nothing, good=(None,) * len(question.judge), unclear=str(error))
    good: list[bool | None] = []
    unclear = ""
    for tolerance in question.judge:
        try:
            good.append(tolerance.good(at))
        except Unclear as error:
            good.append(None)
            unclear = str(error)
    return Reply(returned=returned, nothing=nothing, good=tuple(good), number=number_of(at), unclear=unclear)


def _texts(returned: str, value: Any) -> Reply:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one for one in value):
        return Reply(failed=f"it has to return a list of texts, not {returned}")
    return Reply(returned=returned, texts=tuple(value))


if __name__ == "__main__":
    main()
