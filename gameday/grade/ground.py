"""What expectations stand on: the effect that their clocks start from, and whether the day was a valid test."""

from __future__ import annotations

from dataclasses import dataclass

from gameday.grade.effect import Effect, first_effect
from gameday.grade.record import Record
from gameday.grade.ruling import Ruling
from gameday.model.enums import Verdict
from gameday.model.grade import Criterion

__all__ = ["Ground", "ground", "grounded"]


@dataclass(frozen=True)
class Ground:
    """``effect`` is None if nothing was injected or nothing showed it; ``lacking`` says what was not proven."""

    effect: Effect | None
    lacking: str


def ground(record: Record, proofs: list[Criterion]) -> Ground:
    """From ``fault_effective`` and ``load_valid``, as far as the plan asks for them."""
    wrong = [proof for proof in proofs if proof.verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE)]
    return Ground(first_effect(record), wrong[0].reason if wrong else "")


def grounded(found: Ruling, on: Ground) -> Ruling:
    """Inconclusive, neither failed nor passed, unless the fault acted and the load was there."""
    if not on.lacking or found.verdict is Verdict.NOT_APPLICABLE:
        return found
    return found.but(Verdict.INCONCLUSIVE, f"The test itself was not valid: {on.lacking}")
