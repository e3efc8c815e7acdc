"""A project with the shipped files, in which a test may spoil something."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from gameday.errors import Problem, SpecError
from gameday.spec import Catalog, builtin_root, load_all

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
PLACE = "§"
"""Marks in a replacement where the problem is expected."""


class Project:
    """The shipped experiment, environment, probes and runbook in a folder of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("experiments", "probes", "runbooks"):
            shutil.copytree(
                builtin_root() / folder, root / folder, ignore=shutil.ignore_patterns("load", "__pycache__")
            )
        (root / "experiments/load").mkdir()
        for pack in ("storefront", "logins", "orders"):
            (root / f"experiments/load/{pack}.py").write_text("# load\n")
        place = root / FILES["environment"]
        place.write_text(re.sub(r"blastRadius: .*", NARROW, place.read_text()))
        self.catalog = Catalog([root])

    def path(self, which: str) -> Path:
        """A file by its short name."""
        return self.root / FILES[which]

    def replace(self, which: str, old: str, new: str) -> str:
        """Replace the first ``old``; returns ``file:line:column`` of the place mark in ``new``, if it has one."""
        text = self.path(which).read_text()
        assert old in text, f"{old!r} is not in {FILES[which]}"
        text = text.replace(old, new, 1)
        before, mark, after = text.partition(PLACE)
        self.path(which).write_text(before + after)
        if not mark:
            return ""
        return f"{FILES[which]}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"

    def problems(self, **settings: str) -> tuple[Problem, ...]:
        """What loading everything complains about."""
        try:
            load_all(self.catalog, "api-dependency-brownout", "lab", settings=settings)
        except SpecError as error:
            return error.problems
        return ()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of the test's own."""
    return Project(tmp_path)
