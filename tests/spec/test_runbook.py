"""The runbook's lint: each rule, at its line in the Markdown file. § marks the expected place."""

from __future__ import annotations

from typing import Any

import pytest

from gameday.spec.runbook import parse_runbook

HEAD = """\
---
apiVersion: gameday/v1
kind: Runbook
id: r
title: T
service: s
owner: o
---
# T
## Meaning
## Impact
## Diagnosis
"""
REST = """
## Mitigation
## Rollback
"""
STEP = "id: a, owner: o, after: alert, expected: 1m, timeout: 2m"
MANUAL = f"{{{STEP}, kind: manual, verify: attest}}"


def fence(body: str, heading: str = "### Do it", opening: str = "```yaml step") -> str:
    return f"{heading}\n\n{opening}\n{body}\n```\n"


RUN = "run: {http: {service: s}}"
VERIFY = "verify: {probe: p, above: 99%, for: 1m, within: 5m}"
BAD: dict[str, tuple[str, str, str]] = {
    "no timeout": (
        fence("§{id: a, kind: manual, owner: o, after: alert, expected: 1m, verify: attest}"),
        "step 'a' has no timeout",
        "late",
    ),
    "duplicate id": (
        fence(MANUAL) + fence(MANUAL.replace("id: a", "id: §a"), "### Again"),
        "duplicate step id 'a'",
        "it stands in line 16",
    ),
    "unknown key": (
        fence("id: a\nkind: manual\n§onwer: o\nafter: alert"),
        "unknown key 'onwer'",
        "did you mean 'owner'?",
    ),
    "the heading's own": (fence(f"{{§title: x, {MANUAL[1:]}"), "unknown key 'title'", "the heading above says it"),
    "not verified": (
        fence(f"§{{{STEP}, kind: manual}}"),
        "step 'a' is required, but nothing verifies it",
        "verify: attest",
    ),
    "unknown trigger": (
        fence(MANUAL.replace("alert", "§allert")),
        "unknown trigger 'allert'",
        "did you mean 'alert'?",
    ),
    "after itself": (fence(MANUAL.replace("alert", "§a")), "step 'a' waits for itself", "circle"),
    "circle": (
        fence(MANUAL.replace("alert", "§b"))
        + fence(MANUAL.replace("id: a", "id: b").replace("alert", "a"), "### B"),
        "step 'a' waits for itself",
        "circle",
    ),
    "no heading": (fence(MANUAL, "", "§```yaml step"), "a step without a heading of its own", "###"),
    "second step": (
        fence(MANUAL) + "\n§```yaml step\n" + MANUAL + "\n```\n",
        "a second step under 'Do it'",
        "heading of its own",
    ),
    "no step": ("§### Do it\n\nJust do it.\n", "'Do it' has no step", "####"),
    "automated without run": (
        fence(f"§{{{STEP}, kind: automated, {VERIFY}}}"),
        "automated step 'a' has no 'run'",
        "",
    ),
    "automated without verify": (
        fence(f"§{{{STEP}, kind: automated, {RUN}, required: false}}"),
        "has no 'verify'",
        "",
    ),
    "automated and attested": (
        fence(f"{{{STEP}, kind: automated, {RUN}, verify: §attest}}"),
        "can not be attested",
        "probe",
    ),
    "manual with run": (
        fence(f"{{{STEP}, kind: manual, verify: attest, run: §{RUN[5:]}}}"),
        "a manual step has no 'run'",
        "",
    ),
    "ttl outside": (
        fence(f"{{{STEP}, ttl: §3m, kind: manual, verify: attest}}"),
        "only a step under 'Break glass' has a ttl",
        "",
    ),
    "approvers outside": (fence(f"{{{STEP}, approvers: §[x], kind: manual, verify: attest}}"), "has approvers", ""),
    "longer than its timeout": (fence(MANUAL.replace("1m", "§3m")), "'expected' is longer than 'timeout'", ""),
    "named as a trigger": (fence(MANUAL.replace("id: a", "id: §alert")), "'alert' is the name of a trigger", ""),
    "kind": (
        fence(MANUAL.replace("manual", "§manul")),
        "'manul' is not one of automated, manual",
        "did you mean 'manual'?",
    ),
    "verify of another word": (
        fence(MANUAL.replace("attest", "§atest")),
        "must be 'attest'",
        "did you mean 'attest'?",
    ),
    "verify without bound": (
        fence(f"{{{STEP}, kind: manual, verify: §{{probe: p, for: 1m, within: 2m}}}}"),
        "exactly one of 'below' and 'above'",
        "",
    ),
    "verify's own key": (
        fence(f"{{{STEP}, kind: manual, verify: {{probe: p, above: 9%, for: 1m, within: 2m, §fro: 1m}}}}"),
        "unknown key 'fro'",
        "did you mean 'for'?",
    ),
    "another language": (fence(MANUAL, opening="§```yml step"), "'yml step' is no step", "write ```yaml step"),
    "no end": ("### Do it\n\n§```yaml step\n" + MANUAL + "\n", "the fence of this step has no end", "close it"),
    "no end before another": (
        "### Do it\n\n§```yaml step\n" + MANUAL + "\n\n" + fence(MANUAL, "### And it"),
        "the fence of this step has no end",
        "close it with ``` above line",
    ),
    "in a list": ("### Do it\n\n- §```yaml step\n  " + MANUAL + "\n  ```\n", "inside a list", ""),
    "no YAML": (fence("{id: §["), "not valid YAML", ""),
    "indented fence": (
        "### Do it\n\n  ```yaml step\n  id: a\n  §onwer: o\n  ```\n",
        "unknown key 'onwer'",
        "owner",
    ),
}


def located(text: str) -> tuple[str, tuple[int, int] | None]:
    before, mark, after = text.partition("§")
    place = (before.count("\n") + 1, len(before) - before.rfind("\n")) if mark else None
    return before + after, place


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_lint(case: tuple[str, str, str]) -> None:
    body, message, hint = case
    text, place = located(HEAD + body + REST)
    parsed = parse_runbook(text, "runbooks/r.md")
    found = [problem for problem in parsed.problems if message in problem.message and hint in problem.hint]
    assert found, "\n".join(map(str, parsed.problems)) or "no problem at all"
    if message not in ("not valid YAML", "inside a list"):
        assert (found[0].line, found[0].column) == place


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("## Impact\n", "", "the section '## Impact' is missing", ""),
        ("## Impact\n", "§## Impacts\n", "the section '## Impact' is missing", "is 'Impacts' meant to be it?"),
        ("## Impact\n", "## Impact\n§## Impact\n", "a second section 'Impact'", ""),
        ("---\n", "# x\n", "no front matter", "begins with ---"),
        ("owner: o\n---\n", "owner: o\n", "the front matter has no end", ""),
        ("owner: o\n", "§onwer: o\nowner: o\n", "unknown key 'onwer'", "did you mean 'owner'?"),
        ("# T\n", "# T\n### S\n\n§" + fence(MANUAL, "").strip() + "\n", "a step before any section", "Diagnosis"),
    ],
)
def test_lint_of_the_whole(old: str, new: str, message: str, hint: str) -> None:
    text, place = located((HEAD + REST).replace(old, new, 1))
    problems = parse_runbook(text, "runbooks/r.md").problems
    found = [problem for problem in problems if message in problem.message and hint in problem.hint]
    assert found, "\n".join(map(str, problems))
    assert place is None or (found[0].line, found[0].column) == place


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty: there is nothing in it"),
        (" \n\n", "empty: there is nothing in it"),
        ((HEAD + REST).replace("owner: o\n---\n", "owner: o\n", 1), "the front matter has no end"),
        ("---\n---", "empty: there is nothing in it"),
    ],
)
def test_what_hides_all_else_is_told_alone(text: str, message: str) -> None:
    problems = parse_runbook(text, "runbooks/r.md").problems
    assert problems[0].message == message
    assert len(problems) == 1 or text == "---\n---"  # there, what stands below it is known: nothing


def test_break_glass_has_ttl_and_approvers_instead_of_a_timeout() -> None:
    step = fence(f"{{{STEP}, kind: manual, verify: attest}}")
    told = [problem.message for problem in parse_runbook(HEAD + REST + "## Break glass\n" + step, "r.md").problems]
    assert sorted(told) == [
        "a break-glass step has a ttl, not a timeout",
        "break-glass step 'a' has no approvers",
        "break-glass step 'a' has no ttl",
    ]
    good = step.replace("timeout: 2m", "ttl: 30m, approvers: [lead]")
    parsed = parse_runbook(HEAD + REST + "## Break glass\n" + good, "r.md")
    assert not parsed.problems
    assert parsed.value is not None
    assert parsed.value.steps[0].section == "Break glass"
    assert parsed.value.steps[0].limit == 1800.0
    short = good.replace("ttl: 30m", "ttl: 30s")
    told = [problem.message for problem in parse_runbook(HEAD + REST + "## Break glass\n" + short, "r.md").problems]
    assert told == ["'expected' is longer than 'ttl'"]


@pytest.mark.parametrize("day", ["2026-02-30", "01.11.2026", "2026-1-1", "2026-11-01T10:00:00Z", "soon"])
def test_a_review_has_a_day(day: str) -> None:
    text, place = located((HEAD + REST).replace("owner: o\n", f"owner: o\nlastReviewed: §{day}\n", 1))
    problems = parse_runbook(text, "runbooks/r.md").problems
    assert [problem.message for problem in problems] == [f"'{day}' is no day: write it as 2026-11-01"]
    assert place == (problems[0].line, problems[0].column)


def test_who_reviewed_it_and_when() -> None:
    head = HEAD.replace("owner: o\n", 'owner: o\nlastReviewed: "2026-11-01"\nreviewedBy: Ada L.\n', 1)
    parsed = parse_runbook(head + REST, "r.md")
    assert not parsed.problems
    assert parsed.value is not None
    assert (parsed.value.header.last_reviewed, parsed.value.header.reviewed_by) == ("2026-11-01", "Ada L.")


def test_prose_that_looks_like_a_step_is_prose() -> None:
    text = (
        HEAD.replace("## Meaning\n", "## Meaning\n### Why\n\n```yaml\nid: no step\n```\n\n## Notes\n### Links\n")
        + REST
    )
    parsed = parse_runbook(text, "r.md")
    assert not parsed.problems
    assert parsed.value is not None
    assert parsed.value.steps == ()
    assert parsed.value.sections == ("Meaning", "Notes", "Impact", "Diagnosis", "Mitigation", "Rollback")


def test_shipped_runbook(project: Any) -> None:
    parsed = parse_runbook(project.path("runbook").read_text(), "r.md")
    assert not parsed.problems
    assert parsed.value is not None
    kinds = [step.kind.value for step in parsed.value.steps]
    assert (kinds.count("automated"), kinds.count("manual")) == (3, 4)
    assert all(step.title and step.section for step in parsed.value.steps)
    assert parsed.value.header.last_reviewed is None


def test_what_stands_under_a_steps_heading_is_kept_for_whoever_does_it() -> None:
    text = HEAD + (
        "### First\n\nBefore the fence.\n\n```yaml step\n"
        + MANUAL
        + "\n```\n\nAfter it:\n\n1. one\n2. two\n\n#### Detail\n\nfiner\n\n### Second\n\nmore\n\n```yaml step\n"
        + MANUAL.replace("id: a", "id: b")
        + "\n```\n"
        + REST
    )
    parsed = parse_runbook(text, "r.md")
    assert not parsed.problems
    assert parsed.value is not None
    assert parsed.value.prose == {
        "a": "Before the fence.\n\n\nAfter it:\n\n1. one\n2. two\n\n#### Detail\n\nfiner",
        "b": "more",
    }
