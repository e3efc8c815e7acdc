"""A probe of an extension: good, bad, or no data, at its own pace, in a child that is ended with it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from gameday.errors import PreflightError
from gameday.model.events import ProbeSample
from gameday.model.plan import BoundProbe
from gameday.observers import sampling
from gameday.observers.chaostoolkit import ChaosProbe
from tests.extension import FOLDER, MODULE

LONG = 60.0
"""Real seconds, for what takes moments."""


@pytest.fixture(autouse=True)
def _extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{FOLDER}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep))
    monkeypatch.setattr(sampling, "_EAGER", 0.05)


def probe(func: str, tolerance: Any = True, every: float = 0.2, **more: Any) -> ChaosProbe:
    arguments = more.pop("arguments", {})
    check = {"module": MODULE, "func": func, "arguments": arguments, "tolerance": tolerance, "every": every, **more}
    bound = {"name": "mended", "chaostoolkit": {"timeout": min(every, 10), **check}, "rate": 1 / every}
    return ChaosProbe(BoundProbe.model_validate(bound))


def children() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True)}


def test_good_and_bad_as_it_changes_from_one_process(records: Any, running: Any, tmp_path: Path) -> None:
    broken, before = tmp_path / "broken", children()
    one = probe("is_broken", False, arguments={"path": str(broken)}, every=1.0)
    one.check()
    assert children() == before
    with running(one):
        records.wait(lambda: records.all(ProbeSample), LONG)
        process = children() - before
        broken.touch()
        records.wait(lambda: not records.all(ProbeSample)[-1].ok, LONG)
        assert children() - before == process, "its process stays"
    good, bad = records.all(ProbeSample)[0], records.all(ProbeSample)[-1]
    assert (good.ok, good.value, good.error) == (True, None, "")
    assert (bad.ok, bad.error) == (False, "returned True")
    assert {source for source, _ in records.events} == {"probe/mended"}
    assert children() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("func", "arguments", "why"),
    [
        ("fails", {"why": "503"}, "ValueError: 503"),
        ("echo", {"value": []}, "[] is not a number"),
        ("dies", {}, "its process ended without an answer"),
    ],
)
def test_what_is_no_value_is_a_gap(
    records: Any, running: Any, func: str, arguments: dict[str, Any], why: str
) -> None:
    with running(probe(func, {"type": "range", "range": [0, 1]}, arguments=arguments)):
        records.wait(lambda: records.gaps, LONG)
    assert records.all(ProbeSample) == []
    assert why in records.gaps[0].reason


@pytest.mark.slow
def test_one_that_hangs_is_a_gap_and_is_begun_anew(records: Any, running: Any, tmp_path: Path) -> None:
    path, before = str(tmp_path / "x"), children()
    with running(probe("hang_unless", arguments={"path": path}, every=1.0)):
        records.wait(lambda: records.all(ProbeSample), LONG)
        assert len(children() - before) == 1
    assert "did not end within 1 s, and was killed" in records.gaps[0].reason
    assert records.all(ProbeSample)[0].ok


@pytest.mark.slow
def test_to_stop_does_not_wait_for_one_that_hangs(records: Any, tmp_path: Path) -> None:
    path, before = tmp_path / "x", children()
    one = probe("hang_unless", arguments={"path": str(path)}, every=60.0, timeout=60.0)
    one.start(records)
    records_before = len(records.events)
    while not path.exists():
        assert one._thread is not None
        one._thread.join(0.05)
    began = time.monotonic()
    one.stop()
    assert time.monotonic() - began < 30, "its call would take 60 s"
    assert children() == before
    assert len(records.events) == records_before, "to be ended is no gap"


@pytest.mark.slow
def test_preflight_hears_what_can_not_be_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = children()
    with pytest.raises(PreflightError, match=r"probe/mended: chaosx.is_broken takes no argument 'pth'"):
        probe("is_broken", arguments={"pth": "x"}).check()
    (tmp_path / "chaoslib").mkdir()
    (tmp_path / "chaoslib" / "__init__.py").write_text("raise ImportError('No module named chaoslib')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    with pytest.raises(PreflightError, match="Chaos Toolkit is not installed") as error:
        probe("variables").check()
    assert error.value.hint == "pip install 'gameday[chaostoolkit]'"
    assert children() == before


def test_a_probe_of_another_kind_is_refused() -> None:
    bound = BoundProbe.model_validate({"name": "up", "promql": {"query": "up", "above": 0}, "rate": 1})
    with pytest.raises(ValueError, match="calls no extension"):
        ChaosProbe(bound)
