"""Wilson's score interval for a share, and what it says about a declared one."""

from __future__ import annotations

import math

__all__ = ["Z_99_999", "shows_share", "wilson"]

Z_99_999 = 4.417173413467605
"""Standard normal quantile for a two-sided confidence of 99.999 %: one sound run in 100,000 lies outside."""


def wilson(hits: int, n: int, z: float = Z_99_999) -> tuple[float, float]:
    """The interval for the true share behind ``hits`` of ``n``; (0, 1) without data. ValueError if impossible."""
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is not a share")
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    weight = z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    # The two ends are exact at 0 and 1; rounding must not push them off.
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == n else middle + half)


def shows_share(interval: tuple[float, float], declared: float) -> bool:
    """Whether a share's interval overlaps 0.8 to 1.25 times the declared share, and excludes half of it."""
    lo, hi = (round(end, 9) for end in interval)
    least, most, half = (round(factor * declared, 9) for factor in (0.8, 1.25, 0.5))
    return lo <= most and hi >= least and not lo <= half <= hi
