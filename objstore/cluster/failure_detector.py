"""Who still lives: a guess from the rhythm of heartbeats. Pure: time comes in as an argument, transitions go out.

The intuition. You share a house with somebody whose steps you hear every few minutes. You never see them; you only know their
rhythm. After a silence of twice the usual time you listen up. After ten times the usual time you go and look. Somebody who
always walked like clockwork worries you sooner than somebody who comes and goes. And if you have just woken up, you do not
know how long it was quiet: you listen for a while before you say anything. Doors that slam shut when you knock tell more
than silence: somebody closed the house.

The maths. Per peer the mean m and the standard deviation s of the intervals between heartbeats are estimated by exponentially
weighted moving averages, so that an old rhythm is forgotten. The level of suspicion after a silence t is

    phi(t) = -log10 P(an interval is longer than t)

with a normal distribution of intervals: phi = 1 is wrong once in ten intervals, phi = 8 once in 10^8 (N. Hayashibara et al., "The
phi accrual failure detector", 2004). The tail of the normal distribution is taken from its logistic approximation, which
can be inverted, so that a level becomes a time at which to wake up:

    patience(phi) = m + z(phi) * s + r + 4 * d          r, d: mean and deviation of the round trip

A patience never goes below the plain limits of the settings (`suspect_ms`, `down_ms`), and never above `stretch_max` times
them: a steady peer is judged by the clock, an unsteady one gets more time, and nobody gets more than the bound.

    ALIVE --silence or refused--> SUSPECT --silence or still refused--> DOWN --silence--> OUT
      ^------------------------------- a heartbeat ---------------------------------------|

Promises
    * A silent peer is SUSPECT within `suspect_ms * stretch_max`, DOWN within `down_ms * stretch_max`, OUT after `out_ms`,
      unless the detector doubts itself.
    * Without a heartbeat a state only gets worse, and phi only grows.
    * While it doubts itself no state gets worse. It doubts for `doubt_ms` after it was told that its own loop was late, or was
      called late for its own deadline: in that time, what peers sent meanwhile is read.
    * Intervals that it saw while in doubt, or that ended a DOWN, teach it nothing about the rhythm.

A verdict is a hint about whom to ask first and when to name another leader. Nothing may be unsafe because it is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from objstore.model.errors import check
from objstore.model.instant import Instant
from objstore.model.names import NodeId

__all__ = ["DetectorSettings", "FailureDetector", "Health", "Reason", "Transition"]


class Health(IntEnum):
    """What is thought of a peer, from best to worst."""

    ALIVE = 0
    SUSPECT = 1
    """Ask others first."""
    DOWN = 2
    """Name other leaders."""
    OUT = 3
    """Make new copies of what it holds."""


class Reason(IntEnum):
    """What a transition was made for."""

    HEARTBEAT = 0
    SILENCE = 1
    REFUSED = 2


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """Limits, in milliseconds unless the name says otherwise."""

    heartbeat_ms: int = 500
    """How often peers are meant to be heard."""
    suspect_ms: int = 1_500
    down_ms: int = 3_000
    """Below about four heartbeats, single lost ones move leaders."""
    out_ms: int = 15 * 60 * 1_000
    """Shorter than a restart of a machine, this copies its data for nothing."""
    stretch_max: float = 2.0
    """An unsteady peer gets at most so many times `suspect_ms` and `down_ms`."""
    phi_suspect: float = 8.0
    phi_down: float = 30.0
    """Not a claim of one error in 10^30: lost heartbeats make longer intervals than a normal distribution knows."""
    refused_down_ms: int = 500
    """A peer that refuses connections, and still does so after this time, is down: its process is gone."""
    lag_max_ms: int = 500
    """Later than this, the own loop's view of others is worth nothing."""
    doubt_ms: int = 1_000
    weight: float = 0.1
    """Of the newest interval in the averages."""

    def __post_init__(self) -> None:
        check(0 < self.heartbeat_ms < self.suspect_ms, "suspicion needs a missed heartbeat")
        check(self.suspect_ms < self.down_ms, "a peer is suspected before it is given up")
        check(self.down_ms * self.stretch_max < self.out_ms, "a peer is down before it is out")
        check(self.stretch_max >= 1, "patience is stretched, not shortened")
        check(0 < self.phi_suspect <= self.phi_down, "the level of down is the higher one")
        check(0 < self.weight < 1, "a weight lies between 0 and 1")


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of what is thought of a peer."""

    peer: NodeId
    before: Health
    after: Health
    reason: Reason
    silence_ms: int
    """Since the last heartbeat, or since the peer was added."""


class _Average:
    """Exponentially weighted mean and variance."""

    __slots__ = ("mean", "variance")

    def __init__(self, mean: float, deviation: float) -> None:
        self.mean = mean
        self.variance = deviation * deviation

    def learn(self, value: float, weight: float) -> None:
        off = value - self.mean
        self.mean += weight * off
        self.variance = (1 - weight) * (self.variance + weight * off * off)

    @property
    def deviation(self) -> float:
        return math.sqrt(self.variance)


class _Peer:
    """What is known of one peer."""

    __slots__ = (
        "first_refused_at",
        "health",
        "heard_at",
        "interval",
        "last_refused_at",
        "round_trip",
    )

    def __init__(self, now: Instant, heartbeat_ms: int) -> None:
        self.health = Health.ALIVE
        self.heard_at = now
        self.interval = _Average(heartbeat_ms, heartbeat_ms / 4)
        self.round_trip: _Average | None = None
        self.first_refused_at: Instant | None = None
        self.last_refused_at: Instant | None = None

    @property
    def slack_ms(self) -> float:
        """How much later than the rhythm says a heartbeat may come: what the network is known to need."""
        if self.round_trip is None:
            return 0.0
        return self.round_trip.mean + 4 * self.round_trip.deviation


class FailureDetector:
    """Watches peers. After every call ask `next_deadline` again, and call `handle_timer` then."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._peers: dict[NodeId, _Peer] = {}
        self._now = Instant(0)
        self._doubt_until = Instant(0)
        self._z_suspect = _deviations(settings.phi_suspect)
        self._z_down = _deviations(settings.phi_down)
        # No peer is so regular that a tenth of a heartbeat would be news.
        self._deviation_min_ms = settings.heartbeat_ms / 10

    # --- in

    def add(self, peer: NodeId, now: Instant) -> None:
        """Begin to watch a peer, as if it had just been heard; nothing if it is watched."""
        self._advance(now)
        if peer not in self._peers:
            self._peers[peer] = _Peer(self._now, self._settings.heartbeat_ms)

    def remove(self, peer: NodeId) -> None:
        """Stop watching a peer."""
        self._peers.pop(peer, None)

    def heartbeat(
        self, peer: NodeId, now: Instant, rtt_ms: float | None = None
    ) -> Sequence[Transition]:
        """Take note that a peer was heard, and how long its answer took where that is known.

        Returns the recovery, if it is one. Peers that are not watched are ignored.
        """
        self._advance(now)
        known = self._peers.get(peer)
        if known is None:
            return ()
        silence_ms = self._now - known.heard_at
        if known.health < Health.DOWN and not self.is_doubting(self._now):
            known.interval.learn(silence_ms, self._settings.weight)
            if rtt_ms is not None:
                self._learn_round_trip(known, rtt_ms)
        known.heard_at = self._now
        known.first_refused_at = known.last_refused_at = None
        before, known.health = known.health, Health.ALIVE
        if before is Health.ALIVE:
            return ()
        return (Transition(peer, before, Health.ALIVE, Reason.HEARTBEAT, silence_ms),)

    def connection_refused(self, peer: NodeId, now: Instant) -> None:
        """Take note that the peer's machine says that nobody listens there: better evidence than silence."""
        self._advance(now)
        known = self._peers.get(peer)
        if known is None:
            return
        if known.first_refused_at is None:
            known.first_refused_at = self._now
        known.last_refused_at = self._now

    def loop_lag(self, now: Instant, lag_ms: float) -> None:
        """Take note that something in the own loop ran so much later than planned."""
        self._advance(now)
        if lag_ms > self._settings.lag_max_ms:
            self._doubt_until = Instant(self._now + self._settings.doubt_ms)

    # --- time

    def next_deadline(self) -> Instant | None:
        """Return when `handle_timer` has something to decide; None = never, as things are."""
        due = [when for peer in self._peers.values() if (when := self._due(peer)) is not None]
        return min(due, default=None)

    def handle_timer(self, now: Instant) -> Sequence[Transition]:
        """Return what has become worse by now, peer by peer, step by step."""
        self._advance(now)
        planned = self.next_deadline()
        if planned is not None:
            self.loop_lag(self._now, self._now - planned)
        found: list[Transition] = []
        for name, peer in self._peers.items():
            while (when := self._due(peer)) is not None and when <= self._now:
                found.append(self._worsen(name, peer))
        return found

    # --- questions

    def health(self, peer: NodeId) -> Health:
        """Return what is thought of a peer; one that is not watched is OUT."""
        known = self._peers.get(peer)
        return Health.OUT if known is None else known.health

    def all_health(self) -> Mapping[NodeId, Health]:
        """Return what is thought of everybody."""
        return {name: peer.health for name, peer in self._peers.items()}

    def phi(self, peer: NodeId, now: Instant) -> float:
        """Return the level of suspicion of a watched peer."""
        known = self._peers[peer]
        deviation_ms = max(known.interval.deviation, self._deviation_min_ms)
        silence_ms = max(now, self._now) - known.heard_at
        return _phi((silence_ms - known.interval.mean - known.slack_ms) / deviation_ms)

    def is_doubting(self, now: Instant) -> bool:
        """Tell whether the detector makes nothing worse now, because it was late itself."""
        return max(now, self._now) < self._doubt_until

    # --- beneath

    def _advance(self, now: Instant) -> None:
        # Time only grows here, whatever the caller's clock does.
        self._now = max(now, self._now)

    def _learn_round_trip(self, peer: _Peer, rtt_ms: float) -> None:
        if peer.round_trip is None:
            peer.round_trip = _Average(rtt_ms, rtt_ms / 2)
        else:
            peer.round_trip.learn(rtt_ms, self._settings.weight)

    def _due(self, peer: _Peer) -> Instant | None:
        """Return when the peer's state gets worse, if nothing is heard."""
        match peer.health:
            case Health.ALIVE:
                limit_ms, refused_at = self._suspect_after_ms(peer), peer.first_refused_at
            case Health.SUSPECT:
                limit_ms, refused_at = self._down_after_ms(peer), self._gone_at(peer)
            case Health.DOWN:
                limit_ms, refused_at = self._settings.out_ms, None
            case Health.OUT:
                return None
        when = peer.heard_at + limit_ms
        if refused_at is not None:
            when = min(when, refused_at)
        return Instant(max(when, self._doubt_until))

    def _worsen(self, name: NodeId, peer: _Peer) -> Transition:
        silence_ms = self._now - peer.heard_at
        before, peer.health = peer.health, Health(peer.health + 1)
        limits_ms = {
            Health.SUSPECT: self._suspect_after_ms(peer),
            Health.DOWN: self._down_after_ms(peer),
            Health.OUT: self._settings.out_ms,
        }
        reason = Reason.SILENCE if silence_ms >= limits_ms[peer.health] else Reason.REFUSED
        return Transition(name, before, peer.health, reason, silence_ms)

    def _gone_at(self, peer: _Peer) -> Instant | None:
        """Return when it became clear that the peer's process is gone, not just between two lives."""
        if peer.first_refused_at is None or peer.last_refused_at is None:
            return None
        lasted_ms = peer.last_refused_at - peer.first_refused_at
        return peer.last_refused_at if lasted_ms >= self._settings.refused_down_ms else None

    def _suspect_after_ms(self, peer: _Peer) -> int:
        return self._patience_ms(peer, self._z_suspect, self._settings.suspect_ms)

    def _down_after_ms(self, peer: _Peer) -> int:
        return self._patience_ms(peer, self._z_down, self._settings.down_ms)

    def _patience_ms(self, peer: _Peer, deviations: float, limit_ms: int) -> int:
        deviation_ms = max(peer.interval.deviation, self._deviation_min_ms)
        wanted_ms = peer.interval.mean + deviations * deviation_ms + peer.slack_ms
        return math.ceil(min(max(wanted_ms, limit_ms), limit_ms * self._settings.stretch_max))


# --- the tail of the normal distribution: P(y or more deviations late) = 1 / (1 + exp(y * (A + B * y * y)))

_A: Final = 1.5976
_B: Final = 0.070566
_LN_10: Final = math.log(10)


def _phi(deviations: float) -> float:
    exponent = deviations * (_A + _B * deviations * deviations)
    # log10(1 + e^x), without overflow where x is large.
    return max(exponent, 0.0) / _LN_10 + math.log1p(math.exp(-abs(exponent))) / _LN_10


def _deviations(phi: float) -> float:
    """Return how many deviations late somebody is at this level: the inverse of `_phi`, by bisection."""
    low, high = -10.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _phi(middle) < phi else (low, middle)
    return high
