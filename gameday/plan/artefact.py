"""``plan.json``: canonical as RFC 8785, so that equal plans are equal bytes."""

from __future__ import annotations

import json

import rfc8785
from pydantic import ValidationError

from gameday.errors import UsageError
from gameday.model.plan import Plan

__all__ = ["load_plan", "plan_json"]


def plan_json(plan: Plan) -> bytes:
    """The plan's canonical JSON and a newline."""
    return rfc8785.dumps(plan.model_dump(mode="json", by_alias=True)) + b"\n"


def load_plan(data: bytes) -> Plan:
    """The plan of a ``plan.json``; UsageError if it is none."""
    try:
        return Plan.model_validate(json.loads(data), by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"not a plan: {where}: {first['msg']}", "make it again with gameday plan") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not a plan: {error}", "make it again with gameday plan") from error
