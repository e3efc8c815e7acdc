"""What every frozen model shares, and the JSON type."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic import JsonValue as JSON
from pydantic.alias_generators import to_camel

__all__ = ["JSON", "Model"]


class Model(BaseModel):
    """A frozen record; camelCase in files, snake_case in Python; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
