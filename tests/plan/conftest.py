"""A project with the shipped files, what the lab can do by hand, and binding in one call."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from gameday.drivers import POSTGRES
from gameday.errors import Problem, SpecError
from gameday.model.enums import FaultKind
from gameday.model.plan import Plan
from gameday.plan import BindOptions, Capabilities, bind
from gameday.ports import DriverInfo, Options, OptionShape, ProvisionerInfo
from gameday.spec import Catalog, builtin_root, gather

FILES = {
    "experiment": "experiments/api-dependency-brownout.yaml",
    "environment": "experiments/environments/lab.yaml",
    "customer": "probes/checkout-availability.yaml",
    "slo": "probes/payments-availability.yaml",
    "probe": "probes/payments-answers.yaml",
    "runbook": "runbooks/api-dependency-brownout.md",
}
NARROW = "blastRadius: {faults: [brownout], atOnce: {faults: 1, services: 1}, share: 30%}"
"""What the experiment needs of the lab's, which allows what the others need as well."""
LAB = Capabilities(
    drivers={
        "toxiproxy": DriverInfo(
            name="toxiproxy",
            path="x:Toxiproxy",
            kinds=frozenset({FaultKind.BROWNOUT, FaultKind.LATENCY, FaultKind.OUTAGE}),
            options=frozenset({"proxy"}),
            modes={FaultKind.BROWNOUT: frozenset({"status", "reset"})},
            needs={"status": "http_error", "reset": "reset_peer", "latency": "latency"},
            stock=frozenset({"reset_peer", "latency"}),
        ),
        "postgres": POSTGRES,
        "deployer": DriverInfo(name="deployer", path="x:Deployer", kinds=frozenset({FaultKind.RELEASE})),
        "cluster": DriverInfo(
            name="cluster",
            path="x:Cluster",
            kinds=frozenset({FaultKind.EXHAUST, FaultKind.DRAIN, FaultKind.SCALE}),
            faults=Options(required={"pool": OptionShape.TEXT}),
        ),
    },
    provisioners={
        "lab": ProvisionerInfo(scheme="lab", path="x:Lab", features=frozenset({"http_error"}), default_scale=True)
    },
    release_sources=frozenset({"deployer"}),
    workload_sources=frozenset({"cluster"}),
)


class Project:
    """The shipped files in a folder of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("experiments", "probes", "runbooks"):
            ignore = shutil.ignore_patterns("load", "__pycache__")
            shutil.copytree(builtin_root() / folder, root / folder, ignore=ignore)
        (root / "experiments/load").mkdir()
        for pack in ("storefront", "logins", "orders"):
            (root / f"experiments/load/{pack}.py").write_text("# load\n")
        place = root / FILES["environment"]
        place.write_text(re.sub(r"blastRadius: .*", NARROW, place.read_text()))

    def replace(self, which: str, old: str, new: str) -> str:
        """Replace the first ``old``; returns ``file:line:column`` of a § in ``new``, if it has one."""
        path = self.root / FILES[which]
        text = path.read_text()
        assert old in text, f"{old!r} is not in {FILES[which]}"
        before, mark, after = text.replace(old, new, 1).partition("§")
        path.write_text(before + after)
        return f"{FILES[which]}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}" if mark else ""

    def bind(
        self,
        profile: str | None = None,
        settings: dict[str, str] | None = None,
        name: str = "api-dependency-brownout",
        **options: Any,
    ) -> Plan:
        """Load and bind, as the command line does."""
        sources = gather(Catalog([self.root]), name, "lab", profile, settings)
        return bind(sources, LAB, BindOptions(**options))

    def problems(self, **call: Any) -> tuple[Problem, ...]:
        """What loading and binding complain about."""
        try:
            self.bind(**call)
        except SpecError as error:
            return error.problems
        return ()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of the test's own."""
    return Project(tmp_path)


@pytest.fixture(scope="session")
def shipped() -> Plan:
    """The shipped files, bound where they lie."""
    sources = gather(Catalog([builtin_root()]), "api-dependency-brownout", "lab")
    return bind(sources, LAB, BindOptions())
