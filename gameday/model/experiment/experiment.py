"""The file as a whole."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gameday.model.base import Model
from gameday.model.experiment.expectations import Expectation
from gameday.model.experiment.faults import Fault
from gameday.model.experiment.load import LoadSpec
from gameday.model.experiment.roles import Name, Roles
from gameday.model.experiment.steady import SteadyCondition
from gameday.model.experiment.stimuli import DemandStimulus, ReleaseStimulus, ScaleStimulus, Stimulus
from gameday.model.guard import Guard
from gameday.model.quantities import Duration

__all__ = ["Experiment", "ExperimentSpec", "Metadata"]


class Metadata(Model):
    """Names and what is promised."""

    name: Name
    title: str = ""
    proves: str = ""
    labels: dict[str, str] = {}


class ExperimentSpec(Model):
    """The body of an experiment."""

    hypothesis: str
    max_time_scale: Annotated[float, Field(ge=1)] = 1.0
    parameters: dict[str, str] = {}
    """As used: defaults, then the profile's, then ``--set``."""
    profiles: dict[str, dict[str, str]] = {}
    roles: Roles
    steady_state: tuple[SteadyCondition, ...]
    load: LoadSpec | None = None
    stimuli: tuple[Stimulus, ...] = ()
    faults: tuple[Fault, ...] = ()
    after: Annotated[Duration, Field(gt=0)]
    control: bool = False
    guards: tuple[Guard, ...] = ()
    expect: tuple[Expectation, ...]
    runbook: str | None = None

    @model_validator(mode="after")
    def _declared(self) -> Self:
        if bool(self.faults) == self.control:
            raise ValueError("an experiment has at least one fault, or says control: true and has none")
        return self

    @property
    def releases(self) -> tuple[tuple[int, Stimulus, ReleaseStimulus], ...]:
        """The stimuli that are releases, each with its place in the file."""
        return tuple((i, one, one.release) for i, one in enumerate(self.stimuli) if one.release is not None)

    @property
    def scales(self) -> tuple[tuple[int, Stimulus, ScaleStimulus], ...]:
        """As `releases`, those that scale a service."""
        return tuple((i, one, one.scale) for i, one in enumerate(self.stimuli) if one.scale is not None)

    @property
    def demands(self) -> tuple[tuple[int, Stimulus, DemandStimulus], ...]:
        """As `releases`, those that raise the load."""
        return tuple((i, one, one.demand) for i, one in enumerate(self.stimuli) if one.demand is not None)


class Experiment(Model):
    """One experiment file."""

    api_version: Literal["gameday/v1"]
    kind: Literal["Experiment"]
    metadata: Metadata
    spec: ExperimentSpec
