"""The event loop of the simulation: a heap of (time, tie-breaker, event), and nothing else that moves time.

Events that are due at the same millisecond happen in an order that the seed picks, so that nothing works by luck of
the queue. A tie-breaker has 53 random bits; should two in one millisecond ever be equal, the schedule ends with a
`TypeError`, because actions have no order. Time is virtual: a schedule of ten simulated seconds takes as long as its
events take.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

from objstore.testing.sim.checkers import Violation

__all__ = ["EventLoop"]

_push = heapq.heappush

EVENTS_MAX = 20_000
"""Ten times what the longest schedules take: more is a storm."""


class EventLoop:
    """Virtual milliseconds and what happens when."""

    __slots__ = ("_heap", "_tie", "events", "now")

    def __init__(self, random: Random) -> None:
        self.now = 0
        self.events = 0
        """How many events have happened."""
        self._tie = random.random
        self._heap: list[tuple[int, float, Callable[..., None], tuple[object, ...]]] = []

    def at(self, time_ms: int, action: Callable[..., None], *arguments: object) -> None:
        """Have the action happen at that time."""
        tie = self._tie
        _push(self._heap, (time_ms, tie(), action, arguments))

    def after(self, delay_ms: int, action: Callable[..., None], *arguments: object) -> None:
        """Have the action happen after a while."""
        tie = self._tie
        _push(self._heap, (self.now + delay_ms, tie(), action, arguments))

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing will ever happen again."""
        return not self._heap

    def run(self, until_ms: int, *, done: Callable[[], bool] | None = None) -> None:
        """Let everything happen that is due up to that time, or until `done` says so."""
        heap, pop, events = self._heap, heapq.heappop, self.events
        try:
            while heap:
                event = time_ms, _, action, arguments = pop(heap)
                if time_ms > until_ms:
                    _push(heap, event)
                    break
                events += 1
                if events > EVENTS_MAX:
                    raise Violation("liveness", f"not at rest after {EVENTS_MAX} events")
                self.now = time_ms
                action(*arguments)
                if done is not None and done():
                    return
        finally:
            self.events = events
        if not heap or done is None:
            self.now = max(self.now, until_ms)
