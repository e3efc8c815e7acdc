"""Pages that are made from code are what the code says today."""

from __future__ import annotations

import re
from pathlib import Path

from gameday.spec import Catalog, builtin_root, gather
from tests import reference

ROOT = Path(__file__).parents[1]
ROLES = (ROOT / "docs" / "reference" / "experiments.md").read_text(encoding="utf-8")
ARGUMENT = (ROOT / "docs" / "explanation" / "nothing-left-behind.md").read_text(encoding="utf-8")


def test_the_timeline_reference_is_current() -> None:
    assert reference.PATH.read_text(encoding="utf-8") == reference.render(), "run: python -m tests.reference"


def _sections(level: str) -> dict[str, str]:
    """Title of a section of the page of shipped experiments -> its text, to the next of the same level or above."""
    found = re.split(
        rf"^{level} `([\w-]+)`\n", ROLES.split("## The load packs")[level == "###"], flags=re.MULTILINE
    )
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_every_role_of_every_shipped_experiment_is_explained() -> None:
    catalog = Catalog([builtin_root()])
    sections = _sections("##")
    names = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))
    assert sorted(sections) == names
    for name in names:
        sources = gather(catalog, name, "lab")
        roles = sources.experiment.value.spec.roles
        known = [("service", roles.services), ("SLO", roles.slos), ("probe", roles.probes)]
        wanted = [(word, role) for word, those in known for role in those]
        assert re.findall(r"^\| (\w+) `([\w-]+)` \| \S", sections[name], re.MULTILINE) == wanted, name
        load = sources.environment.value.spec.load
        assert load is not None
        assert f"Load pack: [`{load.pack_for(name)}`]" in sections[name]


def test_every_path_that_a_shipped_pack_asks_for_is_told() -> None:
    sections = _sections("###")
    packs = sorted((ROOT / "experiments" / "load").glob("*.py"))
    assert sorted(sections) == [path.stem for path in packs]
    for path in packs:
        source = path.read_text(encoding="utf-8")
        introduction, _, code = source.removeprefix('"""').partition('"""')
        paths = set(re.findall(r"""["}](/[a-z]+)["\s]""", code))
        assert paths >= {"/healthz"}
        assert len(paths) > 1
        for asked in paths:
            assert re.search(rf"`(GET|POST) {asked}`", sections[path.stem]), (path.name, asked)
            assert re.search(rf"``(GET|POST) {asked}``", introduction), (path.name, asked)


def test_who_needs_the_page_of_shipped_experiments_is_led_there() -> None:
    for page in ("README.md", "docs/reference/environment.md", "docs/how-to/staging-without-kubernetes.md"):
        assert "experiments.md" in (ROOT / page).read_text(encoding="utf-8"), page


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
