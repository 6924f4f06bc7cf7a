"""Whether operations of one kind come to their end: the bookkeeping behind a drive that is found to hang.

A flow stalls when something is under way and nothing has ended for a while. A drive with much to do, whose single
operations wait long, therefore does not stall; one that hangs with a single operation does. Pure; use from one thread.
"""

from __future__ import annotations

__all__ = ["Flow"]


class Flow:
    """Operations of one kind. Times are monotonic seconds."""

    __slots__ = ("_since", "pending")

    def __init__(self) -> None:
        self.pending = 0
        """Operations under way."""
        self._since = 0.0

    def begin(self, now_s: float) -> None:
        """One more is under way."""
        if not self.pending:
            self._since = now_s
        self.pending += 1

    def end(self, now_s: float) -> None:
        """One has ended, well or not."""
        self.pending -= 1
        self._since = now_s

    def stalled_s(self, now_s: float) -> float:
        """Return for how long nothing has ended; 0 while nothing is under way."""
        return now_s - self._since if self.pending else 0.0
