"""What several commands share."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gameday.errors import UsageError

__all__ = ["need_linux", "with_debug", "with_flaws", "with_output", "with_project"]

F = TypeVar("F", bound=Callable[..., Any])


def with_debug(function: F) -> F:
    """``--debug``, which stands after any command as well."""
    return click.option(
        "--debug", is_flag=True, expose_value=False, help="Show a traceback where something goes wrong."
    )(function)


def with_output(*formats: str) -> Callable[[F], F]:
    """``-o``: one of these formats, by default the first; without any: table, json or yaml."""
    formats = formats or ("table", "json", "yaml")
    choice = click.Choice(formats)
    return click.option(
        "-o", "--output", type=choice, default=formats[0], show_default=True, help="How results are shown."
    )


def with_project(function: F) -> F:
    """``--project``: a folder that exists, by default the one at hand."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.option(
        "--project",
        type=folder,
        default=".",
        help="The folder with your own experiments, probes, runbooks. Default: here.",
    )(function)


def with_flaws(text: str) -> Callable[[F], F]:
    """``--flaw``, repeatable: ``flaws``, each name once; ``text`` is its help."""
    return click.option("--flaw", "flaws", multiple=True, metavar="NAME[,NAME]", callback=_names, help=text)


def _names(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Each may be several, with commas between."""
    return tuple(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


def need_linux(command: str) -> None:
    """UsageError elsewhere: what undoes faults rests on pidfds, /proc and sessions. Before what needs them is
    imported."""
    system = platform.system()
    if system != "Linux":
        raise UsageError(
            f"`gameday {command}` needs Linux, and this is {system or 'another system'}",
            hint="run it in a container: the Dockerfile of gameday's repository makes one, see "
            "docs/how-to/run-in-docker.md; validate, plan, grade and report work here",
        )
