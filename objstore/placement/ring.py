"""The ring: which drives hold each partition of the hash space, as a numbered, immutable table.

The space of xxh3-64 is cut into a power of two of equal arcs, the partitions (an operator calls
them virtual nodes). The top bits of the hash of a key name its partition; the table names the
partition's drives in shard order. A lookup is one hash, one shift and one index: nothing is
searched.

A ring does not check itself against the placement rules when it is built (`validate` does, and
returns all it finds) beyond the shape without which lookups would be wrong.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import xxhash

from objstore.model.errors import CorruptRecord, InvariantError, check
from objstore.model.names import DriveId, PartitionId
from objstore.model.versioned import RecordCodec
from objstore.placement.members import MEMBERS_MAX, Member

__all__ = [
    "DATA_PARTITIONS",
    "HASH_BITS",
    "METADATA_PARTITIONS",
    "PARTITIONS_MAX",
    "Ring",
    "key_hash64",
    "pack_table",
]

HASH_BITS = 64
METADATA_PARTITIONS = 256
"""Each has a log of its own, so there are few."""
DATA_PARTITIONS = 4096
"""Fine enough that 60 drives differ by less than 2 % at a width of one."""
PARTITIONS_MAX = 1 << 16

key_hash64 = xxhash.xxh3_64_intdigest
"""Hash of a key; stable for ever, because it decides where stored bytes are looked for."""


class _RingRecord(msgspec.Struct, frozen=True, array_like=True):
    """What is stored of a ring; the rest follows from it."""

    version: int
    partitions_count: int
    width: int
    members: tuple[Member, ...]
    table: bytes


_CODEC = RecordCodec(_RingRecord, version=1)


@dataclass(frozen=True, slots=True)
class Ring:
    """One version of the ring.

    `width` is the number of homes of a partition: replicas, or data and parity shards. `table`
    holds, partition by partition and in shard order, the index into `members` of each home as two
    bytes, little endian.
    """

    version: int
    partitions_count: int
    width: int
    members: tuple[Member, ...]
    table: bytes = field(repr=False)
    _shift: int = field(init=False, repr=False, compare=False)
    _homes: tuple[tuple[DriveId, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        count, width = self.partitions_count, self.width
        check(0 < count <= PARTITIONS_MAX, "the number of partitions is out of bounds")
        check(count & (count - 1) == 0, "the number of partitions is not a power of two")
        check(width > 0, "a partition needs at least one home")
        check(len(self.members) <= MEMBERS_MAX, "a table names a member in two bytes")
        check(len(self.table) == 2 * count * width, "the table does not have its size")
        indices = _unpack(self.table)
        check(max(indices) < len(self.members), "the table names a member that is not there")
        drives = [member.drive for member in self.members]
        flat = list(map(drives.__getitem__, indices))
        homes = tuple(tuple(flat[at : at + width]) for at in range(0, len(flat), width))
        object.__setattr__(self, "_shift", HASH_BITS - (count.bit_length() - 1))
        object.__setattr__(self, "_homes", homes)

    def partition_of(self, key_hash64: int) -> PartitionId:
        """Return the partition of a 64-bit hash: its top bits."""
        return PartitionId(key_hash64 >> self._shift)

    def partition_for(self, key: bytes) -> PartitionId:
        """Return the partition of a key."""
        return PartitionId(xxhash.xxh3_64_intdigest(key) >> self._shift)

    def partitions_for(self, keys: Iterable[bytes]) -> list[PartitionId]:
        """Return the partition of each key, in order."""
        shift = self._shift
        return [PartitionId(digest >> shift) for digest in map(xxhash.xxh3_64_intdigest, keys)]

    def homes(self, partition: PartitionId) -> tuple[DriveId, ...]:
        """Return the drives of a partition in shard order."""
        return self._homes[partition]

    def homes_for(self, keys: Iterable[bytes]) -> list[tuple[DriveId, ...]]:
        """Return the drives of each key in shard order, key by key."""
        shift, homes = self._shift, self._homes
        return [homes[digest >> shift] for digest in map(xxhash.xxh3_64_intdigest, keys)]

    def rows(self) -> list[tuple[int, ...]]:
        """Return the table as indices into `members`: one tuple for each partition, in shard
        order.
        """
        flat = _unpack(self.table).tolist()
        return [tuple(flat[at : at + self.width]) for at in range(0, len(flat), self.width)]

    def loads(self) -> tuple[int, ...]:
        """Return the number of slots that each member holds."""
        counts = [0] * len(self.members)
        for index in _unpack(self.table):
            counts[index] += 1
        return tuple(counts)

    def encode(self) -> bytes:
        """Return the ring as a versioned, checksummed record."""
        return _CODEC.encode(
            _RingRecord(self.version, self.partitions_count, self.width, self.members, self.table)
        )

    @classmethod
    def decode(cls, data: bytes) -> Ring:
        """Return the ring of a record; raise `CorruptRecord` for damage, `UnknownFormat` for a
        newer version.
        """
        record = _CODEC.decode(data)
        try:
            return cls(
                record.version,
                record.partitions_count,
                record.width,
                record.members,
                record.table,
            )
        except InvariantError as error:
            raise CorruptRecord(f"record is not a ring: {error}") from error


def pack_table(rows: Iterable[Iterable[int]]) -> bytes:
    """Return the table of a ring from its rows of member indices."""
    flat = array("H")
    for row in rows:
        flat.extend(row)
    if sys.byteorder == "big":
        flat.byteswap()
    return flat.tobytes()


def _unpack(table: bytes) -> array[int]:
    flat = array("H")
    flat.frombytes(table)
    if sys.byteorder == "big":
        flat.byteswap()
    return flat
