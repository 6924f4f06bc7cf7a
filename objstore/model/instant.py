"""Points in time as plain integers: milliseconds since the Unix epoch.

Cores receive an `Instant` as an argument and never read a clock. S3 shows whole seconds in headers and
`.000Z` in XML; the store keeps milliseconds so that writes of one key stay ordered (last modified of a
new version is at least one millisecond after the one that it replaces).
"""

from __future__ import annotations

from typing import NewType, Protocol

__all__ = ["MS_PER_DAY", "MS_PER_SECOND", "Clock", "Instant"]

Instant = NewType("Instant", int)
"""Milliseconds since 1970-01-01T00:00:00Z."""

MS_PER_SECOND = 1_000
MS_PER_DAY = 24 * 3_600 * MS_PER_SECOND


class Clock(Protocol):
    """Where the imperative shell takes time from; tests hand in their own."""

    def now(self) -> Instant:
        """Return the wall time. May step backwards; never order data by it."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that only grow, for deadlines and durations."""
        ...
