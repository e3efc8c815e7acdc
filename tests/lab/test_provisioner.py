from __future__ import annotations

from pathlib import Path

import pytest

from gameday.errors import ProvisionError, UsageError
from gameday.lab import DRIVER_INFO, INFO
from gameday.lab.provisioner import LabProvisioner, rule_for, starvation
from gameday.model.enums import FaultKind
from gameday.model.plan import Plan
from gameday.model.slo import BurnPair

ADDRESSES = {"lab://edge": ("http://e",), "lab://checkout": ("http://a", "http://b")}


def test_the_rule_of_a_metrics_slo_reads_every_replica(plan: Plan) -> None:
    rule = rule_for(plan.slo("payments-availability"), plan, ADDRESSES)
    assert rule.alert == "PaymentsBurnRate"
    assert (rule.good.urls, rule.good.where) == (("http://a", "http://b"), {"outcome": "ok"})
    assert (rule.total.counter, rule.total.where) == ("payments_calls_total", {})
    assert isinstance(rule.pairs[0], BurnPair)


def test_the_rule_of_a_load_slo_reads_the_edge(plan: Plan) -> None:
    rule = rule_for(plan.slo("checkout-availability"), plan, ADDRESSES)
    assert rule.alert == "CheckoutBurnRate"
    assert (rule.good.urls, rule.good.counter) == (("http://e",), "edge_requests_total")
    assert (rule.good.where, rule.total.where) == ({"outcome": "ok"}, {})


def test_a_service_outside_of_the_lab_has_no_rule(plan: Plan) -> None:
    with pytest.raises(UsageError, match="not in the lab"):
        rule_for(plan.slo("payments-availability"), plan, {"lab://edge": ("http://e",)})


def test_starved_load_is_told_to_the_load_pack_in_real_seconds(plan: Plan) -> None:
    assert starvation(plan, ["starved-load"]) == {"GAMEDAY_LOAD_THIN": "11:0.5"}
    assert starvation(plan, ["stuck-fault"]) == {}


def test_bad_calls_are_refused_before_anything_starts(state: Path, plan: Plan) -> None:
    provisioner = LabProvisioner()
    with pytest.raises(UsageError, match="no flaw"):
        provisioner.provision(plan, ["x"], None)
    with pytest.raises(UsageError, match="there is no lab"):
        provisioner.provision(plan, [], "lab-1")
    with pytest.raises(ProvisionError):
        provisioner.connect(None)
    provisioner.close()
    assert list(state.iterdir()) == []


def test_what_binding_may_know() -> None:
    assert INFO.scheme == "lab"
    assert INFO.default_scale
    assert DRIVER_INFO.kinds == {FaultKind.RELEASE}
    assert not DRIVER_INFO.options
