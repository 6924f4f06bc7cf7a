"""Who holds a partition: voters, who make majorities, and learners, who only receive.

A `ReplicaId` names *one life of one store*: a drive that lost its store, was restored from a copy or was re-created
gets a new id, and so is a stranger to every majority until it was added as a learner, caught up and was promoted
(reliability trap T2: an acceptor that forgot its promises must not vote under its old name). A membership is a
whole value, never a difference, and every membership entry carries one; two that follow each other differ by one
replica, so that their majorities overlap (rule 7).
"""

from __future__ import annotations

from enum import Enum
from typing import NewType

import msgspec

from objstore.model.versioned import RecordCodec

__all__ = [
    "NO_MEMBERSHIP",
    "NO_REPLICA",
    "ChangeKind",
    "Membership",
    "MembershipChange",
    "ReplicaId",
    "decode_membership",
    "encode_membership",
    "make_replica_id",
]

ReplicaId = NewType("ReplicaId", str)
"""One life of one store of a partition, see the module's text."""

NO_REPLICA = ReplicaId("")
"""Nobody."""


def make_replica_id(drive: str, generation: int) -> ReplicaId:
    """Name the store of a generation of a drive; a wiped drive comes back with another generation (T2)."""
    return ReplicaId(f"{drive}@{generation}")


class Membership(msgspec.Struct, frozen=True, array_like=True):
    """Voters and learners, each in order of name."""

    voters: tuple[ReplicaId, ...] = ()
    learners: tuple[ReplicaId, ...] = ()

    @property
    def members(self) -> tuple[ReplicaId, ...]:
        """All who receive entries."""
        return self.voters + self.learners

    def is_voter(self, replica: ReplicaId) -> bool:
        """Tell whether the replica counts in majorities."""
        return replica in self.voters

    def is_learner(self, replica: ReplicaId) -> bool:
        """Tell whether the replica only receives."""
        return replica in self.learners

    def peers_of(self, replica: ReplicaId) -> tuple[ReplicaId, ...]:
        """Return all members but this one."""
        return tuple(member for member in self.members if member != replica)


NO_MEMBERSHIP = Membership()
"""What an empty store knows: nothing. Its replica makes no promises."""


class ChangeKind(Enum):
    """The three steps of a life."""

    ADD_LEARNER = "add_learner"
    PROMOTE = "promote"
    REMOVE = "remove"


class MembershipChange(msgspec.Struct, frozen=True):
    """One step for one replica."""

    kind: ChangeKind
    replica: ReplicaId

    def applied_to(self, membership: Membership) -> Membership | None:
        """Return the membership after this step, or nothing if the step does not fit."""
        return _STEPS[self.kind](membership, self.replica)


def _add_learner(membership: Membership, replica: ReplicaId) -> Membership | None:
    if replica in membership.members:
        return None
    return Membership(membership.voters, tuple(sorted((*membership.learners, replica))))


def _promote(membership: Membership, replica: ReplicaId) -> Membership | None:
    if not membership.is_learner(replica):
        return None
    return Membership(
        tuple(sorted((*membership.voters, replica))),
        tuple(learner for learner in membership.learners if learner != replica),
    )


def _remove(membership: Membership, replica: ReplicaId) -> Membership | None:
    if replica not in membership.members or membership.voters == (replica,):
        return None
    return Membership(
        tuple(voter for voter in membership.voters if voter != replica),
        tuple(learner for learner in membership.learners if learner != replica),
    )


_STEPS = {
    ChangeKind.ADD_LEARNER: _add_learner,
    ChangeKind.PROMOTE: _promote,
    ChangeKind.REMOVE: _remove,
}

_CODEC = RecordCodec(Membership, version=1)


def encode_membership(membership: Membership) -> bytes:
    """Return the payload of a membership entry."""
    return _CODEC.encode(membership)


def decode_membership(payload: object) -> Membership:
    """Read the payload of a membership entry; raise `CorruptRecord` or `UnknownFormat` if it is damaged."""
    return _CODEC.decode(payload if isinstance(payload, bytes) else b"")
