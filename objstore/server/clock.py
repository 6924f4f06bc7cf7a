"""The only reader of wall time in the product; everything else is handed a `Clock`."""

from __future__ import annotations

import time

from objstore.model.instant import Instant

__all__ = ["SystemClock"]

_NS_PER_MS = 1_000_000


class SystemClock:
    """The machine's own clocks, as `objstore.model.instant.Clock` asks for them."""

    __slots__ = ()

    def now(self) -> Instant:
        """Return the wall time in milliseconds. May step backwards; never order data by it."""
        return Instant(time.time_ns() // _NS_PER_MS)

    def monotonic_s(self) -> float:
        """Return seconds that only grow, for deadlines and durations."""
        return time.monotonic()
