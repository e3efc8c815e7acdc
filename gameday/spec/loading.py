"""Files -> typed documents; every problem of every file at once."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from gameday.errors import Problem, SpecError, UsageError
from gameday.model.answers import Answers
from gameday.model.document import Document, Location
from gameday.model.environment import Environment
from gameday.model.experiment import Experiment
from gameday.model.plan import BoundLoad, InputDigest
from gameday.model.quantities import duration_text
from gameday.model.runbook import Runbook
from gameday.model.slo import LoadSource, Probe, RatioMetric, Slo
from gameday.model.sources import Sources
from gameday.model.suggest import one_of
from gameday.slo.burn import parse_pairs
from gameday.spec.catalog import Catalog, Found, Kind
from gameday.spec.explain import validate
from gameday.spec.files import Text, read_text
from gameday.spec.pack import syntax_problem
from gameday.spec.parameters import Substituted, substitute
from gameday.spec.repair import repair
from gameday.spec.runbook import parse_runbook
from gameday.spec.tree import Tree, parse_yaml
from gameday.spec.typed import type_environment, type_probe

__all__ = [
    "gather",
    "load_all",
    "load_answers",
    "load_environment",
    "load_experiment",
    "load_probe",
    "load_runbook",
    "load_slo",
]

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Finding = tuple[Location, str, str]
BURN = "gameday/burn"
_REPAIRED: tuple[type[BaseModel], ...] = (Experiment, Environment)
"""Binding looks past problems of these two; of the others, it does without the file."""


@dataclass
class _Loaded(Generic[T]):
    """What became of one file."""

    document: Document[T] | None = None
    tree: Tree = field(default_factory=lambda: Tree(""))
    problems: list[Problem] = field(default_factory=list)
    changed: tuple[str, ...] = ()

    def result(self) -> Document[T]:
        """The document; SpecError with every problem of the file."""
        if self.problems or self.document is None:
            raise SpecError(self.problems)
        return self.document


def load_experiment(
    catalog: Catalog, name: str | Path, profile: str | None = None, settings: Mapping[str, str] | None = None
) -> Document[Experiment]:
    """The experiment of that name (a Path names a file), with its parameters in place.

    SpecError with all that is wrong in the file; UsageError for an unknown name, profile or setting.
    """
    return _experiment(catalog, name, profile, settings or {}).result()


def load_environment(catalog: Catalog, name: str | Path) -> Document[Environment]:
    """The environment of that name (a Path names a file); SpecError, or UsageError for an unknown name."""
    return _environment(catalog, name).result()


def load_slo(catalog: Catalog, name: str) -> Document[Slo]:
    """The SLO of that name; SpecError, or UsageError for an unknown name."""
    return _slo(_named(catalog, Kind.SLO, name), name).result()


def load_probe(catalog: Catalog, name: str) -> Document[Probe]:
    """The probe of that name; SpecError, or UsageError for an unknown name."""
    return _probe(_named(catalog, Kind.PROBE, name), name).result()


def load_runbook(catalog: Catalog, name: str) -> Document[Runbook]:
    """The runbook of that id; SpecError, or UsageError for an unknown id."""
    return _runbook(_named(catalog, Kind.RUNBOOK, name), name).result()


def load_answers(catalog: Catalog, path: Path) -> Document[Answers]:
    """The file that answers for manual steps; SpecError with all that is wrong in it."""
    loaded: _Loaded[Answers] = _Loaded()
    sha256 = _tree(Found(path, catalog.shown(path)), loaded)
    if sha256 is not None:
        _check(Answers, loaded, sha256, Substituted(), lambda value: iter(()))
    return loaded.result()


def load_all(
    catalog: Catalog,
    experiment: str | Path,
    environment: str | Path,
    profile: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> Sources:
    """Everything that a run needs; one SpecError with all problems of all files.

    UsageError for an unknown experiment, environment, profile or setting.
    """
    sources = gather(catalog, experiment, environment, profile, settings)
    if sources.problems:
        raise SpecError(sources.problems)
    return sources


def gather(
    catalog: Catalog,
    experiment: str | Path,
    environment: str | Path,
    profile: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> Sources:
    """As ``load_all``, but problems that binding can look past are left in ``Sources.problems``.

    ``plan.bind`` raises them together with its own; only ``bind`` may be given the result. SpecError if too much
    is wrong to go on.
    """
    main = _experiment(catalog, experiment, profile, settings or {})
    place = _environment(catalog, environment)
    gathered = _Gathered(catalog, main.tree, place.tree)
    gathered.read()
    problems = [*main.problems, *place.problems, *gathered.problems]
    if main.document is None or place.document is None:
        raise SpecError(problems)
    return Sources(
        experiment=main.document,
        environment=place.document,
        slos=gathered.slos,
        probes=gathered.probes,
        runbook=gathered.runbook,
        load_pack=gathered.pack,
        profile=profile,
        changed=main.changed,
        problems=tuple(problems),
    )


def _named(catalog: Catalog, kind: Kind, name: str | Path) -> Found:
    """The file that the caller named; UsageError if there is none of that name."""
    if isinstance(name, Path):
        return Found(name, catalog.shown(name))
    found = catalog.find(kind, name)
    if found is not None:
        return found
    if kind is Kind.EXPERIMENT and ("/" in name or name.endswith((".yaml", ".yml"))):
        raise UsageError(f"there is no {kind} '{name}'", f"name a file with -f {name}")
    raise UsageError(
        f"there is no {kind} '{name}'", one_of(name, catalog.names(kind), f"{catalog.folder(kind)}/ has")
    )


def _tree(found: Found, loaded: _Loaded[Any]) -> str | None:
    """Read the file's tree into ``loaded``; its digest, or None if there is no tree."""
    text = read_text(found)
    if isinstance(text, Problem):
        loaded.problems.append(text)
        return None
    tree = parse_yaml(text.text, found.shown)
    if isinstance(tree, Problem):
        loaded.problems.append(tree)
        return None
    loaded.tree = tree
    return text.sha256


def _check(
    model: type[M],
    loaded: _Loaded[M],
    sha256: str,
    substituted: Substituted,
    more: Callable[[M], Iterator[Finding]],
) -> None:
    """Validate the tree, then ``more`` of the value; fills in document and problems."""
    tree = loaded.tree
    checked = validate(model, tree, substituted.origins)
    loaded.problems += [*tree.problems, *checked.problems]
    value = checked.value
    if value is None and model in _REPAIRED:
        value = repair(model, tree, checked)
    if value is None:
        return
    loaded.document = Document(value, tree.file, sha256, tree.marks)
    loaded.problems += [loaded.document.problem(*finding) for finding in more(value)]


def _experiment(
    catalog: Catalog, name: str | Path, profile: str | None, settings: Mapping[str, str]
) -> _Loaded[Experiment]:
    loaded: _Loaded[Experiment] = _Loaded()
    sha256 = _tree(_named(catalog, Kind.EXPERIMENT, name), loaded)
    if sha256 is None:
        return loaded
    substituted = substitute(loaded.tree, profile, settings)
    loaded.changed = substituted.changed
    _check(Experiment, loaded, sha256, substituted, lambda value: _name(name, value.metadata.name))
    return loaded


def _environment(catalog: Catalog, name: str | Path) -> _Loaded[Environment]:
    loaded: _Loaded[Environment] = _Loaded()
    sha256 = _tree(_named(catalog, Kind.ENVIRONMENT, name), loaded)
    if sha256 is not None:
        type_environment(loaded.tree)
        _check(Environment, loaded, sha256, Substituted(), lambda value: _environment_findings(name, value))
    return loaded


def _slo(found: Found, name: str) -> _Loaded[Slo]:
    loaded: _Loaded[Slo] = _Loaded()
    sha256 = _tree(found, loaded)
    if sha256 is not None:
        _check(Slo, loaded, sha256, Substituted(), lambda value: _slo_findings(name, value))
    return loaded


def _probe(found: Found, name: str) -> _Loaded[Probe]:
    loaded: _Loaded[Probe] = _Loaded()
    sha256 = _tree(found, loaded)
    if sha256 is not None:
        type_probe(loaded.tree)
        _check(Probe, loaded, sha256, Substituted(), lambda value: _name(name, value.metadata.name))
    return loaded


def _runbook(found: Found, name: str) -> _Loaded[Runbook]:
    text = read_text(found)
    if isinstance(text, Problem):
        return _Loaded(problems=[text])
    parsed = parse_runbook(text.text, found.shown)
    loaded: _Loaded[Runbook] = _Loaded(problems=parsed.problems)
    if parsed.value is not None:
        loaded.document = Document(parsed.value, found.shown, text.sha256, parsed.marks)
        if parsed.value.header.id != name:
            message = f"the id is '{parsed.value.header.id}', but the file is named '{name}'"
            loaded.problems.append(loaded.document.problem(("header", "id"), message))
    return loaded


def _name(name: str | Path, declared: str) -> Iterator[Finding]:
    """A file that is found by its name must carry that name."""
    if isinstance(name, str) and declared != name:
        yield ("metadata", "name"), f"the name is '{declared}', but the file is named '{name}'", ""


def _environment_findings(name: str | Path, value: Environment) -> Iterator[Finding]:
    yield from _name(name, value.metadata.name)
    for index, hours in enumerate(value.spec.safety.forbidden):
        at: Location = ("spec", "safety", "forbidden", index)
        if hours.zone not in zoneinfo.available_timezones():
            hint = one_of(hours.zone, zoneinfo.available_timezones())
            yield (
                (*at, "zone"),
                f"unknown time zone '{hours.zone}'",
                hint if hint.startswith("did") else "such as UTC",
            )


def _slo_findings(name: str, value: Slo) -> Iterator[Finding]:
    yield from _name(name, value.metadata.name)
    annotations = value.metadata.annotations
    for key in annotations:
        if key.startswith("gameday/") and key != BURN:
            yield ("metadata", "annotations", key), f"unknown annotation '{key}'", one_of(key, [BURN])
    yield from _burn_findings(annotations.get(BURN, "workbook"), value.spec.time_window[0].duration)
    ratio = value.spec.indicator.spec.ratio_metric
    if ratio.good.metric_source.type != ratio.total.metric_source.type:
        kind: Location = ("spec", "indicator", "spec", "ratioMetric", "good", "metricSource", "type")
        yield kind, "'good' and 'total' come from different kinds of source", ""
    elif ratio.good == ratio.total:
        at: Location = ("spec", "indicator", "spec", "ratioMetric", "good")
        yield at, "'good' and 'total' count the same, so nothing is ever bad", "such as outcome: ok for 'good'"
    yield from _load_findings(ratio)


def _load_findings(ratio: RatioMetric) -> Iterator[Finding]:
    good, total = ratio.good.metric_source, ratio.total.metric_source
    if not isinstance(good, LoadSource) or not isinstance(total, LoadSource):
        return
    at: Location = ("spec", "indicator", "spec", "ratioMetric")
    if total.spec.within is not None:
        yield (
            (*at, "total", "metricSource", "spec", "within"),
            "'within' says which requests are good",
            "move it to 'good'",
        )
    slowest, most = good.spec.within, BoundLoad().timeout
    if slowest is not None and slowest >= most:
        message = f"clients give up after {duration_text(most)}, so that this is every good request"
        yield (*at, "good", "metricSource", "spec", "within"), message, "say less, or leave it out"
    if good.spec.within is not None and good.spec.outcome is None:
        yield (*at, "good", "metricSource", "spec"), "an error that came quickly would be good", "add outcome: ok"


def _burn_findings(text: str, period: float) -> Iterator[Finding]:
    at: Location = ("metadata", "annotations", BURN)
    try:
        pairs = parse_pairs(text, period)
    except ValidationError:
        yield at, f"no burn rate fits a period of {duration_text(period)}", ""
    except ValueError as error:
        yield at, str(error), ""
    else:
        windows = [pair.window for pair in pairs]
        if len(set(windows)) < len(windows):
            yield at, "two burn pairs have the same long window, so their alerts could not be told apart", ""
        if any(pair.short <= 0 for pair in pairs):
            yield at, "the short window of a burn pair is empty", ""


class _Gathered:
    """The files that an experiment and an environment refer to.

    It reads the trees, not the models, so that one wrong value does not hide what is wrong in another file.
    """

    def __init__(self, catalog: Catalog, experiment: Tree, environment: Tree) -> None:
        self.catalog = catalog
        self.experiment = experiment
        self.environment = environment
        self.problems: list[Problem] = []
        self.slos: dict[str, Document[Slo]] = {}
        self.probes: dict[str, Document[Probe]] = {}
        self.runbook: Document[Runbook] | None = None
        self.pack: InputDigest | None = None

    def read(self) -> None:
        """Read all of them."""
        for at, name in self._bound("slos"):
            self._slo(name, _at(self.environment, at))
        for at, name in self._bound("probes"):
            self._probe(name, _at(self.environment, at))
        self._packs()
        self._load_pack()
        at = ("spec", "runbook")
        runbook = self.experiment.get(at)
        if isinstance(runbook, str) and at not in self.experiment.broken:
            self._runbook(runbook, _at(self.experiment, at))

    def _bound(self, kind: str) -> Iterator[tuple[Location, str]]:
        """The names that the environment gives to the roles which the experiment declares."""
        declared = self.experiment.get(("spec", "roles", kind))
        roles = (
            dict.fromkeys(item for item in declared if isinstance(item, str)) if isinstance(declared, list) else {}
        )
        bound = self.environment.mapping("spec", kind)
        for role in roles:
            name, at = bound.get(role), ("spec", kind, role)
            if isinstance(name, str) and at not in self.environment.broken:
                yield at, name

    def _slo(self, name: str, place: Problem) -> None:
        found = self._find(Kind.SLO, name, place)
        document = self._keep(_slo(found, name)) if found and name not in self.slos else None
        if document is not None:
            self.slos[name] = document

    def _probe(self, name: str, place: Problem) -> None:
        found = self._find(Kind.PROBE, name, place)
        document = self._keep(_probe(found, name)) if found and name not in self.probes else None
        if document is not None:
            self.probes[name] = document

    def _runbook(self, name: str, place: Problem) -> None:
        found = self._find(Kind.RUNBOOK, name, place)
        self.runbook = runbook = self._keep(_runbook(found, name)) if found else None
        if runbook is None:
            return
        for index, step in enumerate(runbook.value.steps):
            if step.verify is not None and step.verify != "attest":
                self._probe(step.verify.probe, runbook.problem(("steps", index, "verify", "probe"), ""))

    def _find(self, kind: Kind, name: str, place: Problem) -> Found | None:
        found = self.catalog.find(kind, name)
        if found is None:
            self._absent(kind, name, place)
        return found

    def _keep(self, loaded: _Loaded[T]) -> Document[T] | None:
        self.problems += loaded.problems
        return loaded.document

    def _packs(self) -> None:
        """Every experiment with a pack of its own is one, and the pack is there: else the run takes another one."""
        known = {*self.catalog.names(Kind.EXPERIMENT), self._own_name()}
        for experiment, pack in self.environment.mapping("spec", "load", "packs").items():
            place = _at(self.environment, ("spec", "load", "packs", experiment))
            if experiment not in known:
                message, hint = f"there is no experiment '{experiment}'", one_of(experiment, known)
                self.problems.append(Problem(place.file, place.line, place.column, message, hint))
            if isinstance(pack, str) and self.catalog.find(Kind.LOAD, pack) is None:
                self._absent(Kind.LOAD, pack, place)

    def _own_name(self) -> str:
        return str(self.experiment.get(("metadata", "name")))

    def _load_pack(self) -> None:
        """The pack of an experiment that brings its own load."""
        at: Location = ("spec", "load", "packs", self._own_name())
        if self.environment.get(at) is None:
            at = ("spec", "load", "pack")
        name = self.environment.get(at)
        if not isinstance(name, str) or "rate" not in self.experiment.mapping("spec", "load"):
            return
        found = self.catalog.find(Kind.LOAD, name)
        if found is None and at[-1] == "pack":
            self._absent(Kind.LOAD, name, _at(self.environment, at))
        if found is None:
            return
        text = read_text(found)
        wrong = text if isinstance(text, Problem) else syntax_problem(text.text, found.shown)
        if wrong is not None:
            self.problems.append(wrong)
        if isinstance(text, Text):
            self.pack = InputDigest(path=found.shown, sha256=text.sha256)

    def _absent(self, kind: Kind, name: str, place: Problem) -> None:
        hint = one_of(name, self.catalog.names(kind), f"{self.catalog.folder(kind)}/ has")
        message = f"there is no {kind} '{name}': no file {self.catalog.place(kind, name)}"
        self.problems.append(Problem(place.file, place.line, place.column, message, hint))


def _at(tree: Tree, at: Location) -> Problem:
    """A place, as a problem that has yet to be told."""
    mark = tree.place(at)
    return Problem(tree.file, mark.line, mark.column, "")
