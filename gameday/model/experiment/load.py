"""The load under which it is tried."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from gameday.model.base import Model
from gameday.model.quantities import Rate

__all__ = ["LoadSpec"]


class LoadSpec(Model):
    """Own load at a rate, or (``external``) traffic that is there anyway."""

    rate: Rate | None = None
    external: bool = False
    at_least: Rate | None = None
    slo: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.external and (self.at_least is None or self.slo is None or self.rate is not None):
            raise ValueError("external load needs 'atLeast' and 'slo', and no 'rate'")
        if not self.external and (self.rate is None or self.at_least is not None):
            raise ValueError("own load needs 'rate' (or say external: true with 'atLeast' and 'slo')")
        return self
