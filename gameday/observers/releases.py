"""The releases of a service, as an operator's program tells them: shares of traffic, and what was taken back."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from gameday import programs, references
from gameday.model.base import Model
from gameday.model.environment import ReleasesObserver
from gameday.model.events import (
    Event,
    ReleaseChanged,
    ReleaseSample,
    RevisionState,
    StimulusIntent,
    StimulusUndo,
)
from gameday.observers.sampling import Sampler
from gameday.ports import Observer
from gameday.programs import Call

__all__ = ["CommandReleases", "Told", "observe"]

SOURCE = "releases"
_LEAST, _MOST = 2.0, 10.0
"""Real seconds for one run of the program: as long as between two, but never less nor more than these."""
_KEPT = 65536
"""Bytes that it may print."""
_SERVICE = "{service}"
_ROUNDING = 1e-6


class _Strict(Model):
    model_config = ConfigDict(strict=True)


class ToldRevision(_Strict):
    """One revision."""

    revision: Annotated[str, Field(min_length=1)]
    weight: Annotated[float, Field(ge=0, le=1)]
    """The share of traffic from 0 to 1."""
    requests: Annotated[int, Field(ge=0)] | None = None
    """Requests that it has served in total, if that is known."""


class ToldRollback(_Strict):
    """The latest rollback."""

    revision: Annotated[str, Field(min_length=1)]
    at: Annotated[str, Field(min_length=1)]
    """What tells it from the one before, such as its time."""
    reason: str = ""


class Told(_Strict):
    """What the program prints, as JSON."""

    revisions: Annotated[tuple[ToldRevision, ...], Field(min_length=1)]
    rolled_back: Annotated[ToldRollback | None, Field(alias="rolled_back")]

    def problem(self) -> str:
        """What can not be so; empty if all of it can."""
        names = [one.revision for one in self.revisions]
        if len(set(names)) < len(names):
            return "a revision is there twice"
        total = sum(one.weight for one in self.revisions)
        return f"the shares add up to {total:g}" if total > 1 + _ROUNDING else ""

    @property
    def weights(self) -> Mapping[str, float]:
        """By revision."""
        return {one.revision: one.weight for one in self.revisions}


class _Unread(Exception):
    """The program did not tell; the text says why."""


class CommandReleases(Sampler):
    """Runs ``status`` every ``every`` real seconds, in a thread of its own.

    What differs from the reading before is recorded as a change; what the first reading shows is older.
    It can not be told who asked for a change: all is taken for the system's own, until gameday begins to take its
    release back.
    """

    def __init__(self, service: str, releases: ReleasesObserver) -> None:
        super().__init__(SOURCE, releases.interval)
        self._service = service
        self._argv = [word.replace(_SERVICE, service) for word in releases.status]
        self._env = releases.env
        self._before: Told | None = None
        self._known: set[tuple[str, str]] = set()
        self._asked: set[str] = set()
        self._ours = False

    def hear(self, event: Event) -> None:
        """A listener of the timeline: the engine records that it takes a release back before it does so."""
        if event.kind == StimulusIntent.KIND and event.data["service"] == self._service:
            self._asked.add(event.read(StimulusIntent).id)
        elif event.kind == StimulusUndo.KIND and event.data["id"] in self._asked:
            self._ours = True

    def _sample(self) -> None:
        asked = time.monotonic_ns()
        try:
            told = _parsed(self._printed())
        except _Unread as error:
            self._gaps.bad(str(error))
            return
        for change in self._changes(told):
            self._record(self.source, change)
        revisions = tuple(
            RevisionState(revision=one.revision, weight=one.weight, requests=one.requests) for one in told.revisions
        )
        self._record(self.source, ReleaseSample(service=self._service, revisions=revisions, asked=asked))
        self._before = told
        self._gaps.good(asked)

    def _changes(self, told: Told) -> list[ReleaseChanged]:
        """What differs from the reading before; a rollback comes last, with the share that is left."""
        if self._before is None:
            if told.rolled_back is not None:
                self._is_news(told.rolled_back)  # older than the run
            return []
        before, now = self._before.weights, told.weights
        found = [
            self._changed(revision, "weight" if before.get(revision) else "started", now.get(revision, 0.0))
            for revision in dict.fromkeys([*before, *now])
            if before.get(revision, 0.0) != now.get(revision, 0.0)
        ]
        last = told.rolled_back
        if last is not None and self._is_news(last):
            found.append(self._changed(last.revision, "rolled_back", now.get(last.revision, 0.0), last.reason))
        return found

    def _is_news(self, back: ToldRollback) -> bool:
        """Whether that one was not told before, whatever else is said of it now, or was not in between."""
        one = (back.revision, back.at)
        new = one not in self._known
        self._known.add(one)
        return new

    def _changed(self, revision: str, change: str, weight: float, reason: str = "") -> ReleaseChanged:
        by = "gameday" if self._ours else "system"
        told = {"service": self._service, "revision": revision, "change": change, "weight": weight}
        return ReleaseChanged.model_validate({**told, "reason": reason, "by": by})

    def _printed(self) -> str:
        """What the program printed; _Unread if it did not, or not as it should."""
        name, limit = shlex.join(self._argv), min(max(self._every, _LEAST), _MOST)
        try:
            secrets = references.secrets(self._env)
            ours = {"GAMEDAY_CALL": "status", "GAMEDAY_SERVICE": self._service}
            environment = programs.variables(secrets, ours)
            # Its own session: Ctrl-C at a terminal must reach gameday alone.
            call = Call(self._argv, limit, environment, tuple(secrets.values()), kept=_KEPT, alone=True)
            ended = programs.run(call)
        except LookupError as error:
            raise _Unread(f"{name}: {error.args[0]}") from error
        except TimeoutError as error:
            raise _Unread(str(error)) from error
        except (OSError, ValueError) as error:  # ValueError: a NUL character
            raise _Unread(f"{name} can not be run: {getattr(error, 'strerror', None) or error}") from error
        if ended.code != 0:
            raise _Unread(f"{name}: {ended.how}{_words(ended.errors.text or ended.output.text)}")
        if not ended.output.whole:
            raise _Unread(f"{name} printed more than {_KEPT} bytes")
        if ended.output.masked:
            raise _Unread(f"{name} printed a secret, which may not be kept")
        return ended.output.text


def observe(service: str, releases: ReleasesObserver, api: str) -> Observer:
    """The observer of a service's releases; a program has no address."""
    return CommandReleases(service, releases)


def _parsed(text: str) -> Told:
    try:
        told = Told.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _Unread(f"what it printed is no state of releases ({where or 'all'}: {first['msg']})") from error
    problem = told.problem()
    if problem:
        raise _Unread(f"what it printed can not be: {problem}")
    return told


def _words(text: str) -> str:
    lines: Sequence[str] = text.strip().splitlines()
    return f": {lines[-1]}" if lines else ""
