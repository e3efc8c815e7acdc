"""The pure stage from experiment and environment to plan: no clock, no network, no files."""

from gameday.plan.artefact import load_plan, plan_json
from gameday.plan.bind import bind
from gameday.plan.context import BindOptions, Capabilities

__all__ = ["BindOptions", "Capabilities", "bind", "load_plan", "plan_json"]
