"""The Dockerfile is built nowhere here: it is linted, and held against the checkout."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")


def instructions(text: str) -> list[tuple[str, str]]:
    """Each with its arguments, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word.upper(), rest) for line in joined.splitlines() if line for word, _, rest in [line.partition(" ")]]


OURS = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def of(word: str) -> list[str]:
    return [rest for found, rest in OURS if found == word]


def copied() -> list[str]:
    """What comes from the checkout, by its path there."""
    lines = [shlex.split(rest) for rest in of("COPY") if not rest.startswith("--from=")]
    return [source.removeprefix("./") for words in lines for source in words[:-1]]


@pytest.mark.skipif(HADOLINT is None, reason="no hadolint here; it comes with the developers' tools")
@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ((ROOT / "Dockerfile").read_text(encoding="utf-8"), True),
        ("FROM python:latest\nENTRYPOINT gameday\n", False),
    ],
    ids=["ours", "a bad one"],
)
def test_hadolint_has_nothing_to_say(text: str, sound: bool) -> None:
    assert HADOLINT is not None
    done = subprocess.run(
        [HADOLINT, "--no-color", "-"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode == 0) is sound, done.stdout + done.stderr


def test_all_that_the_wheel_is_made_of_is_copied_and_nothing_that_is_not_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {*wheel["packages"], *wheel["force-include"]}
    assert needed <= set(copied())
    assert all((ROOT / path).exists() for path in copied())


def test_what_is_copied_is_let_through_and_nothing_else() -> None:
    assert IGNORED[1] == "*"
    assert {line[1:] for line in IGNORED if line.startswith("!")} == set(copied())


def test_every_stage_begins_with_one_slim_python_of_a_named_version() -> None:
    (base,) = {rest.split()[0] for rest in of("FROM")}
    tag = re.fullmatch(r"python:(\d)\.(\d+)(?:\.\d+)?-slim-[a-z]+", base)
    assert tag is not None
    assert (int(tag[1]), int(tag[2])) >= (3, 11)


def test_it_runs_as_somebody_else_than_root_whose_number_is_known() -> None:
    last = len(OURS) - 1 - [word for word, _ in reversed(OURS)].index("FROM")
    users = [rest for word, rest in OURS[last:] if word == "USER"]
    assert re.fullmatch(r"([1-9]\d*):([1-9]\d*)", users[-1])
    uid = users[-1].partition(":")[0]
    assert any(f"--uid {uid}" in rest and f"--owner={uid}" in rest for rest in of("RUN"))


def test_it_is_started_without_a_shell_in_the_project_with_a_state_that_lasts() -> None:
    assert json.loads(of("ENTRYPOINT")[-1]) == ["gameday"]
    assert of("WORKDIR")[-1] == "/project"
    state = re.search(r"GAMEDAY_STATE_DIR=(\S+)", " ".join(of("ENV")))
    assert state is not None
    assert json.loads(of("VOLUME")[-1]) == [state[1]]


def test_the_page_mounts_what_the_image_expects() -> None:
    page = (ROOT / "docs" / "how-to" / "run-in-docker.md").read_text(encoding="utf-8")
    assert page.splitlines()[2].startswith("**The state volume has to outlive the container.**"), "said first"
    assert f":{of('WORKDIR')[-1]}" in page
    assert f":{json.loads(of('VOLUME')[-1])[0]}" in page
    assert of("USER")[-1].partition(":")[0] in page


def test_nothing_is_fetched_but_packages_and_no_secret_is_asked_for() -> None:
    assert not of("ADD")
    assert not of("ARG")
    assert not re.search(r"\b(curl|wget|apt-get|apk)\b", " ".join(of("RUN")))
    assert not re.search(r"(?i)(password|secret|token)\w*=", " ".join(of("ENV")))
    assert any("org.opencontainers.image.title" in rest for rest in of("LABEL"))
