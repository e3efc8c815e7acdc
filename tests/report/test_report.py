"""The three formats: what they hold, and what they must never let through."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from markdown_it import MarkdownIt

from gameday.errors import UsageError
from gameday.grade import grade
from gameday.model.enums import RunVerdict, StepVerdict, Verdict
from gameday.model.grade import Grade, Interval, Mark, Notice
from gameday.report.files import write
from gameday.report.junit_xml import junit
from gameday.report.pages import html, markdown
from tests.grade.cluster import make_cluster
from tests.grade.standby import Standby, make_standby

Templates = tuple[Path, ...]
HOSTILE = (
    "<script>alert(1)</script>",
    "]]><boom/>",
    "{{ 7*7 }}{% raw %}",
    '"><img src=x onerror=alert(1)>',
    "[here](https://evil.example/a) ![x](http://evil.example/b) www.evil.example",
    "| a | b |\n# Heading\n\n- item\n> quote",
    "`code` *bold* _it_ ~~gone~~ <b>raw</b> &lt;i&gt; @everyone",
    "1. first",
    "- second",
    "bell\x07 null\x00 esc\x1b[31m \ufffe \u202eturned",
    "w" * 3000,
)


class Elements(HTMLParser):
    """Every element with its attributes, and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


def rendered(text: str) -> Elements:
    """GitHub-flavoured Markdown as a lenient renderer shows it: raw HTML and tables on."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return Elements(parser.render(text))


def poisoned(grade: Grade, text: str) -> Grade:
    """The grade with ``text`` wherever something foreign can stand."""
    return grade.model_copy(
        update={
            "proves": text,
            "title": text,
            "hypothesis": text,
            "reason": text,
            "rehearsal": (text,),
            "attendance": (text,),
            "inputs": (f"{text} sha256:00",),
            "reproduce": text,
            "notices": tuple(
                Notice(kind=kind, text=text) for kind in ("scope", "unproven", "flaw", "info", "warning")
            ),
            "criteria": tuple(
                item.model_copy(update={"title": text, "reason": text, "details": (text,)})
                for item in grade.criteria
            ),
            "steps": tuple(
                item.model_copy(update={"title": text, "reason": text, "owner": text, "by": text, "section": text})
                for item in grade.steps
            ),
            "marks": tuple(item.model_copy(update={"label": text}) for item in grade.marks),
            "series": tuple(item.model_copy(update={"name": text}) for item in grade.series),
        }
    )


def cases(grade: Grade) -> ET.Element:
    suite = ET.fromstring(junit(grade)).find("testsuite")
    assert suite is not None
    return suite


# --- what each format holds -----------------------------------------------------------------------


def test_every_criterion_is_in_every_format(grade: Grade, templates: Templates) -> None:
    page, table = Elements(html(grade, templates)), rendered(markdown(grade, templates))
    names = [case.attrib["name"] for case in cases(grade).iter("testcase")]
    for item in grade.criteria:
        assert item.id in page.text
        assert item.reason in page.text
        assert any(f"{item.title} ({item.id})" in text for text in table.text)
        assert f"{item.id}: {item.title}" in names


@pytest.mark.parametrize("render", [html, markdown])
def test_the_first_screen(render: Callable[[Grade, Templates], str], passed: Grade, templates: Templates) -> None:
    text = render(passed, templates)
    first, second = ("<body>", "Every criterion") if render is html else ("", "Every criterion")
    screen = text[text.index(first) : text.index(second)]
    assert f"“{passed.proves}”" in screen
    for expected in ("Passed", "All 11 required criteria passed.", "LAB: says nothing about your systems"):
        assert expected in screen
    for expected in ("2m 14s", "≤ 5m", "2m 17s", "≤ 10m", "0.059%", "≤ 0.25%", "artial, 3 of 7 exercised"):
        assert expected in screen
    for expected in ("Verified 10:22:39 UTC", "Not proven today", "does not count as a Game Day"):
        assert expected in screen


def test_a_scaled_run_says_so_first(passed: Grade, templates: Templates) -> None:
    sentence = "Scaled run: time ran 60 times as fast. 48m 37s of plan time took 48.6s of real time."
    assert markdown(passed, templates).splitlines()[0].startswith(f"**{sentence}")
    body = Elements(html(passed, templates).partition("<body>")[2])
    assert next(text for text in body.text if text.strip()).startswith(sentence)


def test_an_unscaled_day_that_counts_has_no_banner(passed: Grade, templates: Templates) -> None:
    real = passed.model_copy(update={"time_scale": 1.0, "rehearsal": ()})
    for text in (html(real, templates), markdown(real, templates)):
        assert "Scaled run" not in text
        assert "does not count" not in text
        assert "1.1s real" not in text
        assert "2.1s to 2.2s real" not in text


def test_only_the_tiles_that_are_there(passed: Grade, templates: Templates) -> None:
    kept = tuple(item for item in passed.criteria if item.kind not in {"rollback", "slo"})
    page = html(passed.model_copy(update={"criteria": kept}), templates)
    assert "<h3>Recovery</h3>" in page
    assert "<h3>Rollback</h3>" not in page
    assert "<h3>Budget spent</h3>" not in page


def test_a_day_of_a_standby_has_tiles_of_its_own(templates: Templates) -> None:
    made = grade(make_standby(Standby(lost=(1,))))
    page = html(made, templates)
    for name in ("Throttled", "Taken again", "Lost"):
        assert f"<h3>{name}</h3>" in page
    assert "1 of 637 acknowledged order requests are not in orders-placed" in markdown(made, templates)


def test_a_day_of_nodes_has_tiles_and_moments_of_its_own(templates: Templates) -> None:
    page = html(grade(make_cluster()), templates)
    for name in ("Scaled out", "Node emptied"):
        assert f"<h3>{name}</h3>" in page
    for word in ("Scaling", "Demand"):
        assert re.search(rf"\d {word}<", page)
    assert "Release" not in page


def test_a_fault_that_was_not_verified_gone_is_never_shown_as_removed(passed: Grade, templates: Templates) -> None:
    changed = tuple(
        item.model_copy(update={"verdict": Verdict.FAIL}) if item.kind == "faults_removed" else item
        for item in passed.criteria
    )
    standing = passed.model_copy(update={"criteria": changed, "faults_removed_at": None})
    assert ">Not verified<" in html(standing, templates)
    assert "Faults removed:** Not verified" in markdown(standing, templates)


def test_the_first_screen_says_who_attended(passed: Grade, templates: Templates) -> None:
    people = ("Kim:facilitator", "Ada: Lee:oncall")
    attended = passed.model_copy(update={"attendance": people})
    for graded, line in (
        (attended, "Attended: Kim (facilitator), Ada: Lee (oncall)"),
        (passed, "Attendance not recorded"),
    ):
        head = html(graded, templates).partition('<section class="facts"')[0]
        assert f"<p>{line}</p>" in head
        assert line in "".join(rendered(markdown(graded, templates).partition("Not proven today")[0]).text)


def test_a_grade_with_next_to_nothing_in_it(passed: Grade, templates: Templates) -> None:
    bare = passed.model_copy(
        update={
            "criteria": (),
            "steps": (),
            "phases": (),
            "marks": (),
            "series": (),
            "notices": (),
            "inputs": (),
            "runbook": "",
            "faults_removed_at": None,
            "verdict": RunVerdict.ABORTED,
        }
    )
    assert "Aborted" in html(bare, templates)
    assert "Aborted" in markdown(bare, templates)
    assert cases(bare).attrib["errors"] == "1"


def test_headings_go_down_one_level_at_a_time(grade: Grade, templates: Templates) -> None:
    page = Elements(html(grade, templates))
    levels = [int(tag[1]) for tag, _ in page.found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_the_page_can_be_read_aloud(grade: Grade, templates: Templates) -> None:
    page = Elements(html(grade, templates))
    assert page.named("html") == [{"lang": "en"}]
    assert all(header.get("scope") for header in page.named("th"))
    identifiers = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for image in (item for item in page.named("svg") if item.get("role") == "img"):
        assert image.get("aria-label") or set(str(image["aria-labelledby"]).split()) <= set(identifiers)
    for verdict in {item.verdict for item in grade.criteria}:
        assert {"pass": "Pass", "fail": "Fail", "inconclusive": "Inconclusive"}.get(
            verdict, "Not applicable"
        ) in page.text


# --- one file, no network -------------------------------------------------------------------------


def test_no_network_and_no_script(grade: Grade, templates: Templates) -> None:
    text = html(grade, templates)
    page = Elements(text)
    assert not page.named("script", "link", "img", "iframe", "object", "embed", "base", "form", "a")
    for tag, attributes in page.found:
        assert not {"src", "href", "srcset", "action", "style"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []
    assert "://" not in text


def test_two_thousand_points_a_series_stay_under_a_megabyte(passed: Grade, templates: Templates) -> None:
    points = passed.series[1].points[:1] * 2000
    full = tuple(
        passed.series[1].model_copy(
            update={
                "name": f"slo-{number}",
                "bin": 1.44,
                "points": tuple(
                    point.model_copy(update={"at": index * 1.44, "value": 0.8 + (index * 37 % 200) / 1003})
                    for index, point in enumerate(points)
                ),
            }
        )
        for number in range(6)
    )
    size = len(html(passed.model_copy(update={"series": full}), templates).encode())
    assert 100_000 < size < 1_000_000


def test_the_same_grade_gives_the_same_bytes(grade: Grade, templates: Templates) -> None:
    again = Grade.model_validate_json(grade.model_dump_json())
    assert html(grade, templates) == html(again, templates)
    assert markdown(grade, templates) == markdown(again, templates)
    assert junit(grade) == junit(again)


# --- foreign text ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_html_lets_no_markup_through(text: str, passed: Grade, templates: Templates) -> None:
    plain = Elements(html(poisoned(passed, "plain"), templates))
    page_text = html(poisoned(passed, text), templates)
    page = Elements(page_text)
    assert [tag for tag, _ in page.found] == [tag for tag, _ in plain.found]
    assert [sorted(attributes) for _, attributes in page.found] == [sorted(item) for _, item in plain.found]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ufffe]", page_text)


def test_html_shows_template_marks_as_they_are(passed: Grade, templates: Templates) -> None:
    assert "“{{ 7*7 }}”" in html(poisoned(passed, "{{ 7*7 }}"), templates)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_lets_no_markup_through(text: str, passed: Grade, templates: Templates) -> None:
    plain = rendered(markdown(poisoned(passed, "plain"), templates))
    raw = markdown(poisoned(passed, text), templates)
    page = rendered(raw)
    assert [tag for tag, _ in page.found] == [tag for tag, _ in plain.found]
    assert not page.named("a", "img", "script", "b")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ufffe]", raw)
    # What is shown is the text itself.
    shown = re.sub("\u200b", "", "".join(page.text))
    expected = " ".join(re.sub("[\x00\x07\x1b\ufffe\u202e]", "", text).split())
    assert expected in " ".join(shown.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_bare_addresses_and_mentions_do_not_come_alive(text: str, passed: Grade, templates: Templates) -> None:
    raw = re.sub(r"`.*`", "", markdown(poisoned(passed, text), templates))  # code spans link nothing
    assert not re.search(r"https?://|(?<!w)www\.|@\w", raw)


@pytest.mark.parametrize("text", HOSTILE)
def test_junit_stays_well_formed(text: str, passed: Grade) -> None:
    suite = cases(poisoned(passed, text))
    tags = {element.tag for element in suite.iter()}
    assert tags == {"testsuite", "properties", "property", "testcase", "system-out"}


# --- JUnit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "element"),
    [
        (Verdict.PASS, "system-out"),
        (Verdict.FAIL, "failure"),
        (Verdict.INCONCLUSIVE, "error"),
        (Verdict.NOT_APPLICABLE, "skipped"),
    ],
)
def test_junit_says_each_verdict(verdict: Verdict, element: str, passed: Grade) -> None:
    one = passed.model_copy(update={"criteria": (passed.criteria[0].model_copy(update={"verdict": verdict}),)})
    case = cases(one).find("testcase")
    assert case is not None
    assert [child.tag for child in case] == [element]


def test_junit_counts_what_it_holds(grade: Grade) -> None:
    root = ET.fromstring(junit(grade))
    suite = cases(grade)
    for attribute, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[attribute]) == len(list(suite.iter(element)))
    assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase")))
    assert {key: root.attrib[key] for key in ("tests", "failures", "errors")} == {
        key: suite.attrib[key] for key in ("tests", "failures", "errors")
    }


def test_junit_is_green_only_for_a_pass(grade: Grade) -> None:
    suite = cases(grade)
    red = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    assert (red == 0) == (grade.verdict is RunVerdict.PASS)


def test_junit_is_red_for_a_run_without_any_verdict_to_show(passed: Grade) -> None:
    skipped = tuple(item.model_copy(update={"verdict": Verdict.NOT_APPLICABLE}) for item in passed.criteria)
    nothing = passed.model_copy(update={"criteria": skipped, "verdict": RunVerdict.INCONCLUSIVE})
    assert cases(nothing).attrib["errors"] == "1"


def test_junit_shows_an_advisory_failure_as_advisory(passed: Grade) -> None:
    changed = passed.criteria[0].model_copy(update={"verdict": Verdict.FAIL, "required": False})
    failure = cases(passed.model_copy(update={"criteria": (changed,)})).find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"].startswith("advisory: ")


# --- templates and files --------------------------------------------------------------------------


def test_a_projects_own_template_wins(passed: Grade, templates: Templates, tmp_path: Path) -> None:
    own = tmp_path / "templates"
    own.mkdir()
    (own / "report.html.j2").write_text("<p>{{ grade.title }} & {{ page.word }}</p>", encoding="utf-8")
    folders = (own, *templates)
    assert html(passed, folders) == "<p>API dependency brownout & Passed</p>"
    assert markdown(passed, folders) == markdown(passed, templates)


def test_a_project_may_bring_only_its_style(passed: Grade, templates: Templates, tmp_path: Path) -> None:
    (tmp_path / "report.css").write_text("body { color: teal }", encoding="utf-8")
    text = html(passed, (tmp_path, *templates))
    assert "body { color: teal }" in text
    assert "Every criterion" in text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ nothing }}", "nothing"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ grade.model_copy.__func__ }}", "unsafe"),
        ("line\n{% if %}", "report.html.j2:2"),
        ('{% include "../secret" %}', "in none of the template folders"),
    ],
)
def test_a_faulty_template_is_a_usage_error(
    template: str, said: str, passed: Grade, templates: Templates, tmp_path: Path
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (folder / "report.html.j2").write_text(template, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(said)):
        html(passed, (folder, *templates))


def test_write_leaves_exactly_the_reports(passed: Grade, templates: Templates, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    paths = write(passed, tmp_path, templates)
    assert [path.name for path in paths] == ["report.html", "report.md", "junit.xml"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert paths[0].read_bytes() == html(passed, templates).encode()
    assert paths[1].read_bytes() == markdown(passed, templates).encode()
    assert paths[2].read_bytes() == junit(passed).encode()


def test_nothing_is_written_if_one_can_not_be_rendered(passed: Grade, templates: Templates, tmp_path: Path) -> None:
    own = tmp_path / "templates"
    own.mkdir()
    (own / "report.md.j2").write_text("{{ nothing }}", encoding="utf-8")
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(UsageError):
        write(passed, folder, (own, *templates))
    assert list(folder.iterdir()) == []


# --- tiles ----------------------------------------------------------------------------------------


def test_a_failed_step_is_named_with_its_verdict(passed: Grade, templates: Templates) -> None:
    late = tuple(item.model_copy(update={"verdict": StepVerdict.LATE}) for item in passed.steps)
    assert "Late" in Elements(html(passed.model_copy(update={"steps": late}), templates)).text


def test_a_value_just_over_its_limit_never_reads_as_the_limit(passed: Grade, templates: Templates) -> None:
    changed = tuple(
        item.model_copy(update={"verdict": Verdict.FAIL, "measured": Interval(lo=300.2, hi=300.4)})
        if item.kind == "rollback"
        else item
        for item in passed.criteria
    )
    page = html(passed.model_copy(update={"criteria": changed}), templates)
    assert '<p class="big">300.2s</p>' in page


@pytest.mark.parametrize("kind", get_args(Mark.model_fields["kind"].annotation))
def test_every_kind_of_mark_has_its_tone(kind: str, templates: Templates) -> None:
    """Without one its line can not be seen."""
    rules = (templates[0] / "report.css").read_text(encoding="utf-8")
    tones = re.findall(r"([^{}]*)\{ --tone:", rules)
    assert any(re.search(rf"\.{kind}\b", selectors) for selectors in tones)
