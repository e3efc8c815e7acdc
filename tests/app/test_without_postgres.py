"""Without the extra `postgres`, what needs it is refused before anything is started; all else goes on."""

from __future__ import annotations

import pytest

from gameday import databases
from gameday.app import preflight
from gameday.errors import UsageError
from gameday.model.plan import BoundProbe, Plan
from gameday.model.slo import RowsCheck
from tests.grade.standby import standby_plan


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """On servers that gameday does not start, in an installation without the client library."""
    monkeypatch.setattr(databases, "find_spec", lambda name: None)
    plan = standby_plan()
    services = tuple(one.model_copy(update={"url": f"postgresql://db/{one.name}"}) for one in plan.services)
    return plan.model_copy(update={"services": services, "faults": (), "probes": ()})


def test_a_probe_or_a_fault_names_the_extra(plan: Plan) -> None:
    preflight.check(plan, [], None)
    books = BoundProbe(name="books", rows=RowsCheck(service="orders", path="/charges"), rate=1)
    preflight.check(plan.model_copy(update={"probes": (books,)}), [], None)
    full = standby_plan()
    for needing in ({"probes": full.probes}, {"faults": full.faults}):
        with pytest.raises(UsageError, match="psycopg") as raised:
            preflight.check(plan.model_copy(update=needing), [], None)
        assert raised.value.hint == "pip install 'gameday[postgres]'"
