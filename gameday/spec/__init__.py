"""Files -> model: every error at once, as ``file:line:column``, with 'did you mean'."""

from gameday.spec.adopt import Adopted, adopt
from gameday.spec.catalog import Catalog, Found, Kind, builtin_root
from gameday.spec.loading import (
    gather,
    load_all,
    load_answers,
    load_environment,
    load_experiment,
    load_probe,
    load_runbook,
    load_slo,
)
from gameday.spec.review import stamp

__all__ = [
    "Adopted",
    "Catalog",
    "Found",
    "Kind",
    "adopt",
    "builtin_root",
    "gather",
    "load_all",
    "load_answers",
    "load_environment",
    "load_experiment",
    "load_probe",
    "load_runbook",
    "load_slo",
    "stamp",
]
