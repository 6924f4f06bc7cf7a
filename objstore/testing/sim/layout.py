"""The operator: replaces stores that are lost, and changes the layout now and then, one step of one replica at a time.

A lost store is replaced by an empty one under a new id, which is added as a learner and promoted; the old id is
removed before or after. A store that lives is removed after its successor was promoted: removing it first would leave
a majority that can bear less. What is in the way is left for the next look.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from objstore.consensus import ChangeKind, Membership, MembershipChange, ReplicaId

if TYPE_CHECKING:
    from objstore.testing.sim.cluster import Cluster
    from objstore.testing.sim.replica import SimReplica

__all__ = ["Operator"]

LOOK_MS = 60


class Operator:
    """Brings the membership to what is wanted."""

    __slots__ = ("_cluster", "_is_looking", "_random", "_removes_first", "departing", "wanted")

    def __init__(self, cluster: Cluster, random: Random, wanted: list[ReplicaId]) -> None:
        self._cluster, self._random = cluster, random
        self.wanted = wanted
        """Who is to vote in the end."""
        self.departing: list[ReplicaId] = []
        """Stores that are lost or to be given up."""
        self._removes_first = random.random() < 0.5
        self._is_looking = False

    def replace(self, old: ReplicaId, new: ReplicaId) -> None:
        """Want one replica instead of another."""
        self.wanted = sorted([*(name for name in self.wanted if name != old), new])
        self.departing.append(old)
        self.look_soon()

    def look_soon(self) -> None:
        """Look after the layout until it is as wanted."""
        if not self._is_looking:
            self._is_looking = True
            self._cluster.loop.after(LOOK_MS, self._look)

    @property
    def is_content(self) -> bool:
        """Tell whether the membership that was committed last is the wanted one."""
        return not self._is_looking

    def _look(self) -> None:
        cluster = self._cluster
        leader = cluster.replicas.get(cluster.control.leader)
        if leader is not None and leader.is_leading:
            change = self._next_step(leader.log.membership)
            if change is not None:
                self._propose(leader, change)
            elif leader.membership == leader.log.membership:
                self._is_looking = False
                self._retire(leader.membership)
                return
        cluster.loop.after(LOOK_MS, self._look)

    def _propose(self, leader: SimReplica, change: MembershipChange) -> None:
        if change.replica == leader.name:
            others = [name for name in leader.log.membership.voters if name in self.wanted]
            if others:
                leader.hand_over_to(self._random.choice(others))
        else:
            leader.change(change)

    def _next_step(self, membership: Membership) -> MembershipChange | None:
        """Return the step that is due; nothing if the membership is as wanted."""
        missing = [name for name in self.wanted if name not in membership.members]
        waiting = [name for name in self.wanted if membership.is_learner(name)]
        gone = [name for name in membership.members if name not in self.wanted]
        lost = [name for name in gone if self._cluster.checkers.disks[name].is_lost]
        stays = any(name in self.wanted for name in membership.voters)
        if lost and self._removes_first and stays:
            return MembershipChange(ChangeKind.REMOVE, lost[0])
        if gone and not (missing or waiting):
            return MembershipChange(ChangeKind.REMOVE, (lost or gone)[0])
        if waiting:
            return MembershipChange(ChangeKind.PROMOTE, waiting[0])
        if missing:
            return MembershipChange(ChangeKind.ADD_LEARNER, missing[0])
        return None

    def _retire(self, membership: Membership) -> None:
        """Switch off what is not a member any more."""
        for name in self.departing:
            replica = self._cluster.replicas.get(name)
            if replica is not None and name not in membership.members:
                self._cluster.retire(replica)
        self.departing = [name for name in self.departing if name in membership.members]
