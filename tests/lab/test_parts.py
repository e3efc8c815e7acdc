from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gameday.errors import UsageError
from gameday.lab import manage, parts, provisioner, supervisor
from gameday.lab import record as records
from gameday.lab.client import http
from gameday.lab.config import AccountsConfig, KeeperConfig, PaymentsConfig
from gameday.lab.parts import PARTS, Link, Part, Process, Setting, needed, select
from gameday.lab.provisioner import LabProvisioner, parts_of
from gameday.lab.service import SERVICES
from gameday.lab.supervisor import Lab
from gameday.model.base import JSON
from gameday.model.plan import BoundService, Plan
from gameday.processes import alive


def _shop(setting: Setting) -> PaymentsConfig:
    assert Path(setting.file("key")).stat().st_mode & 0o777 == 0o600
    assert setting.urls["till-through-proxy"] != setting.urls["till"]
    return PaymentsConfig.model_validate(setting.shared)


TILL = Part(
    "till",
    processes=(Process("till", "payments", _shop),),
    addresses={"lab://till": ("till-through-proxy",)},
    links=(Link("till", "till"),),
    secrets=("key",),
)
SHOP = Part(
    "shop",
    processes=(Process("shop", "payments", _shop),),
    addresses={"lab://shop": ("shop",)},
    needs=("till",),
    routes={"/charge": ("shop",)},
)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Part]:
    """A lab that has these parts."""
    table = {"till": TILL, "shop": SHOP}
    for module in (parts, supervisor, provisioner):
        monkeypatch.setattr(module, "PARTS", table)
    return table


def _using(plan: Plan, url: str) -> Plan:
    return plan.model_copy(update={"services": (*plan.services, BoundService(role="x", name="x", url=url))})


def test_a_part_brings_what_it_needs(two: Mapping[str, Part]) -> None:
    assert needed(["lab://edge", "lab://shop"]) == ("till", "shop")
    assert needed(["lab://till"]) == ("till",)
    assert needed(["lab://edge", "http://shop.example"]) == ()
    assert select(["shop", "till"]) == ("till", "shop")


def test_a_plan_asks_for_parts_by_its_addresses(two: Mapping[str, Part], plan: Plan) -> None:
    assert parts_of(plan) == ()
    assert parts_of(_using(plan, "lab://shop")) == ("till", "shop")


def test_the_shipped_parts_hold_together() -> None:
    for part in PARTS.values():
        names = [name for process in part.processes for name in (process.name, *process.listens)]
        linked = {f"{link.name}-through-proxy" for link in part.links}
        assert set(part.needs) <= set(PARTS)
        assert {process.kind for process in part.processes} <= {*SERVICES}
        assert {name for urls in part.addresses.values() for name in urls} <= {*names, *linked, "edge"}
        assert {name for urls in part.routes.values() for name in urls} <= set(names)
        assert {link.upstream for link in part.links} <= set(names)
        assert set(part.told.values()) <= set(names)
        assert all(address.startswith("lab://") for address in (*part.addresses, *part.told))


@pytest.mark.slow
def test_a_lab_starts_the_parts_that_are_asked_for(state: Path, two: Mapping[str, Part], plan: Plan) -> None:
    lab = Lab.start(60, [], own=True, parts=["shop"])
    try:
        record = records.find(lab.record.id)
        assert record.parts == ("till", "shop")
        assert len(record.processes) == 12
        with http() as session:
            edge = record.addresses["lab://edge"][0]
            assert session.post(f"{edge}/charge", data=b"{}", timeout=2).json() == {"charged": True}
            assert session.get(f"{record.addresses['lab://till'][0]}/answers", timeout=2).status_code == 200
            proxies = session.get(f"{record.addresses['lab://proxy'][0]}/proxies", timeout=2).json()
        assert set(proxies) == {"payments", "till"}
    finally:
        lab.end()
    assert not any(map(alive, record.processes.values()))
    assert list(records.labs_dir().iterdir()) == []


@pytest.mark.slow
def test_a_lab_by_hand_has_what_its_experiments_need_and_no_more(
    state: Path, two: Mapping[str, Part], plan: Plan, until: Callable[[Callable[[], bool], float, str], float]
) -> None:
    record = manage.up(plans=[_using(plan, "lab://till")])
    try:
        assert record.parts == ("till",)
        LabProvisioner().check(plan, [], record.id)
        LabProvisioner().check(_using(plan, "lab://till"), [], record.id)
        with pytest.raises(UsageError, match="without what this run needs: shop") as caught:
            LabProvisioner().provision(_using(plan, "lab://shop"), [], record.id)
        assert caught.value.hint == "gameday lab up --for x"
    finally:
        manage.down(record.id)


def test_flaws_that_only_one_replica_of_accounts_has(tmp_path: Path) -> None:
    flaws: JSON = ["crash-on-secret-loss", "lease-not-reread", "noisy-alert"]
    shared: dict[str, JSON] = {"token_file": "t", "scale": 30, "flaws": flaws}
    setting = Setting(tmp_path, shared, {"secrets-through-proxy": "http://127.0.0.1:1"})
    config = PARTS["accounts"].processes[0].config(setting)
    assert isinstance(config, KeeperConfig)
    replicas = [AccountsConfig.model_validate_json(kept.config) for kept in config.replicas]
    assert [replica.flaws for replica in replicas] == [
        ("crash-on-secret-loss", "noisy-alert"),
        ("noisy-alert",),
        ("lease-not-reread", "noisy-alert"),
    ]
    assert all(0.5 < replica.renew_at <= 2 / 3 for replica in replicas)
