"""Exact shares: smooth weighted round-robin, and every n-th of a stream."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["EveryNth", "SmoothWeights"]


class SmoothWeights:
    """Smooth weighted round-robin (as nginx does it): in a cycle of total/gcd picks each name has its exact share.

    With weights 3 and 1, every window of four picks holds the second name exactly once.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = {name: weight for name, weight in weights.items() if weight > 0}
        self._current = dict.fromkeys(self._weights, 0)
        self._total = sum(self._weights.values())

    def next(self) -> str | None:
        """The next name; None if no weight is positive."""
        best = None
        for name, weight in self._weights.items():
            self._current[name] += weight
            if best is None or self._current[name] > self._current[best]:
                best = name
        if best is not None:
            self._current[best] -= self._total
        return best


class EveryNth:
    """True for every n-th call, evenly spaced (3.5: two of seven); 0 means never."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._count = 0.0

    def next(self) -> bool:
        """Count one; whether it is an n-th one."""
        if self.every <= 0:
            return False
        self._count += 1
        if self._count < self.every:
            return False
        self._count -= self.every
        return True
