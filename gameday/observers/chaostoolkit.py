"""A probe of one of Chaos Toolkit's extensions, called at its own pace in a child process that stays."""

from __future__ import annotations

import time

from gameday.errors import DriverError, PreflightError
from gameday.extensions import Question, Reply, Worker
from gameday.model.chaostoolkit import ChaosCheck, Range
from gameday.model.events import ProbeSample
from gameday.model.plan import BoundProbe
from gameday.observers.sampling import Paced

__all__ = ["ChaosProbe"]


class ChaosProbe(Paced):
    """Records a ``ProbeSample`` under ``probe/NAME``, or a gap that says why there is none: it raised, it did not
    answer in time (its process is then ended and begun anew), or what it returned can not be judged."""

    def __init__(self, probe: BoundProbe) -> None:
        if probe.chaostoolkit is None:
            raise ValueError(f"the probe {probe.name} calls no extension")
        super().__init__(f"probe/{probe.name}", 1 / probe.rate)
        self._check: ChaosCheck = probe.chaostoolkit
        self._worker = Worker(self._check, alone=True)
        self._question = Question(
            call=self._check,
            configuration=self._check.configuration,
            path=self._check.path,
            judge=(self._check.tolerance,),
            seconds=self._check.seconds,
        )

    def check(self) -> None:
        """PreflightError if the function can not be called so; it is not called."""
        worker = Worker(self._check, alone=True)
        try:
            worker.prepare([self._check], self._check.configuration)
            worker.prepared().sound()
        except (DriverError, TimeoutError) as error:
            hint = error.hint if isinstance(error, DriverError) else ""
            raise PreflightError(f"{self.source}: {error}", hint=hint or "nothing was injected") from error
        finally:
            worker.end()

    def stop(self) -> None:
        """Call no more; a call under way is ended with its process; idempotent."""
        self._over.set()
        self._worker.interrupt()
        super().stop()

    def _close(self) -> None:
        self._worker.end()

    def _sample(self) -> None:
        try:
            if not self._worker.begun:
                self._worker.prepare([self._check], self._check.configuration)
                self._worker.prepared().sound()
            start = time.monotonic_ns()
            reply = self._worker.ask(self._question)
            end = time.monotonic_ns()
        except (DriverError, TimeoutError) as error:
            self._silent(str(error))
            return
        good = reply.good[0] if reply.good else None
        if reply.failed or good is None:
            self._silent(reply.failed or f"{self._check.name} returned {reply.returned}: {reply.unclear}")
            return
        self._record(self.source, self._told(reply, good, (start, end)))
        self._heard()

    def _told(self, reply: Reply, good: bool, times: tuple[int, int]) -> ProbeSample:
        value = reply.number if isinstance(self._check.tolerance, Range) else None
        error = "" if good else f"returned {reply.returned}"
        return ProbeSample(ok=good, value=value, start=times[0], end=times[1], error=error)

    def _silent(self, why: str) -> None:
        if not self._over.is_set():
            self._gaps.bad(why)
