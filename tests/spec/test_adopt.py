"""A company's own Markdown becomes a runbook, and nothing of it is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.errors import UsageError
from gameday.spec import Adopted, adopt
from gameday.spec.runbook import parse_runbook
from tests.cli.test_commands import gameday

COMPANY = """\
---
title: Payments
team: pay
---
Checkout: payments down
=======================

**Owner:** team-payments
Alerts: `PaymentsDown`, PaymentsSlow

Who reads this is on call.

## Symptoms
- Errors in the shop
- Orders pile up

## Troubleshooting

Look first. [The dashboard][d] helps.

1. Look at the dashboard.
   Is it red?

2. Check the *queue*:
   ```
   kubectl get pods   # 1. not a step
   ```
   1. nested, no step of its own
   2. nested too
10) Odd numbers, odd lists

## Fix
### Restart payments
Do `systemctl restart payments`.

- on every machine
- one after the other
### Then
1. Tell people

What comes after a list stays there.

## Roll back
Run the deployer.

## Warm the cache
    curl http://cache/warm

## Contacts
Call 555, ask for Ada.

[d]: https://dashboards.example/payments
"""


def steps(adopted: Adopted) -> list[tuple[str, str]]:
    """Section and title of each step, from the linter's own reading."""
    assert adopted.problems == (), "\n".join(map(str, adopted.problems))
    read = parse_runbook(adopted.text, "x.md")
    assert read.value is not None
    return [(step.section, step.title) for step in read.value.steps]


def said(line: str) -> str:
    """A line without its level, where it is a heading."""
    return re.sub(r"^ {0,3}#{1,6}(?=\s|$)", "", line).strip()


def lost(original: str, adopted: Adopted) -> list[str]:
    """Lines of the original that do not come in the result, in their order."""
    result, missing = iter(adopted.text.split("\n")), []
    for line in original.split("\n"):
        if said(line) and not any(said(other) == said(line) for other in result):
            missing.append(line)
            result = iter(adopted.text.split("\n"))
    return missing


def test_numbered_items_and_headings_become_steps_where_they_stand() -> None:
    assert steps(adopt(COMPANY, "Payments Down.md")) == [
        ("Diagnosis", "Look at the dashboard"),
        ("Diagnosis", "Check the *queue*"),
        ("Diagnosis", "Odd numbers, odd lists"),
        ("Mitigation", "Restart payments"),
        ("Mitigation", "Tell people"),
        ("Rollback", "Roll back"),
        ("Warm the cache", "Warm the cache"),
    ]


def test_every_line_is_in_the_result_in_order() -> None:
    adopted = adopt(COMPANY, "Payments Down.md")
    assert lost(COMPANY, adopted) == []
    untouched = [line for line in COMPANY.split("\n") if line.strip() and not line.startswith("#")]
    assert [line for line in untouched if line not in adopted.text.split("\n")] == []


def test_what_it_says_about_itself_is_taken_over_and_marked_for_review() -> None:
    adopted = adopt(COMPANY, "Payments Down.md")
    read = parse_runbook(adopted.text, "x.md").value
    assert read is not None
    header = read.header
    assert (adopted.id, header.id, header.title) == ("payments-down", "payments-down", "Checkout: payments down")
    assert (header.owner, header.service) == ("team-payments", "unknown")
    assert header.alerts == ("PaymentsDown", "PaymentsSlow")
    front = adopted.text.split("\n---\n")[0]
    assert front.count("# REVIEW") == 4
    assert [(step.after, step.kind.value, step.verify) for step in read.steps[:2]] == [
        ("alert", "manual", "attest"),
        (read.steps[0].id, "manual", "attest"),
    ]
    assert adopted.text.count("REVIEW: who does it") == 7


def test_what_a_person_must_decide_is_listed_with_its_line() -> None:
    adopted = adopt(COMPANY, "Payments Down.md")
    assert adopted.review[0] == "the header: service, owner, alerts, lastReviewed"
    match = re.fullmatch(
        r"line (\d+): step check-the-queue: "
        r"owner: oncall, after: look-at-the-dashboard, expected: 5m, timeout: 15m",
        adopted.review[2],
    )
    assert match, adopted.review
    assert adopted.text.split("\n")[int(match[1])] == "id: check-the-queue"
    assert adopted.review[-3:] == (
        "'Symptoms' is kept as prose, without a step",
        "'Contacts' is kept as prose, without a step",
        "'## Impact' is empty",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. one\n2. two\n", [("Mitigation", "one"), ("Mitigation", "two")]),
        ("Intro\n\n1. one\n\n## Mitigation\nDo it\n", [("Steps", "one"), ("Mitigation", "Mitigation")]),
        ("# A\n# Steps\n1. one\n# Rollback\nback\n", [("Mitigation", "one"), ("Rollback", "Rollback")]),
        ("# Fix payments\n### Look\nhere\n### Act\nnow\n", [("Look", "Look"), ("Act", "Act")]),
        ("## Steps\n1. one\n## Steps\n1. one\n", [("Mitigation", "one"), ("Steps", "one")]),
        ("## Steps\n- a\n\n  1. in a bullet\n", [("Mitigation", "Steps")]),
        ("## Steps\n1.\n2. ```\n   x\n   ```\n", [("Mitigation", "Step 1"), ("Mitigation", "Step 2")]),
        ("## Break-glass access\n1. Take the key\n", [("Break glass", "Take the key")]),
        ("## Impact\n1. Nobody can buy\n", []),
        ("## Escalation\n1. Call Ada\n", [("Escalation", "Call Ada")]),
        ("## Mitigation\n### Alert\nx\n### Alert\ny\n", [("Mitigation", "Alert"), ("Mitigation", "Alert")]),
        ("## Fix\nDo:\n```sh\nnever closed\n", [("Mitigation", "Fix")]),
        ("## Fix\n<!-- never closed\n", [("Mitigation", "Fix")]),
        ("## Fix\n<pre>\nnever closed\n\nat all\n", [("Mitigation", "Fix")]),
        ("", []),
        ("Only prose.\r\nTwo lines.\r\n", []),
    ],
)
def test_shapes(text: str, expected: list[tuple[str, str]]) -> None:
    adopted = adopt(text, "x.md")
    assert steps(adopted) == expected
    assert lost(text.replace("\r", ""), adopted) == []


@pytest.mark.parametrize(
    "text",
    [
        "---\napiVersion: gameday/v1\nkind: Runbook\n---\n# x\n",
        "## Mitigation\n### x\n```yaml step\nid: x\n```\n",
    ],
)
def test_a_runbook_of_gameday_is_left_alone(text: str) -> None:
    with pytest.raises(UsageError, match="is a runbook of gameday already"):
        adopt(text, "x.md")


LINES = st.sampled_from(
    [
        "",
        "",
        "prose",
        "# One",
        "## Steps",
        "## Impact",
        "##",
        '### Look: "here" #',
        "#### Deep",
        "## Mitigation",
        "###### Six",
        "1. first",
        "2. second",
        "3) other",
        "   1. nested",
        "   continued",
        "- bullet",
        "> quoted",
        "> 1. quoted item",
        "```",
        "    code",
        "~~~sh",
        "<div>",
        "***",
        "Owner: me: 'x'",
        "[a]: http://b",
    ]
)


@given(st.lists(LINES, max_size=14))
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_and_the_linter_is_content_whatever_it_is_given(lines: list[str]) -> None:
    text = "\n".join(lines)
    adopted = adopt(text, "x.md")
    assert adopted.problems == (), adopted.text
    assert lost(text, adopted) == [], adopted.text


def test_the_command_writes_lists_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "Payments Down.md").write_text(COMPANY)
    done = gameday(tmp_path, "runbook", "adopt", "Payments Down.md")
    assert (done.returncode, done.stdout) == (0, "runbooks/payments-down.md\n"), done.stderr
    assert "step check-the-queue: owner: oncall" in done.stderr
    written = (tmp_path / "runbooks" / "payments-down.md").read_text()
    assert parse_runbook(written, "x.md").problems == []
    again = gameday(tmp_path, "runbook", "adopt", "Payments Down.md")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert (tmp_path / "Payments Down.md").read_text() == COMPANY
    (tmp_path / "latin.md").write_bytes(b"caf\xe9\n")
    latin = gameday(tmp_path, "runbook", "adopt", "latin.md")
    assert (latin.returncode, "latin.md:1:4: not UTF-8" in latin.stderr) == (2, True), latin.stderr
    (tmp_path / "taken").write_text("")
    nowhere = gameday(tmp_path, "runbook", "adopt", "Payments Down.md", "--out", "taken/here")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert "taken/here/payments-down.md can not be written: Not a directory" in nowhere.stderr
