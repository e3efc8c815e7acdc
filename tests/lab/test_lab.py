"""One small day on a real lab: canary, brownout, rollback, alert, parked orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gameday.errors import DriverError
from gameday.lab.client import http
from gameday.lab.driver import DeployerDriver
from gameday.lab.observer import DeployerObserver
from gameday.lab.provisioner import LabProvisioner
from gameday.model.events import Event, Payload, ReleaseChanged, ReleaseSample, SourceGap
from gameday.model.plan import Plan
from gameday.model.token import Token
from gameday.ports import Driver, Observer, Provisioned, Provisioner, Target
from gameday.processes import alive

if TYPE_CHECKING:
    World = Any

Until = Callable[[Callable[[], bool], float, str], float]


class Tape:
    """Keeps what an observer records."""

    def __init__(self) -> None:
        self.payloads: list[Payload] = []

    def __call__(self, source: str, payload: Payload) -> Event:
        assert source == "releases"
        self.payloads.append(payload)
        return Event(1, 0, 0, source, payload.KIND, {}, "", "")

    def changes(self) -> list[ReleaseChanged]:
        return [payload for payload in self.payloads if isinstance(payload, ReleaseChanged)]

    def weight(self) -> float:
        last = next(one for one in reversed(self.payloads) if isinstance(one, ReleaseSample))
        return next(state.weight for state in last.revisions if state.revision == "canary")

    def requests(self) -> int:
        last = next(one for one in reversed(self.payloads) if isinstance(one, ReleaseSample))
        return next(state.requests or 0 for state in last.revisions if state.revision == "canary")

    def gaps(self) -> int:
        return sum(isinstance(payload, SourceGap) for payload in self.payloads)


@pytest.fixture
def provisioner(state: Path) -> Iterator[LabProvisioner]:
    one = LabProvisioner()
    yield one
    one.close()
    one.close()


@pytest.fixture
def lab(provisioner: LabProvisioner, plan: Plan) -> Provisioned:
    return provisioner.provision(plan, [], None)


@pytest.fixture
def tape(lab: Provisioned) -> Iterator[Tape]:
    tape = Tape()
    observer: Observer = DeployerObserver("checkout", lab.addresses["lab://deployer"][0])
    observer.start(tape)
    yield tape
    observer.stop()
    observer.stop()


def brownout(lab: Provisioned, share: float) -> Callable[[], None]:
    """Set it; returns what removes it."""
    url = f"{lab.addresses['lab://proxy'][0]}/proxies/payments/toxics"
    toxic = {"name": "b", "type": "http_error", "attributes": {"status": 503, "percent": share}}
    with http() as session:
        session.post(url, json=toxic, timeout=2).raise_for_status()

    def remove() -> None:
        with http() as session:
            session.delete(f"{url}/b", timeout=2).raise_for_status()

    return remove


def parked(lab: Provisioned) -> list[int]:
    with http() as session:
        return [session.get(f"{url}/parked", timeout=20).status_code for url in lab.addresses["lab://checkout"]]


def replay(lab: Provisioned) -> None:
    with http() as session:
        for url in lab.addresses["lab://checkout"]:
            session.post(f"{url}/parked/replay", timeout=20).raise_for_status()


def released(lab: Provisioned, plan: Plan) -> tuple[DeployerDriver, Token]:
    driver = DeployerDriver()
    token = driver.resolve(Target("run", plan.stimuli[0], lab.addresses["lab://deployer"][0]))
    assert driver.is_clear(token)
    driver.inject(token)
    assert driver.in_effect(token)
    return driver, token


@pytest.mark.slow
def test_a_day(  # one lab for all of it: a start costs seconds
    provisioner: LabProvisioner, lab: Provisioned, plan: Plan, tape: Tape, world: World, until: Until
) -> None:
    assert isinstance(DeployerDriver(), Driver)
    _as_protocol: Provisioner = provisioner
    provisioner.connect(world.sink)
    world.url = lab.addresses["lab://edge"][0]

    def within(condition: Callable[[], bool], seconds: float, what: str) -> None:
        """So many real seconds in which the machine did not stand still."""
        before = world.stood_still()
        took = until(condition, seconds + 30, what)
        assert took - (world.stood_still() - before) < seconds, what

    driver, token = released(lab, plan)
    within(lambda: tape.weight() == 0.25, 1.5, "a quarter of the traffic")
    with pytest.raises(DriverError, match="under way"):
        driver.resolve(Target("run", plan.stimuli[0], lab.addresses["lab://deployer"][0]))
    with pytest.raises(DriverError, match="409"):
        driver.inject(token)
    within(lambda: tape.requests() > 30, 5, "the canary serves")
    # What is under way when the machine stands still for a timeout is answered with an error, or not heard.
    assert set(world.statuses) == {200} or world.longest > 0.5
    within(lambda: len(world.alerts("tickets")) >= 2, 4, "two Watchdogs")

    remove = brownout(lab, 20)
    within(lambda: tape.weight() == 0, 5, "the rollback")
    last = tape.changes()[-1]
    assert (last.revision, last.change, last.by, last.weight) == ("canary", "rolled_back", "system", 0.0)
    assert [change.change for change in tape.changes()] == ["started", "weight", "rolled_back"]
    assert driver.is_clear(token)
    driver.undo(token)
    assert tape.changes()[-1].by == "system"
    assert 502 in world.statuses
    within(lambda: parked(lab)[:3] == [503] * 3, 8, "orders are parked at every stable replica")
    replay(lab)
    within(lambda: parked(lab) == [200] * 5, 8, "no order waits unattended")

    def page() -> list[tuple[str, dict[str, str]]]:
        return [one for one in world.alerts("oncall") if one[1]["alertname"] == "PaymentsBurnRate"]

    within(lambda: bool(page()), 8, "the page")
    assert page()[0] == (
        "firing",
        {
            "alertname": "PaymentsBurnRate",
            "slo": "payments-availability",
            "service": "payments",
            "window": "1h",
            "severity": "page",
        },
    )
    remove()
    within(lambda: page()[-1][0] == "resolved", 9, "the page is resolved")
    assert not [one for one in world.alerts("tickets") if one[1]["alertname"] != "Watchdog"]
    assert tape.gaps() == 0 or world.longest > 0.5
    gaps = tape.gaps()
    world.url = ""
    provisioner.close()
    assert not any(map(alive, lab.processes))
    within(lambda: tape.gaps() > gaps, 3, "a gap when the deployer is gone")
    with pytest.raises(DriverError, match="does not answer"):
        driver.is_clear(token)
