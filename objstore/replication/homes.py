"""Where shards belong, as the data store sees it.

Ports that the composition root connects, and names of blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import xxhash

from objstore.model.errors import ObjstoreError
from objstore.model.names import DataId, DriveId
from objstore.model.objects import Extent
from objstore.storage import Drive, ShardId

__all__ = ["DamageReport", "Drives", "Homes", "block_id", "located", "shard_ids", "spares_for"]

Drives: TypeAlias = Mapping[DriveId, Drive]
"""The drives that can be reached, by id; the mapping may change while it is used."""

DamageReport: TypeAlias = Callable[[Extent, int, int, ObjstoreError], None]
"""Called with extent, block, shard and what is wrong with it; must not block."""


class Homes(Protocol):
    """The data ring, in all its versions that extents still name."""

    @property
    def version(self) -> int:
        """The version that new extents are placed by."""
        ...

    def homes(self, block: bytes, ring_version: int) -> Sequence[DriveId]:
        """Return the drives of a block's shards in order, all different."""
        ...


def block_id(data_id: DataId, part: int, block: int) -> bytes:
    """Return the name of a block, which the ring hashes."""
    return b"".join((data_id, part.to_bytes(4, "big"), block.to_bytes(4, "big")))


def located(homes: Homes, extent: Extent, block: int) -> list[DriveId | None]:
    """Return where each shard of a block is recorded to be; None for nowhere."""
    name = block_id(extent.data_id, extent.part, block)
    width = extent.scheme.width
    drives: list[DriveId | None] = list(homes.homes(name, extent.ring_version)[:width])
    drives.extend([None] * (width - len(drives)))
    for exception in extent.misplaced:
        if exception.block == block:
            drives[exception.shard] = exception.drive
    return drives


def shard_ids(extent: Extent, block: int) -> list[ShardId]:
    """Return the ids of all shards of a block, in order."""
    return [
        ShardId(extent.data_id, extent.part, block, shard) for shard in range(extent.scheme.width)
    ]


def spares_for(drives: Drives, homes: Sequence[DriveId], block: bytes) -> list[DriveId]:
    """Return the other drives in an order that spreads what a lost drive would have taken."""
    return sorted(
        (drive for drive in drives if drive not in homes),
        key=lambda drive: xxhash.xxh3_64_digest(block + drive.encode()),
    )
