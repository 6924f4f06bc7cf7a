"""Decisions about the replicas of a partition: who is to lead, and the next step towards the wanted members. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from objstore.consensus import ChangeKind, Membership, MembershipChange, ReplicaId
from objstore.model.names import PartitionId

__all__ = ["choose_leader", "is_aligned", "next_change", "spread_leaders", "with_majority_in"]


def next_change(
    membership: Membership,
    wanted: Sequence[ReplicaId],
    leader: ReplicaId,
    *,
    has_caught_up: Callable[[ReplicaId], bool],
) -> MembershipChange | None:
    """Return the next step from a membership to the wanted voters; None where nothing is to be done, or not yet.

    What is missing comes before what is too many, so that no step lowers the number of copies; a learner that nobody
    wants any more goes first, because nothing depends on it. A leader is never removed: another one leads before that.
    """
    for learner in membership.learners:
        if learner not in wanted:
            return MembershipChange(ChangeKind.REMOVE, learner)
    for learner in membership.learners:
        if has_caught_up(learner):
            return MembershipChange(ChangeKind.PROMOTE, learner)
    for replica in wanted:
        if replica not in membership.members:
            return MembershipChange(ChangeKind.ADD_LEARNER, replica)
    if membership.learners:
        return None
    for voter in membership.voters:
        if voter not in wanted and voter != leader:
            return MembershipChange(ChangeKind.REMOVE, voter)
    return None


def choose_leader(
    voters: Collection[ReplicaId],
    load: Mapping[ReplicaId, int],
    *,
    usable: Collection[ReplicaId],
    wanted: Collection[ReplicaId],
    not_this: ReplicaId,
) -> ReplicaId | None:
    """Return who should lead: a usable voter, wanted before unwanted, the one that leads least; None if there is nobody.

    `not_this` is taken only where there is nobody else: it is who led, or was asked to, and did not answer.
    """
    candidates = [voter for voter in voters if voter in usable]
    if not candidates:
        return None
    return min(
        candidates,
        key=lambda voter: (voter == not_this, voter not in wanted, load.get(voter, 0), voter),
    )


def spread_leaders(
    voters_of: Mapping[PartitionId, Collection[ReplicaId]],
    wanted_of: Mapping[PartitionId, Collection[ReplicaId]],
    usable: Collection[ReplicaId],
) -> dict[PartitionId, ReplicaId]:
    """Return a leader for each partition that can have one, evenly over the usable replicas."""
    load: dict[ReplicaId, int] = {}
    chosen: dict[PartitionId, ReplicaId] = {}
    for partition in sorted(voters_of):
        leader = choose_leader(
            voters_of[partition],
            load,
            usable=usable,
            wanted=wanted_of.get(partition, ()),
            not_this=ReplicaId(""),
        )
        if leader is not None:
            load[leader] = load.get(leader, 0) + 1
            chosen[partition] = leader
    return chosen


def is_aligned(membership: Membership | None, wanted: Sequence[ReplicaId]) -> bool:
    """Tell whether exactly the wanted replicas vote, and nobody is on the way."""
    return (
        membership is not None and set(membership.voters) == set(wanted) and not membership.learners
    )


def with_majority_in(
    members_of: Mapping[PartitionId, Membership], replicas: Collection[ReplicaId]
) -> frozenset[PartitionId]:
    """Return the partitions of which a majority of the voters is among these replicas."""
    return frozenset(
        partition
        for partition, members in members_of.items()
        if 2 * sum(voter in replicas for voter in members.voters) > len(members.voters)
    )
