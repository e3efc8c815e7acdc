"""A standby that stands still: what can prove it, and expectations that could never pass or never fail."""

from __future__ import annotations

from typing import Any

import pytest

from gameday.errors import SpecError
from gameday.model.enums import FaultKind
from gameday.model.experiment import ReplayPause, Throttled
from gameday.model.plan import Plan
from gameday.plan import BindOptions, Capabilities, bind, load_plan, plan_json
from gameday.ports import DriverInfo
from gameday.spec import Catalog, gather
from tests.plan.conftest import LAB, Project

EXPERIMENT = """apiVersion: gameday/v1
kind: Experiment
metadata: {name: api-dependency-brownout}
spec:
  hypothesis: Orders are throttled before more is lost than allowed.
  maxTimeScale: 12
  roles: {services: [entry, standby], slos: [customer], probes: [lag, orders]}
  steadyState:
    - {probe: lag, atLeast: 99%, minEvents: 5}
  load: {rate: 20/s}
  faults:
    - {kind: replay_pause, service: standby, at: 3m, for: 13m, proof: {probe: lag}}
  after: 8m
  expect:
    - {kind: throttled, endpoint: order, probe: lag, above: 5m, within: 1m, hold: 1m}
    - {kind: unthrottled, endpoint: order, probe: lag, below: 1m, within: 2m, hold: 1m}
    - {kind: data_loss, endpoint: order, probe: orders}
    - {kind: recovered, slo: customer, left: true, within: 16m, hold: 1m}
"""
ENVIRONMENT = """apiVersion: gameday/v1
kind: Environment
metadata: {name: lab}
spec:
  tier: lab
  timeScale: allowed
  history: clean
  probeRate: 50/s
  services:
    entry: {name: checkout, url: "lab://edge"}
    primary: {name: primary, url: "lab://primary"}
    standby:
      name: standby
      url: "lab://standby"
      faults: {replay_pause: {driver: standstill, api: "lab://standby"}}
  slos: {customer: checkout-availability}
  probes: {lag: standby-lag, orders: orders-placed}
  load: {pack: storefront, maxRate: 400/s}
  blastRadius: {faults: [replay_pause], atOnce: {faults: 1, services: 1}, share: 100%}
  safety: {minBudget: 0%, forbidden: [], confirm: false}
"""
PROBE = "apiVersion: gameday/v1\nkind: Probe\nmetadata: {name: NAME}\nspec:\n  FORM\n"
SQL = "sql: {service: standby, query: SELECT 1, below: 5}"
ROWS = "rows: {service: primary, query: SELECT id FROM orders}"
HTTP = "http: {service: standby, path: /lag}"
FILE = "experiments/api-dependency-brownout.yaml"


class Standby:
    def __init__(self, project: Project) -> None:
        self.root = project.root
        self.replace = project.replace
        (self.root / FILE).write_text(EXPERIMENT)
        (self.root / "experiments/environments/lab.yaml").write_text(ENVIRONMENT)
        self.probe("standby-lag", SQL)
        self.probe("orders-placed", ROWS)

    def probe(self, name: str, form: str) -> None:
        (self.root / f"probes/{name}.yaml").write_text(PROBE.replace("NAME", name).replace("FORM", form))

    def bind(self, scale: float = 12) -> Plan:
        pauses = DriverInfo(name="standstill", path="x:Y", kinds=frozenset({FaultKind.REPLAY_PAUSE}))
        able = Capabilities({**LAB.drivers, "standstill": pauses}, LAB.provisioners, LAB.release_sources)
        sources = gather(Catalog([self.root]), "api-dependency-brownout", "lab")
        return bind(sources, able, BindOptions(time_scale=scale))

    def told(self, scale: float = 12) -> list[str]:
        try:
            self.bind(scale)
        except SpecError as error:
            return [str(problem) for problem in error.problems]
        return []


@pytest.fixture
def standby(project: Any) -> Standby:
    return Standby(project)


def test_it_is_bound_and_kept(standby: Standby) -> None:
    plan = standby.bind()
    assert plan.faults[0].with_ == ReplayPause()
    assert isinstance(plan.expect[0], Throttled)
    assert (plan.expect[0].probe, plan.probe("standby-lag").rate) == ("standby-lag", 10.0)
    assert load_plan(plan_json(plan)) == plan


@pytest.mark.parametrize(("form", "refused"), [(HTTP, True), (ROWS, True), (SQL, False)])
def test_only_a_number_proves_a_pause(standby: Standby, form: str, refused: bool) -> None:
    standby.probe("standby-lag", form)
    told = [one for one in standby.told() if "can not show how far a standby is behind" in one]
    assert bool(told) == refused


def test_a_number_proves_nothing_else(standby: Standby) -> None:
    standby.replace("experiment", "kind: replay_pause,", "kind: outage,")
    assert any("'standby-lag' is a query: it makes no calls" in one for one in standby.told())


def test_a_fault_that_holds_too_few_numbers(standby: Standby) -> None:
    standby.replace("environment", "probeRate: 50/s", "probeRate: 1/s")
    standby.replace("experiment", "for: 13m", "for: 9m")
    told = standby.told()
    assert any("the fault holds 45 checks of 'standby-lag', 50 are needed" in one for one in told), told


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("for: 13m", "for: 419s", "the fault ends after 6m 59s, but the lag needs 5m to pass 'above', and this 2m"),
        ("above: 5m", "above: 12m", "it can not pass"),
        ("below: 1m, within: 2m", "below: 1m, within: 421s", "'after' is 8m, but this needs 8m 1s"),
        ("below: 1m, within: 2m", "below: 1m, within: 59s", "is 4.92 s of real time"),
        ("load: {rate: 20/s}", "load: {rate: 1/s}", "'hold: 1m' holds 5 requests at most, 10 are needed"),
        ("probe: orders}", "probe: lag}", "'standby-lag' reads no rows"),
        ("lag, above: 5m", "lag, unwritten: lag, above: 5m", "'standby-lag' reads no rows: it can not tell"),
        ("lag, above: 5m", "lag, unwritten: order, above: 5m", "the role 'order' is not declared"),
        ("order, probe: lag, above", "order, probe: orders, above", "only 'data_loss', and 'unwritten' of"),
        ("- {probe: lag, at", "- {probe: orders, at", "'orders-placed' reads rows: it is asked once"),
        ("  load: {rate: 20/s}\n", "", "but the experiment sends none"),
        ("left: true, within: 16m", "within: 16m", "that outlasts the fault (13m) can not fail"),
    ],
)
def test_what_can_not_be_judged_is_refused(standby: Standby, old: str, new: str, message: str) -> None:
    assert standby.told() == []
    standby.replace("experiment", old, new)
    told = standby.told()
    assert any(message in one for one in told), told


@pytest.mark.parametrize(
    ("old", "new"),
    [("for: 13m", "for: 7m"), ("below: 1m, within: 2m", "below: 1m, within: 7m"), ("rate: 20/s", "rate: 2/s")],
)
def test_just_enough_is_not(standby: Standby, old: str, new: str) -> None:
    standby.replace("experiment", old, new)
    assert not [one for one in standby.told() if "expect" in one or "needed" in one]


def test_a_probe_that_is_asked_too_seldom_for_its_limit(standby: Standby) -> None:
    standby.replace("experiment", "maxTimeScale: 12", "maxTimeScale: 60")
    standby.probe("standby-lag", "chaostoolkit: {module: chaosx.probes, func: lag, every: 2s, tolerance: true}")
    standby.replace("environment", "safety: {", "safety: {modules: [chaosx.probes], ")
    told = standby.told(12)
    assert any(
        "is asked every 2 s, which is more than a third of the limit (5 s of real time)" in one for one in told
    )


def test_guards_do_not_rest_on_rows(standby: Standby) -> None:
    standby.replace(
        "experiment",
        "  after: 8m",
        "  guards:\n    - {kind: probe, probe: orders, below: 50%, over: 2m}\n  after: 8m",
    )
    only = "only 'data_loss', and 'unwritten' of 'throttled', rest on such a probe"
    assert any(only in one for one in standby.told())
    standby.replace(
        "experiment", "{kind: probe, probe: orders, below: 50%", "{kind: dead_source, source: probe/orders"
    )
    assert any("this run has no source 'probe/orders'" in one for one in standby.told())


def test_what_must_not_have_been_written_becomes_a_probes_name(standby: Standby) -> None:
    standby.replace("experiment", "lag, above: 5m", "lag, unwritten: orders, above: 5m")
    plan = standby.bind()
    assert isinstance(plan.expect[0], Throttled)
    assert (plan.expect[0].probe, plan.expect[0].unwritten) == ("standby-lag", "orders-placed")
    assert load_plan(plan_json(plan)) == plan


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("rows: {service: entries, path: /orders}", "no service 'entries'"),
        ("rows: {service: primary}", "rows are asked for in one way"),
        ("rows: {service: primary, path: /orders, query: SELECT 1}", "rows are asked for in one way"),
        ("rows: {service: primary, path: orders}", "'orders' is not a path"),
        ("rows: {service: primary, path: /orders, settle: 301s}", "'301s' must be at most 300"),
        ("rows: {service: primary, path: /orders, settle: 1m}", ""),
    ],
)
def test_rows_by_http(standby: Standby, form: str, told: str) -> None:
    standby.probe("orders-placed", form)
    found = standby.told()
    assert any(told in one for one in found) if told else found == [], found


def test_what_must_not_be_written_is_checked_beside_a_probe_that_is_not_declared(standby: Standby) -> None:
    standby.replace("experiment", "probe: lag, above: 5m", "probe: lagg, unwritten: lag, above: 5m")
    told = standby.told()
    assert any("the role 'lagg' is not declared" in one for one in told), told
    assert any("'standby-lag' reads no rows: it can not tell" in one for one in told), told


@pytest.mark.parametrize("use", ["data_loss", "unwritten"])
def test_a_role_for_rows_that_nothing_is_bound_to(standby: Standby, use: str) -> None:
    standby.replace("experiment", "probes: [lag, orders]", "probes: [lag, orders, books]")
    if use == "data_loss":
        standby.replace("experiment", "probe: orders}", "probe: books}")
    else:
        standby.replace("experiment", "lag, above: 5m", "lag, unwritten: books, above: 5m")
    (told,) = [one for one in standby.told() if "binds no probe to the role 'books'" in one]
    assert "bind a probe of the form 'rows': see docs/reference/standby.md" in told


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("[lag, orders]", "[lag, orders, order]", "did you mean 'orders'?"),
        ("[lag, orders]", "[lag, orders, books]", "it binds: lag, orders"),
        ("[customer]", "[customer, books]", "it binds: customer"),
    ],
)
def test_another_role_that_nothing_is_bound_to(standby: Standby, old: str, new: str, hint: str) -> None:
    standby.replace("experiment", old, new)
    (told,) = [one for one in standby.told() if "to the role" in one]
    assert hint in told
    assert "docs/reference/experiments.md" in told
    assert "'rows'" not in told


def test_a_probe_that_is_steady_too_is_no_role_for_rows(standby: Standby) -> None:
    standby.replace("experiment", "probes: [lag, orders]", "probes: [lag, orders, books]")
    standby.replace("experiment", "probe: orders}", "probe: books}")
    standby.replace("experiment", "- {probe: lag, at", "- {probe: books, at")
    (told,) = [one for one in standby.told() if "to the role" in one]
    assert "it binds: lag, orders" in told


BROKEN = """    payments:
      name: payments
      url: "http://payments:9/"
      faults: {KIND: {driver: DRIVER, api: "http://proxy:8474", proxy: payments}}
    books: {name: payments-books, url: "ADDRESS"}
  slos:"""


@pytest.mark.parametrize(
    ("address", "service", "kind", "driver", "refused"),
    [
        ("http://books:9", "payments-books", "outage", "toxiproxy", False),
        ("http://payments:9", "payments-books", "outage", "toxiproxy", True),
        ("http://books:9", "payments", "outage", "toxiproxy", True),
        ("http://books:9", "payments", "outage", "standstill", False),
        ("http://books:9", "payments", "latency", "toxiproxy", False),
    ],
)
def test_rows_by_the_way_that_a_fault_breaks(
    standby: Standby, address: str, service: str, kind: str, driver: str, refused: bool
) -> None:
    bound = BROKEN.replace("ADDRESS", address).replace("KIND", kind).replace("DRIVER", driver)
    standby.replace("environment", "  slos:", bound)
    standby.replace("experiment", "[entry, standby]", "[entry, standby, payments]")
    standby.replace(
        "experiment",
        "  after: 8m",
        "    - {id: away, kind: outage, service: payments, at: 3m, for: 13m, proof: {probe: lag}}\n  after: 8m",
    )
    standby.probe("orders-placed", f"rows: {{service: {service}, path: /charges}}")
    told = [one for one in standby.told() if "is reached through the proxy" in one]
    assert bool(told) == refused
    assert all("probes/orders-placed.yaml:5:" in one and "not the way to it" in one for one in told)


def test_books_that_are_not_bound_are_not_mistaken_for_the_way_to_them(standby: Standby) -> None:
    standby.replace("environment", "name: checkout,", "name: payments,")
    standby.probe("orders-placed", "rows: {service: payments-books, path: /charges}")
    (told,) = [one for one in standby.told() if "no service 'payments-books'" in one]
    assert "did you mean" not in told
    assert "keeps the truth itself" in told


@pytest.mark.parametrize(
    ("url", "form", "told"),
    [
        ("http://shop", "rows: {service: primary, path: /orders}", ""),
        ("http://shop", ROWS, "is no PostgreSQL"),
        ("postgresql://db/shop", "rows: {service: primary, path: /orders}", "which is not asked by HTTP"),
    ],
)
def test_rows_are_asked_as_the_service_is(standby: Standby, url: str, form: str, told: str) -> None:
    standby.replace("environment", '"lab://primary"', f'"{url}"')
    standby.probe("orders-placed", form)
    found = [one for one in standby.told() if "PostgreSQL" in one]
    assert any(told in one for one in found) if told else found == [], found
