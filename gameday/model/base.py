"""What every frozen model shares, and the JSON type."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic import JsonValue as JSON
from pydantic.alias_generators import to_camel

__all__ = ["JSON", "Id", "Identified", "Model"]

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
"""Of a fault, a guard or an expectation: by default its kind, so it may hold underscores."""


class Model(BaseModel):
    """A frozen record; camelCase in files, snake_case in Python; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )


class Identified(Model):
    """What has an id: its kind, unless it is given another."""

    id: Id = ""

    @model_validator(mode="before")
    @classmethod
    def _id_is_kind(cls, data: object) -> object:
        if isinstance(data, dict) and not data.get("id") and isinstance(data.get("kind"), str):
            return {**data, "id": data["kind"]}
        return data
