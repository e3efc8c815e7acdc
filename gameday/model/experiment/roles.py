"""What an environment must bind."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gameday.model.base import Model

__all__ = ["Name", "Roles"]

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Roles(Model):
    """What an environment must bind."""

    services: tuple[Name, ...] = ()
    slos: tuple[Name, ...] = ()
    probes: tuple[Name, ...] = ()
