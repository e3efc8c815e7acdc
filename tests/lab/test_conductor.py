from __future__ import annotations

from gameday.lab.conductor import Conductor


def test_lingering_errors_begin_when_the_fault_has_gone() -> None:
    conductor = Conductor({"lingering-errors"}, 60)
    conductor.observe(False, 0)
    assert conductor.error_every(1) == 0
    conductor.observe(True, 2)
    assert conductor.error_every(3) == 0
    conductor.observe(False, 4)
    assert conductor.error_every(100) == 50
    conductor.forget()
    assert conductor.error_every(101) == 0


def test_the_budget_burner_acts_from_10_to_25_minutes_of_plan_time() -> None:
    conductor = Conductor({"budget-burner"}, 60)
    conductor.observe(True, 100)
    assert [conductor.error_every(100 + after) for after in (0, 9.9, 10, 24.9, 25)] == [0, 0, 10, 10, 0]


def test_a_slow_rollback_waits_20_minutes_of_plan_time_and_none_waits_for_ever() -> None:
    slow = Conductor({"slow-rollback"}, 60)
    assert not slow.may_roll_back(0)
    slow.observe(True, 1)
    assert [slow.may_roll_back(at) for at in (20.9, 21)] == [False, True]
    assert not Conductor({"no-rollback"}, 60).may_roll_back(10**9)
    assert Conductor((), 60).may_roll_back(0)


def test_a_second_fault_starts_anew() -> None:
    conductor = Conductor({"slow-rollback"}, 1)
    for active, at in ((True, 0), (False, 100), (True, 2000), (True, 2001)):
        conductor.observe(active, at)
    assert not conductor.may_roll_back(3199)
    assert conductor.may_roll_back(3200)


def test_only_timed_flaws_need_the_proxy_to_be_watched() -> None:
    assert not Conductor({"no-rollback", "unhealthy-before"}, 60).needed
    assert Conductor({"budget-burner"}, 60).needed
