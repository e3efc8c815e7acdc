"""All that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gameday.app import preflight, safety
from gameday.app.findings import Findings
from gameday.engine import Prepared
from gameday.errors import DriverError, PreflightError
from gameday.model.environment import AlertsObserver
from gameday.ports import Target
from gameday.testing import FakeClock, FakeDriver
from gameday.timeline import Timeline
from tests.app.test_queries import answering, asking
from tests.engine.conftest import make_fault, make_plan


def wrong(message: str, hint: str = "") -> PreflightError:
    return PreflightError(message, hint)


def test_one_error_stays_as_it_is() -> None:
    one = wrong("it is off", "turn it on")
    assert PreflightError.together([one]) is one
    assert PreflightError.together([one, wrong("it is off", "turn it on")]) is one


def test_several_are_told_with_their_hints_each_once() -> None:
    inner = PreflightError.together([wrong("a", "do a"), wrong("b")])
    both = PreflightError.together([inner, wrong("b"), wrong("c")])
    assert both.message.splitlines() == [
        "3 things are not as the plan needs them:",
        "  - a (do a)",
        "  - b",
        "  - c",
    ]
    assert (both.exit_code, [one.message for one in both.each]) == (2, ["a", "b", "c"])


def test_findings_go_on_and_tell_in_the_end() -> None:
    found = Findings()
    assert found.attempt(lambda: 3) == 3
    found.tell()
    assert found.attempt(lambda: _raise("a")) is None
    assert found.attempt(lambda: _raise("b")) is None
    with pytest.raises(PreflightError, match="2 things"):
        found.tell()
    kept = Findings(keep=True)
    kept.attempt(lambda: _raise("a"))
    kept.tell()
    assert [error.message for error in kept.errors] == ["a"]


def _raise(message: str) -> int:
    raise wrong(message)


def test_every_query_that_can_not_be_asked_is_named() -> None:
    with answering(series=2) as url, pytest.raises(PreflightError) as caught:
        preflight.make_observers(asking(url), {url: (url,)})
    assert [error.message.partition(":")[0] for error in caught.value.each] == ["slo/shop", "probe/up"]


def test_prometheus_and_the_sink_are_told_together() -> None:
    alerts = AlertsObserver.model_validate(
        {
            "source": "sink",
            "listen": "0.0.0.0:0",
            "watchdog": {"every": "5s"},
            "token": "env:GAMEDAY_NOT_SET",
        }
    )
    plan = asking("http://127.0.0.1:9").model_copy(update={"alerts": alerts})
    with pytest.raises(PreflightError) as caught:
        preflight.make_observers(plan, {"http://127.0.0.1:9": ("http://127.0.0.1:9",)})
    assert ["Prometheus" in error.message for error in caught.value.each] == [True, False]
    kept = Findings(keep=True)
    assert preflight.make_observers(plan, {"http://127.0.0.1:9": ("http://127.0.0.1:9",)}, kept) == ([], None)
    assert len(kept.errors) == 2


def test_every_driver_that_can_not_tell_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = SimpleNamespace(path="fake", settle=1.0)
    monkeypatch.setattr("gameday.app.tables.DRIVERS", {"fake": info})

    class Refusing(FakeDriver):
        def resolve(self, target: Target) -> Any:
            hint = "make one" if target.plan.id == "first" else ""
            raise DriverError(f"there is no {target.plan.service}", hint=hint)

    hands: Any = SimpleNamespace(driver=lambda path: Refusing())
    plan = make_plan()
    with Timeline(tmp_path / "timeline.jsonl", FakeClock()) as record, pytest.raises(PreflightError) as caught:
        preflight.prepare(plan, "r1", {"fake://one": ("fake://one",)}, hands, record)
    assert [error.message for error in caught.value.each] == [
        "canary: there is no web",
        "first: there is no db",
        "second: there is no db",
    ]
    bound = "see what {} is bound to in the environment"
    assert [error.hint for error in caught.value.each] == [bound.format("web"), "make one", bound.format("db")]


def test_every_undo_that_is_not_proven_is_named(tmp_path: Path) -> None:
    driver = FakeDriver(broken={"undo": [DriverError("not allowed"), DriverError("not allowed")]})
    prepared: Sequence[Prepared] = [
        Prepared(driver.resolve(Target("r1", make_fault(name, 10), "fake://one")), driver, False, 40)
        for name in ("first", "second", "third")
    ]
    with Timeline(tmp_path / "timeline.jsonl", FakeClock()) as record, pytest.raises(PreflightError) as caught:
        safety.prove_undo(prepared, record)
    assert [error.message.split()[0] for error in caught.value.each] == ["first", "second"]
    tried = [event.data["outcome"] for event in record.events if event.kind == "preflight.undo"]
    assert tried == ["failed", "failed", "ok"]
