"""The control store: hands out epochs, names leaders, and is away at times. Nothing that it gets wrong may matter.

It suspects by what it is told of the replicas, which is a hint: it names late, names the wrong one, repeats a naming
after the named process has died, and names two replicas for one epoch. Only the last is a bug of a real control
store, and the promises of a majority must hold even then.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from objstore.consensus import NO_REPLICA, Epoch, ReplicaId
from objstore.consensus.ready import LEADER

if TYPE_CHECKING:
    from objstore.testing.sim.cluster import Cluster
    from objstore.testing.sim.replica import SimReplica

__all__ = ["ControlStore"]

WATCH_MS = 150
PATIENCE_MS = 600
"""How long a takeover may take, and how long a leader may commit nothing while clients wait."""


class ControlStore:
    """One partition's row of the control store, and whoever watches over it."""

    __slots__ = ("_cluster", "_named_at", "_random", "away_until", "epoch", "is_watching", "leader")

    def __init__(self, cluster: Cluster, random: Random) -> None:
        self._cluster, self._random = cluster, random
        self.epoch = Epoch(0)
        self.leader = NO_REPLICA
        self._named_at = 0
        self.away_until = 0
        self.is_watching = True
        cluster.loop.after(0, self._watch)

    @property
    def is_away(self) -> bool:
        """Tell whether nobody can reach it."""
        return self.away_until > self._cluster.loop.now

    def _watch(self) -> None:
        if not self.is_watching:
            return
        if not self.is_away and self._is_doubtful():
            self.name_somebody()
        self._cluster.loop.after(WATCH_MS, self._watch)

    def _is_doubtful(self) -> bool:
        """Tell whether the leader seems to be gone, or of no use."""
        cluster = self._cluster
        now = cluster.loop.now
        replica = cluster.replicas.get(self.leader)
        if replica is None or not replica.is_up:
            return True
        if now - self._named_at < PATIENCE_MS:
            return False
        if replica.log.role is not LEADER or replica.log.epoch != self.epoch:
            return True
        if cluster.open_clients and now - cluster.checkers.last_commit_at > PATIENCE_MS:
            return True
        return self.is_doubled

    @property
    def is_doubled(self) -> bool:
        """Tell whether a replica promised the epoch to another one than its leader: only a new epoch frees it."""
        epoch, leader = self.epoch, self.leader
        for replica in self._cluster.replicas.values():
            if replica.is_up and replica.name != leader:
                log = replica.log
                if log.epoch == epoch and log.leader != leader:
                    return True
        return False

    def name_somebody(self) -> None:
        """Name any replica that is up and believes that it may vote."""
        candidates = [
            replica
            for replica in self._cluster.replicas.values()
            if replica.is_up and replica.log.membership.is_voter(replica.name)
        ]
        others = [replica for replica in candidates if replica.name != self.leader]
        if others or candidates:
            self.name(self._random.choice(others or candidates))

    def name(self, replica: SimReplica) -> None:
        """Give the next epoch to a replica; it hears of it soon, or late."""
        cluster = self._cluster
        self.epoch = Epoch(self.epoch + 1)
        self.leader = replica.name
        self._named_at = cluster.loop.now
        delay_ms = int(self._random.random() * cluster.plan.naming_delay_ms)
        cluster.loop.after(delay_ms, replica.name_leader, self.epoch)
        if self._random.random() < cluster.plan.leader_hints:
            for other in cluster.replicas.values():
                if other is not replica:
                    cluster.loop.after(delay_ms, other.hear_of_leader, self.epoch, replica.name)

    def repeat(self, replica: SimReplica) -> None:
        """Tell a replica of the latest epoch: to the leader a repetition, to another one a double naming."""
        if self.epoch and not self.is_away:
            replica.name_leader(self.epoch)

    def hand_over(self, target: ReplicaId) -> None:
        """Name whom the leader asks for."""
        replica = self._cluster.replicas.get(target)
        if replica is not None and replica.is_up and not self.is_away:
            self.name(replica)
