"""All commands. Each imports what it needs when it runs: ``gameday --help`` stays quick."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gameday import __version__
from gameday.errors import UsageError

if TYPE_CHECKING:
    from gameday.model.events import Attendee

__all__ = ["gameday"]

F = TypeVar("F", bound=Callable[..., Any])

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, message="gameday %(version)s")
@click.option("--debug", is_flag=True, help="Show a traceback where something goes wrong.")
def gameday(debug: bool) -> None:
    """Prove under fire that a system and its people do what the runbooks promise.

    \b
    Try it here, without a cluster, then see it fail, as it should:
      gameday run api-dependency-brownout
      gameday run api-dependency-brownout --flaw no-rollback

    \b
    Exit codes: 0 passed, 1 failed, 2 usage or configuration, 3 internal error,
    4 inconclusive, 5 aborted with everything undone, 6 something still stands.
    """
    del debug  # read from the arguments by the guard around all commands


def _debug(function: F) -> F:
    return click.option(
        "--debug", is_flag=True, expose_value=False, help="Show a traceback where something goes wrong."
    )(function)


def _output(*formats: str) -> Callable[[F], F]:
    choice = click.Choice(formats)
    return click.option(
        "-o", "--output", type=choice, default=formats[0], show_default=True, help="How results are shown."
    )


def _project(function: F) -> F:
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.option(
        "--project",
        type=folder,
        default=".",
        help="The folder with your own experiments, probes, runbooks. Default: here.",
    )(function)


def _settings(pairs: tuple[str, ...]) -> Mapping[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"'{pair}': write NAME=VALUE, such as hold=4m", param_hint="--set")
        found[name] = value
    return found


def _attendance(people: tuple[str, ...]) -> Sequence[Attendee]:
    from gameday.model.events import Attendee

    found = []
    for person in people:
        name, _, role = (part.strip() for part in person.rpartition(":"))
        if not name or not role or not person.isprintable():
            raise click.BadParameter(f"{person!r}: write NAME:ROLE, such as Kim:facilitator", param_hint="--attend")
        found.append(Attendee(name=name, role=role))
    return found


def _need_linux(command: str) -> None:
    """UsageError elsewhere: what undoes faults rests on pidfds, /proc and sessions. Before what needs them is
    imported."""
    system = platform.system()
    if system != "Linux":
        raise UsageError(
            f"`gameday {command}` needs Linux, and this is {system or 'another system'}",
            hint="run it in a container: the Dockerfile of gameday's repository makes one, see "
            "docs/how-to/run-in-docker.md; validate, plan, grade and report work here",
        )


def _flaws(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Each may be several, with commas between."""
    return tuple(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


def _file(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    context.meta["gameday.file"] = value


def _experiment(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """EXPERIMENT, or the file of ``-f``: exactly one of them."""
    file: str | None = context.meta.get("gameday.file")
    if (value is None) == (file is None):
        raise click.UsageError("name one experiment, or one file with -f; see `gameday list`", context)
    return value if value is not None else f"./{file}" if "/" not in str(file) else str(file)


def _planning(function: F) -> F:
    options = [
        click.argument("experiment", required=False, callback=_experiment),
        click.option(
            "-f", "--file", "file", expose_value=False, is_eager=True, callback=_file, help="EXPERIMENT as a file."
        ),
        click.option(
            "--env", "environment", default="lab", show_default=True, help="The environment, by name or file."
        ),
        click.option("--profile", help="A set of parameters that the experiment declares, such as ci."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="NAME=VALUE",
            help="Change a declared parameter; repeatable.",
        ),
        click.option(
            "--time-scale",
            type=click.FloatRange(min=0, min_open=True),
            help="Divide plan time by this. Default: the experiment's maxTimeScale on the lab, else 1.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@gameday.command()
@_planning
@click.option(
    "--flaw",
    "flaws",
    multiple=True,
    metavar="NAME[,NAME]",
    callback=_flaws,
    help="A deliberate defect of the lab, repeatable; see `gameday lab flaws`.",
)
@click.option("--lab", "existing", metavar="ID", help="Use a lab that `gameday lab up` started.")
@click.option(
    "--confirm",
    metavar="NAME",
    help="The environment's name: needed wherever gameday does not start the environment itself.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Put the artefacts exactly there. Default: runs/ID.")
@click.option("--attend", metavar="NAME:ROLE", multiple=True, help="Who is there; once for each person.")
@click.option("--dry-run", "dry", is_flag=True, help="Try all but the faults, and say what is missing; no grade.")
@click.option("--interactive", is_flag=True, help="Show manual steps to people, and take their answers.")
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Play the answers to manual steps from a file; the run is a rehearsal.",
)
@_output("table", "json")
@_project
@_debug
def run(settings: tuple[str, ...], attend: tuple[str, ...], output: str, dry: bool, **options: Any) -> int:
    """Run EXPERIMENT (a name or a file), grade it, write the report.

    \b
    With --dry-run: preflight, then the load for as long as 'before' lasts;
    nothing is injected. Exit 0 if nothing is missing for the real run,
    4 if something is, 5 if it was stopped.
    """
    _need_linux("run")
    from gameday.app.planning import RunRequest
    from gameday.cli.running import carry_out

    request = RunRequest(settings=_settings(settings), attendance=_attendance(attend), **options)
    if dry:
        from gameday.cli.dry import try_out

        return try_out(request, output)
    return carry_out(request, output)


@gameday.command()
@_planning
@_project
@_debug
def plan(settings: tuple[str, ...], **options: Any) -> None:
    """Print the plan of EXPERIMENT as JSON; nothing is started."""
    from gameday.app.planning import RunRequest, make_plan
    from gameday.plan import plan_json

    planned = make_plan(RunRequest(settings=_settings(settings), **options))
    sys.stdout.write(plan_json(planned.plan).decode())
    if sys.stdout.isatty():  # in a file it is plan.json, to the byte
        sys.stdout.write("\n")


@gameday.command()
@_planning
@_project
@_debug
def validate(settings: tuple[str, ...], **options: Any) -> None:
    """Check EXPERIMENT and everything that it names; every problem at once."""
    from gameday.app.planning import RunRequest, make_plan
    from gameday.cli.output import from_here

    planned = make_plan(RunRequest(settings=_settings(settings), **options))
    for digest in planned.plan.inputs:
        whose = "gameday's own: " if planned.catalog.is_builtin(digest.path) else ""
        click.echo(f"ok  {whose}{digest.path}")
    asks = planned.plan.safety.confirm and options.get("confirm") is None
    confirm = f" --confirm {planned.plan.environment.name}" if asks else ""
    click.echo(f"Next: {from_here(planned.plan.reproduce + confirm, options['project'])}", err=True)


@gameday.command("list")
@_output("table", "json")
@_project
@_debug
def list_(output: str, project: Path) -> None:
    """List the experiments: the project's own, and those that come with gameday."""
    from gameday.cli.listing import show_experiments

    show_experiments(project, output)


@gameday.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_output("table", "json")
@_project
@_debug
def grade(folder: Path, output: str, project: Path) -> int:
    """Grade the run in FOLDER again, from its timeline alone, and write grade and reports."""
    from gameday.cli.running import grade_again

    return grade_again(folder, output, project)


@gameday.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_project
@_debug
def report(folder: Path, project: Path) -> None:
    """Render the reports of the run in FOLDER again, from its grade."""
    from gameday.app.artefacts import report_folder
    from gameday.spec import Catalog

    for path in report_folder(folder, Catalog.default(project)):
        click.echo(path)


@gameday.command()
@_output("table", "json")
@_debug
def status(output: str) -> int:
    """Show runs under way and faults that stand. Exit 6 if a fault stands that no live run will remove."""
    from gameday.cli.standing import show_status

    return show_status(output)


@gameday.command()
@click.argument("run", required=False)
@_output("table", "json")
@_debug
def abort(run: str | None, output: str) -> int:
    """Stop the run under way (RUN, if several are) and wait until its faults are gone.

    Exit 0 if nothing stands afterwards, 6 if something does or the run has not let go.
    """
    _need_linux("abort")
    from gameday.cli.aborting import abort_run

    return abort_run(run, output)


@gameday.command()
@click.option("--env", "environment", help="Only this environment. Default: every one.")
@click.option(
    "--sweep", is_flag=True, help="Ask the drivers of --env (a name or file) what gameday once made there."
)
@click.option("--lab", "existing", metavar="ID", help="With --sweep: only this lab. Default: every one that is up.")
@_output("table", "json")
@_project
@_debug
def recover(environment: str | None, sweep: bool, existing: str | None, output: str, project: Path) -> int:
    """Undo whatever earlier runs left behind. Exit 6 while anything still stands.

    The ledger says what to undo. Where the ledger itself is gone, --sweep finds it by gameday's own marks; that
    also removes what a run on another machine has made there.
    """
    _need_linux("recover")
    from gameday.cli import standing

    if not sweep:
        if existing is not None:
            raise click.UsageError("--lab goes with --sweep")
        return standing.recover_all(environment, output)
    if environment is None:
        raise click.UsageError("--sweep needs --env: which environment is to be looked at?")
    return standing.sweep(environment, existing, project, output)


@gameday.group()
def lab() -> None:
    """Run the embedded lab by hand: a small system of real processes on this machine."""


@lab.command("up")
@click.option(
    "--time-scale",
    type=click.FloatRange(min=1),
    help="How fast plan time passes in it. Default: as the experiments of --for want it, else 60.",
)
@click.option(
    "--for",
    "experiments",
    multiple=True,
    metavar="EXPERIMENT",
    help="Start what this experiment needs beside the core; repeatable.",
)
@click.option(
    "--flaw",
    "flaws",
    multiple=True,
    metavar="NAME[,NAME]",
    callback=_flaws,
    help="A deliberate defect, repeatable; see `gameday lab flaws`.",
)
@_output("table", "json")
@_debug
def lab_up(time_scale: float | None, experiments: tuple[str, ...], flaws: tuple[str, ...], output: str) -> None:
    """Start a lab that stays up, and print its addresses."""
    _need_linux("lab up")
    from gameday.cli.labs import up

    up(time_scale, flaws, output, experiments)


@lab.command("status")
@_output("table", "json")
@_debug
def lab_status(output: str) -> None:
    """Show the labs that are up."""
    from gameday.cli.labs import show

    show(output)


@lab.command("down")
@click.argument("id", required=False)
@_debug
def lab_down(id: str | None) -> None:
    """End the lab ID, or the only one that is up."""
    from gameday.cli.labs import down

    down(id)


@lab.command("mend")
@click.argument("id")
@_debug
def lab_mend(id: str) -> None:
    """Have the proxy of the lab ID obey again: ends the flaws stuck-fault and fault-noop."""
    from gameday.cli.labs import mend

    mend(id)


@lab.command("flaws")
@_output("table", "json")
@_debug
def lab_flaws(output: str) -> None:
    """List the deliberate defects, and the criterion that each must break."""
    from gameday.cli.labs import show_flaws

    show_flaws(output)


@gameday.command()
@click.option(
    "--quick", is_flag=True, help="Each experiment sound, and each kind of criterion broken once: flaws share runs."
)
@click.option("--experiment", "experiments", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option(
    "--flaw",
    "flaws",
    multiple=True,
    metavar="NAME[,NAME]",
    callback=_flaws,
    help="Only runs with one of these flaws; 'none' is the sound lab. Repeatable.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep each run's folder there, and selftest.json and selftest.md. Default: only what differs is kept.",
)
@click.option(
    "--keep-going/--fail-fast",
    default=True,
    show_default=True,
    help="Whether to go on after a run that did not come as expected.",
)
@_output("table", "json", "yaml")
@_debug
def selftest(**options: Any) -> int:
    """Show that a grade can be believed: every experiment on the sound lab, and with each of its flaws.

    Every run is compared with what must come of it: its verdict, its exit code, the criteria that break and no
    others; that its record gives the same grade again; and that nothing is left of it. About an hour in all, with
    --quick a third of that.

    \b
    Exit 0 if all came as expected, 1 if not, 5 after Ctrl-C,
    6 if something still stands.
    """
    _need_linux("selftest")
    from gameday.cli.selftesting import Asked, try_itself

    return try_itself(Asked(**options))


@gameday.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".", metavar="[DIR]")
@click.option("--url", required=True, help="Where customers come in, such as http://shop.stage:8080.")
@click.option("--prometheus", help="The system's Prometheus. Default: a placeholder.")
@_debug
def init_(folder: Path, url: str, prometheus: str | None) -> None:
    """Write a project for a system of your own into DIR: experiment, environment, load, SLOs, probe, runbook.

    Looks at both addresses, read-only, for what it can put there; what a person must decide is marked DECIDE.
    Overwrites nothing.
    """
    from gameday.cli.starting import init_project

    init_project(folder, url, prometheus)


@gameday.group()
def slo() -> None:
    """Connect the alerting of a system of your own with gameday."""


@slo.command("watchdog")
@click.option("--env", "environment", required=True, help="The environment, by name or file.")
@click.option(
    "--only",
    type=click.Choice(["prometheus", "alertmanager"]),
    help="Only this file. Default: both, with --- between.",
)
@_project
@_debug
def slo_watchdog(environment: str, only: str | None, project: Path) -> None:
    """Print what Prometheus and Alertmanager have to add for the alerts of an environment; changes nothing."""
    from gameday.cli.alerting import show_watchdog

    show_watchdog(environment, only, project)


@gameday.group()
def runbook() -> None:
    """Bring the runbooks that you have, and say when they were reviewed."""


@runbook.command("adopt")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="runbooks",
    show_default=True,
    help="The folder for the new file; nothing is overwritten.",
)
@_debug
def runbook_adopt(file: Path, out: Path) -> None:
    """Make a runbook of gameday from FILE, plain Markdown: every line stays, steps are put between them.

    What a person has to decide is listed on stderr, and marked REVIEW in the new file. FILE is left as it is.
    """
    from gameday.cli.adopting import adopt_file

    adopt_file(file, out)


@runbook.command("review")
@click.argument("id")
@click.option("--by", required=True, metavar="NAME", help="Who went through all of it.")
@click.option("--on", metavar="DATE", help="On which day, such as 2026-11-01. Default: today, in UTC.")
@_project
@_debug
def runbook_review(id: str, by: str, on: str | None, project: Path) -> None:
    """Write into the runbook ID when it was reviewed, and by whom; nothing else in it changes.

    One of gameday's own is copied into the project first, which then uses the copy.
    """
    from gameday.cli.reviewing import review_runbook

    review_runbook(id, by, on, project)


@gameday.command("proxy")
@click.option("--host", default="127.0.0.1", show_default=True, help="The API's address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8474,
    show_default=True,
    help="The API's port; 0 takes a free one.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON list of proxies to begin with, as POST /populate takes it.",
)
@_debug
def proxy_(host: str, port: int, config: Path | None) -> None:
    """Run gameday's own proxy alone, with Toxiproxy's HTTP API, until Ctrl-C.

    Toxics: latency, timeout, reset_peer, noop and, for HTTP, http_error.
    """
    from gameday.cli.proxying import run_proxy

    run_proxy(host, port, config)
