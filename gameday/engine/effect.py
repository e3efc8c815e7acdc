"""What shows that a fault takes effect: a bad answer of the probe that proves it, or what is read of nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gameday.model.enums import FaultKind
from gameday.model.events import Event, NodeState, WorkloadSample
from gameday.model.experiment import Exhaust
from gameday.model.plan import BoundFault, Plan
from gameday.ports import Clock

__all__ = ["Effects"]

_WORKLOADS = "workloads"


class Effects:
    """All but ``hears`` is called in the engine's thread; so is ``seen``, once for each fault that took effect."""

    def __init__(self, plan: Plan, clock: Clock, seen: Callable[[str], None]) -> None:
        self._plan = plan
        self._clock = clock
        self._tell = seen
        self._effective: set[str] = set()
        self._workloads: Event | None = None
        """What was read last."""
        self._before: dict[str, tuple[int, WorkloadSample]] = {}
        """When each fault was begun, and what was read of nodes last before that."""

    def hears(self, event: Event) -> bool:
        """Whether `notice` has to be told of it, as it may show what was not yet seen; safe from every thread."""
        if event.source == _WORKLOADS and event.kind == WorkloadSample.KIND:
            self._workloads = event
            return any(not fault.proof and fault.id not in self._effective for fault in self._plan.faults)
        if event.data.get("ok") is not False:
            return False
        waiting = {f"probe/{fault.proof}" for fault in self._plan.faults if fault.id not in self._effective}
        return event.source in waiting

    def begin(self, id: str) -> None:
        """It is about to be injected: what was read up to now was so before it."""
        if self._workloads is not None:
            self._before[id] = self._clock.monotonic_ns(), self._workloads.read(WorkloadSample)

    def notice(self, event: Event, standing: Mapping[str, FaultKind]) -> None:
        """Something that may show an effect; ``standing`` is all that is injected and not undone, id -> kind."""
        for fault in self._plan.faults:
            if fault.id in self._effective:
                continue
            if event.source == f"probe/{fault.proof}" or (not fault.proof and self._shows(event, fault, standing)):
                self._effective.add(fault.id)
                self._tell(fault.id)

    def _shows(self, event: Event, fault: BoundFault, standing: Mapping[str, FaultKind]) -> bool:
        """Whether what was read of nodes shows that fault: as in the grade, what was so before it does not."""
        begun = self._before.get(fault.id)
        if event.source != _WORKLOADS or fault.id not in standing or begun is None:
            return False
        since, before = begun
        sample = event.read(WorkloadSample)
        if sample.asked < since:
            return False
        closed, now = before.cordoned(fault.pool), sample.cordoned(fault.pool)
        if not isinstance(fault.with_, Exhaust):
            return bool(now - closed)
        closed = now if FaultKind.DRAIN in standing.values() else closed & now
        return all(name in closed or _full(sample.nodes.get(name)) for name in before.of_pool(fault.pool))


def _full(node: NodeState | None) -> bool:
    """One that is told, and has no free slot; a cordon alone shows nothing of an exhaustion."""
    return node is not None and node.used >= node.slots
