"""Files that answer for manual steps: what they may say, and every problem at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.errors import SpecError
from gameday.spec import Catalog, load_answers

GOOD = """\
apiVersion: gameday/v1
kind: Answers
answers:
  - {step: page-payments, after: 500ms, do: done, by: Ada}
  - {step: declare-incident, after: 2s, do: skip, reason: no customer saw it}
notes:
  - {at: 3s, text: the pager was late, by: Kim}
abort: {at: 1m, by: Kim}
"""


def load(folder: Path, text: str) -> list[str]:
    """The problems of that file, as people see them."""
    path = folder / "answers.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load_answers(Catalog([folder]), path)
    except SpecError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_good_file_says_what_it_says(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == []
    document = load_answers(Catalog([tmp_path]), tmp_path / "answers.yaml")
    first, second = document.value.answers
    assert (first.step, first.after, first.do, first.by) == ("page-payments", 0.5, "done", "Ada")
    assert (second.after, second.do, second.reason, second.by) == (2.0, "skip", "no customer saw it", "")
    assert document.value.abort is not None
    assert document.value.abort.at == 60
    assert document.path == "answers.yaml"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("do: done", "do: doen", "answers.yaml:4:45: 'doen' is not one of done, failed, skip"),
        ("after: 500ms", "after: 5", "answers.yaml:4:34: '5' is not a duration"),
        ("by: Ada", "bye: Ada", "answers.yaml:4:51: unknown key 'bye' (did you mean 'by'?)"),
        (", reason: no customer saw it", "", "answers.yaml:5:5: 'skip' needs a reason"),
        ("text: the pager was late, ", "", "answers.yaml:7:5: 'text' is missing"),
        ("kind: Answers", "kind: Runbook", "answers.yaml:2:7: must be 'Answers', not 'Runbook'"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    (found,) = load(tmp_path, GOOD.replace(old, new))
    assert found.startswith(problem)


def test_no_file_is_a_problem_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        load_answers(Catalog([tmp_path]), tmp_path / "answers.yaml")
