"""From names on a command line to a plan: the catalog, what this version can do, and binding."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gameday.app import tables
from gameday.app.people import check_answers
from gameday.errors import SpecError, UsageError
from gameday.model.answers import Answers
from gameday.model.document import Document
from gameday.model.environment import ChaosBinding, DriverBinding, Environment
from gameday.model.events import Attendee
from gameday.model.plan import InputDigest, Plan
from gameday.model.sources import Sources
from gameday.plan import BindOptions, Capabilities, bind
from gameday.spec import Catalog, Kind, gather, load_answers

__all__ = [
    "Planned",
    "RunRequest",
    "capabilities",
    "check_people",
    "control_addresses",
    "file_or_name",
    "make_plan",
]


LAB = "lab"
"""The environment of a call that names none."""


@dataclass(frozen=True)
class RunRequest:
    """What somebody asks for; names or paths as on the command line."""

    experiment: str
    environment: str = LAB
    profile: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the experiment: ``--set``."""
    time_scale: float | None = None
    flaws: Sequence[str] = ()
    """Deliberate defects of an environment that gameday starts itself."""
    existing: str | None = None
    """The id of an environment that was started before (``gameday lab up``); None starts an own one."""
    confirm: str | None = None
    """The environment's name, typed by somebody who means it."""
    attendance: Sequence[Attendee] = ()
    """Who is there; empty: nobody recorded it."""
    project: Path = field(default_factory=Path)
    """Where the project's own experiments, probes, runbooks and runs are."""
    interactive: bool = False
    """People carry out manual steps, and say so at a facilitator's terminal."""
    answers: Path | None = None
    """A file that answers for manual steps in their place."""
    out: Path | None = None
    """Exactly this folder for the artefacts; None: ``runs/ID`` in the project."""


@dataclass(frozen=True)
class Planned:
    """A plan and what it was made of."""

    plan: Plan
    sources: Sources
    catalog: Catalog
    answers: Document[Answers] | None = None


def capabilities() -> Capabilities:
    """What this version can do."""
    return Capabilities(
        drivers=tables.DRIVERS,
        provisioners=tables.PROVISIONERS,
        release_sources=frozenset(tables.RELEASE_SOURCES),
        workload_sources=frozenset(tables.WORKLOAD_SOURCES),
    )


def make_plan(request: RunRequest) -> Planned:
    """Load and bind; SpecError with every problem at once, UsageError. Starts nothing."""
    check_people(request)
    catalog = Catalog.default(request.project)
    try:
        return _planned(request, catalog)
    except SpecError as error:
        raise SpecError(error.problems, _elsewhere(request, catalog)) from error


def _elsewhere(request: RunRequest, catalog: Catalog) -> str:
    """What may be meant where nobody named an environment, and the project has its own; empty: nothing."""
    names = catalog.names(Kind.ENVIRONMENT)
    own = [name for name in names if not catalog.is_builtin(catalog.place(Kind.ENVIRONMENT, name)) and name != LAB]
    if request.environment != LAB or not own:
        return ""
    return f"bound to the environment {LAB}, since no other was named; yours: " + ", ".join(
        f"--env {name}" for name in own
    )


def _planned(request: RunRequest, catalog: Catalog) -> Planned:
    experiment, environment = file_or_name(request.experiment), file_or_name(request.environment)
    sources = gather(catalog, experiment, environment, profile=request.profile, settings=request.settings)
    answers = load_answers(catalog, request.answers) if request.answers is not None else None
    options = BindOptions(
        time_scale=request.time_scale,
        attended=request.interactive or answers is not None,
        answers=InputDigest(path=answers.path, sha256=answers.sha256) if answers is not None else None,
        reproduce=_command(request),
    )
    plan = bind(sources, capabilities(), options)
    if answers is not None:
        check_answers(answers, plan, request.attendance)
    return Planned(plan, sources, catalog, answers)


def check_people(request: RunRequest) -> None:
    """UsageError if nobody could say who answers for manual steps."""
    if request.interactive and request.answers is not None:
        raise UsageError("--interactive and --answers exclude each other: people answer, or a file does")
    if request.interactive and not request.attendance:
        hint = "name each person: --attend Kim:facilitator --attend Ada:oncall"
        raise UsageError("--interactive needs to know who is there: a manual step is attested by name", hint=hint)


def control_addresses(environment: Environment) -> Sequence[str]:
    """Every address through which gameday may change something there, whatever the experiment, sorted.

    A driver without an address stands there by its name, and what it is told to do and to undo.
    """
    return sorted({binding.api or _told(binding) for binding in environment.spec.bindings})


def _told(binding: DriverBinding) -> str:
    acts: list[Any] = [list(binding.words(name)) for name in ("inject", "deploy", "undo")]
    if isinstance(binding, ChaosBinding):
        acts = [binding.calls[name].model_dump(mode="json") for name in ("inject", "undo")]
        acts.append(binding.configuration)  # it says where: ``prometheus_base_url``
    if not any(acts):  # neither a program's lists nor an extension's calls: then its keys say what it changes
        acts = [binding.given]
    return f"{binding.driver} {json.dumps(acts, sort_keys=True)}"


def file_or_name(text: str) -> Path | str:
    """What looks like a path is one: ``./mine.yaml``; all else is a name in the catalog."""
    return Path(text) if text.endswith((".yaml", ".yml")) or "/" in text else text


def _command(request: RunRequest) -> str:
    words = ["gameday", "run", request.experiment]
    if request.environment != LAB:
        words += ["--env", request.environment]
    if request.profile:
        words += ["--profile", request.profile]
    for name, value in sorted(request.settings.items()):
        words += ["--set", f"{name}={value}"]
    if request.time_scale is not None:
        words += ["--time-scale", f"{request.time_scale:g}"]
    for flaw in request.flaws:
        words += ["--flaw", flaw]
    words += _people(request)
    if request.confirm is not None:
        words += ["--confirm", request.confirm]
    return shlex.join(words)


def _people(request: RunRequest) -> list[str]:
    """What decides whether manual steps are exercised, and by whom."""
    words = ["--interactive"] if request.interactive else []
    if request.answers is not None:
        words += ["--answers", str(request.answers)]
    if words:
        for one in request.attendance:
            words += ["--attend", f"{one.name}:{one.role}"]
    return words
