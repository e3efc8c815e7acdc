"""Finding and loading files: names, roots, parameters, digests, marks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from gameday.errors import SpecError, UsageError
from gameday.model.slo import HttpCheck
from gameday.spec import (
    Catalog,
    Kind,
    builtin_root,
    gather,
    load_all,
    load_environment,
    load_experiment,
    load_probe,
    load_runbook,
    load_slo,
)

NAME = "api-dependency-brownout"


def test_shipped_files_load(project: Any) -> None:
    assert project.problems() == ()


def test_names_by_kind() -> None:
    catalog = Catalog([builtin_root()])
    assert "api-dependency-brownout" in catalog.names(Kind.EXPERIMENT)
    assert "lab" in catalog.names(Kind.ENVIRONMENT)
    assert {"checkout-availability", "payments-availability"} <= set(catalog.names(Kind.SLO))
    assert {"payments-answers", "storefront-answers", "parked-orders"} <= set(catalog.names(Kind.PROBE))
    assert not set(catalog.names(Kind.SLO)) & set(catalog.names(Kind.PROBE))
    assert "api-dependency-brownout" in catalog.names(Kind.RUNBOOK)


def test_a_projects_own_file_wins(tmp_path: Path) -> None:
    (tmp_path / "probes").mkdir()
    text = (builtin_root() / "probes/payments-answers.yaml").read_text().replace("path: /answers", "path: /mine")
    (tmp_path / "probes/payments-answers.yaml").write_text(text)
    catalog = Catalog.default(tmp_path)
    http = load_probe(catalog, "payments-answers").value.spec.http
    assert http is not None
    assert http.path == "/mine"
    assert load_probe(catalog, "parked-orders").path == "probes/parked-orders.yaml"


def test_document_has_digest_and_relative_path(project: Any) -> None:
    document = load_experiment(project.catalog, NAME)
    assert document.path == "experiments/api-dependency-brownout.yaml"
    assert document.sha256 == hashlib.sha256(project.path("experiment").read_bytes()).hexdigest()
    line = project.path("experiment").read_text().splitlines()[document.mark(("spec", "faults", 0, "at")).line - 1]
    assert "at: ${before}" in line


def test_explicit_files(project: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(project.path("experiment").read_text())
    assert load_experiment(project.catalog, mine).path == "mine.yaml"
    outside = Catalog([builtin_root()])
    assert load_environment(outside, project.path("environment")).path == "lab.yaml"
    with pytest.raises(SpecError, match=r"^absent\.yaml:1:1: no such file$"):
        load_experiment(outside, tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("load", "name", "message", "hint"),
    [
        (load_experiment, "api-dependency-brownuot", "no experiment", "did you mean 'api-dependency-brownout'?"),
        (load_environment, "labb", "no environment", "did you mean 'lab'?"),
        (load_slo, "checkout-availabilty", "no SLO", "did you mean 'checkout-availability'?"),
        (load_probe, "payment-answers", "no probe", "did you mean 'payments-answers'?"),
        (load_runbook, "api-dependency", "no runbook", "did you mean 'api-dependency-brownout'?"),
        (load_experiment, "../secrets", "no experiment", "-f ../secrets"),
    ],
)
def test_unknown_names(load: Any, name: str, message: str, hint: str, project: Any) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load(project.catalog, name)
    assert hint in caught.value.hint


def test_a_file_of_another_kind(project: Any) -> None:
    with pytest.raises(SpecError, match=r"payments-answers\.yaml:3:7: must be 'SLO', not 'Probe'"):
        load_slo(project.catalog, "payments-answers")


def test_parameters_default_then_profile_then_setting(project: Any) -> None:
    plain = load_experiment(project.catalog, NAME).value.spec
    assert (plain.faults[0].at, plain.faults[0].for_, plain.after) == (360, 1800, 720)
    profile = load_experiment(project.catalog, NAME, "ci").value.spec
    assert (profile.faults[0].at, profile.faults[0].for_) == (120, 480)
    both = load_experiment(project.catalog, NAME, "ci", {"hold": "7m"}).value.spec
    assert (both.faults[0].at, both.faults[0].for_) == (120, 420)
    assert both.parameters["hold"] == "7m"
    assert both.parameters["before"] == "2m"


def test_changed_names_only_what_differs(project: Any) -> None:
    sources = gather(project.catalog, NAME, "lab", settings={"hold": "30m", "after": "13m"})
    assert sources.changed == ("after",)


@pytest.mark.parametrize(
    ("profile", "settings", "message", "hint"),
    [
        ("cii", {}, "no profile 'cii'", "did you mean 'ci'?"),
        (None, {"holdd": "4m"}, "no parameter 'holdd'", "did you mean 'hold'?"),
        (None, {"hold": " "}, "'hold' is empty", ""),
        (None, {"hold": "\udc80"}, "'hold' is empty or not UTF-8", ""),
    ],
)
def test_unknown_profile_and_settings(
    profile: str | None, settings: dict[str, str], message: str, hint: str, project: Any
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_experiment(project.catalog, NAME, profile, settings)
    assert hint in caught.value.hint


def test_scalars_keep_their_text(project: Any) -> None:
    project.replace(
        "experiment",
        'labels: {rotation: monthly, scenario: "1"}',
        "labels: {a: NO, b: off, c: 12:30:45, d: 010, e: 2026-08-01, f: 1_000, g: 'x', h: 0x1F}",
    )
    labels = load_experiment(project.catalog, NAME).value.metadata.labels
    assert labels == {
        "a": "NO",
        "b": "off",
        "c": "12:30:45",
        "d": "010",
        "e": "2026-08-01",
        "f": "1_000",
        "g": "x",
        "h": "0x1F",
    }


def test_what_an_answer_has_to_hold_keeps_its_type(project: Any) -> None:
    project.replace(
        "probe",
        "timeout: 1s}",
        'timeout: 1s, json: {degraded: true, age: 3, of: "3", by: [False, -1.5e3, {on: off}], at: 010}}',
    )
    http = load_probe(project.catalog, "payments-answers").value.spec.http
    assert http is not None
    told = {"degraded": True, "age": 3, "of": "3", "by": [False, -1500.0, {"on": "off"}], "at": "010"}
    assert http.json_ == told
    assert [type(http.json_[key]) for key in ("degraded", "age", "of")] == [bool, int, str]
    assert HttpCheck.model_validate_json(http.model_dump_json(by_alias=True)) == http, "as a plan tells it"


@pytest.mark.parametrize(
    ("http", "what"),
    [
        ("json: [degraded]", "mapping"),
        ("json: yes", "mapping"),
        ("json: {degraded: true}, method: HEAD", "an answer to HEAD has no body"),
    ],
)
def test_what_an_answer_can_not_hold(project: Any, http: str, what: str) -> None:
    project.replace("probe", "method: GET, path: /answers", f"path: /answers, {http}")
    with pytest.raises(SpecError) as error:
        load_probe(project.catalog, "payments-answers")
    assert [problem for problem in error.value.problems if what in str(problem)]


def test_an_anchor_may_be_used_twice(project: Any) -> None:
    project.replace("experiment", "before: 6m,", "before: &six 6m,")
    project.replace("experiment", "after: 12m,", "after: *six,")
    assert load_experiment(project.catalog, NAME).value.spec.after == 360


def test_only_what_the_experiment_needs_is_read(project: Any) -> None:
    project.replace("environment", "slos: {", "slos: {other: nowhere, ")
    assert project.problems() == ()


def test_external_load_needs_no_pack(project: Any) -> None:
    project.replace("experiment", "load: {rate: 200/s}", "load: {external: true, atLeast: 50/s, slo: customer}")
    (project.root / "experiments/load/storefront.py").unlink()
    assert project.problems() == ()


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("import time\nclass Customer(\n    pass\n", "2:15", "'(' was never closed"),
        ("x = 1\n  y = 2\n", "2:2", "unexpected indent"),
        ("x = 1\0\n", "1:1", "null bytes"),
    ],
)
def test_a_load_pack_that_is_no_python_is_told_with_its_place(
    project: Any, text: str, place: str, message: str
) -> None:
    (project.root / "experiments/load/storefront.py").write_text(text)
    (problem,) = project.problems()
    assert str(problem).startswith(f"experiments/load/storefront.py:{place}: no Python: ")
    assert message in problem.message


def test_nothing_of_a_load_pack_runs(project: Any) -> None:
    pack = project.root / "experiments/load/storefront.py"
    pack.write_text('assert 1 is 1, "\\d"\nimport nowhere\nopen(__file__ + ".ran", "w")\nraise SystemExit\n')
    assert project.problems() == ()
    assert not list(pack.parent.glob("*.ran"))


def test_an_experiment_outside_the_catalog_may_have_a_pack_of_its_own(project: Any, tmp_path: Path) -> None:
    text = project.path("experiment").read_text().replace(f"name: {NAME}", "name: mine")
    (tmp_path / "elsewhere.yaml").write_text(text)
    project.replace("environment", "packs: {", "packs: {mine: logins, ")
    sources = load_all(project.catalog, tmp_path / "elsewhere.yaml", "lab")
    assert sources.load_pack is not None
    assert sources.load_pack.path == "experiments/load/logins.py"
    (problem,) = project.problems()
    assert problem.message == "there is no experiment 'mine'"
    project.replace("environment", "mine: logins", "mine: login")
    with pytest.raises(SpecError) as caught:
        load_all(project.catalog, tmp_path / "elsewhere.yaml", "lab")
    assert [one.message for one in caught.value.problems] == [
        "there is no load pack 'login': no file experiments/load/login.py"
    ]
