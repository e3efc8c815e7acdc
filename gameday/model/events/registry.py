"""Which payloads there are, by kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType

from gameday.model.events import alerts, faults, load, preflight, releases, run, runbook, samples
from gameday.model.events.envelope import Payload

__all__ = ["PAYLOADS"]

_MODULES = (run, preflight, faults, samples, releases, load, alerts, runbook)
"""In this order payloads of one kind are told."""


def _payloads(module: ModuleType) -> Iterator[type[Payload]]:
    """In the order in which they stand there; what has no kind is only a base of others."""
    for one in vars(module).values():
        if isinstance(one, type) and issubclass(one, Payload) and hasattr(one, "KIND"):
            yield one


_ALL = [payload for module in _MODULES for payload in _payloads(module)]

PAYLOADS: Mapping[str, tuple[type[Payload], ...]] = {
    kind: tuple(payload for payload in _ALL if kind == payload.KIND)
    for kind in sorted({payload.KIND for payload in _ALL})
}
"""Every kind of event, and the payloads it may carry (``sample`` has several, told apart by ``type``)."""
