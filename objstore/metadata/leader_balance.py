"""When leaders move although nothing is wrong with those who lead: back to a drive that returned, evenly. Pure.

A move costs the writes of its partition a few milliseconds, so it must be worth it and must not be in vain:

* A replica takes part when it was well for a while. Each time it was not, that while doubles; it shrinks again with time. A
  drive that comes and goes is led by others, and moves nothing.
* Moves begin when drives differ clearly, and then go on until they differ by one at most.
* A few at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from objstore.consensus import ReplicaId
from objstore.model.names import PartitionId

__all__ = ["LeaderBalance", "level"]

STEADY_S: Final = 5.0
STEADY_S_MAX: Final = 900.0
FORGIVEN_S: Final = 900.0
"""One doubling is forgotten for each such time that a replica is well."""
GAP_MIN: Final = 4
MOVES_AT_ONCE: Final = 8
EVERY_S: Final = 0.5


class LeaderBalance:
    """Decides about moves; told often who is well."""

    def __init__(self, *, steady_s: float = STEADY_S) -> None:
        self._steady_s = steady_s
        self._well_since: dict[ReplicaId, float] = {}
        self._failures: dict[ReplicaId, float] = {}
        """How often each failed lately."""
        self._is_moving = False
        self._next_at = 0.0

    def observe(self, well: Collection[ReplicaId], now: float) -> None:
        """Take note of who is well at the moment."""
        for replica in [known for known in self._well_since if known not in well]:
            left = self._failures_of(replica, now)
            del self._well_since[replica]
            self._failures[replica] = left + 1
        for replica in well:
            self._well_since.setdefault(replica, now)

    def fit(self, now: float) -> set[ReplicaId]:
        """Return who was well for long enough to lead more."""
        return {
            replica
            for replica, since in self._well_since.items()
            if now - since
            >= min(STEADY_S_MAX, self._steady_s * 2 ** self._failures.get(replica, 0.0))
        }

    def is_due(self, now: float) -> bool:
        """Tell whether it is time to ask for moves again."""
        return now >= self._next_at

    def moves(
        self,
        leaders: Mapping[PartitionId, ReplicaId],
        voters_of: Mapping[PartitionId, Collection[ReplicaId]],
        now: float,
    ) -> dict[PartitionId, ReplicaId]:
        """Return the next moves."""
        self._next_at = now + EVERY_S
        fit = self.fit(now)
        gap_max = 1 if self._is_moving else GAP_MIN - 1
        found = level(leaders, voters_of, fit, gap_max=gap_max, moves_max=MOVES_AT_ONCE)
        self._is_moving = bool(found)
        return found

    def _failures_of(self, replica: ReplicaId, now: float) -> float:
        well_s = now - self._well_since[replica]
        return max(0.0, self._failures.get(replica, 0.0) - well_s / FORGIVEN_S)


def level(
    leaders: Mapping[PartitionId, ReplicaId],
    voters_of: Mapping[PartitionId, Collection[ReplicaId]],
    fit: Collection[ReplicaId],
    *,
    gap_max: int,
    moves_max: int,
) -> dict[PartitionId, ReplicaId]:
    """Return moves from those that lead more to those that lead less, if any two differ by more than `gap_max`.

    Only between fit replicas, each to a voter of its partition; a move that would not level is none.
    """
    load = Counter(dict.fromkeys(fit, 0))
    load.update(leader for leader in leaders.values() if leader in load)
    if not load or max(load.values()) - min(load.values()) <= gap_max:
        return {}
    moves: dict[PartitionId, ReplicaId] = {}
    for partition, leader in sorted(leaders.items(), key=lambda item: (-load[item[1]], item[0])):
        if len(moves) == moves_max:
            break
        others = [voter for voter in voters_of[partition] if voter in load and voter != leader]
        if leader not in load or not others:
            continue
        target = min(others, key=lambda voter: (load[voter], voter))
        if load[leader] - load[target] > 1:
            moves[partition] = target
            load[leader] -= 1
            load[target] += 1
    return moves
