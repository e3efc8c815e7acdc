"""The command line as a stranger meets it: wrong inputs, pipes, narrow terminals; never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def gameday(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
    state = {"GAMEDAY_STATE_DIR": str(folder / "state")}
    return subprocess.run(
        [sys.executable, "-m", "gameday", *arguments],
        cwd=folder,
        env={**keep, **state, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def own_experiment(folder: Path, *replace: tuple[str, str]) -> Path:
    text = (ROOT / "experiments" / "api-dependency-brownout.yaml").read_text(encoding="utf-8")
    for old, new in replace:
        assert old in text
        text = text.replace(old, new)
    path = folder / "experiments" / "mine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace("name: api-dependency-brownout", "name: mine", 1), encoding="utf-8")
    return path


def test_help_names_the_first_command_and_the_exit_codes(tmp_path: Path) -> None:
    done = gameday(tmp_path, "--help")
    assert done.returncode == 0
    assert "gameday run api-dependency-brownout" in done.stdout
    assert "6 something still stands" in done.stdout


def test_help_loads_nothing_heavy() -> None:
    heavy = ("pydantic", "requests", "aiohttp", "locust", "rich")
    code = f"import sys, gameday.cli.commands; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_help_and_list_fit_80_columns(tmp_path: Path) -> None:
    graded = tmp_path / "runs" / "one"
    graded.mkdir(parents=True)
    sample = ROOT / "reports" / "samples" / "passed" / "grade.json"
    (graded / "grade.json").write_bytes(sample.read_bytes())
    for arguments in (["--help"], ["run", "--help"], ["selftest", "--help"], ["proxy", "--help"], ["list"]):
        wide = [line for line in gameday(tmp_path, *arguments, COLUMNS="80").stdout.splitlines() if len(line) > 80]
        assert wide == [], arguments
    listed = gameday(tmp_path, "list", COLUMNS="80").stdout.splitlines()
    when = json.loads(sample.read_bytes())["run"][:15]
    assert " ".join(listed[1].split()).startswith(f"api-dependency-brownout brownout {when} pass API")
    piped = gameday(tmp_path, "list").stdout.splitlines()
    assert len(piped) == 1 + len([*(ROOT / "experiments").glob("*.yaml")]), "a line each where it is piped"


def test_validate_names_every_file(tmp_path: Path) -> None:
    done = gameday(tmp_path, "validate", "api-dependency-brownout")
    assert done.returncode == 0, done.stderr
    assert "experiments/api-dependency-brownout.yaml" in done.stdout
    assert "runbooks/api-dependency-brownout.md" in done.stdout


def test_validate_tells_gamedays_own_files_from_the_projects(tmp_path: Path) -> None:
    own_experiment(tmp_path)
    probes = tmp_path / "probes"
    probes.mkdir()
    (probes / "payments-answers.yaml").write_bytes((ROOT / "probes" / "payments-answers.yaml").read_bytes())
    done = gameday(tmp_path, "validate", "mine")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if "gameday's own" not in line] == [
        "ok  experiments/mine.yaml",
        "ok  probes/payments-answers.yaml",
    ]
    assert "ok  gameday's own: probes/payments-availability.yaml" in lines
    assert "ok  gameday's own: experiments/environments/lab.yaml" in lines


def test_what_is_next_works_from_the_folder_that_it_was_asked_in(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = gameday(tmp_path, "validate", "api-dependency-brownout", "--project", "mine")
    assert done.stderr.splitlines()[-1] == "Next: gameday run api-dependency-brownout --project mine"


def test_plan_is_canonical_json_and_the_same_twice(tmp_path: Path) -> None:
    one, two = (gameday(tmp_path, "plan", "api-dependency-brownout") for _ in range(2))
    assert one.stdout == two.stdout
    assert json.loads(one.stdout)["schema"] == "gameday/plan/v1"


def test_an_unknown_experiment_is_met_with_the_nearest(tmp_path: Path) -> None:
    done = gameday(tmp_path, "run", "api-dependency-brownuot")
    assert done.returncode == 2
    assert "api-dependency-brownout" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    path = own_experiment(tmp_path, ("maxTimeScale", "maxTimeScal"), ("kind: brownout", "kind: brownot"))
    done = gameday(tmp_path, "run", "mine")
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("experiments/mine.yaml:")]
    assert len(lines) >= 2
    numbers = {line.split(":")[1] for line in lines}
    text = path.read_text(encoding="utf-8").splitlines()
    wanted = {str(i) for i, line in enumerate(text, 1) if "maxTimeScal:" in line or "kind: brownot" in line}
    assert wanted <= numbers, done.stderr
    assert "maxTimeScale" in done.stderr
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("words", "hinted"), [((), True), (("--env", "lab.stage"), False)])
def test_who_has_an_environment_and_names_none_is_told(
    tmp_path: Path, words: tuple[str, ...], hinted: bool
) -> None:
    own_experiment(tmp_path, ("kind: brownout", "kind: brownot"))
    folder = tmp_path / "experiments" / "environments"
    folder.mkdir()
    shutil.copy(ROOT / "experiments" / "environments" / "lab.yaml", folder / "lab.stage.yaml")
    done = gameday(tmp_path, "validate", "mine", *words)
    assert done.returncode == 2
    last = "  hint: bound to the environment lab, since no other was named; yours: --env lab.stage"
    assert (done.stderr.splitlines()[-1] == last) is hinted, done.stderr


@pytest.mark.parametrize("command", ["run", "validate", "plan"])
def test_errors_are_json_under_o_json(tmp_path: Path, command: str) -> None:
    own_experiment(tmp_path, ("maxTimeScale: 60", "maxTimeScale: sixty"))
    done = gameday(tmp_path, command, "mine", "-o", "json")
    assert done.returncode == 2
    error = json.loads(done.stderr)["error"]
    assert set(error) == {"code", "message", "file", "line", "column", "hint"}
    assert (error["file"], error["line"] > 1, error["column"] > 1) == ("experiments/mine.yaml", True, True)
    assert done.stdout == ""
    usage = gameday(tmp_path, command, "--nonsense", "-o", "json")
    assert (usage.returncode, json.loads(usage.stderr)["error"]["code"]) == (2, "usage")


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "status",
        "recover",
        "validate api-dependency-brownout",
        "plan read-replica-lag",
        "lab flaws",
        "lab status",
        "grade graded",
    ],
)
def test_yaml_says_the_same_as_json(tmp_path: Path, command: str) -> None:
    shutil.copytree(ROOT / "reports" / "samples" / "passed", tmp_path / "graded")
    told = [gameday(tmp_path, *command.split(), "-o", form) for form in ("json", "yaml")]
    assert [one.returncode for one in told] == [0, 0], told[1].stderr
    assert json.loads(told[0].stdout) == yaml.safe_load(told[1].stdout)


def test_validate_tells_programs_whose_each_file_is(tmp_path: Path) -> None:
    own_experiment(tmp_path)
    told = json.loads(gameday(tmp_path, "validate", "mine", "-o", "json").stdout)["files"]
    assert {"path": "experiments/mine.yaml", "builtin": False} in told
    assert {"path": "runbooks/api-dependency-brownout.md", "builtin": True} in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "a", "-f", "b.yaml"),
        ("run", "api-dependency-brownout", "--set", "hold"),
        ("run", "api-dependency-brownout", "--set", "hould=4m"),
        ("run", "api-dependency-brownout", "--set", "hold=4"),
        ("run", "api-dependency-brownout", "--time-scale", "0"),
        ("lab", "up", "--time-scale", "inf"),
        ("run", "api-dependency-brownout", "--time-scale", "61"),
        ("run", "api-dependency-brownout", "--profile", "ic"),
        ("run", "api-dependency-brownout", "--env", "labb"),
        ("run", "api-dependency-brownout", "--env", "./none.yaml"),
        ("run", "-f", "none.yaml"),
        ("run", "api-dependency-brownout", "--lab", "lab-none"),
        ("run", "api-dependency-brownout", "--flaw", "none"),
        ("run", "api-dependency-brownout", "--attend", "Kim"),
        ("run", "api-dependency-brownout", "--attend", "Kim\x1b[31m:facilitator"),
        ("grade", "nowhere"),
        ("grade", "."),
        ("report", "."),
        ("lab", "down"),
        ("lab", "down", "none"),
        ("lab", "up", "--flaw", "none"),
        ("lab", "up", "--for", "none"),
        ("lab", "mend", "none"),
        ("abort",),
        ("abort", "none"),
        ("recover", "--sweep"),
        ("recover", "--lab", "none"),
        ("recover", "--sweep", "--env", "none"),
        ("recover", "--sweep", "--env", "lab", "--lab", "none"),
        ("nonsense",),
        (),
        ("lab",),
    ],
)
def test_a_wrong_call_is_exit_2_with_one_message_and_starts_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = gameday(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert "internal error:" not in done.stderr
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("grade", "message"),
    [
        ("{}", "not a grade: run: Field required (and "),
        ("", "not a grade: Invalid JSON: EOF"),
        ("[]", "not a grade: Input should be an object"),
    ],
)
def test_a_grade_that_is_none_is_told_in_one_line(tmp_path: Path, grade: str, message: str) -> None:
    (tmp_path / "grade.json").write_text(grade, encoding="utf-8")
    done = gameday(tmp_path, "report", ".")
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()
    assert message in error
    assert hint == "  hint: make it again: gameday grade ."


def test_a_folder_without_a_timeline_is_told_what_is_meant(tmp_path: Path) -> None:
    done = gameday(tmp_path, "grade", ".")
    assert done.stderr == "gameday: .: no timeline.jsonl in it\n  hint: name a run's folder, such as runs/ID\n"


def test_a_terminal_that_knows_no_such_character_shows_the_rest(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "reports/samples/failed", tmp_path / "failed")
    done = gameday(tmp_path, "grade", "failed", PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert "load as planned" in done.stdout
    assert "? 95%" in done.stdout
    assert "could not be shown" not in done.stderr


def test_only_an_experiment_is_named_as_a_file_with_f(tmp_path: Path) -> None:
    done = gameday(tmp_path, "runbook", "review", "../x", "--by", "Kim")
    assert (done.returncode, "-f" in done.stderr, "runbooks/ has: " in done.stderr) == (2, False, True)


def test_an_out_folder_that_is_not_empty_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x", encoding="utf-8")
    done = gameday(tmp_path, "run", "api-dependency-brownout", "--out", "out")
    assert done.returncode == 2
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["precious"]


def test_an_environment_that_asks_for_confirmation_is_refused_without(tmp_path: Path) -> None:
    text = (ROOT / "experiments" / "environments" / "lab.yaml").read_text(encoding="utf-8")
    folder = tmp_path / "experiments" / "environments"
    folder.mkdir(parents=True)
    text = text.replace("name: lab", "name: asking").replace("confirm: false", "confirm: true")
    (folder / "asking.yaml").write_text(text, encoding="utf-8")
    done = gameday(tmp_path, "run", "api-dependency-brownout", "--env", "asking")
    assert done.returncode == 2
    assert "--confirm asking" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    script = f"'{sys.executable}' -m gameday lab flaws | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_status_and_recover_on_a_fresh_machine(tmp_path: Path) -> None:
    assert json.loads(gameday(tmp_path, "status", "-o", "json").stdout) == {
        "runs": [],
        "open_faults": [],
        "unresolved": [],
    }
    assert gameday(tmp_path, "recover").returncode == 0
    swept = gameday(tmp_path, "recover", "--sweep", "--env", "lab")
    assert (swept.returncode, swept.stdout) == (
        0,
        f"Nothing to look at: no instance of lab is recorded below {tmp_path / 'state'}.\n",
    )


def test_status_says_where_it_looked(tmp_path: Path) -> None:
    done = gameday(tmp_path, "status")
    assert done.stdout.splitlines()[-1] == f"No fault stands: no open entry below {tmp_path / 'state'}."


def test_a_caller_that_ignores_its_children_changes_nothing(tmp_path: Path) -> None:
    code = "from gameday.cli import main; import atexit, signal; "
    code += "atexit.register(lambda: print(signal.getsignal(signal.SIGCHLD).name)); main()"
    script = f"trap '' CHLD; '{sys.executable}' -c '{code}' --version"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "SIG_DFL", done.stderr


def test_list_shows_the_promise(tmp_path: Path) -> None:
    found = {one["name"]: one for one in json.loads(gameday(tmp_path, "list", "-o", "json").stdout)}
    assert found["secrets-backend-outage"]["faults"] == ["outage"]
    one = found["api-dependency-brownout"]
    assert one["proves"] == "API dependency brownout (20% errors for 30m): expect rollback"
    assert one["faults"] == ["brownout"]


def test_debug_shows_where_and_nothing_else_does(tmp_path: Path) -> None:
    assert "Traceback" in gameday(tmp_path, "grade", ".", "--debug").stderr
    assert "Traceback" not in gameday(tmp_path, "grade", ".").stderr


def test_flaws_are_listed_with_what_they_break_of_each_experiment(tmp_path: Path) -> None:
    rows = json.loads(gameday(tmp_path, "lab", "flaws", "-o", "json").stdout)
    (one,) = [row for row in rows if row["name"] == "metrics-dead"]
    assert one["experiments"] == ["secrets-backend-outage", "read-replica-lag"]
    assert (one["breaks"], one["verdict"], one["exit"]) == (["restarts", "recovered"], "inconclusive", 4)
    found = {cell["experiment"]: cell["breaks"] for cell in one["cells"]}
    assert found["read-replica-lag"] == {"recovered": "inconclusive"}
    assert found["secrets-backend-outage"] == {"restarts": "inconclusive"}
    done = gameday(tmp_path, "lab", "flaws")
    assert done.stdout.splitlines()[0].split()[:5] == ["NAME", "EXPERIMENT", "BREAKS", "VERDICT", "EXIT"]


@pytest.mark.parametrize("command", [("run", "api-dependency-brownout"), ("lab", "up"), ("selftest",)])
def test_several_flaws_may_stand_with_commas_between(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = gameday(tmp_path, *command, "--flaw", "no-rollback, no-rolback")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the lab has no flaw 'no-rolback'" in done.stderr
    assert "did you mean 'no-rollback'?" in done.stderr


def test_a_selftest_of_nothing_is_refused(tmp_path: Path) -> None:
    done = gameday(tmp_path, "selftest", "--experiment", "mine")
    assert done.returncode == 2
    assert "no experiment 'mine'" in done.stderr
