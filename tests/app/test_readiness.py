"""Nothing begins before every source has spoken."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.app.preflight import Readiness, Stand
from gameday.errors import PreflightError
from gameday.model.events import ProbeSample, ReleaseSample, RevisionState
from gameday.testing import FakeClock, FakeObserver
from gameday.timeline import Timeline
from tests.engine.conftest import make_plan


def test_of_releases_each_service_has_to_be_told_of(tmp_path: Path) -> None:
    plan, clock = make_plan(), FakeClock()
    (canary,) = plan.stimuli
    other = canary.model_copy(update={"id": "other", "service": "shop"})
    plan = plan.model_copy(update={"stimuli": (canary, other)})
    readiness = Readiness(plan, [FakeObserver("releases"), FakeObserver("probe/answers")], clock)
    revisions = (RevisionState(revision="stable", weight=1.0),)
    with Timeline(tmp_path / "timeline.jsonl", clock) as record:
        record.listen(readiness.hear)
        record("releases", ReleaseSample(service="web", revisions=revisions))
        record("probe/answers", ProbeSample(ok=True, status=200, start=1, end=2))
        with pytest.raises(PreflightError, match=r"no answer within 10 s from: releases of shop$"):
            readiness.wait(Stand(None, None), None, record)
        record("releases", ReleaseSample(service="shop", revisions=revisions))
        readiness.wait(Stand(None, None), None, record)
        assert record.events[-1].kind == "preflight.ready"
