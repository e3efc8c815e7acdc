"""Faults by actions of Chaos Toolkit's extensions.

The driver never imports an extension, nor chaoslib: every call is one child process (`child`), in its main thread.
What ``inject`` and ``undo`` return counts for nothing without ``check``, as with the driver ``command``.
"""

from __future__ import annotations

import contextlib
import os
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from gameday.drivers import CHAOSTOOLKIT
from gameday.errors import DriverError
from gameday.extensions import Question, Reply, Worker, facts, once
from gameday.model.base import JSON, Model
from gameday.model.chaostoolkit import Call, Given, InjectCall, ReadCall
from gameday.model.enums import FaultKind
from gameday.model.environment import ChaosBinding
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.ports import Search, Target

__all__ = ["ChaosToolkitDriver"]

_AFTER = 1.0
"""Real seconds after which a call is ended from in here, where its hand was not ended at its deadline."""


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
        return worker.ask_last(question, leaves)

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
