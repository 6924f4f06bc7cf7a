"""What replicas of one partition say to each other, and the entries that they agree on.

Every message is a frozen value with a source, a target and the epoch that it speaks for. Encoding, the partition
number and the transport belong to the driver: the values are tagged `msgspec` structs, so that one decoder for
`Message` reads them all. Nothing here depends on order of delivery: messages may be lost, doubled and reordered.

    PromiseRequest   "I was named leader of this epoch: promise it, and tell how far your log goes"
    PromiseReply     the durable promise, or its refusal
    FetchRequest     takeover: "your log is the best of a majority: give me what I lack"
    FetchReply       entries, or a hint where the logs part, or "a snapshot is on its way"
    AppendRequest    entries from the leader; without entries a probe, a commit notice or a read round
    AppendReply      durable up to `match`, or a hint where the logs part
    InstallSnapshot  applied state for a replica that is behind the log's first entry
    EpochRefused     "I have promised a higher epoch"
    StateHash        digest of applied state at an index, compared by both sides
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NewType

import msgspec

from objstore.consensus.membership import Membership, ReplicaId

__all__ = [
    "Addressed",
    "AppendReply",
    "AppendRequest",
    "Entry",
    "EntryKind",
    "Epoch",
    "EpochRefused",
    "FetchReply",
    "FetchRequest",
    "InstallSnapshot",
    "Message",
    "PromiseReply",
    "PromiseRequest",
    "Snapshot",
    "StateHash",
    "entries_size",
    "payload_size",
]

Epoch = NewType("Epoch", int)
"""Number of one leadership of one partition; handed out once by the control store. 0 = none yet."""


class EntryKind(IntEnum):
    """What an entry means to whoever applies it."""

    COMMAND = 0
    """A payload of the caller."""
    NO_OP = 1
    """Opens an epoch (rule 3); changes nothing."""
    MEMBERSHIP = 2
    """The payload is an encoded `Membership`, in force from this entry on (rule 7)."""


COMMAND, NO_OP, MEMBERSHIP = EntryKind.COMMAND, EntryKind.NO_OP, EntryKind.MEMBERSHIP
"""The same for the hot path, where a name of the module costs a tenth of an enum's attribute."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One slot of the log: `(epoch, index)` names its content for ever.

    `payload` is opaque. Where there is somebody to replicate to it must be `bytes`; alone it may be any object that does
    not lead back to its entry: entries are not tracked by the garbage collector.
    """

    epoch: int
    index: int
    payload: object = b""
    kind: EntryKind = EntryKind.COMMAND


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """Applied state up to and including `index`, whose entry had `epoch`; `data` is the driver's own handle."""

    index: int
    epoch: int
    membership: Membership
    data: object = None


class Addressed(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """What all messages have."""

    source: ReplicaId
    target: ReplicaId
    epoch: Epoch


class PromiseRequest(Addressed, frozen=True):
    """The named leader asks for a durable promise of its epoch (rule 1)."""


class PromiseReply(Addressed, frozen=True):
    """The answer, and how far the replica's durable log goes: what rule 2 compares."""

    granted: bool
    last_epoch: int
    last_index: int


class FetchRequest(Addressed, frozen=True):
    """Takeover: ask the best log for what follows `(previous_epoch, previous_index)`."""

    previous_index: int
    previous_epoch: int


class FetchReply(Addressed, frozen=True):
    """Entries after `previous_index` if `matched`; else the place to try next; or a snapshot follows."""

    matched: bool
    previous_index: int
    previous_epoch: int
    entries: tuple[Entry, ...] = ()
    snapshot_follows: bool = False


class AppendRequest(Addressed, frozen=True):
    """Entries that follow `(previous_epoch, previous_index)`, the leader's commit index, and a read round."""

    previous_index: int
    previous_epoch: int
    commit: int
    round: int
    entries: tuple[Entry, ...] = ()


class AppendReply(Addressed, frozen=True):
    """`accepted`: durable and equal to the leader's log up to `index`; else a hint where to probe next.

    `commit` is what the follower knows to be committed, so that a leader knows when it has nothing left to tell.
    """

    accepted: bool
    index: int
    hint_epoch: int
    round: int
    commit: int


class InstallSnapshot(Addressed, frozen=True):
    """Replace state and log by this snapshot; the driver moves the bytes that `snapshot.data` stands for."""

    snapshot: Snapshot


class EpochRefused(Addressed, frozen=True):
    """`epoch` is what the source has promised, to `leader`; the target's epoch is over."""

    leader: ReplicaId


class StateHash(Addressed, frozen=True):
    """Digest of the source's applied state right after `index`."""

    index: int
    digest: bytes


Message = (
    PromiseRequest
    | PromiseReply
    | FetchRequest
    | FetchReply
    | AppendRequest
    | AppendReply
    | InstallSnapshot
    | EpochRefused
    | StateHash
)


def payload_size(payload: object) -> int:
    """Return the weight in bytes of a payload; what is not bytes is never sent and weighs nothing."""
    return len(payload) if isinstance(payload, bytes) else 0


def entries_size(entries: Sequence[Entry]) -> int:
    """Return the weight in bytes of all payloads of these entries."""
    size_bytes = 0
    for entry in entries:
        payload = entry.payload
        if isinstance(payload, bytes):
            size_bytes += len(payload)
    return size_bytes
