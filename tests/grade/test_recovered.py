from __future__ import annotations

import pytest

from gameday.grade import grade
from gameday.model.enums import Verdict
from gameday.model.experiment import Recovered
from tests.grade.builder import DEPENDENCY, FULL, Burst, Draft, Reality
from tests.grade.conftest import Judge, lean, replan
from tests.grade.standby import Standby, make_standby

ID = "recovered"


def wanting(made: Draft, **changes: object) -> None:
    replan(made, lambda plan: {"expect": tuple(
        one.model_copy(update=changes) if isinstance(one, Recovered) else one for one in plan.expect
    )})  # fmt: skip


def test_from_the_effect_to_the_first_good_window(judge: Judge) -> None:
    found = judge(ID, reality=Reality(figures=FULL))
    assert (found.verdict, found.limit, found.unit) == (Verdict.PASS, 600.0, "s")
    assert found.measured is not None
    # The canary left at 140. Then 0.5 % of 400 requests, two errors, may be in the window: it begins before that.
    assert 110 < found.measured.lo < found.measured.hi < 140


@pytest.mark.parametrize(
    ("until", "verdict"), [(590.0, Verdict.PASS), (604.0, Verdict.INCONCLUSIVE), (630.0, Verdict.FAIL)]
)
def test_before_between_and_after_the_limit(judge: Judge, until: float, verdict: Verdict) -> None:
    # Total outage: the window is good again when the last error but two has left it.
    reality = Reality(figures=FULL, bursts=(Burst(360.0, 360.0 + until, 1.0),))
    found = judge(ID, reality=reality)
    assert found.verdict is verdict


def test_never_left_counts_as_zero_and_says_so(judge: Judge) -> None:
    unhurt = lean(weight=0.0, rollback=None)
    found = judge(ID, reality=unhurt)
    assert found.verdict is Verdict.PASS
    assert found.measured is not None
    assert (found.measured.lo, found.measured.hi) == (0.0, 0.0)
    assert "never left" in found.reason
    found = judge(ID, lambda made: wanting(made, left=True), unhurt)
    assert found.verdict is Verdict.FAIL


def test_never_recovered_fails_with_how_long_was_watched(judge: Judge) -> None:
    found = judge(ID, reality=lean(bursts=(Burst(360, 1560, 0.1),)))
    assert found.verdict is Verdict.FAIL
    assert found.measured is not None
    assert found.measured.lo > 600
    assert "10m were allowed" in found.reason


def test_trouble_that_begins_later_is_trouble(judge: Judge) -> None:
    """The first window after the effect is good, and yet the objective was left before the limit."""
    late = lean(weight=0.0, rollback=None, bursts=(Burst(600, 1060, 0.2),))
    assert judge(ID, reality=late).verdict is Verdict.FAIL
    short = lean(weight=0.0, rollback=None, bursts=(Burst(600, 700, 0.2),))
    found = judge(ID, reality=short)
    assert found.verdict is Verdict.PASS
    assert found.measured is not None
    assert found.measured.lo > 300


def test_trouble_after_the_limit_is_none_of_its_business(judge: Judge) -> None:
    found = judge(ID, reality=lean(bursts=(Burst(1200, 1300, 0.2),)))
    assert found.verdict is Verdict.PASS


def test_the_first_recovery_counts(judge: Judge) -> None:
    """As with budget-burner: it recovered, and was hurt again later; the budget is another criterion's."""
    found = judge(ID, reality=lean(bursts=(Burst(800, 900, 0.2),)))
    assert found.verdict is Verdict.PASS


def test_a_record_that_ends_before_the_limit(judge: Judge) -> None:
    long = {"within": 1000.0}
    assert judge(ID, lambda made: wanting(made, **long), lean()).verdict is Verdict.PASS
    found = judge(ID, lambda made: wanting(made, **long), lean(weight=0.0, rollback=None))
    assert found.verdict is Verdict.PASS
    long["within"] = 1100.0
    found = judge(ID, lambda made: wanting(made, **long), lean(weight=0.0, rollback=None))
    assert found.verdict is Verdict.INCONCLUSIVE
    found = judge(ID, lambda made: wanting(made, **long), lean(bursts=(Burst(360, 1560, 0.1),)))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_requests_that_never_started_may_have_been_bad(judge: Judge) -> None:
    # Too few to make the load invalid: 4 % of every block.
    reality = lean(weight=0.0, rollback=None, thin=(Burst(360, 1400, 0.04),))
    found = judge(ID, reality=reality)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "never started" in found.reason


def test_it_reads_counters_as_well(judge: Judge) -> None:
    # The dependency breaks for as long as the fault stands, 13 minutes.
    found = judge(ID, lambda made: wanting(made, slo=DEPENDENCY))
    assert found.verdict is Verdict.FAIL
    found = judge(ID, lambda made: wanting(made, slo=DEPENDENCY, within=840.0))
    assert found.verdict is Verdict.PASS
    assert found.measured is not None
    assert 740 < found.measured.lo < 780 < found.measured.hi < 790


def test_a_gap_in_the_counters(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        wanting(made, slo=DEPENDENCY, within=840.0)
        made.drop(made.of("sample", f"slo/{DEPENDENCY}")[20:26])

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("day", "verdict", "says"),
    [
        (Standby(), Verdict.PASS, "met 95% again"),
        (Standby(stale=False), Verdict.FAIL, "never left 95%, though the experiment expects that"),
        (Standby(paused=False), Verdict.INCONCLUSIVE, "not valid"),
        (Standby(catch_up=28.0), Verdict.FAIL, "were allowed"),
    ],
)
def test_freshness_has_to_break_and_to_recover(day: Standby, verdict: Verdict, says: str) -> None:
    """The fault lasts 10m, and what breaks only while it stands may take 12m from its effect on."""
    found = next(one for one in grade(make_standby(day)).criteria if one.kind == "recovered")
    assert found.verdict is verdict, found.reason
    assert says in found.reason
