"""The command driver, with real scripts: its check decides, and nothing of a program goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gameday.app import preflight, tables
from gameday.app.forked import ForkedDriver
from gameday.app.hands import HandedDriver, Hands
from gameday.drivers import COMMAND
from gameday.drivers.command import CommandDriver
from gameday.errors import DriverError, PreflightError
from gameday.model.enums import FaultKind
from gameday.model.environment import DriverBinding
from gameday.model.plan import BoundFault, BoundStimulus
from gameday.model.token import Token
from gameday.ports import Driver, Search, Searching, Target
from gameday.testing import FakeClock
from gameday.timeline import Timeline
from tests.engine.conftest import make_plan
from tests.test_programs import begin_to_count

RUN = "20260801-101500-brownout-ab12"
SECRET = "s3cret-value"
SOON = 30.0
"""Real seconds, for what takes moments."""

SOUND = """
stop) touch "$here/stopped" ;;
standing) [ -e "$here/stopped" ] ;;
start) rm -f "$here/stopped" ;;
"""
"""The cases of a script; `here` is its folder."""


class Operator:
    """A script of an operator, and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "payments.sh"
        self.becomes(SOUND)

    def becomes(self, cases: str, first: str = "") -> None:
        """Write it; cases that come first count."""
        text = f'#!/bin/bash\nhere={self.folder}\n{first}\ncase "$1" in\n{cases}\n{SOUND}\nesac\n'
        self.script.write_text(text, encoding="utf-8")
        self.script.chmod(0o755)

    def binding(self, **more: object) -> DriverBinding:
        argv = {
            part: (str(self.script), word)
            for part, word in (("inject", "stop"), ("check", "standing"), ("undo", "start"))
        }
        return DriverBinding.model_validate({"driver": "command", **argv, **more})

    def target(self, **more: object) -> Target:
        fault = BoundFault.model_validate(
            {
                "id": "outage",
                "kind": FaultKind.BROWNOUT,
                "service": "payments",
                "at": "6m",
                "for": "30m",
                "with": {"share": "20%", "as": "status", "status": 503},
                "proof": "payments-answers",
                "binding": self.binding(**more),
            }
        )
        return Target(run=RUN, plan=fault, api="")

    @property
    def stopped(self) -> bool:
        return (self.folder / "stopped").exists()

    def file(self, name: str) -> str:
        """What is in that file, once a whole line is."""
        path, until = self.folder / name, time.monotonic() + SOON
        while not (path.exists() and path.read_text().endswith("\n")):
            assert time.monotonic() < until, f"{name} never came"
            time.sleep(0.005)
        return path.read_text()


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


@pytest.fixture
def driver() -> CommandDriver:
    return CommandDriver()


def again(token: Token) -> Token:
    """The token as another process reads it from the ledger."""
    return Token.model_validate_json(token.model_dump_json())


def test_it_is_a_driver_that_searches(driver: CommandDriver) -> None:
    assert isinstance(driver, Driver)
    assert isinstance(driver, Searching)
    of_nodes = {FaultKind.EXHAUST, FaultKind.DRAIN, FaultKind.SCALE}
    assert driver.kinds == COMMAND.kinds == frozenset(FaultKind) - of_nodes
    module, _, name = COMMAND.path.partition(":")
    assert (CommandDriver.__module__, CommandDriver.__name__) == (module, name)
    assert tables.DRIVERS["command"] is COMMAND
    assert (COMMAND.deadline, COMMAND.longest, COMMAND.needs_api) == (30.0, 60.0, False)


def test_sound(operator: Operator, driver: CommandDriver) -> None:
    token = driver.resolve(operator.target())
    assert not driver.in_effect(token)
    assert driver.is_clear(token)
    driver.inject(token)
    assert operator.stopped
    assert driver.in_effect(token)
    assert not driver.is_clear(token)
    for _ in range(2):
        CommandDriver().undo(again(token))
        assert CommandDriver().is_clear(again(token))
    assert not operator.stopped


def test_what_programs_are_told(operator: Operator, driver: CommandDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_ENGINE", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    operator.becomes("", first='env | sort > "$here/$1.env"; echo >> "$here/$1.env"')
    token = driver.resolve(operator.target(resolve=(str(operator.script), "look")))
    driver.inject(token)
    told = dict(line.split("=", 1) for line in operator.file("stop.env").splitlines() if "=" in line)
    assert {name: value for name, value in told.items() if name.startswith("GAMEDAY_")} == {
        "GAMEDAY_RUN": RUN,
        "GAMEDAY_FAULT": "outage",
        "GAMEDAY_SERVICE": "payments",
        "GAMEDAY_KIND": "brownout",
        "GAMEDAY_SHARE": "0.2",
        "GAMEDAY_AS": "status",
        "GAMEDAY_STATUS": "503",
        "GAMEDAY_CALL": "inject",
        "GAMEDAY_RESOLVED": "",
    }
    assert {"PATH", "HOME", "LANG"} <= told.keys()
    assert "OF_THE_ENGINE" not in told
    assert "GAMEDAY_CALL=resolve" in operator.file("look.env")


def test_what_resolve_prints_is_in_the_token_and_told_to_undo(operator: Operator, driver: CommandDriver) -> None:
    operator.becomes('look) echo "weight 7"; echo noise >&2 ;;\nstart) echo "$GAMEDAY_RESOLVED" > "$here/was" ;;')
    token = driver.resolve(operator.target(resolve=(str(operator.script), "look")))
    CommandDriver().undo(again(token))
    assert operator.file("was") == "weight 7\n"


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("look) echo no; exit 3 ;;", "look: exit code 3: no"),
        ("look) seq 1 5000 ;;", "look printed more than 4096 bytes"),
        ('look) echo "is $TOKEN" ;;', "look printed a secret, which may not be kept"),
    ],
)
def test_a_resolve_that_is_refused(
    operator: Operator, driver: CommandDriver, monkeypatch: pytest.MonkeyPatch, case: str, why: str
) -> None:
    monkeypatch.setenv("A_TOKEN", SECRET)
    operator.becomes(case)
    with pytest.raises(DriverError, match=why) as caught:
        driver.resolve(operator.target(resolve=(str(operator.script), "look"), env={"TOKEN": "env:A_TOKEN"}))
    assert SECRET not in str(caught.value)


def test_a_resolve_that_hangs_is_ended(
    operator: Operator, driver: CommandDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_to_count(monkeypatch, operator.folder / "ready")
    begins = "trap '' TERM; echo where is it; sleep 300 & echo $! > $here/child; touch $here/ready"
    operator.becomes(f"look) {begins}; wait ;;")
    with pytest.raises(TimeoutError, match=r"did not end within 1 s, and was killed; its last words: where is it$"):
        driver.resolve(operator.target(resolve=(str(operator.script), "look"), deadline="1s"))
    assert dead(int(operator.file("child")))


def test_programs_that_are_not_there(operator: Operator, driver: CommandDriver, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    for program, why in (
        (str(tmp_path / "none"), "there is no program .*none"),
        (str(tmp_path), "there is no program"),
        (str(plain), "may not be executed"),
        ("gd-no-such-program", "there is no program 'gd-no-such-program' on the PATH"),
    ):
        with pytest.raises(DriverError, match=why):
            driver.resolve(operator.target(undo=(program,)))
    assert driver.resolve(operator.target(undo=("true",))).data["undo"] == [_which("true")]
    (operator.script).unlink()  # since then
    with pytest.raises(DriverError, match="can not be run: No such file"):
        driver.is_clear(Token.model_validate({**driver_token(operator), "data": token_data(operator)}))


def _which(name: str) -> str:
    return next(f"{folder}/{name}" for folder in os.environ["PATH"].split(":") if Path(folder, name).is_file())


def driver_token(operator: Operator) -> dict[str, object]:
    return {"driver": COMMAND.path, "kind": "brownout", "id": "a", "run": "r", "service": "payments"}


def token_data(operator: Operator) -> dict[str, object]:
    script = str(operator.script)
    return {"inject": [script, "stop"], "check": [script, "standing"], "undo": [script, "start"]}


def test_an_inject_that_is_refused_by_its_exit_code_may_have_acted(
    operator: Operator, driver: CommandDriver
) -> None:
    operator.becomes('stop) touch "$here/stopped"; echo half; echo "not allowed" >&2; exit 4 ;;')
    token = driver.resolve(operator.target())
    with pytest.raises(DriverError, match=r"payments\.sh stop: exit code 4: half\nnot allowed"):
        driver.inject(token)
    driver.undo(token)
    assert not operator.stopped


def test_an_inject_that_is_refused_by_its_check(operator: Operator, driver: CommandDriver) -> None:
    operator.becomes("stop) exit 0 ;;")
    token = driver.resolve(operator.target())
    with pytest.raises(DriverError, match=r"stop ended well, but .* standing says that nothing is in effect"):
        driver.inject(token)


@pytest.mark.parametrize("case", ["exit 2", "exit 255", "kill -KILL $$", "no-such-program-at-all"])
def test_a_check_that_can_not_tell_is_never_clear(operator: Operator, driver: CommandDriver, case: str) -> None:
    operator.becomes(f"standing) {case}; exit $? ;;")
    token = driver.resolve(operator.target())
    for call in (driver.is_clear, driver.in_effect, driver.inject):
        with pytest.raises(DriverError, match=r"can not tell: .* standing: (exit code|ended by SIGKILL)"):
            call(token)


@pytest.mark.parametrize("case", ["echo 'cannot connect to the daemon' >&2; exit 1", "set -e; cat /none; exit 0"])
def test_a_check_that_broke_off_is_not_clear_though_its_exit_code_says_so(
    operator: Operator, driver: CommandDriver, case: str
) -> None:
    token = driver.resolve(operator.target())
    driver.inject(token)
    operator.becomes(f"standing) {case} ;;\nstart) exit 1 ;;")
    for call in (driver.is_clear, driver.undo):
        with pytest.raises(DriverError, match="can not tell"):
            call(token)


def test_the_exit_code_of_an_undo_counts_only_where_something_stands(
    operator: Operator, driver: CommandDriver
) -> None:
    operator.becomes("start) echo 'not paused' >&2; exit 1 ;;")  # as `docker unpause` of what is not paused
    token = driver.resolve(operator.target())
    driver.undo(token)
    driver.inject(token)
    with pytest.raises(DriverError, match="start: exit code 1: not paused"):
        driver.undo(token)
    operator.becomes("start) exit 0 ;;")
    driver.undo(token)
    assert not driver.is_clear(token)


def test_an_undo_that_starts_something_that_would_end_with_the_run(
    operator: Operator, driver: CommandDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.programs._LINGER", 0.2)
    operator.becomes('start) sleep 300 & echo $! > "$here/child" ;;')
    with pytest.raises(DriverError, match="left processes behind") as caught:
        driver.undo(driver.resolve(operator.target()))
    assert "setsid" in caught.value.hint
    assert dead(int(operator.file("child")))


def test_secrets_are_references_until_they_are_used_and_masked_in_what_is_told(
    operator: Operator, driver: CommandDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("A_TOKEN", SECRET)
    (tmp_path / "other").write_text("of a file\n", encoding="utf-8")
    operator.becomes('stop) echo "$TOKEN and $OTHER" > "$here/got"; echo "bad: $TOKEN"; exit 1 ;;')
    target = operator.target(env={"TOKEN": "env:A_TOKEN", "OTHER": f"file:{tmp_path}/other"})
    token = driver.resolve(target)
    assert SECRET not in target.plan.model_dump_json() + token.model_dump_json()
    with pytest.raises(DriverError) as caught:
        driver.inject(token)
    assert operator.file("got") == f"{SECRET} and of a file\n"
    assert str(caught.value).endswith("stop: exit code 1: bad: ***")
    monkeypatch.delenv("A_TOKEN")
    for call in (driver.undo, driver.is_clear):
        with pytest.raises(DriverError, match="env:A_TOKEN is not set"):
            call(token)
    with pytest.raises(DriverError, match="env:A_TOKEN is not set"):
        driver.resolve(target)


def test_a_token_of_another_driver(driver: CommandDriver, operator: Operator) -> None:
    with pytest.raises(DriverError, match="not one of the driver 'command'"):
        driver.undo(Token.model_validate({**driver_token(operator), "data": {"api": "http://one"}}))


def test_find(operator: Operator, driver: CommandDriver) -> None:
    operator.becomes(
        'find) ls "$here/marks" ;;\nstop) mkdir -p "$here/marks"; touch "$here/marks/one" ;;\n'
        'standing) [ -e "$here/marks/$GAMEDAY_FOUND" ] ;;\nstart) rm -f "$here/marks/$GAMEDAY_FOUND" ;;',
        first='mkdir -p "$here/marks"',
    )
    place = Search("payments", FaultKind.BROWNOUT, operator.binding(find=(str(operator.script), "find")))
    assert driver.search(place) == []
    for mark in ("one", "two two"):
        (operator.folder / "marks").mkdir(exist_ok=True)
        (operator.folder / "marks" / mark).touch()
    found = driver.search(place)
    assert [(token.run, token.id, token.service) for token in found] == [
        ("", "one", "payments"),
        ("", "two two", "payments"),
    ]
    assert driver.in_effect(found[1])
    driver.undo(again(found[1]))
    assert driver.is_clear(found[1])
    assert driver.search(place) == found[:1]
    with pytest.raises(DriverError, match="no address"):
        driver.find("")


@pytest.mark.parametrize(
    ("case", "why"),
    [("exit 9", "find: exit code 9"), ("yes | head -n 40000", "printed too much"), ("echo r1/a; echo r1/a", "")],
)
def test_what_find_says(operator: Operator, driver: CommandDriver, case: str, why: str) -> None:
    operator.becomes(f"find) {case} ;;")
    place = Search("payments", FaultKind.BROWNOUT, operator.binding(find=(str(operator.script), "find")))
    if why:
        with pytest.raises(DriverError, match=why):
            driver.search(place)
        return
    assert [(token.run, token.id) for token in driver.search(place)] == [("r1", "a")]


def release(operator: Operator, revision: str) -> Target:
    script = str(operator.script)
    binding = {
        "driver": "command",
        "deploy": [script, "deploy", "--to={revision}", "{revision}", "{other}"],
        "check": [script, "is", "{revision}"],
        "undo": [script, "back", "{revision}"],
    }
    stimulus = BoundStimulus.model_validate(
        {
            "id": "canary",
            "kind": "release",
            "service": "payments",
            "revision": revision,
            "at": "1m",
            "binding": binding,
        }
    )
    return Target(run=RUN, plan=stimulus, api="")


def test_a_release(operator: Operator, driver: CommandDriver) -> None:
    revision = "v2 $(touch nowhere); 'x'"
    operator.becomes(
        'deploy) printf "%s\\n" "$@" "$GAMEDAY_REVISION" > "$here/args"; echo "$3" > "$here/rev" ;;\n'
        'is) [ "$(cat "$here/rev" 2>&1)" = "$2" ] ;;\nback) rm -f "$here/rev" ;;'
    )
    token = driver.resolve(release(operator, revision))
    assert driver.is_clear(token)
    driver.inject(token)
    assert operator.file("args").splitlines() == ["deploy", f"--to={revision}", revision, "{other}", revision]
    assert driver.in_effect(token)
    driver.undo(again(token))
    assert driver.is_clear(token)


def test_a_release_may_take_its_time(operator: Operator, driver: CommandDriver) -> None:
    operator.becomes("deploy) exit 0 ;;\nis) exit 1 ;;")
    driver.inject(driver.resolve(release(operator, "v2")))


# In a hand


class Company:
    """Stands in for guardian and waker where hands are tried without an engine."""

    def __init__(self) -> None:
        self.lost = ""

    def beat(self) -> str:
        return ""

    def during(self, task: Callable[[], object]) -> object:
        return task()

    def lose(self, what: str) -> None:
        self.lost = what

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@pytest.fixture
def handed() -> Iterator[HandedDriver]:
    company = Company()
    with Hands(company, company, [COMMAND.path]) as hands:  # type: ignore[arg-type]  # as much of both as is used
        driver = hands.driver(COMMAND.path)
        hands.ready()
        yield driver


def test_a_resolve_that_overruns_refuses_the_run_and_nothing_was_injected(
    operator: Operator, tmp_path: Path
) -> None:
    operator.becomes("look) trap '' TERM; echo where is it; sleep 300 & wait ;;")
    target = operator.target(resolve=(str(operator.script), "look"), deadline="1s")
    assert isinstance(target.plan, BoundFault)
    plan = make_plan([target.plan]).model_copy(update={"stimuli": ()})
    company = Company()
    with (
        Hands(company, company, [COMMAND.path]) as hands,  # type: ignore[arg-type]  # as above
        Timeline(tmp_path / "timeline.jsonl", FakeClock()) as record,
        pytest.raises(PreflightError) as caught,
    ):
        preflight.prepare(plan, RUN, {}, hands, record)
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith("outage: ")
    assert caught.value.message.endswith("did not end within 1 s, and was killed; its last words: where is it")
    assert "nothing was injected" in caught.value.hint
    assert not operator.stopped


def dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
def test_sound_in_a_hand_and_what_inject_started_ends_with_it(operator: Operator, handed: HandedDriver) -> None:
    operator.becomes('stop) touch "$here/stopped"; sleep 300 & echo $! > "$here/child" ;;')
    token = handed.resolve(operator.target())
    handed.inject(token)
    child = int(operator.file("child"))
    assert handed.in_effect(token)
    assert not dead(child)
    handed.undo(token)
    assert handed.is_clear(token)
    handed._hands.close()
    assert dead(child)


def test_an_inject_that_overruns_ignores_sigterm_and_would_act_late_never_lands(
    operator: Operator, handed: HandedDriver
) -> None:
    operator.becomes(
        "stop) trap '' TERM INT HUP\n"
        '(until [ -e "$here/go" ]; do sleep 0.01; done; touch "$here/stopped") & echo $! > "$here/child"\n'
        'echo $$ > "$here/self"; wait ;;'
    )
    token = handed.resolve(operator.target(deadline="2s"))
    with pytest.raises(TimeoutError, match=r"inject: (no answer within 2 s|.* did not end within 1\.8 s)"):
        handed.inject(token)
    assert all(dead(int(operator.file(name))) for name in ("self", "child"))
    (operator.folder / "go").touch()
    handed.undo(token)
    assert handed.is_clear(token)
    assert not operator.stopped


@pytest.mark.slow
def test_an_undo_that_hangs_is_ended_and_the_next_one_counts(operator: Operator, handed: HandedDriver) -> None:
    token = handed.resolve(operator.target(deadline="2s"))
    handed.inject(token)
    operator.becomes("start) trap '' TERM; echo $$ > $here/self; while :; do sleep 0.1; done ;;")
    with pytest.raises(TimeoutError):
        handed.undo(token)
    assert dead(int(operator.file("self")))
    operator.becomes("")
    handed.undo(token)
    assert handed.is_clear(token)


@pytest.mark.slow
def test_without_an_engine_a_call_ends_at_its_own_deadline(operator: Operator) -> None:
    operator.becomes("start) trap '' TERM; echo $$ > $here/self; while :; do sleep 0.1; done ;;")
    driver = ForkedDriver(CommandDriver(), COMMAND.deadline)
    token = CommandDriver().resolve(operator.target(deadline="2s"))
    with pytest.raises(TimeoutError, match=r"undo: (no answer within 2 s|.* did not end within 1\.8 s)"):
        driver.undo(token)
    assert dead(int(operator.file("self")))
    assert driver.is_clear(token)
