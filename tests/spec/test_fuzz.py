"""Whatever is done to the text of a file: it loads, or SpecError says what is wrong; never anything else."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.errors import SpecError
from gameday.spec import Catalog, builtin_root, load_environment, load_experiment, load_slo
from gameday.spec.runbook import parse_runbook

EXPERIMENT = (builtin_root() / "experiments/api-dependency-brownout.yaml").read_text()
ENVIRONMENT = (builtin_root() / "experiments/environments/lab.yaml").read_text()
SLO = (builtin_root() / "probes/payments-availability.yaml").read_text()
RUNBOOK = (builtin_root() / "runbooks/api-dependency-brownout.md").read_text()
SNIPPETS = (
    "",
    " ",
    "\n",
    "\t",
    ":",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!x ",
    "|\n",
    ">",
    "'",
    '"',
    "#",
    "---\n",
    "...",
    "? ",
    "<<: ",
    "null",
    "~",
    "%",
    "${x}",
    "${hold}",
    "1e999",
    "-1",
    "99999999999999999999999d",
    "\x00",
    "\ufeff",
    '"\\ud800"',
    '"\\U00110000"',
    '"\\x41"',
    "é",
    "\u2028",
    "x: y",
    "```",
    "```yaml step\n",
    "## ",
    "### ",
    "٣m",
    "=",
    "@",
    "`",
)


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """The text after a few insertions, deletions and moves."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 5, 40])))
        snippet = draw(
            st.sampled_from(SNIPPETS) | st.text(max_size=5).map(lambda t: t.encode("utf-8", "ignore").decode())
        )
        text = text[:start] + snippet + text[end:]
    return text


@pytest.fixture(scope="module")
def file() -> Path:  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "payments-availability.yaml"


@pytest.mark.parametrize("which", ["experiment", "environment", "slo"])
def test_nothing_but_spec_error(which: str, file: Path) -> None:
    text = {"experiment": EXPERIMENT, "environment": ENVIRONMENT, "slo": SLO}[which]
    (file.parent / "probes").mkdir(exist_ok=True)
    catalog = Catalog([file.parent])

    @settings(max_examples=40, deadline=None, database=None)
    @given(mutated(text))
    def check(changed: str) -> None:
        with contextlib.suppress(SpecError):
            if which == "slo":
                (file.parent / "probes" / file.name).write_bytes(changed.encode())
                load_slo(catalog, "payments-availability")
            else:
                file.write_bytes(changed.encode())
                (load_experiment if which == "experiment" else load_environment)(catalog, file)

    check()


@settings(max_examples=50, deadline=None, database=None)
@given(mutated(RUNBOOK))
def test_runbooks_never_raise(changed: str) -> None:
    parsed = parse_runbook(changed, "r.md")
    assert parsed.problems or parsed.value is not None


@settings(max_examples=40, deadline=None, database=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_bytes(data)
        with pytest.raises(SpecError):
            load_experiment(Catalog([Path(folder)]), path)
