"""The shipped experiment on the lab, bound."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import gameday
from gameday.errors import SpecError, UsageError
from gameday.model.enums import PhaseName, StepKind
from gameday.model.experiment import (
    AlertFired,
    AlertRouted,
    Brownout,
    DataLoss,
    Recovered,
    Rollback,
    SteadyBurn,
)
from gameday.model.pace import COUNTERS, GUARDED
from gameday.model.plan import InputDigest, Plan
from gameday.plan import BindOptions, bind, load_plan, plan_json
from gameday.spec import Catalog, builtin_root, gather
from tests.plan.conftest import FILES, LAB

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture
def plan(project: Any) -> Plan:
    bound = project.bind(reproduce="gameday run api-dependency-brownout")
    assert isinstance(bound, Plan)
    return bound


def test_scale_and_phases(plan: Plan) -> None:
    assert plan.time_scale == 60
    assert [(phase.name, phase.start, phase.end) for phase in plan.phases] == [
        (PhaseName.BEFORE, 0, 360),
        (PhaseName.HOLD, 360, 2160),
        (PhaseName.AFTER, 2160, 2880),
    ]
    assert plan.duration / plan.time_scale == 48


def test_a_service_that_nothing_of_the_run_names_is_left_out(project: Any) -> None:
    project.replace("environment", "    entry: {", '    else: {name: else, url: "lab://else"}\n    entry: {')
    names = ["storefront", "checkout", "payments", "payments-books"]
    assert [service.name for service in project.bind().services] == names


def test_roles_become_names(plan: Plan) -> None:
    assert [(item.role, item.name, item.url) for item in plan.services] == [
        ("entry", "storefront", "lab://edge"),
        ("service", "checkout", "lab://checkout"),
        ("dependency", "payments", "lab://payments"),
        ("books", "payments-books", "lab://books"),
    ]
    steady = [condition.slo for condition in plan.steady_state if isinstance(condition, SteadyBurn)]
    assert steady == ["checkout-availability", "payments-availability"]
    assert plan.faults[0].service == "payments"
    assert plan.faults[0].proof == "payments-answers"
    assert plan.faults[0].binding.options == {"proxy": "payments"}
    assert plan.stimuli[0].service == "checkout"
    assert plan.load is not None
    assert plan.load.services == ("storefront", "checkout", "payments")
    rollback, recovered, fired, routed, _, loss = plan.expect
    assert isinstance(rollback, Rollback)
    assert rollback.service == "checkout"
    assert isinstance(recovered, Recovered)
    assert recovered.slo == "checkout-availability"
    assert isinstance(fired, AlertFired)
    assert fired.slo == "payments-availability"
    assert isinstance(routed, AlertRouted)
    assert isinstance(loss, DataLoss)
    assert loss.probe == "charged-orders"
    ids = ["rolled-back", "recovered", "alert_fired", "alert_routed", "slo", "data_loss"]
    assert [item.id for item in plan.expect] == ids


def test_receivers_keep_the_experiments_names(project: Any) -> None:
    """The grade looks for the copy under that name; where the copy is called otherwise it was never found."""
    project.replace("environment", "receivers: {oncall: oncall,", "receivers: {oncall: gameday-oncall,")
    plan = project.bind()
    routed = plan.expect[3]
    assert routed.receiver == "oncall"
    assert plan.alerts.receivers[routed.receiver] == "gameday-oncall"


def test_guards_become_names_and_have_paces(project: Any) -> None:
    project.replace("experiment", "source: load", "source: slo/dependency")
    plan = project.bind()
    assert plan.guards[0].slo == "checkout-availability"
    assert plan.guards[1].source == "slo/payments-availability"
    assert [pace.id for pace in plan.guard_paces] == ["error_ratio", "dead_source"]
    assert plan.guard_paces[0].noticed == pytest.approx(2.1)  # a batch, and the client's timeout
    assert plan.guard_paces[0].removed == pytest.approx(16)  # three calls of 5 s, and the settle time
    assert plan.slo("checkout-availability").interval == GUARDED


def test_a_guard_on_the_second_role_of_an_slo_has_its_pace_too(project: Any) -> None:
    project.replace(
        "environment",
        "dependency: payments-availability}",
        "dependency: payments-availability, again: payments-availability}",
    )
    project.replace("experiment", "slos: [customer, dependency]", "slos: [customer, dependency, again]")
    assert project.bind().slo("payments-availability").interval == COUNTERS
    project.replace("experiment", "error_ratio, slo: customer", "error_ratio, slo: again")
    assert project.bind().slo("payments-availability").interval == GUARDED


def test_probe_rates(plan: Plan) -> None:
    assert {probe.name: probe.rate for probe in plan.probes} == {
        "payments-answers": 34,
        "parked-orders": 10,
        "storefront-answers": 10,
        "charged-orders": 1,
    }


def test_an_environment_that_allows_less_has_slower_step_probes(project: Any) -> None:
    project.replace("environment", "probeRate: 50/s", "probeRate: 34/s")
    project.replace("probe", "service: payments", "service: checkout")
    assert [problem.message for problem in project.problems()] == [
        "of the probeRate of 34/s, nothing is left for the probe 'parked-orders'"
    ]
    project.replace("environment", "probeRate: 34/s", "probeRate: 40/s")
    plan = project.bind(time_scale=12)
    assert plan.probe("parked-orders").rate == 10
    assert plan.probe("payments-answers").rate == 7


def test_unattended_run_does_not_exercise_manual_steps(plan: Plan) -> None:
    assert plan.runbook is not None
    kinds = [item.step.kind for item in plan.runbook.steps]
    assert (kinds.count(StepKind.AUTOMATED), kinds.count(StepKind.MANUAL)) == (3, 4)
    assert [item.exercised for item in plan.runbook.steps] == [kind is StepKind.AUTOMATED for kind in kinds]
    assert {item.reason for item in plan.runbook.steps} == {"", "manual, and nobody attends this run"}
    assert plan.rehearsal == (
        "the tier is lab",
        "time runs at a scale of 60",
        "unattended: 4 manual steps are not exercised",
    )


def test_attended_run_exercises_all(project: Any) -> None:
    plan = project.bind(attended=True)
    assert plan.runbook is not None
    assert all(item.exercised for item in plan.runbook.steps)
    assert plan.environment.attended
    assert plan.rehearsal == ("the tier is lab", "time runs at a scale of 60")


def test_a_step_after_one_that_is_not_exercised_is_not_either(project: Any) -> None:
    project.replace("runbook", "after: rollback", "after: page-payments")
    plan = project.bind()
    step = next(item for item in plan.runbook.steps if item.step.id == "replay-parked")
    assert not step.exercised
    assert step.reason == "it comes after 'page-payments', which is not exercised"


def test_profile_and_settings_make_a_rehearsal(project: Any) -> None:
    plan = project.bind(profile="ci", settings={"share": "25%"}, time_scale=1)
    assert plan.time_scale == 1
    assert plan.profile == "ci"
    assert plan.parameters["hold"] == "8m"
    assert plan.parameters["share"] == "25%"
    assert plan.changed == ("after", "before", "budget", "hold", "recover", "share")
    assert plan.rehearsal[-2:] == (
        "the profile 'ci' is used",
        "changed parameters: after, before, budget, hold, recover, share",
    )


def test_inputs_are_all_files_with_their_digests(project: Any, plan: Plan) -> None:
    probes = {f"probes/{name}.yaml" for name in ("parked-orders", "storefront-answers", "charged-orders")}
    by_name = {"experiments/load/storefront.py", *probes}
    assert [item.path for item in plan.inputs] == sorted({*FILES.values(), *by_name})
    for item in plan.inputs:
        assert item == InputDigest(
            path=item.path, sha256=hashlib.sha256((project.root / item.path).read_bytes()).hexdigest()
        )


def test_reproduce_and_version(plan: Plan) -> None:
    assert plan.reproduce == "gameday run api-dependency-brownout"
    assert plan.gameday == gameday.__version__
    assert plan.experiment.proves == "API dependency brownout (20% errors for 30m): expect rollback"


def test_control_experiment_has_no_hold(project: Any) -> None:
    text = (project.root / "experiments/api-dependency-brownout.yaml").read_text()
    start, end = text.index("  faults:"), text.index("  after: ${after}")
    text = text[:start] + "  control: true\n" + text[end:]
    text = text[: text.index("  expect:")] + "  expect:\n    - {kind: slo, slo: customer, budget: 1%}\n"
    text = text[: text.index("  parameters:")] + "  parameters: {after: 12m}\n" + text[text.index("  roles:") :]
    (project.root / "experiments/api-dependency-brownout.yaml").write_text(text)
    plan = project.bind()
    assert plan.experiment.control
    assert [(phase.name, phase.start, phase.end) for phase in plan.phases] == [
        (PhaseName.BEFORE, 0, 720),
        (PhaseName.AFTER, 720, 1440),
    ]


def test_an_experiment_may_have_a_load_pack_of_its_own(project: Any) -> None:
    (project.root / "experiments/load/buyers.py").write_text("# load\n")
    project.replace("environment", "packs: {", "packs: {api-dependency-brownout: buyers, ")
    plan = project.bind()
    assert plan.load is not None
    assert plan.load.pack == "buyers"
    assert "experiments/load/buyers.py" in {digest.path for digest in plan.inputs}
    assert "experiments/load/storefront.py" not in {digest.path for digest in plan.inputs}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("api-dependency-brownout", ["edge", "checkout", "payments", "books"]),
        ("secrets-backend-outage", ["edge", "accounts", "secrets"]),
        ("read-replica-lag", ["edge", "orders", "primary", "standby"]),
        ("node-pool-exhaustion", ["edge", "catalog", "nodes"]),
    ],
)
def test_each_shipped_experiment_asks_for_its_own_part_of_the_lab(name: str, names: list[str]) -> None:
    plan = bind(gather(Catalog([builtin_root()]), name, "lab"), LAB, BindOptions())
    assert [service.url for service in plan.services] == [f"lab://{one}" for one in names]


def test_external_load(project: Any) -> None:
    project.replace("experiment", "load: {rate: 200/s}", "load: {external: true, atLeast: 50/s, slo: dependency}")
    for name in ("good", "total"):
        ratio = "{metricSource: {type: metrics, spec: {service: checkout, counter: requests, where: {x: y}}}}"
        if name == "total":
            ratio = ratio.replace(", where: {x: y}", "")
        text = (project.root / "probes/checkout-availability.yaml").read_text()
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{name}:"))
        project.replace("customer", line, f"        {name}: {ratio}")
    project.replace("experiment", "source: load", "source: slo/customer")  # the generator is not ours
    project.replace("experiment", "    - {kind: data_loss, endpoint: checkout, probe: charged}\n", "")
    plan = project.bind()
    assert plan.load is not None
    assert (plan.load.external_slo, plan.load.at_least, plan.load.pack) == ("payments-availability", 50, None)


def test_shipped_catalog_binds_cleanly(shipped: Plan) -> None:
    assert shipped.environment.name == "lab"
    assert shipped.experiment.name == "api-dependency-brownout"


def test_plan_json_is_canonical_and_stable(plan: Plan) -> None:
    data = plan_json(plan)
    assert data.endswith(b"}\n")
    body = json.loads(data)
    assert list(body) == sorted(body)
    assert load_plan(data) == plan
    assert plan_json(load_plan(data)) == data


@pytest.mark.parametrize(
    ("way", "told"),
    [("status", {"as": "status", "share": 0.2, "status": 503}), ("reset", {"as": "reset", "share": 0.2})],
)
def test_a_plan_tells_no_status_where_none_is_answered(plan: Plan, way: str, told: dict[str, Any]) -> None:
    harm = Brownout.model_validate({"share": "20%", "as": way})
    fault = plan.faults[0].model_copy(update={"with_": harm})
    changed = plan.model_copy(update={"faults": (fault,)})
    body = json.loads(plan_json(changed))
    assert body["faults"][0]["with"] == told
    assert load_plan(json.dumps(body).encode()) == changed
    body["faults"][0]["with"]["status"] = 503
    assert load_plan(json.dumps(body).encode()) == changed, "as an earlier version wrote it"


def test_binding_is_pure(project: Any) -> None:
    assert plan_json(project.bind()) == plan_json(project.bind())


@hypothesis_settings(max_examples=40, deadline=None, database=None)
@given(
    at=st.floats(0.0001, 1e9),
    scale=st.floats(0.0001, 1e7),
    title=TEXT,
    parameters=st.dictionaries(TEXT, st.text("ab%$1", max_size=4)),
)
def test_any_plan_survives_its_json(
    shipped: Plan, at: float, scale: float, title: str, parameters: dict[str, str]
) -> None:
    changed = shipped.model_copy(
        update={
            "time_scale": scale,
            "parameters": parameters,
            "experiment": shipped.experiment.model_copy(update={"title": title}),
            "faults": tuple(fault.model_copy(update={"at": at}) for fault in shipped.faults),
        }
    )
    data = plan_json(changed)
    assert load_plan(data) == changed
    assert plan_json(load_plan(data)) == data


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b"null", b"\xff", b"[" * 100000, b'{"schema": "gameday/plan/v2"}'],
    ids=["empty", "torn", "list", "bare", "null", "binary", "deep", "other schema"],
)
def test_what_is_no_plan(data: bytes) -> None:
    with pytest.raises(UsageError, match="not a plan"):
        load_plan(data)


def test_a_plan_with_an_unknown_key_is_refused(plan: Plan) -> None:
    body = json.loads(plan_json(plan))
    body["extra"] = 1
    with pytest.raises(UsageError, match="not a plan: extra"):
        load_plan(json.dumps(body).encode())


@pytest.mark.parametrize("scale", [0.0, 0.5, -1.0, float("nan"), float("inf")])
def test_a_time_scale_that_is_none(scale: float, project: Any) -> None:
    with pytest.raises(UsageError, match="--time-scale"):
        project.bind(time_scale=scale)


def test_problems_of_all_files_and_of_binding_are_told_at_once(project: Any) -> None:
    places = {
        project.replace("experiment", "hypothesis: A", "§hypotesis: B\n  hypothesis: A"),
        project.replace("experiment", "  maxTimeScale: 60", "  maxTimeScale: 60\n  §maxTimeScale: 60"),
        project.replace("experiment", "within: 5m}", "within: §5}"),
        project.replace("experiment", "[entry, service, dependency]", "[entry, service, dependency, §cache]"),
        project.replace("experiment", "runbook: api-dependency-brownout", "runbook: §api-brownout"),
        project.replace("experiment", 'share: "${share}"', 'share: §"${share}"'),
        project.replace("environment", "driver: toxiproxy", "driver: §toxyproxy"),
        project.replace("environment", "minBudget: 0%", "minBudget: §0"),
        project.replace(
            "slo", "service: checkout, counter: payments_calls_total}", "service: §chekout, counter: x}"
        ),
    }
    project.replace("environment", "share: 30%", "share: 10%")
    with pytest.raises(SpecError) as caught:
        project.bind()
    told = {f"{problem.file}:{problem.line}:{problem.column}" for problem in caught.value.problems}
    assert told == places


def test_a_run_that_a_file_answers_for_is_a_rehearsal(project: Any) -> None:
    file = InputDigest(path="answers.yaml", sha256="0" * 64)
    plan = project.bind(attended=True, answers=file)
    assert plan.runbook is not None
    assert all(item.exercised for item in plan.runbook.steps)
    assert "manual steps are answered from a file, not by people" in plan.rehearsal
    assert file in plan.inputs
