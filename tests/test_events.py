"""The timeline's vocabulary is whole: no payload is defined that a reader of a timeline would not know."""

from __future__ import annotations

import importlib
import pkgutil

from gameday.model import events
from gameday.model.events import PAYLOADS, Payload


def _leaves(payload: type[Payload]) -> list[type[Payload]]:
    below = payload.__subclasses__()
    return [leaf for sub in below for leaf in _leaves(sub)] if below else [payload]


def test_every_payload_that_is_defined_is_found_by_its_kind() -> None:
    for module in pkgutil.iter_modules(events.__path__, f"{events.__name__}."):
        importlib.import_module(module.name)
    defined = [leaf for leaf in _leaves(Payload) if leaf.__module__.startswith(f"{events.__name__}.")]
    found = [(kind, payload) for kind, payloads in PAYLOADS.items() for payload in payloads]
    assert sorted(found, key=repr) == sorted(((leaf.KIND, leaf) for leaf in defined), key=repr)
    assert {payload.__name__ for payload in defined} <= set(events.__all__)
