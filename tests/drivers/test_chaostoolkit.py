"""The Chaos Toolkit driver, with an extension of the tests' own and chaoslib itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from gameday.app import tables
from gameday.drivers import CHAOSTOOLKIT
from gameday.drivers.chaostoolkit import ChaosToolkitDriver
from gameday.drivers.chaostoolkit.child import answer
from gameday.errors import DriverError
from gameday.extensions import PROGRAM, Question, Reply, Worker, once
from gameday.model.chaostoolkit import Given
from gameday.model.enums import FaultKind
from gameday.model.environment import ChaosBinding
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.ports import Driver, Search, Searching, Target
from tests.extension import FOLDER, MODULE

RUN = "20260801-101500-outage-ab12"
SECRET = "s3cret-value"


@pytest.fixture(autouse=True)
def _extension(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be imported, here and in children."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("PYTHONPATH", f"{FOLDER}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep))


@pytest.fixture
def driver() -> Iterator[ChaosToolkitDriver]:
    with closing(ChaosToolkitDriver()) as one:
        yield one


def call(func: str, **arguments: Any) -> dict[str, Any]:
    return {"module": MODULE, "func": func, "arguments": arguments}


def asked(func: str, judge: tuple[Any, ...] = (), at: tuple[Any, ...] = (), /, **arguments: Any) -> Reply:
    """What a child would answer to that call, without a child."""
    question = {"call": call(func, **arguments), "judge": judge, "path": at, "seconds": 30}
    return answer(Question.model_validate(question), {})


def binding(folder: Path, **more: Any) -> ChaosBinding:
    path = str(folder / "broken")
    calls = {"inject": call("break_it", path=path), "undo": call("mend_it", path=path)}
    calls["check"] = call("is_broken", path=path)
    return ChaosBinding.model_validate({"driver": "chaostoolkit", **calls, **more})


def target(folder: Path, **more: Any) -> Target:
    fault = {
        "id": "outage",
        "kind": FaultKind.OUTAGE,
        "service": "payments",
        "at": "6m",
        "for": "30m",
        "with": {},
        "proof": "payments-answers",
        "binding": binding(folder, **more),
    }
    return Target(run=RUN, plan=BoundFault.model_validate(fault), api="")


@contextmanager
def closing_worker() -> Iterator[Worker]:
    worker = Worker(Given())
    try:
        yield worker
    finally:
        worker.end()


def runs(file: Path) -> bool:
    """Whether the process does whose number is in the file; a zombie does not."""
    try:
        return psutil.Process(int(file.read_text())).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def again(token: Token) -> Token:
    """The token as another process reads it from the ledger."""
    return Token.model_validate_json(token.model_dump_json())


def test_it_is_a_driver_that_searches(driver: ChaosToolkitDriver) -> None:
    assert isinstance(driver, Driver)
    assert isinstance(driver, Searching)
    assert tables.DRIVERS["chaostoolkit"] is CHAOSTOOLKIT
    assert isinstance(tables.driver(CHAOSTOOLKIT.path), ChaosToolkitDriver)
    assert FaultKind.RELEASE not in driver.kinds
    assert driver.kinds == CHAOSTOOLKIT.kinds


def test_sound_from_the_token_alone_and_twice(driver: ChaosToolkitDriver, tmp_path: Path) -> None:
    token = driver.resolve(target(tmp_path, deadline="20s"))
    assert (token.deadline, token.driver) == (20.0, CHAOSTOOLKIT.path)
    driver.inject(token)
    assert (tmp_path / "broken").read_text() == "outage", "gameday tells which fault it is"
    assert not driver.is_clear(token)
    with closing(ChaosToolkitDriver()) as other:
        for _ in range(2):
            other.undo(again(token))
            assert other.is_clear(again(token))


# What a child answers -------------------------------------------------------------------------------------------

EQUAL, RANGE = {"type": "equals"}, {"type": "range", "range": [0, 0.5]}


@pytest.mark.parametrize(
    ("value", "tolerance", "good"),
    [
        (True, True, True),
        (1, True, False),
        (False, 0, False),
        ("1", 1, False),
        (1.0, 1, True),
        ("yes", "yes", True),
        (None, False, False),
        ([200, 404], {**EQUAL, "value": [200, 404]}, True),
        (301, {**EQUAL, "value": [200, 404]}, False),
        ({"a": [1]}, {**EQUAL, "value": {"a": [1]}}, True),
        ({"a": [True]}, {**EQUAL, "value": {"a": [1]}}, False),
        ({"a": 1, "b": 2}, {**EQUAL, "value": {"a": 1}}, False),
        (0.5, RANGE, True),
        ("0.25", RANGE, True),
        (0.51, RANGE, False),
        (True, RANGE, None),
        ("NaN", RANGE, None),
        ([], RANGE, None),
        ("ready: yes", {"type": "regex", "pattern": "^ready"}, True),
        ("not ready", {"type": "regex", "pattern": "^ready"}, False),
        (7, {"type": "regex", "pattern": "7"}, None),
    ],
)
def test_what_a_value_is_held_against(value: Any, tolerance: Any, good: bool | None) -> None:
    reply = asked("echo", (tolerance,), value=value)
    assert reply.failed == ""
    assert reply.good == (good,)
    assert bool(reply.unclear) == (good is None)


VECTOR = {"data": {"result": [{"value": [1.5, "0.25"]}]}}
AT = ("data", "result", "only", "value", 1)


@pytest.mark.parametrize(
    ("value", "number", "unclear"),
    [
        (VECTOR, 0.25, ""),
        ({"data": {"result": []}}, None, "0 entries where there has to be only one"),
        ({"data": {"result": [*VECTOR["data"]["result"]] * 2}}, None, "2 entries"),
        ({"data": None}, None, "there is no 'result'"),
        (None, None, "there is no 'data'"),
    ],
)
def test_the_value_at_a_path_and_nothing_else(value: Any, number: float | None, unclear: str) -> None:
    reply = asked("echo", (RANGE,), AT, value=value)
    assert reply.number == number
    assert reply.good == (True if number is not None else None,)
    assert unclear in reply.unclear


@pytest.mark.parametrize(
    ("func", "arguments", "why"),
    [
        ("break_it", {}, "missing a required argument: 'path'; it takes: path, times"),
        ("break_it", {"path": "x", "tiems": 2}, "chaosx.break_it takes no argument 'tiems'"),
        ("break_it", {"path": "x", "times": "2"}, "'times' is '2', and the function takes int"),
        ("break_it", {"path": "x", "times": True}, "'times' is True, and the function takes int"),
        ("break_it", {"path": 5}, "'path' is 5, and the function takes str"),
        ("break_it", {"path": "${where}"}, "neither 'configuration' nor 'secrets' has the 'where'"),
        ("nothing", {}, "chaosx has no function 'nothing'"),
        ("Thing", {}, "chaosx has no function 'Thing'"),
        ("later", {}, "a coroutine or a generator"),
        ("bit_by_bit", {}, "a coroutine or a generator"),
    ],
)
def test_what_does_not_fit_is_refused_by_looking_and_by_calling(
    func: str, arguments: dict[str, Any], why: str
) -> None:
    look = Question.model_validate({"verify": [call(func, **arguments)], "seconds": 30})
    assert why in answer(look, {}).failed
    assert why in asked(func, **arguments).failed
    assert not Path("x").exists()


def test_to_look_calls_nothing(tmp_path: Path) -> None:
    look = Question.model_validate({"verify": [call("break_it", path=str(tmp_path / "x"))], "seconds": 30})
    assert answer(look, {}) == Reply()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("func", "arguments", "why"),
    [
        ("fails", {"why": "403"}, "ValueError: 403"),
        ("leaves", {}, "chaosx.leaves: SystemExit: 0"),
        ("hidden_later", {}, "which has not done anything yet"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_what_is_raised_or_not_awaited_is_no_value(func: str, arguments: dict[str, Any], why: str) -> None:
    reply = asked(func, (True,), **arguments)
    assert why in reply.failed
    assert reply.good == ()
    with pytest.raises(DriverError, match=why.split(":", maxsplit=1)[0]):
        reply.sound()


@pytest.mark.parametrize(
    ("value", "nothing"),
    [(None, False), (True, False), (0, False), ([0], False), ("x", False), (False, True), ([], True), ({}, True)],
)
def test_what_says_that_nothing_was_done(value: Any, nothing: bool) -> None:
    assert asked("echo", value=value).nothing is nothing


def test_configuration_and_secrets_are_those_of_chaos_toolkit() -> None:
    question = Question.model_validate(
        {
            "call": call("given", argument="${token} at ${url}"),
            "configuration": {"url": "http://one", "share": 0.2},
            "judge": [{"type": "equals", "value": "t at http://one"}],
            "path": ["argument"],
            "seconds": 30,
        }
    )
    assert answer(question, {"token": "t"}).good == (True,)
    whole = question.model_copy(update={"call": question.call, "path": ("configuration", "share")})
    number = answer(whole.model_copy(update={"judge": ()}), {"token": "t"})
    assert number.number == 0.2, "a value keeps its type"


def test_without_chaos_toolkit_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chaoslib.provider.python", None)
    reply = asked("echo")
    with pytest.raises(DriverError, match="Chaos Toolkit is not installed") as error:
        reply.sound()
    assert error.value.hint == "pip install 'gameday[chaostoolkit]'"


def test_an_extension_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question.model_validate({"verify": [{"module": "chaosnone.actions", "func": "x"}], "seconds": 30})
    reply = answer(question, {})
    assert "chaosnone.actions can not be imported" in reply.failed
    assert "install the extension" in reply.hint


# Children -------------------------------------------------------------------------------------------------------


def test_secrets_are_in_no_token_and_no_answer(
    driver: ChaosToolkitDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENTS_TOKEN", SECRET)
    found = target(tmp_path, inject=call("tells"), secrets={"token": "env:PAYMENTS_TOKEN"})
    token = driver.resolve(found)
    assert SECRET not in token.model_dump_json()
    with pytest.raises(DriverError, match=r"no such token: \*\*\*") as error:
        driver.inject(again(token))
    assert SECRET not in error.value.message
    assert "it printed: ***\n***" in error.value.message
    driver.close()
    monkeypatch.delenv("PAYMENTS_TOKEN")
    with pytest.raises(DriverError, match="env:PAYMENTS_TOKEN is not set"):
        driver.undo(again(token))


@pytest.mark.parametrize("how", ["value", "key", "url", "json"])
def test_secrets_are_masked_however_they_are_spelled(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_TOKEN", "a\\b/c'd\"=é")
    question = Question.model_validate({"call": call("quotes", how=how), "seconds": 30})
    reply, _ = once(question, Given.model_validate({"secrets": {"token": "env:PAYMENTS_TOKEN"}}))
    told = reply.failed or reply.returned
    assert "***" in told
    assert not any(part in told for part in ("/c", "2Fc", "a\\"))


def test_a_secret_among_what_was_found_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_TOKEN", SECRET)
    question = Question.model_validate({"call": call("quotes", how="texts"), "texts": True, "seconds": 30})
    reply, _ = once(question, Given.model_validate({"secrets": {"token": "env:PAYMENTS_TOKEN"}}))
    assert (reply.failed, reply.texts) == ("it returned a secret, which may not be kept", ())


def test_what_a_hand_ignores_an_extension_does_not() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        reply, _ = once(Question.model_validate({"call": call("ignored"), "seconds": 30}), Given())
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert (reply.returned, reply.failed) == ("[]", "")


def test_a_copy_of_the_process_that_comes_back_answers_nothing(tmp_path: Path) -> None:
    question = {"call": call("comes_back_twice", path=str(tmp_path / "x")), "judge": [True], "seconds": 30}
    with closing_worker() as worker:
        assert worker.ask(Question.model_validate(question)).good == (False,)
        (tmp_path / "x").touch()
        assert worker.ask(Question.model_validate(question)).good == (True,)


def test_what_was_printed_before_is_not_told_of_the_next_call(tmp_path: Path) -> None:
    first = {"call": call("break_and_raise", path=str(tmp_path / "x")), "seconds": 30}
    second = {"call": call("fails", why="no"), "seconds": 30}
    with closing_worker() as worker:
        for _ in range(2):
            assert worker.ask(Question.model_validate(first)).failed.endswith("it printed: chaosx was here")
        assert worker.ask(Question.model_validate(second)).failed == "chaosx.fails: ValueError: no"


def test_a_child_ends_with_whoever_began_it_also_in_the_middle_of_a_call(tmp_path: Path) -> None:
    question = {"call": call("break_and_hang", path=str(tmp_path / "x")), "seconds": 300}
    child = subprocess.Popen([sys.executable, "-m", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(question).encode() + b"\n")
        child.stdin.flush()
        while not (tmp_path / "x").exists():
            assert child.poll() is None
            time.sleep(0.01)
        child.stdin.close()
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()


def test_a_token_is_never_asked_of_with_the_variables_of_another(
    driver: ChaosToolkitDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST", "one")
    monkeypatch.setenv("SECOND", "two")
    check = {**call("variables"), "path": ["WHO"], "tolerance": "one", "clear": "two"}
    first, second = (
        driver.resolve(target(tmp_path, check=check, env={"WHO": f"env:{name}"})) for name in ("FIRST", "SECOND")
    )
    assert [driver.in_effect(token) for token in (first, second, first)] == [True, False, True]


def test_a_fork_asks_a_process_of_its_own_and_leaves_its_parents_alone(
    driver: ChaosToolkitDriver, tmp_path: Path
) -> None:
    token = driver.resolve(target(tmp_path))
    assert driver.is_clear(token)
    before = psutil.Process().children()
    fork = os.fork()
    if fork == 0:
        clear = driver.is_clear(token)
        os._exit(len(psutil.Process().children()) if clear else 99)
    assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 1
    assert psutil.Process().children() == before
    assert driver.is_clear(token)


def test_no_disk_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))
    (tmp_path / "broken").touch()
    question = Question.model_validate({"call": call("mend_it", path=str(tmp_path / "broken")), "seconds": 30})
    assert not once(question, Given())[0].failed
    assert not (tmp_path / "broken").exists()


def test_a_child_has_the_declared_variables_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OF_THE_ENGINE", "1")
    (tmp_path / "config").write_text("a-cluster\n")
    given = Given(env={"KUBECONFIG": f"file:{tmp_path}/config"})
    judge = [{"type": "equals", "value": "a-cluster"}]
    question = {"call": call("variables"), "judge": judge, "path": ["KUBECONFIG"], "seconds": 30}
    reply, left = once(Question.model_validate(question), given)
    assert (reply.good, left) == ((True,), False)
    names = {"call": call("variables"), "path": ["OF_THE_ENGINE"], "judge": judge, "seconds": 30}
    assert "there is no 'OF_THE_ENGINE'" in once(Question.model_validate(names), Given())[0].unclear


def test_a_process_that_ends_without_an_answer_is_no_success() -> None:
    reply, _ = once(Question.model_validate({"call": call("dies"), "judge": [True], "seconds": 30}), Given())
    assert reply.failed == "chaosx.dies: its process ended without an answer"
    assert reply.good == ()


@pytest.mark.slow
def test_one_that_overruns_is_killed(tmp_path: Path) -> None:
    question = {"call": call("break_and_hang", path=str(tmp_path / "x")), "seconds": 2.5}
    before = psutil.Process().children(recursive=True)
    with pytest.raises(TimeoutError, match=r"chaosx.break_and_hang did not end within 2.5 s, and was killed"):
        once(Question.model_validate(question), Given())
    assert psutil.Process().children(recursive=True) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"inject": ("break_and_echo", False, None)}, "returned False: it did nothing"),
        ({"inject": ("break_and_echo", [], None)}, r"returned \[\]: it did nothing"),
        ({"inject": ("break_and_echo", 1, 2)}, "returned 1, which is not what 'returns' says"),
        ({"inject": ("break_and_echo", [], {**EQUAL, "value": []})}, ""),
        ({"inject": ("break_and_echo", None, None)}, ""),
        ({"inject": ("echo_alone", True, None)}, "says that nothing is in effect"),
    ],
)
def test_what_inject_returns_and_what_check_says(
    driver: ChaosToolkitDriver, tmp_path: Path, more: dict[str, tuple[str, Any, Any]], why: str
) -> None:
    func, value, returns = more["inject"]
    inject: dict[str, Any] = call(func, path=str(tmp_path / "broken"), value=value)
    if func == "echo_alone":
        inject = call("echo", value=value)
    if value is None:
        inject = call("break_and_echo", path=str(tmp_path / "broken"))
    token = driver.resolve(target(tmp_path, inject=inject | ({"returns": returns} if returns is not None else {})))
    if not why:
        driver.inject(token)
        return
    with pytest.raises(DriverError, match=why):
        driver.inject(token)


@pytest.mark.slow
def test_a_check_that_says_neither_or_both_can_not_tell(driver: ChaosToolkitDriver, tmp_path: Path) -> None:
    token = driver.resolve(target(tmp_path, check=call("echo", value="perhaps")))
    for ask in (driver.in_effect, driver.is_clear):
        with pytest.raises(DriverError, match=r"can not tell: chaosx.echo returned 'perhaps'.*neither"):
            ask(token)
    both = {**call("echo", value=3), "tolerance": 3, "clear": {"type": "range", "range": [0, 5]}}
    with pytest.raises(DriverError, match=r"can not tell.*both"):
        driver.is_clear(driver.resolve(target(tmp_path, check=both)))


@pytest.mark.slow
def test_an_undo_that_fails_is_fine_only_where_check_says_that_all_is_clear(
    driver: ChaosToolkitDriver, tmp_path: Path
) -> None:
    token = driver.resolve(target(tmp_path, undo=call("fails", why="404")))
    driver.undo(token)
    driver.inject(token)
    with pytest.raises(DriverError, match="404"):
        driver.undo(token)


@pytest.mark.slow
def test_what_inject_started_lives_on_and_an_undo_may_leave_nothing(
    driver: ChaosToolkitDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.extensions._LINGER", 0.1)
    first, second = tmp_path / "first", tmp_path / "second"
    path = str(tmp_path / "broken")
    inject = call("leaves_behind", path=path, pid=str(first), broken=True)
    undo = call("leaves_behind", path=path, pid=str(second))
    token = driver.resolve(target(tmp_path, inject=inject, undo=undo))
    driver.inject(token)
    try:
        assert runs(first)
        with pytest.raises(DriverError, match="leaves_behind left processes behind, which would end with the run"):
            driver.undo(token)
        assert not runs(second), "it was ended"
        assert driver.is_clear(token), "what it did counts"
    finally:
        os.kill(int(first.read_text()), signal.SIGKILL)


def test_what_find_returns_can_be_undone(driver: ChaosToolkitDriver, tmp_path: Path) -> None:
    path = str(tmp_path / "broken")
    place = Search("payments", FaultKind.OUTAGE, binding(tmp_path, find=call("standing", path=path)))
    assert driver.search(place) == []
    driver.inject(driver.resolve(target(tmp_path)))
    found = driver.search(place)
    assert [(one.run, one.id) for one in found] == [("some-run", "outage")]
    driver.undo(again(found[0]))
    assert driver.is_clear(again(found[0]))


@pytest.mark.slow
def test_resolve_names_what_is_wrong_before_anything_is_called(
    driver: ChaosToolkitDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DriverError, match=r"chaosx.mend_it takes no argument 'pth'") as error:
        driver.resolve(target(tmp_path, undo=call("mend_it", pth="x")))
    assert error.value.hint == "did you mean 'path'?"
    absent = tmp_path / "absent" / "chaoslib"
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text("raise ImportError('No module named chaoslib')\n")
    monkeypatch.setenv("PYTHONPATH", f"{absent.parent}{os.pathsep}{os.environ['PYTHONPATH']}")
    with pytest.raises(DriverError, match="Chaos Toolkit is not installed") as error:
        driver.resolve(target(tmp_path))
    assert "gameday[chaostoolkit]" in error.value.hint


def test_the_child_begins_quickly() -> None:
    """An undo waits for it: it loads nothing of plans and environments, which takes longer than all the rest."""
    code = "import sys, gameday.drivers.chaostoolkit.child; print(*sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"gameday.model.plan", "gameday.model.environment", "gameday.model.events"} & set(
        told.stdout.split()
    )
