"""Faults by actions of Chaos Toolkit's extensions, and the child process in which any function of them is called.

The driver never imports an extension, nor chaoslib: every call is one child process, in its main thread. The child
is this file as a program (`main`); it calls functions through chaoslib's own provider, so that ``configuration``,
``secrets`` and ``${name}`` in arguments mean what they mean to ``chaos run``. chaoslib's runner is not used: see
docs/decisions/0002. What it leaves unchecked is checked here: that the function takes exactly these arguments, that
it is no coroutine (which would be taken for a value, and never run), and what it returned.

What ``inject`` and ``undo`` return counts for nothing without ``check``, as with the driver ``command``.
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

from pydantic import ValidationError

from gameday import extensions
from gameday.drivers import CHAOSTOOLKIT
from gameday.errors import DriverError
from gameday.extensions import Question, Reply, Worker, facts, masked, once
from gameday.model.base import JSON, Model
from gameday.model.chaostoolkit import (
    Call,
    Given,
    InjectCall,
    ReadCall,
    Unclear,
    number_of,
    picked,
    shown,
)
from gameday.model.enums import FaultKind
from gameday.model.environment import ChaosBinding
from gameday.model.plan import BoundFault
from gameday.model.suggest import one_of
from gameday.model.token import Token
from gameday.ports import Search, Target
from gameday.programs import parts

__all__ = ["ChaosToolkitDriver", "answer", "main"]

_AFTER = 1.0
"""Real seconds after which a call is ended from in here, where its hand was not ended at its deadline."""
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


class _Told(Model):
    """``Token.data``: all that is called, and what it is given."""

    inject: InjectCall
    check: ReadCall
    undo: Call
    given: Given = Given()


class _Children:
    """The processes in which a token's functions are called, begun before they are needed.

    To import an extension can take seconds, in which a fault would stand too long. So one process answers every
    ``check``, and the next that acts waits for its one call. Another process that inherits this, by a fork, leaves
    them alone and begins its own.
    """

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._told: _Told | None = None
        self._reader: Worker | None = None
        self._next: Worker | None = None

    def read(self, told: _Told, question: Question) -> Reply:
        """The answer to a question that changes nothing; sees to it that the next act finds a process."""
        self._are_of(told)
        self._reader = self._reader or Worker(told.given)
        reply = self._reader.ask(question)
        if self._next is None and os.getpid() == self._owner:
            begun = Worker(told.given)
            with contextlib.suppress(DriverError):  # there is an answer; whoever acts will be told
                begun.prepare([told.inject, told.undo], told.given.configuration)
                self._next = begun
        return reply

    def act(self, told: _Told, question: Question, leaves: bool = False) -> tuple[Reply, bool]:
        """The answer of a process of its own, and whether that left others behind, which were ended."""
        self._are_of(told)
        worker, self._next = self._next or Worker(told.given), None
        try:
            reply = worker.ask(question)
        except BaseException:
            worker.end()
            raise
        return reply, worker.end(leaves)

    def end(self) -> None:
        """End them; idempotent."""
        for worker in (self._reader, self._next):
            if worker is not None and os.getpid() == self._owner:
                worker.end()
        self._reader = self._next = None

    def _are_of(self, told: _Told) -> None:
        """Processes of another token, or of the process that this one was forked from, are not for this one."""
        if told != self._told or os.getpid() != self._owner:
            self.end()
        self._told = told


class ChaosToolkitDriver:
    """A fault by an action of an extension. Every call may raise DriverError.

    ``inject`` has to return once it is in effect: it is read back at once.
    """

    kinds: frozenset[FaultKind] = CHAOSTOOLKIT.kinds
    sweepable = True

    def __init__(self) -> None:
        self._children = _Children()

    def close(self) -> None:
        """End the child processes that were kept for the next calls; they end with this process as well."""
        self._children.end()

    def resolve(self, target: Target) -> Token:
        """Read only: the functions are there and take exactly their arguments, every secret is to be had."""
        plan = target.plan
        if not isinstance(plan, BoundFault):
            raise DriverError("the driver 'chaostoolkit' does faults only")
        binding = _binding(plan.binding)
        details = {**_of(plan.service, plan.kind), **plan.with_.model_dump(mode="json", by_alias=False)}
        ids = {"run": target.run, "fault": plan.id, "found": f"{target.run}/{plan.id}"}
        given = _given(binding, {**details, **ids})
        calls = [binding.inject, binding.check, binding.undo, *([binding.find] if binding.find else [])]
        seconds = CHAOSTOOLKIT.deadline_of(binding)
        _verify(calls, given, seconds)
        return _token(binding, given, (target.run, plan.id), (plan.service, plan.kind, seconds))

    def inject(self, token: Token) -> None:
        """Call it, judge what it returned, and read back that it is in effect."""
        told = _told(token)
        action = told.inject
        judge = (action.returns,) if action.returns is not None else ()
        question = _question(told.given, action, _limit(token)).model_copy(update={"judge": judge})
        reply = self._children.act(told, question, leaves=True)[0].sound()
        if action.returns is not None and reply.good != (True,):
            raise DriverError(f"{action.name} returned {reply.returned}, which is not what 'returns' says")
        if action.returns is None and reply.nothing:
            raise DriverError(
                f"{action.name} returned {reply.returned}: it did nothing",
                hint="if that is a success, say so: returns: {type: equals, value: ...}",
            )
        if not self.in_effect(token):
            raise DriverError(f"{action.name} ended well, but {told.check.name} says that nothing is in effect")

    def in_effect(self, token: Token) -> bool:
        """What ``check`` says."""
        return self._check(_told(token), _limit(token))

    def undo(self, token: Token) -> None:
        """Call it. That it failed is no matter where ``check`` says that all is clear: nothing was to be undone."""
        told = _told(token)
        reply, left = self._children.act(told, _question(told.given, told.undo, _limit(token)))
        if left:
            raise DriverError(f"{told.undo.name} left processes behind, which would end with the run")
        if reply.failed and self._check(told, _limit(token)):
            raise DriverError(reply.failed, hint=reply.hint)

    def is_clear(self, token: Token) -> bool:
        """What ``check`` says."""
        return not self._check(_told(token), _limit(token))

    def _check(self, told: _Told, seconds: float) -> bool:
        """Whether it stands; DriverError if ``check`` can not tell."""
        check = told.check
        question = _question(told.given, check, seconds)
        question = question.model_copy(update={"judge": (check.tolerance, check.clear), "path": check.path})
        return _stands(check, self._children.read(told, question).sound())

    def find(self, api: str) -> list[Token]:
        """Nothing can be asked by an address: see `search`."""
        raise DriverError(f"extensions have no address, and so can not be asked at '{api}'")

    def search(self, place: Search) -> list[Token]:
        """A token for every text that ``find`` returns: ``RUN/FAULT``, or what else undo and check understand."""
        binding, seconds = _binding(place.binding), CHAOSTOOLKIT.deadline_of(place.binding)
        if binding.find is None:
            raise DriverError("its binding has no 'find'")
        of = _of(place.service, place.kind)
        given = _given(binding, of)
        question = _question(given, binding.find, seconds + _AFTER).model_copy(update={"texts": True})
        texts = once(question, given)[0].sound().texts
        return [_found(binding, of, text, (place.service, place.kind, seconds)) for text in dict.fromkeys(texts)]


def _binding(binding: object) -> ChaosBinding:
    if not isinstance(binding, ChaosBinding):
        raise DriverError("this binding is not one of the driver 'chaostoolkit'")
    return binding


def _of(service: str, kind: FaultKind) -> dict[str, JSON]:
    return {"service": service, "kind": kind.value}


def _given(binding: ChaosBinding, of: Mapping[str, JSON]) -> Given:
    """What functions are given, with what gameday tells them: ``gameday_run``, ``gameday_share``, ..."""
    # Not validated again: names that begin like ours are refused in files.
    configuration = {**binding.configuration, **facts(of)}
    return Given.model_construct(configuration=configuration, secrets=binding.secrets, env=binding.env)


def _found(binding: ChaosBinding, of: Mapping[str, JSON], text: str, more: tuple[str, FaultKind, float]) -> Token:
    run, _, fault = text.rpartition("/")
    given = _given(binding, {**of, "run": run, "fault": fault, "found": text})
    return _token(binding, given, (run, fault), more)


def _token(binding: ChaosBinding, given: Given, ids: tuple[str, str], of: tuple[str, FaultKind, float]) -> Token:
    service, kind, seconds = of
    told = {"inject": binding.inject, "check": binding.check, "undo": binding.undo}
    data = {name: call.model_dump(mode="json") for name, call in told.items()}
    data["given"] = given.model_dump(mode="json")
    run, fault = ids
    return Token(
        driver=CHAOSTOOLKIT.path, kind=kind, id=fault, run=run, service=service, data=data, deadline=seconds
    )


def _told(token: Token) -> _Told:
    try:
        data = dict(token.data)
        given = typing.cast("dict[str, Any]", data.pop("given"))
        return _Told.model_validate(data).model_copy(update={"given": Given.model_construct(**given)})
    except (ValidationError, KeyError, TypeError) as error:
        raise DriverError(f"the token of {token.id} is not one of the driver 'chaostoolkit'") from error


def _limit(token: Token) -> float:
    """The caller ends this process at the deadline; this is for a caller that could not have another process."""
    return (token.deadline or CHAOSTOOLKIT.deadline) + _AFTER


def _verify(calls: list[Call], given: Given, seconds: float) -> None:
    question = Question(verify=tuple(calls), configuration=given.configuration, seconds=seconds)
    once(question, given, alone=True)[0].sound()


def _question(given: Given, call: Call, seconds: float) -> Question:
    return Question(call=call, configuration=given.configuration, seconds=seconds)


def _stands(check: ReadCall, reply: Reply) -> bool:
    stands, clear = (good is True for good in reply.good)
    if stands != clear:
        return stands
    which = "both what 'tolerance' and what 'clear' say" if clear else "neither what 'tolerance' nor 'clear' says"
    why = reply.unclear or f"which is {which}"
    raise DriverError(f"can not tell: {check.name} returned {reply.returned}: {why}")


# From here on: the child.


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
        if (
            os.getpid() != asked
        ):  # a fork that came back: a second answer would be taken for that of the next question
            os._exit(0)
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
