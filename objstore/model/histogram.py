"""A histogram of plain numbers: counts of values up to each bound, and their sum.

Adding a value is a bisection and two additions, well under a microsecond, so that hot paths can afford it. It is not locked: one
thread adds, any thread reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec

__all__ = ["BATCH_BOUNDS", "REQUEST_BOUNDS_S", "SYNC_BOUNDS_S", "Histogram", "HistogramCounts"]

REQUEST_BOUNDS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)
"""For answers to clients, in seconds."""
SYNC_BOUNDS_S: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0),
)
"""For single calls of the disk and for lags, in seconds."""
BATCH_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
"""For numbers of things that share one effort."""


class HistogramCounts(msgspec.Struct, frozen=True, array_like=True):
    """A histogram as a value, on its way between processes."""

    counts: list[int]
    total: float


class Histogram:
    """Counts by upper bound; the last count is of what exceeds all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def frozen(self) -> HistogramCounts:
        """Return the counts as a value."""
        return HistogramCounts([*self.counts], self.total)

    def add(self, other: HistogramCounts) -> None:
        """Add what was counted elsewhere with the same bounds."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def cumulative(self) -> list[tuple[float, int]]:
        """Return (upper bound, number of values up to it); the last bound is infinity."""
        running = 0
        found = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            found.append((bound, running))
        return found
