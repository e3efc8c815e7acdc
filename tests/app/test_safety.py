"""What refuses a run though its plan is fine, before anything is started or injected."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from gameday.app import safety, standing
from gameday.app.guardian import Charge, Guardian
from gameday.app.hands import Hands
from gameday.app.interrupts import Interrupts
from gameday.app.planning import RunRequest
from gameday.app.run import run
from gameday.engine import Ledger, Prepared
from gameday.errors import DriverError, EnvironmentBusy, PreflightError, UsageError
from gameday.model.base import JSON
from gameday.model.enums import Outcome, Tier
from gameday.model.environment import BlastRadius, ForbiddenHours, Safety
from gameday.model.plan import BoundFault, Plan
from gameday.ports import Target
from gameday.testing import FakeClock, FakeDriver
from gameday.timeline import Timeline, read
from tests.app.test_standing import entry
from tests.engine.conftest import make_fault, make_plan

ROOT = Path(__file__).parents[2]
DRIVER = "gameday.testing:FileDriver"


# Forbidden hours


def plan_with(*rules: tuple[str, str, str, str], seconds: float = 40) -> Plan:
    """A plan that lasts so long, on an environment with these rules: days, from, to, zone."""
    hours = tuple(
        ForbiddenHours.model_validate({"days": days.split(), "from": begins, "to": ends, "zone": zone})
        for days, begins, ends, zone in rules
    )
    made = make_plan()
    last = made.phases[-1].model_copy(update={"end": seconds})
    return made.model_copy(update={"safety": Safety(forbidden=hours), "phases": (*made.phases[:-1], last)})


FRIDAY = ("fri", "16:00", "24:00", "Europe/Berlin")


def refusal(plan: Plan, now: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        safety.check_hours(plan, datetime.fromisoformat(now))
    assert caught.value.exit_code == 2
    return caught.value


def test_a_run_in_a_forbidden_hour_is_told_which_and_when_it_may() -> None:
    error = refusal(plan_with(FRIDAY), "2026-10-23T15:12+00:00")
    assert error.message == (
        "environment 'fake' forbids Game Days on fri from 16:00 to 24:00 (Europe/Berlin); "
        "there it is fri 2026-10-23 17:12+02:00"
    )
    assert error.hint == (
        "nothing was started; allowed again from sat 2026-10-24 00:00+02:00; no flag outranks the file"
    )


def test_a_run_that_reaches_into_one_is_told_so() -> None:
    error = refusal(plan_with(FRIDAY, seconds=1800), "2026-10-23T13:35+00:00")
    assert error.message.endswith(
        "there it is fri 2026-10-23 15:35+02:00, and this run would not be over by fri 2026-10-23 16:00+02:00"
    )


def test_real_time_counts_and_some_for_preparing_and_removing() -> None:
    plan = plan_with(FRIDAY, seconds=3600)
    quick = plan.model_copy(update={"time_scale": 60})
    # At a scale of 60 the hour is a minute; with the minute around it, the run is over at 15:59:59.
    safety.check_hours(quick, datetime(2026, 10, 23, 13, 57, 59, tzinfo=UTC))
    refusal(quick, "2026-10-23T13:58:00+00:00")
    refusal(plan, "2026-10-23T13:57:59+00:00")


def test_without_a_rule_every_hour_will_do() -> None:
    safety.check_hours(plan_with(), datetime.now(UTC))


def test_the_two_hours_of_one_name_are_told_apart() -> None:
    plan = plan_with(("sun", "01:00", "02:30", "Europe/Berlin"))
    assert "sun 2026-10-25 02:30+01:00" in refusal(plan, "2026-10-25T00:10+00:00").hint


def test_a_run_that_never_fits() -> None:
    plan = plan_with(("mon tue wed thu fri sat sun", "08:00", "20:00", "UTC"), seconds=13 * 3600)
    assert "never fits" in refusal(plan, "2026-10-23T21:00+00:00").hint


def project(folder: Path, *replace: tuple[str, str]) -> Path:
    """A project of its own with an environment of its own, 'guarded'."""
    text = (ROOT / "experiments" / "environments" / "lab.yaml").read_text(encoding="utf-8")
    for old, new in (("metadata: {name: lab}", "metadata: {name: guarded}"), *replace):
        assert old in text
        text = text.replace(old, new)
    path = folder / "experiments" / "environments" / "guarded.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return folder


ALWAYS = (
    "forbidden: []",
    'forbidden: [{days: [mon, tue, wed, thu, fri, sat, sun], from: "00:00", to: "24:00", zone: UTC}]',
)


def test_no_flag_outranks_the_file_and_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    root = project(tmp_path / "mine", ALWAYS)
    request = RunRequest(
        "api-dependency-brownout", "guarded", confirm="guarded", time_scale=60, existing="lab-1", project=root
    )
    with pytest.raises(UsageError, match="forbids Game Days"):
        run(request)
    assert not (root / "runs").exists()
    assert not (tmp_path / "state").exists()


# Replicas


def tokens(plan: Plan, *replicas: int | None) -> Sequence[Prepared]:
    drivers = [FakeDriver(replicas=count) for count in replicas]
    return [
        Prepared(driver.resolve(Target("r1", fault, "fake://one")), driver, False, 40)
        for driver, fault in zip(drivers, plan.faults, strict=True)
    ]


def limited(most: int | None, *faults: BoundFault) -> Plan:
    radius = BlastRadius.model_validate({"faults": ["brownout"], "atOnce": {"faults": 9, "replicas": most}})
    return make_plan(faults).model_copy(update={"blast_radius": radius})


def matched(plan: Plan, *replicas: int | None) -> None:
    safety.check_replicas(plan, [one.token for one in tokens(plan, *replicas)])


def test_replicas_of_faults_at_once_are_added_up() -> None:
    plan = limited(4, make_fault("kill", 10), make_fault("drain", 15))
    matched(plan, 2, 2)
    with pytest.raises(PreflightError) as caught:
        matched(plan, 2, 3)
    assert caught.value.message == (
        "blast radius: 5 replicas at once (kill: 2 of db, drain: 3 of db), environment 'fake' allows 4"
    )
    assert caught.value.exit_code == 2


def test_replicas_of_one_fault_alone() -> None:
    with pytest.raises(PreflightError, match=r"1 replicas at once \(kill: 1 of db\)"):
        matched(limited(0, make_fault("kill", 10)), 1)
    matched(limited(0, make_fault("slow", 10)), 0)


def test_replicas_of_faults_one_after_the_other_are_not() -> None:
    matched(limited(3, make_fault("kill", 10, 5), make_fault("drain", 15, 5)), 3, 3)


def test_replicas_that_nobody_can_tell_pass_no_limit() -> None:
    with pytest.raises(PreflightError, match="can not tell how many instances drain of db takes away") as caught:
        matched(limited(9, make_fault("kill", 10, 5), make_fault("drain", 15, 5)), 1, None)
    assert "allows 9 at once" in caught.value.message
    matched(limited(None, make_fault("kill", 10)), None)


def test_replicas_are_not_limited_unless_the_file_says_so() -> None:
    matched(limited(None, make_fault("kill", 10)), 1000)
    matched(make_plan([make_fault("kill", 10)]), 1000)


# The state folder


def on(kind: str) -> Callable[[Path], str]:
    return lambda path: kind


def test_the_state_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    safety.check_state(folder, Tier.PRODUCTION, on("ext4"))
    assert list(folder.iterdir()) == []


def test_a_state_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PreflightError, match="can not be written: Not a directory") as caught:
        safety.check_state(tmp_path / "file" / "state", Tier.LAB)
    assert "GAMEDAY_STATE_DIR" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_takes_nothing(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(PreflightError, match="No space left on device"):
        safety.check_state(tmp_path, Tier.LAB)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
@pytest.mark.parametrize("tier", [Tier.STAGING, Tier.PRODUCTION])
def test_outside_the_lab_a_state_folder_in_memory_will_not_do(kind: str, tier: Tier, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match=f"is on a {kind}: a power cut would take") as caught:
        safety.check_state(tmp_path, tier, on(kind))
    assert "GAMEDAY_STATE_DIR" in caught.value.hint
    safety.check_state(tmp_path, Tier.LAB, on(kind))
    safety.check_state(tmp_path, tier, on("ext4"))


def test_outside_the_lab_a_file_system_that_can_not_be_told_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="can not be told: perhaps a power cut would take") as caught:
        safety.check_state(tmp_path, Tier.STAGING, on(""))
    assert "GAMEDAY_STATE_DIR" in caught.value.hint
    safety.check_state(tmp_path, Tier.LAB, on(""))


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert safety.filesystem(Path("/proc/self")) == "proc"
    (tmp_path / "ram").mkdir()
    (tmp_path / "link").symlink_to("ram")
    mounts = {"/": "ext4", f"{tmp_path}/ram": "tmpfs", f"{tmp_path}/ra": "xfs"}
    found = [SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in mounts.items()]
    found.append(SimpleNamespace(mountpoint="/", fstype="btrfs"))  # mounted over the first
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: found)
    assert safety.filesystem(tmp_path / "link" / "state") == "tmpfs"
    assert safety.filesystem(tmp_path) == "btrfs"


def test_a_run_is_refused_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "file" / "state"))
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(PreflightError, match="the state folder"):
        run(RunRequest("api-dependency-brownout", project=tmp_path, out=tmp_path / "run"))
    assert {child.pid for child in psutil.Process().children()} <= before
    assert not (tmp_path / "run").exists(), "there is nothing to keep"


# The proof that undo is possible


def prove(driver: FakeDriver, folder: Path) -> list[dict[str, JSON]]:
    """Prove two faults on it; what was recorded."""
    plan = make_plan()
    prepared = [
        Prepared(driver.resolve(Target("r1", fault, "fake://one")), driver, False, 40) for fault in plan.faults
    ]
    driver.calls.clear()
    with Timeline(folder / "timeline.jsonl", FakeClock()) as record:
        try:
            safety.prove_undo(prepared, record)
        finally:
            told = [dict(event.data) for event in record.events if event.kind == "preflight.undo"]
            (folder / "told").write_text(json.dumps(told), encoding="utf-8")
    return told


def test_each_undo_is_tried_on_the_clean_system(tmp_path: Path) -> None:
    driver = FakeDriver()
    assert prove(driver, tmp_path) == [
        {"id": "first", "outcome": "ok", "error": ""},
        {"id": "second", "outcome": "ok", "error": ""},
    ]
    assert driver.calls == [
        f"{call} {fault}" for fault in ("first", "second") for call in ("is_clear", "undo", "is_clear")
    ]


@pytest.mark.parametrize(
    ("call", "error", "outcome", "reason"),
    [
        ("undo", DriverError("403: forbidden"), "failed", "403: forbidden"),
        ("undo", TimeoutError("undo: no answer within 1 s"), "unknown", "no answer within 1 s"),
        ("undo", RuntimeError(), "failed", "RuntimeError"),
        ("is_clear", DriverError("it does not answer"), "failed", "it does not answer"),
    ],
)
def test_an_undo_that_is_refused_ends_it(
    call: str, error: Exception, outcome: str, reason: str, tmp_path: Path
) -> None:
    driver = FakeDriver(broken={call: [error]})
    with pytest.raises(PreflightError, match="first on db might not be undone") as caught:
        prove(driver, tmp_path)
    assert caught.value.exit_code == 2
    assert reason in caught.value.message
    told, other = json.loads((tmp_path / "told").read_text(encoding="utf-8"))
    assert (told["outcome"], other["outcome"]) == (outcome, "ok")
    assert reason in told["error"]


def test_what_is_not_clear_is_not_undone(tmp_path: Path) -> None:
    driver = FakeDriver(substrate={"second"})
    with pytest.raises(PreflightError, match="second on db might not be undone: something stands there already"):
        prove(driver, tmp_path)
    assert driver.substrate == {"second"}
    assert "undo second" not in driver.calls


def test_an_undo_that_makes_something_stand_ends_it(tmp_path: Path) -> None:
    class Wrong(FakeDriver):
        def undo(self, token: object) -> None:
            self.substrate.add("first")

    with pytest.raises(PreflightError, match="after its undo was tried, something stands there"):
        prove(Wrong(), tmp_path)


@pytest.mark.slow
def test_the_proof_goes_through_the_hand_and_has_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    with Interrupts() as waker, standing.ledger_of("drill-1") as ledger:
        ledger.lock({"run": "r1"})
        with (
            Guardian(Charge(ledger, tmp_path, [DRIVER]), waker) as guardian,
            Hands(guardian, waker, [DRIVER]) as hands,
        ):
            driver = hands.driver(DRIVER)
            token = driver.resolve(Target("r1", make_fault("brownout", 10), str(tmp_path)))
            guardian.ready()
            hands.ready()
            with Timeline(tmp_path / "timeline.jsonl", waker) as record:
                safety.prove_undo([Prepared(token, driver, False, 40)], record)
                (tmp_path / "hang-undo").touch()
                with pytest.raises(PreflightError, match="no answer within 1 s"):
                    safety.prove_undo([Prepared(token, driver, False, 40)], record)
    told = [event.data["outcome"] for event in read(tmp_path / "timeline.jsonl").events]
    assert told == [Outcome.OK, Outcome.UNKNOWN]
    assert Ledger(ledger.folder).entries() == ()


def test_what_still_stands_is_told_before_what_is_wrong_with_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    key = standing.environment_key("lab", ["lab-1"])
    standing.ledger_of(key).open(entry("a"))
    monkeypatch.setattr("gameday.app.preflight.check", lambda *arguments: None)

    def refuse(*arguments: object) -> None:
        raise PreflightError("the state folder can not be written")

    monkeypatch.setattr(safety, "check_state", refuse)
    request = RunRequest("api-dependency-brownout", existing="lab-1", project=tmp_path, out=tmp_path / "run")
    with pytest.raises(EnvironmentBusy, match="there still stands: a of run r"):
        run(request)
