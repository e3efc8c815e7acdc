"""Releases that the team carries out: gameday asks for them, looks, and injects nothing before it has seen them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gameday.model.events import Event, Payload, ReleaseAwaited, ReleaseSample, ReleaseSeen
from gameday.model.pace import COUNTERS
from gameday.model.plan import BoundRelease, Plan
from gameday.model.quantities import duration_text

__all__ = ["Awaited"]

_SOURCE = "releases"
_SILENT = 3
"""Readings that may be missing before nobody knows any more what takes traffic."""


class Awaited:
    """All but ``hears`` is called in the engine's thread."""

    def __init__(self, plan: Plan, write: Callable[[Payload], object]) -> None:
        self._releases = plan.awaited
        self._write = write
        self._longest = int(_SILENT * (plan.releases.interval if plan.releases else COUNTERS) * 1e9)
        self._latest: dict[str, tuple[Event, Mapping[str, float]]] = {}
        self._waiting: dict[str, BoundRelease] = {}
        self._seen: set[str] = set()

    def hears(self, event: Event) -> bool:
        """Whether `notice` has to be told of it; safe from every thread."""
        return bool(self._releases) and event.source == _SOURCE and event.kind == ReleaseSample.KIND

    def begin(self, id: str) -> None:
        """The team is asked for it from now on; it may have been quicker."""
        release = next(one for one in self._releases if one.id == id)
        self._write(ReleaseAwaited(id=id, service=release.service, revision=release.revision))
        self._waiting[id] = release
        self._look(release)

    def notice(self, event: Event) -> None:
        """A reading of a release."""
        sample = event.read(ReleaseSample)
        self._latest[sample.service] = (event, {one.revision: one.weight for one in sample.revisions})
        for release in list(self._waiting.values()):
            if release.service == sample.service:
                self._look(release)

    def missing(self, now: int) -> str:
        """Why the faults may not begin at that monotonic time; empty if every release takes traffic."""
        return next((why for release in self._releases if (why := self._lacks(release, now))), "")

    def _look(self, release: BoundRelease) -> None:
        event, weights = self._latest.get(release.service, (None, {}))
        weight = weights.get(release.revision, 0.0)
        if event is None or weight <= 0:
            return
        del self._waiting[release.id]
        self._seen.add(release.id)
        told = {"id": release.id, "service": release.service, "revision": release.revision}
        self._write(ReleaseSeen.model_validate({**told, "weight": weight, "sample": event.seq}))

    def _lacks(self, release: BoundRelease, now: int) -> str:
        name = f"{release.service} {release.revision}"
        event, weights = self._latest.get(release.service, (None, {}))
        if event is None:
            return f"nothing tells whether the team's release {name} takes traffic"
        if now - event.mono > self._longest:
            silent = duration_text(round((now - event.mono) / 1e9, 1))
            return f"nothing has told for {silent} whether the team's release {name} takes traffic"
        if release.id not in self._seen:
            return f"the team's release {name} was never seen taking traffic"
        if weights.get(release.revision, 0.0) <= 0:
            return f"the team's release {name} took traffic, and does so no more"
        return ""
