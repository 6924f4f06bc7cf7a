"""What the replicas of one file are told, and what they tell the keeper. Values that pass between threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import msgspec

from objstore.consensus import Epoch, Membership, Message, ReplicaId, Snapshot
from objstore.metadata.applier import Answer
from objstore.metadata.commands import Command
from objstore.metadata.snapshot import CopyId, Slice
from objstore.model.names import PartitionId

__all__ = [
    "Align",
    "Aligned",
    "Damaged",
    "Deliver",
    "Event",
    "Found",
    "HandOver",
    "HandOverReady",
    "Lead",
    "NotLed",
    "Outlet",
    "Proposal",
    "Rejoined",
    "Report",
    "Serving",
    "SnapshotRead",
    "Stage",
    "SteppedDown",
    "Told",
    "Unreadable",
]


class Proposal(msgspec.Struct, frozen=True):
    """A command; `ticket` is handed back with its answer."""

    partition: PartitionId
    command: Command
    ticket: object
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """Messages of peers, each with its partition."""

    messages: Sequence[tuple[PartitionId, Message]]


@dataclass(frozen=True, slots=True)
class Lead:
    """The control store named this replica leader of an epoch."""

    partition: PartitionId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Told:
    """The control store named somebody else."""

    partition: PartitionId
    epoch: Epoch
    leader: ReplicaId


@dataclass(frozen=True, slots=True)
class Align:
    """These replicas are wanted: take the next step towards them, if this replica leads."""

    partition: PartitionId
    wanted: tuple[ReplicaId, ...]


@dataclass(frozen=True, slots=True)
class HandOver:
    """Another replica is to lead, without haste: nothing new is taken until it has everything."""

    partition: PartitionId
    target: ReplicaId


@dataclass(frozen=True, slots=True)
class Rejoined:
    """A peer began anew with what is durable in its file: if this replica leads, it tells once more what is committed."""

    partition: PartitionId


@dataclass(frozen=True, slots=True)
class Found:
    """These partitions are created, with these founding members; call back when that is durable."""

    memberships: Mapping[PartitionId, Membership]
    done: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """A slice of a snapshot for this file (None: a copy begins); call back when that is settled."""

    partition: PartitionId
    copy: CopyId
    piece: Slice | None
    done: Callable[[bool], None]
    """Takes whether the slice is in the file: it is not where another copy has displaced this one."""


@dataclass(frozen=True, slots=True)
class SnapshotRead:
    """The copy for a follower is complete and verified, or it failed (no snapshot)."""

    partition: PartitionId
    target: ReplicaId
    snapshot: Snapshot | None
    damage: Exception | None = None
    """Why this file cannot be copied from, if that is why it failed."""


Event: TypeAlias = (
    Proposal | Deliver | Lead | Told | Align | HandOver | Rejoined | Found | Stage | SnapshotRead
)


@dataclass(frozen=True, slots=True)
class Serving:
    """The replica leads the epoch and has applied all that was acknowledged before it."""

    partition: PartitionId
    epoch: Epoch
    membership: Membership


@dataclass(frozen=True, slots=True)
class SteppedDown:
    """The replica leads no longer."""

    partition: PartitionId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class HandOverReady:
    """The target of a hand-over has everything: it may be named."""

    partition: PartitionId
    epoch: Epoch
    target: ReplicaId


@dataclass(frozen=True, slots=True)
class NotLed:
    """The replica cannot lead the epoch that it was named for; it has promised `promised`."""

    partition: PartitionId
    epoch: Epoch
    promised: Epoch


@dataclass(frozen=True, slots=True)
class Aligned:
    """How far a partition is from what is wanted: its members, and the learners that still copy."""

    partition: PartitionId
    membership: Membership
    is_done: bool


@dataclass(frozen=True, slots=True)
class Damaged:
    """A replica met a damaged row of its own, or another history: it takes part no longer."""

    partition: PartitionId
    cause: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A copy met a damaged row, or one that cannot be read: another replica should lead, and be copied from."""

    partition: PartitionId
    cause: Exception


Report: TypeAlias = Serving | SteppedDown | HandOverReady | NotLed | Aligned | Damaged | Unreadable


class Outlet(Protocol):
    """Where effects go. Called on the machine's thread; none of them may block."""

    def send(self, partition: PartitionId, message: Message) -> None:
        """Pass a message to its target."""
        ...

    def answer(self, ticket: object, answer: Answer) -> None:
        """Tell what became of a command."""
        ...

    def report(self, report: Report) -> None:
        """Tell the keeper."""
        ...

    def copy(self, partition: PartitionId, target: ReplicaId, point: Snapshot) -> None:
        """Begin to copy the state as it is in the file now; `SnapshotRead` tells the end."""
        ...
