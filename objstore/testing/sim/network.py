"""The network between replicas: latency, loss, doubling, reordering, links that are cut one way, targets that clog.

Messages are the values themselves: they are frozen, so nothing is copied or encoded. Order follows from latency
alone, which differs for every message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import msgspec

from objstore.consensus import Message
from objstore.testing.sim.loop import EventLoop

__all__ = ["Network", "NetworkWeather"]


class NetworkWeather(msgspec.Struct, frozen=True):
    """How the network behaves as long as no fault comes on top."""

    latency_ms: int = 3
    """Upper bound of what most messages take."""
    stray_ms: int = 0
    """Upper bound of what some messages take, one in eight: they overtake or are overtaken. 0 = none."""
    loss: float = 0.0
    doubling: float = 0.0


class Network:
    """Everything that is on its way."""

    __slots__ = ("_deliver", "_draw", "_loop", "clogged_until", "cuts", "weather")

    def __init__(
        self,
        loop: EventLoop,
        random: Random,
        weather: NetworkWeather,
        deliver: Callable[[Message], None],
    ) -> None:
        self._loop = loop
        self._draw = random.random
        self._deliver = deliver
        self.weather = weather
        self.cuts: dict[tuple[str, str], int] = {}
        """Links that lose everything, with the time of their repair."""
        self.clogged_until: dict[str, int] = {}
        """Targets that get nothing before that time; what waits for them arrives at once, in any order."""

    def send(self, messages: Sequence[Message]) -> None:
        """Put messages on their way."""
        loop, weather, draw, cuts = self._loop, self.weather, self._draw, self.cuts
        loss, doubling = weather.loss, weather.doubling
        for message in messages:
            if cuts and cuts.get((message.source, message.target), 0) > loop.now:
                continue
            if loss and draw() < loss:
                continue
            loop.at(self._arrival(message), self._deliver, message)
            if doubling and draw() < doubling:
                loop.at(self._arrival(message), self._deliver, message)

    def _arrival(self, message: Message) -> int:
        draw, weather = self._draw, self.weather
        is_stray = weather.stray_ms and draw() < 0.125
        bound = weather.stray_ms if is_stray else weather.latency_ms
        time = self._loop.now + 1 + int(draw() * bound)
        if self.clogged_until:
            return max(time, self.clogged_until.get(message.target, 0))
        return time

    def heal(self, weather: NetworkWeather) -> None:
        """End all faults; what is on its way still arrives."""
        self.weather = weather
        self.cuts.clear()
        self.clogged_until.clear()
