"""`gameday selftest` on its shortest cell; all of it is `make flaws`, a part of it `make selftest-quick`."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Cli

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def test_a_real_cell(cli: Cli) -> None:
    out = cli.folder / "kept"
    chosen = ["--experiment", "api-dependency-brownout", "--flaw", "unhealthy-before"]
    done = cli("selftest", *chosen, "--out", str(out), "-o", "json")
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    told = [cell[name] for name in ("flaw", "expected", "got", "criterion", "as_expected")]
    assert told == ["unhealthy-before", "aborted", "aborted", "steady_before", True]
    assert cell["exit"] == {"expected": 5, "got": 5}
    assert cell["breaks"]["got"]["steady_before"] == "fail"
    assert json.loads((out / "selftest.json").read_text()) == json.loads(done.stdout)
    graded = json.loads((out / "api-dependency-brownout+unhealthy-before" / "grade.json").read_bytes())
    assert any("unhealthy-before" in notice["text"] for notice in graded["notices"])
    assert "as expected" in done.stderr
