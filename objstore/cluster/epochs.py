"""Naming the leader of a partition and handing out its epoch, by compare-and-set on the control store.

One key per partition holds the last naming: `leaders/<ring>/<partition>` -> (epoch, leader). It is never removed, so that an
epoch is never handed out twice. That is all that is asked of the control store: the safety of a partition rests on a
majority's durable promise of the epoch, not on who is named here (reliability 7.3, rule 1).

An `Unavailable` naming may have been made or not. Read the key again: a naming found there belongs to whom it names, however
the answer was lost.
"""

from __future__ import annotations

from typing import Final

import msgspec

from objstore.cluster.control_store import ControlStore, Item
from objstore.consensus import Epoch
from objstore.model.names import PartitionId
from objstore.model.versioned import RecordCodec

__all__ = [
    "LEADERS_PREFIX",
    "Naming",
    "decode_naming",
    "encode_naming",
    "leader_key",
    "name_leader",
    "read_naming",
]

LEADERS_PREFIX: Final = "leaders/"


class _NamingRecord(msgspec.Struct, frozen=True, array_like=True):
    epoch: int
    leader: str


_CODEC: Final = RecordCodec(_NamingRecord, version=1)


class Naming(msgspec.Struct, frozen=True):
    """Who is to lead a partition, in which epoch."""

    epoch: Epoch
    leader: str
    """The id of the replica, as text."""
    revision: int
    """Of the item that says so; what the next naming compares with. 0 = nobody was named before."""


NOBODY: Final = Naming(Epoch(0), "", 0)


def leader_key(ring: str, partition: PartitionId) -> str:
    """Return the key of a partition's naming; keys sort by partition."""
    return f"{LEADERS_PREFIX}{ring}/{partition:05d}"


def encode_naming(epoch: Epoch, leader: str) -> bytes:
    """Return the value of a partition's key."""
    return _CODEC.encode(_NamingRecord(epoch, leader))


def decode_naming(item: Item | None) -> Naming:
    """Return the naming that an item says; raise `CorruptRecord` or `UnknownFormat`."""
    if item is None:
        return NOBODY
    record = _CODEC.decode(item.value)
    return Naming(Epoch(record.epoch), record.leader, item.revision)


async def read_naming(store: ControlStore, ring: str, partition: PartitionId) -> Naming:
    """Return the last naming of a partition, epoch 0 before the first; raise `Unavailable`."""
    return decode_naming(await store.get(leader_key(ring, partition)))


async def name_leader(
    store: ControlStore, ring: str, partition: PartitionId, leader: str, *, seen: Naming
) -> Naming | None:
    """Hand out the epoch after the one that was seen; None where somebody else named a leader since.

    Raises `Unavailable` where it is unknown whether the naming was made.
    """
    epoch = Epoch(seen.epoch + 1)
    revision = await store.put(
        leader_key(ring, partition),
        encode_naming(epoch, leader),
        expected_revision=seen.revision,
    )
    return None if revision is None else Naming(epoch, leader, revision)
