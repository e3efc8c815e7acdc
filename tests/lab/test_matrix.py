from __future__ import annotations

from pathlib import Path

import pytest

from gameday.grade import KINDS
from gameday.lab.flaws import FLAWS
from gameday.lab.matrix import CELLS, EXPERIMENTS, QUICK, Cell, experiments_of, find, share
from gameday.model.enums import RunVerdict, StepVerdict, Verdict
from gameday.spec import Catalog, Kind, load_experiment, load_runbook

SPREAD = {"metrics-dead", "stuck-fault"}
"""Flaws that are tried on more than one experiment."""
CODES = {RunVerdict.PASS: 0, RunVerdict.FAIL: 1, RunVerdict.INCONCLUSIVE: 4, RunVerdict.ABORTED: 5}


def broken(cells: object) -> set[str]:
    assert isinstance(cells, tuple)
    return {kind for cell in cells for kind in cell.breaks}


def test_every_experiment_and_every_flaw_is_in_it() -> None:
    assert set(EXPERIMENTS) == set(Catalog.default(Path()).names(Kind.EXPERIMENT))
    for cells in (CELLS, QUICK):
        assert [cell.experiment for cell in cells if not cell.flaws] == list(EXPERIMENTS)
        assert len({(cell.experiment, cell.flaws) for cell in cells}) == len(cells)
    assert {flaw for cell in CELLS for flaw in cell.flaws} == set(FLAWS)
    often = [flaw for cell in CELLS for flaw in cell.flaws]
    assert {flaw for flaw in often if often.count(flaw) > 1} >= SPREAD


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_has_one_verdict_whatever_it_breaks(flaw: str) -> None:
    assert len({(cell.verdict, cell.exit_code) for cell in experiments_of(flaw).values()}) == 1


@pytest.mark.parametrize("cells", [CELLS, QUICK], ids=["full", "quick"])
def test_every_kind_of_criterion_is_broken(cells: tuple[Cell, ...]) -> None:
    assert broken(cells) == set(KINDS)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_cell_is_sound_in_itself(cell: Cell) -> None:
    assert len(cell.flaws) <= 1
    assert cell.exit_code == CODES[cell.verdict]
    assert bool(cell.breaks) == bool(cell.flaws)
    assert {*cell.breaks, *cell.also} <= set(KINDS)
    assert not cell.also & set(cell.breaks)
    hows = set(cell.breaks.values())
    assert hows <= {Verdict.FAIL, Verdict.INCONCLUSIVE}
    if cell.verdict is RunVerdict.FAIL:
        assert Verdict.FAIL in hows
    if cell.verdict is RunVerdict.INCONCLUSIVE:
        assert hows == {Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_cell_asks_for_what_its_experiment_judges(cell: Cell) -> None:
    catalog = Catalog.default(Path())
    spec = load_experiment(catalog, cell.experiment).value.spec
    judged = {"steady_before", "steady_after", "fault_effective", "faults_removed", "load_valid", "runbook"}
    assert {*cell.breaks, *cell.also} <= judged | {expected.kind for expected in spec.expect}
    assert spec.runbook is not None
    steps = {step.id for step in load_runbook(catalog, spec.runbook).value.steps}
    assert set(cell.steps) <= steps


@pytest.mark.parametrize("cell", QUICK, ids=lambda cell: cell.name)
def test_a_quick_cell_follows_from_the_full_table(cell: Cell) -> None:
    parts = [find(CELLS, cell.experiment, *([flaw] if flaw else [])) for flaw in (cell.flaws or ("",))]
    assert cell.breaks == {kind: how for part in parts for kind, how in part.breaks.items()}
    assert cell.also == {kind for part in parts for kind in part.also}
    assert not cell.also & set(cell.breaks), "one of them masks another"
    assert cell.exit_code == CODES[cell.verdict]
    assert cell.verdict in {part.verdict for part in parts}
    if any(part.verdict is RunVerdict.FAIL for part in parts):
        assert cell.verdict is RunVerdict.FAIL


def test_flaws_that_mask_each_other_share_no_run() -> None:
    name = "api-dependency-brownout"
    late, silent = find(CELLS, name, "step-late"), find(CELLS, name, "silent-alert")
    with pytest.raises(ValueError, match="mask each other: runbook"):
        share([late, silent])
    dead = find(CELLS, name, "sources-dead")
    with pytest.raises(ValueError, match="alert_fired"):
        share([silent, dead])
    with pytest.raises(ValueError, match="two experiments"):
        share([late, find(CELLS, "read-replica-lag")])
    with pytest.raises(KeyError, match=r"read-replica-lag\+step-late"):
        find(CELLS, "read-replica-lag", "step-late")


def test_a_shared_run_has_all_that_its_flaws_have() -> None:
    name = "api-dependency-brownout"
    flaws = ("misrouted-alert", "step-late", "stuck-fault")
    both = find(QUICK, name, *reversed(flaws))
    assert both.name == "+".join((name, *flaws))
    assert dict(both.breaks) == dict.fromkeys(("alert_routed", "runbook", "faults_removed"), Verdict.FAIL)
    assert (both.verdict, both.exit_code, both.steps) == (RunVerdict.FAIL, 1, {"replay-parked": StepVerdict.LATE})
