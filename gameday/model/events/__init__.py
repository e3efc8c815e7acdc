"""The timeline's vocabulary: one frozen payload class per kind of event.

The ``KIND`` of a class is the event's ``kind``; its fields are the event's ``data``. All instants are
``CLOCK_MONOTONIC`` nanoseconds of the machine that ran the day (comparable across processes), durations say
their unit. ``docs/reference/timeline.md`` is the same list for people.

By subject: `run`, `preflight`, `faults` (with stimuli), `samples`, `releases`, `load`, `alerts`, `runbook`.
`envelope` is what all have in common, `registry` all of them by kind.
"""

from __future__ import annotations

from gameday.model.events.alerts import AlertReceived, AlertRefused
from gameday.model.events.envelope import Event, Payload
from gameday.model.events.faults import (
    FaultCleared,
    FaultEffective,
    FaultInjected,
    FaultIntent,
    FaultProceeded,
    FaultUndo,
    StimulusCleared,
    StimulusEffective,
    StimulusInjected,
    StimulusIntent,
    StimulusUndo,
)
from gameday.model.events.load import LoadBatch, LoadEnded, LoadStarted
from gameday.model.events.preflight import (
    PreflightAddresses,
    PreflightFiring,
    PreflightMatched,
    PreflightProvisioned,
    PreflightReady,
    PreflightUndo,
)
from gameday.model.events.registry import PAYLOADS
from gameday.model.events.releases import ReleaseAwaited, ReleaseChanged, ReleaseSample, ReleaseSeen, RevisionState
from gameday.model.events.run import (
    AbortRequested,
    Attendee,
    GuardChanged,
    GuardEnded,
    PhaseEntered,
    ReaperUnresolved,
    RunClosed,
    RunOpened,
)
from gameday.model.events.runbook import NoteAdded, StepAction, StepDone, StepRefused, StepTriggered
from gameday.model.events.samples import (
    GIVEN_UP,
    TIMED_OUT,
    CounterPair,
    CounterSample,
    InstanceSample,
    NodeState,
    ProbeSample,
    RowsAwaited,
    RowsRead,
    SourceGap,
    WorkloadSample,
    WorkloadState,
)

__all__ = [
    "GIVEN_UP",
    "PAYLOADS",
    "TIMED_OUT",
    "AbortRequested",
    "AlertReceived",
    "AlertRefused",
    "Attendee",
    "CounterPair",
    "CounterSample",
    "Event",
    "FaultCleared",
    "FaultEffective",
    "FaultInjected",
    "FaultIntent",
    "FaultProceeded",
    "FaultUndo",
    "GuardChanged",
    "GuardEnded",
    "InstanceSample",
    "LoadBatch",
    "LoadEnded",
    "LoadStarted",
    "NodeState",
    "NoteAdded",
    "Payload",
    "PhaseEntered",
    "PreflightAddresses",
    "PreflightFiring",
    "PreflightMatched",
    "PreflightProvisioned",
    "PreflightReady",
    "PreflightUndo",
    "ProbeSample",
    "ReaperUnresolved",
    "ReleaseAwaited",
    "ReleaseChanged",
    "ReleaseSample",
    "ReleaseSeen",
    "RevisionState",
    "RowsAwaited",
    "RowsRead",
    "RunClosed",
    "RunOpened",
    "SourceGap",
    "StepAction",
    "StepDone",
    "StepRefused",
    "StepTriggered",
    "StimulusCleared",
    "StimulusEffective",
    "StimulusInjected",
    "StimulusIntent",
    "StimulusUndo",
    "WorkloadSample",
    "WorkloadState",
]
