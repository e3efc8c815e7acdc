"""Grades as a brownout on the lab would give them, made by hand, one for each verdict of a run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gameday.model.enums import PhaseName, RunVerdict, StepKind, StepVerdict, Tier, Verdict
from gameday.model.grade import (
    Criterion,
    Grade,
    GradedStep,
    Interval,
    Mark,
    Notice,
    PhaseSpan,
    Point,
    Series,
)

P, F, Q, N = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE
BIN = 10.0


def criterion(ident: str, kind: str, title: str, verdict: Verdict, reason: str, **more: object) -> Criterion:
    values: dict[str, object] = {
        "id": ident,
        "kind": kind,
        "title": title,
        "required": True,
        "verdict": verdict,
        "measured": None,
        "limit": None,
        "unit": "",
        "reason": reason,
        "evidence": ((40, 61), (75, 75)),
    }
    return Criterion.model_validate({**values, **more})


def between(lo: float, hi: float) -> Interval:
    return Interval(lo=lo, hi=hi)


def criteria() -> tuple[Criterion, ...]:
    return (
        criterion(
            "steady_before", "steady_before", "Steady before the fault", P,
            "Both SLOs burned their budget slower than they may.",
            measured=between(0, 0), limit=1, comparator="<", unit="burn", evidence=((31, 118),),
            details=(
                "checkout-availability: 0 of 1200 requests bad, burn 0.",
                "payments-availability: 0 of 1200 calls bad, burn 0.",
            ),
        ),
        criterion(
            "fault_effective", "fault_effective", "brownout of payments in effect", P,
            "payments-answers failed in 203 of 1020 checks, 19.9% with 20% declared, in every tenth of the hold.",
            measured=between(0.144, 0.265), limit=0.2, comparator="=", unit="share",
            evidence=((121, 121), (124, 1180)),
        ),
        criterion(
            "load_valid", "load_valid", "Load as planned", P,
            "In every 5s at least 99.7% of the intended arrivals were started in time.",
            measured=between(0.997, 0.997), limit=0.95, comparator=">=", unit="ratio", evidence=((30, 1590),),
        ),
        criterion(
            "rolled-back", "rollback", "checkout rolled back", P,
            "The canary of checkout was gone from traffic 2m 14s after the fault took effect at the latest.",
            measured=between(128.4, 134.2), limit=300, unit="s", evidence=((121, 126), (210, 213)),
        ),
        criterion(
            "recovered", "recovered", "checkout-availability recovered", P,
            "From 2m 17s after the effect on, checkout-availability met 99.5% over the 2m that follow.",
            measured=between(131, 137), limit=600, unit="s", evidence=((121, 300),),
        ),
        criterion(
            "alert_fired", "alert_fired", "Alert of payments-availability over 1h", P,
            "PaymentsBurnRate fired 4m 31s after the effect.",
            measured=between(265.5, 271.3), limit=600, unit="s", evidence=((330, 330),),
        ),
        criterion(
            "alert_routed", "alert_routed", "Alert reached oncall", P,
            "The receiver oncall got PaymentsBurnRate 4m 31s after the effect.",
            measured=between(265.5, 271.3), limit=600, unit="s", evidence=((330, 330),),
        ),
        criterion(
            "slo", "slo", "Budget of checkout-availability", P,
            "22 of 9600 requests were bad: 0.06% of the budget of 30d.",
            measured=between(0.000587, 0.000587), limit=0.0025, unit="share", evidence=((30, 1590),),
        ),
        criterion(
            "runbook", "runbook", "Runbook api-dependency-brownout", P,
            "All 3 exercised steps were done in time; 4 manual ones were not exercised.",
            measured=between(3, 3), limit=3, comparator="=", unit="count", evidence=((331, 420),),
        ),
        criterion(
            "faults_removed", "faults_removed", "Every fault removed", P,
            "The brownout was verified clear 0.11s after its end.",
            measured=between(0.08, 0.11), limit=5, unit="real_s", evidence=((1181, 1190),),
        ),
        criterion(
            "steady_after", "steady_after", "Steady at the end", P,
            "Both SLOs burned their budget slower than they may.",
            measured=between(0, 0), limit=1, comparator="<", unit="burn", evidence=((1300, 1590),),
        ),
    )  # fmt: skip


def step(ident: str, title: str, section: str, manual: bool = False, **more: object) -> GradedStep:
    values: dict[str, object] = {
        "id": ident,
        "title": title,
        "section": section,
        "kind": StepKind.MANUAL if manual else StepKind.AUTOMATED,
        "owner": "oncall",
        "required": True,
        "verdict": StepVerdict.NOT_EXERCISED if manual else StepVerdict.DONE,
        "triggered": None if manual else 631.0,
        "took": None if manual else 64.8,
        "expected": 120.0,
        "timeout": 600.0,
        "by": "" if manual else "engine",
        "reason": "The run was unattended." if manual else "Verified by its probe.",
        "evidence": () if manual else ((331, 360),),
    }
    return GradedStep.model_validate({**values, **more})


def steps() -> tuple[GradedStep, ...]:
    return (
        step("see-errors", "Payments really is failing", "Diagnosis"),
        step("read-dashboard", "Look at the dashboard of payments", "Diagnosis", manual=True),
        step("page-payments", "Tell the payments team", "Mitigation", manual=True),
        step("replay-parked", "Replay the parked orders", "Mitigation", triggered=494.0, took=71.0),
        step("tell-customers", "Put a note on the status page", "Mitigation", manual=True),
        step("see-rollback", "The canary is out of traffic", "Rollback", triggered=494.0, took=60.4),
        step("hold-releases", "Stop releases of checkout until the cause is known", "Rollback", manual=True),
    )


def wave(draw: random.Random, level: float, events: int) -> float:
    return 1 - sum(draw.random() > level for _ in range(events)) / events


def series(bad_until: float = 494.0, last: float = 2880.0, bin_: float = BIN) -> tuple[Series, ...]:
    draw = random.Random(3)
    times = [index * bin_ for index in range(int(last / bin_))]
    events = max(1, round(200 * bin_ / 60))

    def level(at: float, inner: tuple[float, float, float]) -> float:
        return inner[2] if inner[0] <= at < inner[1] else 1.0

    def one(name: str, target: float, inner: tuple[float, float, float]) -> Series:
        points = tuple(Point(at=at, value=wave(draw, level(at, inner), events), n=events) for at in times)
        return Series(name=name, slo=name, unit="ratio", target=target, bin=bin_, points=points)

    return (
        one("checkout-availability", 0.995, (360.0, bad_until, 0.95)),
        one("payments-availability", 0.999, (360.0, 2160.0, 0.8)),
    )


def mark(at: float, kind: str, label: str, seq: int) -> Mark:
    return Mark.model_validate({"at": at, "kind": kind, "label": label, "seq": seq})


def marks() -> tuple[Mark, ...]:
    return (
        mark(60, "stimulus", "Release of checkout: canary", 45),
        mark(360.1, "fault", "brownout of payments: 20% answered with 503", 119),
        mark(363.5, "effect", "First evidence at payments-answers", 124),
        mark(494.3, "rollback", "Canary of checkout out of traffic", 213),
        mark(497, "recovered", "checkout-availability meets its objective again", 216),
        mark(631.4, "alert", "PaymentsBurnRate (1h) at oncall", 330),
        mark(2160.2, "undo", "Undo of the brownout begins", 1181),
        mark(2166.8, "cleared", "brownout verified clear", 1190),
    )


def passing() -> Grade:
    return Grade(
        run="20261125-102203-brownout-7f3a",
        experiment="api-dependency-brownout",
        environment="lab",
        tier=Tier.LAB,
        time_scale=60.0,
        rehearsal=(
            "the environment is a lab",
            "time ran 60 times as fast",
            "nobody attended: 4 manual steps were not exercised",
        ),
        title="API dependency brownout",
        proves="API dependency brownout (20% errors for 30m): expect rollback",
        hypothesis="A canary that lost its fallback is rolled back when a dependency browns out.",
        verdict=RunVerdict.PASS,
        reason="All 11 required criteria passed.",
        head="9c1185a5c5e9fc54612808977ee8f548b2258d31b6b25ee6a7d39b8b0f5f6a2d",
        started="2026-11-25T10:22:03Z",
        real_seconds=48.62,
        attendance=(),
        runbook="Runbook: partial, 3 of 7 exercised",
        faults_removed_at="2026-11-25T10:22:39Z",
        criteria=criteria(),
        steps=steps(),
        phases=(
            PhaseSpan(name=PhaseName.BEFORE, start=0, end=360),
            PhaseSpan(name=PhaseName.HOLD, start=360, end=2160),
            PhaseSpan(name=PhaseName.AFTER, start=2160, end=2880),
        ),
        marks=marks(),
        series=series(),
        notices=(
            Notice(
                kind="scope",
                text="Alerts were seen at gameday's own webhook sink, as a copy of what the receiver gets.",
            ),
            Notice(kind="unproven", text="Whether people find and follow the 4 manual steps of the runbook."),
            Notice(kind="unproven", text="Anything about your systems: this was the embedded lab."),
            Notice(kind="info", text="Guards are recorded but not judged by this version."),
        ),
        inputs=(
            f"experiments/api-dependency-brownout.yaml sha256:{'4be0' * 16}",
            f"experiments/environments/lab.yaml sha256:{'91cc' * 16}",
            f"probes/checkout-availability.yaml sha256:{'7d02' * 16}",
            f"runbooks/api-dependency-brownout.md sha256:{'e3b0' * 16}",
        ),
        reproduce="gameday run api-dependency-brownout --env lab --time-scale 60",
    )


def with_criteria(grade: Grade, changes: dict[str, dict[str, object]], **more: object) -> Grade:
    found = tuple(item.model_copy(update=changes.get(item.id, {})) for item in grade.criteria)
    return grade.model_copy(update={"criteria": found, **more})


def failing() -> Grade:
    """The lab's flaw ``no-rollback``."""
    late = {"verdict": F, "evidence": ((121, 126), (127, 1590))}
    base = passing()
    return with_criteria(
        base,
        {
            "rolled-back": {
                **late,
                "measured": None,
                "reason": "The canary of checkout still took 25% of the traffic when the limit of 5m had passed.",
            },
            "recovered": {
                **late,
                "measured": between(1800, 1806),
                "reason": "checkout-availability met 99.5% again only 30m after the effect, when the fault ended.",
            },
            "slo": {
                **late,
                "measured": between(0.00808, 0.00808),
                "reason": "303 of 9600 requests were bad: 0.81% of the budget of 30d, with 0.25% allowed.",
            },
            "runbook": {
                "verdict": F,
                "measured": between(2, 2),
                "reason": "Step 'Replay the parked orders' was never verified.",
            },
        },
        verdict=RunVerdict.FAIL,
        reason="4 of 11 required criteria failed: checkout was not rolled back within 5m, did not recover in 10m, "
        "spent 0.81% of its budget, and the runbook failed.",
        runbook="Runbook: FAIL, 6 of 7",
        attendance=("Ada:facilitator", "Grace:oncall"),
        marks=tuple(item for item in base.marks if item.kind not in {"rollback", "recovered"}),
        steps=tuple(
            item.model_copy(
                update={"verdict": StepVerdict.FAILED, "took": None, "reason": "Its verification says no."}
                if item.id == "replay-parked"
                else {"verdict": StepVerdict.DONE, "by": "Grace", "triggered": 640.0, "took": 90.0}
                if item.kind is StepKind.MANUAL
                else {}
            )
            for item in base.steps
        ),
        series=series(bad_until=2160.0),
        notices=(*base.notices, Notice(kind="flaw", text="no-rollback: the deployer never rolls the canary back.")),
    )


def inconclusive() -> Grade:
    """The lab's flaw ``sources-dead``, with a gap in what the service says."""
    base = passing()
    first, second = base.series
    holed = tuple(
        point.model_copy(update={"value": None, "n": 0}) if 900 <= point.at < 1260 else point
        for point in second.points
    )
    return with_criteria(
        base,
        {
            "alert_fired": {
                "verdict": Q,
                "measured": None,
                "reason": "No Watchdog reached oncall after the intent: alerting was not seen alive.",
            },
            "alert_routed": {
                "verdict": Q,
                "measured": None,
                "reason": "No Watchdog reached oncall after the intent: alerting was not seen alive.",
            },
            "recovered": {
                "verdict": Q,
                "measured": between(540, 660),
                "reason": "Recovered between 9m and 11m after the effect: the limit lies in between.",
            },
        },
        verdict=RunVerdict.INCONCLUSIVE,
        reason="3 of 11 required criteria could not be decided: alerting was not seen alive, and the recovery "
        "lies too close to its limit.",
        marks=tuple(item for item in base.marks if item.kind != "alert"),
        series=(first, second.model_copy(update={"points": holed})),
    )


def aborted() -> Grade:
    """The lab's flaw ``unhealthy-before``: nothing was injected."""
    base = passing()
    none = {"verdict": Q, "measured": None, "reason": "Nothing was injected.", "evidence": ()}
    changes: dict[str, dict[str, object]] = {item.id: dict(none) for item in base.criteria}
    changes["steady_before"] = {
        "verdict": F,
        "measured": between(10.2, 10.2),
        "reason": "checkout-availability burned its budget at 10.2×, with less than 1× allowed.",
    }
    changes["load_valid"] = {}
    changes["faults_removed"] = {"verdict": N, "measured": None, "reason": "Nothing was injected.", "evidence": ()}
    draw = random.Random(5)
    short = tuple(
        item.model_copy(
            update={"points": tuple(Point(at=i * BIN, value=wave(draw, 0.95, 33), n=33) for i in range(36))}
        )
        for item in base.series[:1]
    )
    return with_criteria(
        base,
        changes,
        verdict=RunVerdict.ABORTED,
        reason="Stopped before the first injection: the system was not steady before.",
        real_seconds=6.4,
        faults_removed_at=None,
        phases=(PhaseSpan(name=PhaseName.BEFORE, start=0, end=361),),
        marks=(
            mark(60, "stimulus", "Release of checkout: canary", 45),
            mark(361, "abort", "Not steady before", 119),
        ),
        steps=tuple(
            item.model_copy(
                update={
                    "verdict": StepVerdict.NOT_TRIGGERED,
                    "triggered": None,
                    "took": None,
                    "by": "",
                    "reason": "Its trigger never came.",
                }
                if item.kind is StepKind.AUTOMATED
                else {}
            )
            for item in base.steps
        ),
        runbook="Runbook: inconclusive, 0 of 7",
        series=short,
    )


MADE = {"pass": passing, "fail": failing, "inconclusive": inconclusive, "aborted": aborted}


@pytest.fixture
def passed() -> Grade:
    """A passing rehearsal at K = 60."""
    return passing()


@pytest.fixture(params=sorted(MADE))
def grade(request: pytest.FixtureRequest) -> Grade:
    """Each verdict of a run in turn."""
    return MADE[str(request.param)]()


@pytest.fixture
def templates() -> tuple[Path, ...]:
    """The built-in templates."""
    return (Path(__file__).parents[2] / "reports" / "templates",)
