"""Pages that are made from code are what the code says today."""

from __future__ import annotations

import re
from pathlib import Path

from tests import reference

ROOT = Path(__file__).parents[1]
ARGUMENT = (ROOT / "docs" / "explanation" / "nothing-left-behind.md").read_text(encoding="utf-8")


def test_the_timeline_reference_is_current() -> None:
    assert reference.PATH.read_text(encoding="utf-8") == reference.render(), "run: python -m tests.reference"


def test_every_test_that_the_safety_argument_names_is_there() -> None:
    named = 0
    for row in ARGUMENT.splitlines():
        file = ""
        for path, names in re.findall(r"`((?:tests/[\w/]+\.py)?)((?:::\w+)*)`", row):
            file = path or file
            source = (ROOT / file).read_text(encoding="utf-8") if file else ""
            for name in filter(None, names.split("::")):
                assert re.search(rf"(def|class) {name}\b", source), f"{file} has no {name}"
            named += bool(file)
    assert named > 40
