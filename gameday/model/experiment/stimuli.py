"""What is harmless, and has to happen for the experiment: a release, more replicas, more demand."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from gameday.model.base import Model
from gameday.model.experiment.roles import Name
from gameday.model.quantities import Duration, Share

__all__ = ["DemandStimulus", "ReleaseStimulus", "ScaleStimulus", "Stimulus"]


class ReleaseStimulus(Model):
    """A new revision of a service is rolled out."""

    service: str
    revision: str


class ScaleStimulus(Model):
    """A service is to have more replicas: ``by`` of those that it is to have, rounded up to a whole one."""

    service: str
    by: Annotated[Share, Field(gt=0, le=1)]


class DemandStimulus(Model):
    """The run's own load rises by this share of its rate, for a while."""

    by: Annotated[Share, Field(gt=0, le=1)]
    for_: Annotated[Duration, Field(alias="for", gt=0)]


class Stimulus(Model):
    """Something harmless that the experiment needs to happen: one of its forms."""

    id: Name
    at: Duration
    release: ReleaseStimulus | None = None
    scale: ScaleStimulus | None = None
    demand: DemandStimulus | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if [self.release, self.scale, self.demand].count(None) != 2:
            raise ValueError("a stimulus is one thing: write either 'release', 'scale' or 'demand'")
        return self
