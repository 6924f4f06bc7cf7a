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

    __slots__ = (
        "_doubling",
        "_draw",
        "_latency_ms",
        "_loop",
        "_receivers",
        "_stray_ms",
        "carried",
        "clogged_until",
        "cuts",
        "loss",
    )

    def __init__(self, loop: EventLoop, random: Random, weather: NetworkWeather) -> None:
        self._loop = loop
        self._draw = random.random
        self._receivers: dict[str, Callable[[Message], None]] = {}
        self._set(weather)
        self.carried = 0
        """Messages that were put on their way, each copy counted."""
        self.cuts: dict[tuple[str, str], int] = {}
        """Links that lose everything, with the time of their repair."""
        self.clogged_until: dict[str, int] = {}
        """Targets that get nothing before that time; what waits for them arrives at once, in any order."""

    def attach(self, target: str, receive: Callable[[Message], None]) -> None:
        """Say who takes the messages for a target, for as long as the schedule lasts."""
        self._receivers[target] = receive

    def detach(self) -> None:
        """Forget who takes messages."""
        self._receivers.clear()

    def send(self, messages: Sequence[Message]) -> None:
        """Put messages on their way."""
        cuts, loss, doubling = self.cuts, self.loss, self._doubling
        for message in messages:
            if cuts and cuts.get((message.source, message.target), 0) > self._loop.now:
                continue
            if loss and self._draw() < loss:
                continue
            self._carry(message)
            if doubling and self._draw() < doubling:
                self._carry(message)

    def _carry(self, message: Message) -> None:
        draw, bound_ms = self._draw, self._latency_ms
        if self._stray_ms and draw() < 0.125:
            bound_ms = self._stray_ms
        delay_ms = 1 + int(draw() * bound_ms)
        if self.clogged_until:
            clogged_until = self.clogged_until.get(message.target, 0)
            delay_ms = max(delay_ms, clogged_until - self._loop.now)
        self._loop.after(delay_ms, self._receivers[message.target], message)
        self.carried += 1

    def heal(self, weather: NetworkWeather) -> None:
        """End all faults; what is on its way still arrives."""
        self._set(weather)
        self.cuts.clear()
        self.clogged_until.clear()

    def _set(self, weather: NetworkWeather) -> None:
        self._latency_ms, self._stray_ms = weather.latency_ms, weather.stray_ms
        self.loss, self._doubling = weather.loss, weather.doubling
