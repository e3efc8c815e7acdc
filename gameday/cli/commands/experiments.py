"""Experiments: list, check, plan and run them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gameday.cli.commands.options import need_linux, with_debug, with_flaws, with_output, with_project

if TYPE_CHECKING:
    from gameday.model.events import Attendee

__all__ = ["list_", "plan", "run", "validate"]

F = TypeVar("F", bound=Callable[..., Any])


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


@click.command()
@_planning
@with_flaws("A deliberate defect of the lab, repeatable; see `gameday lab flaws`.")
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
@with_output()
@with_project
@with_debug
def run(settings: tuple[str, ...], attend: tuple[str, ...], output: str, dry: bool, **options: Any) -> int:
    """Run EXPERIMENT (a name or a file), grade it, write the report.

    \b
    With --dry-run: preflight, then the load for as long as 'before' lasts;
    nothing is injected. Exit 0 if nothing is missing for the real run,
    4 if something is, 5 if it was stopped.
    """
    need_linux("run")
    from gameday.app.planning import RunRequest
    from gameday.cli.running import carry_out

    request = RunRequest(settings=_settings(settings), attendance=_attendance(attend), **options)
    if dry:
        from gameday.cli.dry import try_out

        return try_out(request, output)
    return carry_out(request, output)


@click.command()
@_planning
@with_output("json", "yaml")
@with_project
@with_debug
def plan(settings: tuple[str, ...], output: str, **options: Any) -> None:
    """Print the plan of EXPERIMENT as JSON; nothing is started."""
    from gameday.app.planning import RunRequest, make_plan
    from gameday.cli.output import print_data
    from gameday.plan import plan_json

    planned = make_plan(RunRequest(settings=_settings(settings), **options))
    if output == "yaml":
        print_data(json.loads(plan_json(planned.plan)), output)
        return
    sys.stdout.write(plan_json(planned.plan).decode())
    if sys.stdout.isatty():  # in a file it is plan.json, to the byte
        sys.stdout.write("\n")


@click.command()
@_planning
@with_output()
@with_project
@with_debug
def validate(settings: tuple[str, ...], output: str, **options: Any) -> None:
    """Check EXPERIMENT and everything that it names; every problem at once."""
    from gameday.app.planning import RunRequest, make_plan
    from gameday.cli.output import from_here, print_data

    planned = make_plan(RunRequest(settings=_settings(settings), **options))
    if output != "table":
        files = [(one.path, planned.catalog.is_builtin(one.path)) for one in planned.plan.inputs]
        print_data({"files": [{"path": path, "builtin": builtin} for path, builtin in files]}, output)
        return
    for digest in planned.plan.inputs:
        whose = "gameday's own: " if planned.catalog.is_builtin(digest.path) else ""
        click.echo(f"ok  {whose}{digest.path}")
    asks = planned.plan.safety.confirm and options.get("confirm") is None
    confirm = f" --confirm {planned.plan.environment.name}" if asks else ""
    click.echo(f"Next: {from_here(planned.plan.reproduce + confirm, options['project'])}", err=True)


@click.command("list")
@with_output()
@with_project
@with_debug
def list_(output: str, project: Path) -> None:
    """List the experiments: the project's own, and those that come with gameday."""
    from gameday.cli.listing import show_experiments

    show_experiments(project, output)
