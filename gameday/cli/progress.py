"""What a run shows while it is under way: a line per notable event, and on a terminal a line that is redrawn.

Events arrive in whichever thread recorded them; nothing here may ever stop the run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gameday.model.events import (
    AbortRequested,
    AlertReceived,
    Event,
    FaultCleared,
    FaultInjected,
    FaultProceeded,
    LoadBatch,
    LoadEnded,
    LoadStarted,
    NoteAdded,
    PhaseEntered,
    PreflightFiring,
    PreflightProvisioned,
    ReleaseAwaited,
    ReleaseChanged,
    ReleaseSeen,
    RowsAwaited,
    SourceGap,
    StepAction,
    StepDone,
    StepRefused,
    StepTriggered,
    StimulusCleared,
    StimulusInjected,
)
from gameday.model.plan import Plan
from gameday.model.quantities import duration_text, share_text
from gameday.report.text import clean

__all__ = ["Progress"]

_HEARTBEAT = 10.0
"""Real seconds between two heartbeats where nothing is redrawn."""
_TRAILING = 5_000_000
"""Microseconds of load over which the success ratio is shown."""


class Progress:
    """A context manager; ``hear`` is given to the run as its listener."""

    def __init__(self, plan: Plan, console: Console, quiet: bool = False) -> None:
        self._plan = plan
        self._console = console
        self._quiet = quiet
        self._live: Live | None = None
        self._lock = threading.Lock()
        self._t0: int | None = None
        self._phase = "preflight"
        self._standing: list[str] = []
        self._ends: deque[tuple[int, bool]] = deque()
        self._said: set[str] = set()
        self._proofs = {f"probe/{fault.proof}": fault.id for fault in plan.faults if fault.proof}
        self._beat = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            live = Live(get_renderable=self._status, console=self._console, refresh_per_second=4, transient=True)
            with contextlib.suppress(OSError, ValueError):
                live.start()
                self._live = live
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The run is over: neither a terminal that has gone nor Ctrl-C at one that stalls may hide how it ended.
        with contextlib.suppress(OSError, ValueError, KeyboardInterrupt):
            if self._live is not None:
                self._live.stop()

    def hear(self, event: Event) -> None:
        """One event of the run; a terminal that has gone away is no reason to stop it."""
        with contextlib.suppress(OSError, ValueError), self._lock:
            line = self._take(event)
            if line and not self._quiet:
                self._console.print(Text.assemble((f"{self._clock(event):>9}  ", "dim"), line))
            elif self._live is None and not self._quiet and time.monotonic() - self._beat > _HEARTBEAT:
                self._console.print(self._status())
            else:
                return
            self._beat = time.monotonic()

    def line(self, event: Event) -> str:
        """The event as a line with its time, for whoever shows it elsewhere; empty if it is not worth one."""
        with self._lock:
            text = self._take(event)
            return f"{self._clock(event):>9}  {text}" if text else ""

    def _clock(self, event: Event) -> str:
        return "" if self._t0 is None else duration_text(max(0.0, self._elapsed(event.mono)))

    def _elapsed(self, mono: int) -> float:
        return 0.0 if self._t0 is None else (mono - self._t0) / 1e9 * self._plan.time_scale

    def _status(self) -> Text:
        elapsed = min(self._elapsed(time.monotonic_ns()), self._plan.duration)
        left = self._plan.duration - elapsed
        parts = [f"{self._phase}", f"{duration_text(round(elapsed))} gone, {duration_text(round(left))} to go"]
        if self._ends:
            good = sum(ok for _, ok in list(self._ends))
            parts.append(f"{share_text(good / len(self._ends))} of requests good")
        if self._standing:
            parts.append("faults: " + ", ".join(self._standing))
        return Text("  ".join(("…", *parts)), style="bold" if self._standing else "")

    def _once(self, key: str, line: str) -> str:
        """Each of these is said the first time only."""
        if key in self._said:
            return ""
        self._said.add(key)
        return line

    def _take(self, event: Event) -> str:
        handler = getattr(self, "_on_" + event.kind.replace(".", "_"), None)
        line: str = handler(event) if handler is not None else ""
        return clean(line)

    def _on_preflight_provisioned(self, event: Event) -> str:
        what = event.read(PreflightProvisioned)
        flaws = f", with the flaws {', '.join(what.flaws)}" if what.flaws else ""
        return f"{what.scheme} {what.id} {'started' if what.own else 'attached'}{flaws}"

    def _on_preflight_firing(self, event: Event) -> str:
        return f"waiting until resolved: {', '.join(event.read(PreflightFiring).alerts)}"

    def _on_preflight_ready(self, event: Event) -> str:
        return "every source answers"

    def _on_load_started(self, event: Event) -> str:
        started = event.read(LoadStarted)
        self._t0 = started.t0
        return f"load: {started.rate:g} requests a second"

    def _on_load_batch(self, event: Event) -> str:
        batch = event.read(LoadBatch)
        self._ends.extend(zip(batch.end_at, batch.end_ok, strict=True))
        while self._ends and self._ends[0][0] < self._ends[-1][0] - _TRAILING:
            self._ends.popleft()
        return ""

    def _on_load_ended(self, event: Event) -> str:
        ended = event.read(LoadEnded)
        return "" if ended.outcome == "ok" else f"load {ended.outcome}: {ended.reason}"

    def _on_phase_entered(self, event: Event) -> str:
        self._phase = event.read(PhaseEntered).phase.value
        if self._t0 is None:
            self._t0 = event.mono
        return f"phase: {self._phase}"

    def _on_stimulus_injected(self, event: Event) -> str:
        done = event.read(StimulusInjected)
        return f"stimulus {done.id}: {done.error or done.outcome.value}"

    def _on_stimulus_cleared(self, event: Event) -> str:
        done = event.read(StimulusCleared)
        return f"stimulus {done.id} ended: {done.error or done.outcome.value}"

    def _on_fault_injected(self, event: Event) -> str:
        done = event.read(FaultInjected)
        if done.outcome == "untouched":
            return f"NOT INJECTED {done.id}: {done.error}"
        self._standing.append(done.id)
        return f"INJECTED {done.id}: {done.error or done.outcome.value}"

    def _on_fault_proceeded(self, event: Event) -> str:
        went = event.read(FaultProceeded)
        return f"{went.id}: {went.error or went.said}"

    def _on_fault_cleared(self, event: Event) -> str:
        done = event.read(FaultCleared)
        if done.outcome != "failed" and done.id in self._standing:
            self._standing.remove(done.id)
        if done.outcome == "ok":
            return f"REMOVED {done.id}, verified clear"
        if done.outcome == "untouched":
            return f"{done.id} needs no undo: nothing of it was ever in place"
        return f"{done.id} {'STILL STANDS' if done.outcome == 'failed' else done.outcome.value}: {done.error}"

    def _on_sample(self, event: Event) -> str:
        fault = self._proofs.get(event.source)
        if fault is None or fault not in self._standing or event.data.get("ok") is not False:
            return ""
        return self._once(f"effect {fault}", f"{fault} shows: {event.source.removeprefix('probe/')} saw an error")

    def _on_release_awaited(self, event: Event) -> str:
        asked = event.read(ReleaseAwaited)
        until = min((fault.at for fault in self._plan.faults), default=self._plan.duration)
        left = duration_text(round(max(0.0, until - self._elapsed(event.mono)) / self._plan.time_scale))
        return f"DEPLOY NOW: {asked.service} {asked.revision}; the team has {left}, gameday waits to see it"

    def _on_release_seen(self, event: Event) -> str:
        seen = event.read(ReleaseSeen)
        return f"{seen.service} {seen.revision} was deployed: it takes {share_text(seen.weight)} of traffic"

    def _on_release_changed(self, event: Event) -> str:
        change = event.read(ReleaseChanged)
        words = {"rolled_back": "ROLLED BACK", "weight": f"takes {share_text(change.weight)} of traffic"}
        why = f" by {change.by}: {change.reason}" if change.change == "rolled_back" else ""
        return f"{change.service} {change.revision} {words.get(change.change, change.change)}{why}"

    def _on_alert_received(self, event: Event) -> str:
        alert = event.read(AlertReceived)
        name = alert.labels.get("alertname", "an alert")
        if name == "Watchdog" or alert.status != "firing":
            return ""
        window = f" ({alert.labels['window']})" if "window" in alert.labels else ""
        alerts = self._plan.alerts
        where = alerts.copy_of(alert.receiver) if alerts is not None else alert.receiver
        return self._once(f"alert {name}{window} {alert.receiver}", f"ALERT {name}{window} delivered to {where}")

    def _on_step_triggered(self, event: Event) -> str:
        step = event.read(StepTriggered)
        return f"step {step.id} begins: {step.because}"

    def _on_step_done(self, event: Event) -> str:
        step = event.read(StepDone)
        by = f" by {step.by}" if step.by != "engine" else ""
        return f"step {step.id} {step.outcome}{by}{': ' + step.reason if step.reason else ''}"

    def _on_step_action(self, event: Event) -> str:
        action = event.read(StepAction)
        return (
            f"step {action.id}: {action.by} says it is done; it is being verified" if action.by != "engine" else ""
        )

    def _on_step_refused(self, event: Event) -> str:
        refused = event.read(StepRefused)
        return f"step {refused.id} {refused.did}, says {refused.by}: not counted, {refused.reason}"

    def _on_note_added(self, event: Event) -> str:
        note = event.read(NoteAdded)
        return f"note of {note.by}: {note.text}"

    def _on_rows_awaited(self, event: Event) -> str:
        asked = event.read(RowsAwaited)
        return f"reading {asked.probe}, at most {duration_text(asked.seconds)}"

    def _on_source_gap(self, event: Event) -> str:
        gap = event.read(SourceGap)
        return self._once(f"gap {event.source}", f"no data from {event.source}: {gap.reason}")

    def _on_abort_requested(self, event: Event) -> str:
        return f"ABORT: {event.read(AbortRequested).reason}"
