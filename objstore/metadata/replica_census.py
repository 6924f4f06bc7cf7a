"""How many replicas are in which state, and who leads how many partitions: what metrics show. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from objstore.consensus import Membership, ReplicaId
from objstore.model.names import PartitionId

__all__ = ["STATES", "Census", "take_census"]

STATES: Final = ("leader", "follower", "learner", "offline", "unreadable")
"""A replica that is unreadable is a follower, a leader or offline as well."""


class Census(NamedTuple):
    """The replicas of all partitions at a moment."""

    states: Mapping[str, int]
    leads: Mapping[ReplicaId, int]
    """Partitions that each store in service leads."""


def take_census(
    members_of: Mapping[PartitionId, Membership],
    leaders: Mapping[PartitionId, ReplicaId],
    usable: Collection[ReplicaId],
    *,
    unreadable_count: int,
) -> Census:
    """Count them; `leaders` are those of the partitions that are served."""
    counts = dict.fromkeys(STATES, 0)
    for membership in members_of.values():
        counts["learner"] += len(membership.learners)
        for voter in membership.voters:
            counts["follower" if voter in usable else "offline"] += 1
    counts["leader"] = len(leaders)
    counts["follower"] = max(0, counts["follower"] - len(leaders))
    counts["unreadable"] = unreadable_count
    by_drive = Counter(leaders.values())
    return Census(counts, {replica: by_drive[replica] for replica in sorted(usable)})
