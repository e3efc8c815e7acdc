"""Releases as a real script tells them: what is recorded of what it prints, and of what it does not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gameday.model.enums import FaultKind
from gameday.model.environment import ReleasesObserver
from gameday.model.events import (
    Event,
    Payload,
    ReleaseChanged,
    ReleaseSample,
    StimulusIntent,
    StimulusUndo,
)
from gameday.observers.releases import CommandReleases
from gameday.ports import Listening
from tests.observers.conftest import Records

Running = Callable[[CommandReleases], AbstractContextManager[object]]


class Deployer:
    """A script that prints the file ``status``, which the test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script(f'cat "{folder}/status"')
        self.shows({"stable": 1.0})

    def script(self, body: str) -> None:
        path = self.folder / "deploy.sh"
        fresh = self.folder / "fresh"
        fresh.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        fresh.chmod(0o755)
        fresh.replace(path)

    def shows(self, weights: dict[str, float], rolled_back: dict[str, str] | None = None, **more: object) -> None:
        revisions = [{"revision": name, "weight": weight, **more} for name, weight in weights.items()]
        self.prints(json.dumps({"revisions": revisions, "rolled_back": rolled_back}))

    def prints(self, text: str) -> None:
        fresh = self.folder / "fresh"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.folder / "status")

    def observer(self, **more: object) -> CommandReleases:
        status = [str(self.folder / "deploy.sh"), "status", "{service}"]
        binding = {"source": "command", "status": status, "every": "100ms", **more}
        return CommandReleases("payments", ReleasesObserver.model_validate(binding))


@pytest.fixture
def deployer(tmp_path: Path) -> Deployer:
    return Deployer(tmp_path)


def changes(records: Records) -> list[tuple[str, str, float, str, str]]:
    return [(c.revision, c.change, c.weight, c.reason, c.by) for c in records.all(ReleaseChanged)]


def wait_for_one_more(records: Records) -> None:
    """A reading that began after this was called."""
    now = time.monotonic_ns()
    records.wait(lambda: any((one.asked or 0) > now for one in records.all(ReleaseSample)))


def event(payload: Payload) -> Event:
    data = payload.model_dump(mode="json", by_alias=True)
    return Event(1, time.monotonic_ns(), time.time_ns(), "engine", payload.KIND, data, "", "")


def test_every_reading_is_a_sample_with_when_it_was_asked_for(
    deployer: Deployer, records: Records, running: Running
) -> None:
    before = time.monotonic_ns()
    with running(deployer.observer()):
        records.wait(lambda: len(records.all(ReleaseSample)) >= 3)
    first = records.all(ReleaseSample)[0]
    assert first.service == "payments"
    assert [(one.revision, one.weight, one.requests) for one in first.revisions] == [("stable", 1.0, None)]
    assert first.asked is not None
    assert before < first.asked < time.monotonic_ns()
    assert (changes(records), records.gaps) == ([], [])


def test_requests_are_kept_where_they_are_told(deployer: Deployer, records: Records, running: Running) -> None:
    deployer.shows({"stable": 1.0}, requests=7)
    with running(deployer.observer()):
        records.wait(lambda: records.all(ReleaseSample))
    assert records.all(ReleaseSample)[0].revisions[0].requests == 7


def test_what_differs_is_a_change(deployer: Deployer, records: Records, running: Running) -> None:
    with running(deployer.observer()):
        records.wait(lambda: records.all(ReleaseSample))
        deployer.shows({"stable": 0.75, "canary": 0.25})
        records.wait(lambda: len(changes(records)) == 2)
        deployer.shows({"stable": 0.5, "canary": 0.5})
        records.wait(lambda: len(changes(records)) == 4)
        deployer.shows({"stable": 1.0}, {"revision": "canary", "at": "12:01", "reason": "errors"})
        records.wait(lambda: len(changes(records)) == 7)
        wait_for_one_more(records)
    assert changes(records) == [
        ("stable", "weight", 0.75, "", "system"),
        ("canary", "started", 0.25, "", "system"),
        ("stable", "weight", 0.5, "", "system"),
        ("canary", "weight", 0.5, "", "system"),
        ("stable", "weight", 1.0, "", "system"),
        ("canary", "weight", 0.0, "", "system"),
        ("canary", "rolled_back", 0.0, "errors", "system"),
    ]
    kinds = [type(payload) for _, payload in records.events]
    assert kinds[kinds.index(ReleaseChanged) + 2] is ReleaseSample  # a change is on record before its reading


def test_a_rollback_from_before_is_no_change_and_another_of_the_same_revision_is(
    deployer: Deployer, records: Records, running: Running
) -> None:
    def more(readings: int) -> None:
        seen = len(records.all(ReleaseSample))
        records.wait(lambda: len(records.all(ReleaseSample)) >= seen + readings)

    deployer.shows({"stable": 1.0}, {"revision": "canary", "at": "yesterday"})
    with running(deployer.observer()):
        records.wait(lambda: len(records.all(ReleaseSample)) >= 2)
        assert changes(records) == []
        # Told of in other words, or left out and told again: it is still the one from before.
        for told in (
            {"revision": "canary", "at": "yesterday", "reason": "2 h ago"},
            None,
            {"revision": "canary", "at": "yesterday"},
        ):
            deployer.shows({"stable": 1.0}, told)
            more(2)
        assert changes(records) == []
        deployer.shows({"stable": 1.0}, {"revision": "canary", "at": "today"})
        records.wait(lambda: changes(records))
    assert changes(records) == [("canary", "rolled_back", 0.0, "", "system")]


def test_what_comes_once_gameday_takes_its_release_back_is_gameday_s(
    deployer: Deployer, records: Records, running: Running
) -> None:
    observer = deployer.observer()
    assert isinstance(observer, Listening)
    deployer.shows({"stable": 0.75, "canary": 0.25})
    for service, id in (("payments", "mine"), ("other", "theirs")):
        observer.hear(event(StimulusIntent(id=id, kind=FaultKind.RELEASE, service=service)))
    with running(observer):
        records.wait(lambda: records.all(ReleaseSample))
        observer.hear(event(StimulusUndo(id="theirs", attempt=1, reason="ended")))
        deployer.shows({"stable": 0.5, "canary": 0.5})
        records.wait(lambda: len(changes(records)) == 2)
        observer.hear(event(StimulusUndo(id="mine", attempt=1, reason="ended")))
        deployer.shows({"stable": 1.0}, {"revision": "canary", "at": "now", "reason": "asked"})
        records.wait(lambda: len(changes(records)) == 5)
    assert [by for *_, by in changes(records)] == ["system"] * 2 + ["gameday"] * 3


WRONG = {
    "no JSON": ("nothing to see", "no state of releases (all: Invalid JSON"),
    "nothing": ("", "no state of releases (all: Invalid JSON"),
    "no revisions": ('{"revisions": [], "rolled_back": null}', "(revisions: "),
    "no word about a rollback": (
        '{"revisions": [{"revision": "a", "weight": 1}]}',
        "(rolled_back: Field required)",
    ),
    "a key that is not known": (
        '{"revisions": [{"revision": "a", "weight": 1}], "rolled_back": null, "rolledback": 1}',
        "(rolledback: Extra",
    ),
    "percent": ('{"revisions": [{"revision": "a", "weight": 25}], "rolled_back": null}', "(revisions.0.weight: "),
    "a text": ('{"revisions": [{"revision": "a", "weight": "1"}], "rolled_back": null}', "(revisions.0.weight: "),
    "not a number": (
        '{"revisions": [{"revision": "a", "weight": NaN}], "rolled_back": null}',
        "no state of releases",
    ),
    "a rollback without its time": (
        '{"revisions": [{"revision": "a", "weight": 1}], "rolled_back": {"revision": "b"}}',
        "(rolled_back.at: Field required)",
    ),
    "a revision twice": (
        '{"revisions": [{"revision": "a", "weight": 0.1}, {"revision": "a", "weight": 0.2}], "rolled_back": null}',
        "a revision is there twice",
    ),
    "too much": (
        '{"revisions": [{"revision": "a", "weight": 0.6}, {"revision": "b", "weight": 0.6}], "rolled_back": null}',
        "the shares add up to 1.2",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_state_is_a_gap_with_the_reason(
    deployer: Deployer, records: Records, running: Running, case: tuple[str, str]
) -> None:
    text, why = case
    deployer.prints(text)
    with running(deployer.observer()):
        records.wait(lambda: records.gaps)
    assert why in records.gaps[0].reason
    assert records.all(ReleaseSample) == []


FAILED = {
    "exit code": ("echo 'no such service' >&2; exit 3", "status payments: exit code 3: no such service"),
    "signal": ("kill -KILL $$", "ended by SIGKILL"),
    "too much": ("seq 1 100000", "printed more than 65536 bytes"),
    "late": ("sleep 60", "did not end within 2 s, and was killed"),
}


@pytest.mark.parametrize("case", FAILED.values(), ids=FAILED.keys())
def test_a_program_that_fails_is_a_gap_that_ends_with_its_next_word(
    deployer: Deployer, records: Records, running: Running, case: tuple[str, str]
) -> None:
    body, why = case
    with running(deployer.observer()):
        records.wait(lambda: records.all(ReleaseSample))
        deployer.script(body)
        records.wait(lambda: records.gaps)
        seen = len(records.all(ReleaseSample))
        deployer.script(f'cat "{deployer.folder}/status"')
        records.wait(lambda: len(records.all(ReleaseSample)) > seen)
    assert why in records.gaps[0].reason
    assert records.gaps[0].since >= (records.all(ReleaseSample)[0].asked or 0)


def test_a_program_that_is_not_there(deployer: Deployer, records: Records, running: Running) -> None:
    (deployer.folder / "deploy.sh").unlink()
    with running(deployer.observer()):
        records.wait(lambda: records.gaps)
    assert "can not be run: No such file or directory" in records.gaps[0].reason


def test_what_it_is_given_and_a_secret_is_not_kept(
    deployer: Deployer, records: Records, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_OURS", "hunter2")
    deployer.script(
        'test "$*" = "status payments" -a "$GAMEDAY_CALL $GAMEDAY_SERVICE" = "status payments" -a -z "$OF_OURS" '
        '|| exit 9; echo "with $TOKEN" >&2; exit 4'
    )
    with running(deployer.observer(env={"TOKEN": "env:OF_OURS"})):
        records.wait(lambda: records.gaps)
        deployer.script('echo "$TOKEN"')
        records.wait(lambda: "printed a secret" in records.gaps[-1].reason)
    assert records.gaps[0].reason.endswith("exit code 4: with ***")
    assert "hunter2" not in str(records.events)


def test_a_secret_that_is_not_there(deployer: Deployer, records: Records, running: Running) -> None:
    with running(deployer.observer(env={"TOKEN": "env:NOWHERE"})):
        records.wait(lambda: records.gaps)
    assert "env:NOWHERE is not set" in records.gaps[0].reason
