"""JUnit XML: one test case a criterion.

GitLab shows ``skipped`` as success, so only what the plan declared not applicable is skipped; what could not be
decided is an ``error``.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from gameday.model.enums import RunVerdict, Verdict
from gameday.model.grade import Criterion, Grade
from gameday.report.text import RUN_WORDS, clean, evidence_text, expected_text, measured_text

__all__ = ["junit"]

_ELEMENTS = {Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "error", Verdict.NOT_APPLICABLE: "skipped"}


def junit(grade: Grade) -> str:
    """The grade as JUnit XML, UTF-8; an aborted run has a case of its own, ``run``, with an error."""
    suite = ET.Element("testsuite", name=clean(f"gameday.{grade.experiment}"))
    _properties(suite, grade)
    for criterion in grade.criteria:
        _criterion_case(suite, grade, criterion)
    if _needs_run_case(grade):
        case = _case(suite, grade, "run", grade.title)
        _problem(case, "error", grade.verdict, f"{RUN_WORDS[grade.verdict]}: {grade.reason}")
    _count(suite, grade)
    suites = ET.Element("testsuites", {key: suite.attrib[key] for key in ("name", "tests", "failures", "errors")})
    suites.set("time", suite.attrib["time"])
    suites.append(suite)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _needs_run_case(grade: Grade) -> bool:
    """A run that did not pass must never look green, whatever its criteria say."""
    red = any(item.verdict in {Verdict.FAIL, Verdict.INCONCLUSIVE} for item in grade.criteria)
    return grade.verdict is RunVerdict.ABORTED or (grade.verdict is not RunVerdict.PASS and not red)


def _properties(suite: ET.Element, grade: Grade) -> None:
    values = {
        "run": grade.run,
        "environment": grade.environment,
        "tier": grade.tier,
        "timeScale": f"{grade.time_scale:g}",
        "verdict": grade.verdict,
        "reason": grade.reason,
        "rehearsal": "; ".join(grade.rehearsal),
        "timeline.head": grade.head,
    }
    parent = ET.SubElement(suite, "properties")
    for name, value in values.items():
        ET.SubElement(parent, "property", name=name, value=clean(value))


def _case(suite: ET.Element, grade: Grade, name: str, title: str) -> ET.Element:
    return ET.SubElement(
        suite,
        "testcase",
        classname=clean(f"gameday.{grade.experiment}.{grade.environment}"),
        name=clean(f"{name}: {title}" if title else name),
    )


def _criterion_case(suite: ET.Element, grade: Grade, criterion: Criterion) -> None:
    case = _case(suite, grade, criterion.id, criterion.title)
    element = _ELEMENTS.get(criterion.verdict)
    message = criterion.reason if criterion.required else f"advisory: {criterion.reason}"
    body = [
        f"expected: {expected_text(criterion)}" if criterion.limit is not None else "",
        f"measured: {measured_text(criterion)}",
        *criterion.details,
        f"evidence: {evidence_text(criterion.evidence)}" if criterion.evidence else "",
    ]
    text = "\n".join(clean(line) for line in body if line)
    if element is None:
        ET.SubElement(case, "system-out").text = text
    elif element == "skipped":
        ET.SubElement(case, element, message=clean(message))
    else:
        _problem(case, element, criterion.kind, message).text = text


def _problem(case: ET.Element, element: str, kind: str, message: str) -> ET.Element:
    return ET.SubElement(case, element, type=clean(kind), message=clean(message))


def _count(suite: ET.Element, grade: Grade) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for attribute, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{element}"))))
    suite.set("time", f"{grade.real_seconds:.3f}")
    # The schema's timestamp has no time zone; JUnit's readers take it as UTC.
    suite.set("timestamp", clean(grade.started).removesuffix("Z"))
