"""What has to hold before anything is injected, and afterwards again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from gameday.model.base import Model
from gameday.model.quantities import Share

__all__ = ["SteadyBurn", "SteadyCondition", "SteadyProbe", "UpperBound"]


class UpperBound(Model):
    """Strictly below."""

    below: Annotated[float, Field(gt=0)]


class SteadyBurn(Model):
    """The SLO burns its budget slower than ``burn.below`` times the sustainable pace, on enough events."""

    slo: str
    """A role in an experiment, the SLO's own name in a plan."""
    burn: UpperBound
    min_events: Annotated[int, Field(ge=1)] = 1


class SteadyProbe(Model):
    """At least this share of the probe's checks is answered well, of enough checks."""

    probe: str
    """A role in an experiment, the probe's own name in a plan."""
    at_least: Annotated[Share, Field(gt=0, le=1)]
    min_events: Annotated[int, Field(ge=1)] = 1


def _steady_form(value: object) -> str | None:
    """The key that says which form a condition has; None for both or neither of the two."""
    if isinstance(value, SteadyBurn | SteadyProbe):
        return "slo" if isinstance(value, SteadyBurn) else "probe"
    if not isinstance(value, dict):
        return "slo"  # neither form takes it, and both would say so in the same words
    found = [key for key in ("slo", "probe") if key in value]
    return found[0] if len(found) == 1 else None


SteadyCondition = Annotated[
    Annotated[SteadyBurn, Tag("slo")] | Annotated[SteadyProbe, Tag("probe")],
    Discriminator(
        _steady_form,
        custom_error_type="steady_form",
        custom_error_message="A condition names either an 'slo' (with 'burn') or a 'probe' (with 'atLeast')",
    ),
]
