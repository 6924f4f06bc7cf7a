"""Reads ranges of blocks: from where the shards are, around those that are damaged, missing or
slow.

A copy is read from one drive, another one if that fails. A range of a coded block is read from the
data shards that hold it; a shard that fails is rebuilt from the same range of k others. What was
found damaged is reported once and not asked again by the same reader.

When the bytes cannot be had: `UnreadableData` if what is left can never rebuild them,
`DriveUnavailable` if they may be back with a drive that is away.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import anyio.to_thread

from objstore.model.errors import Corrupt, DriveUnavailable, ObjstoreError, UnreadableData
from objstore.model.limits import KIB
from objstore.model.names import DriveId
from objstore.model.objects import Extent
from objstore.replication.coding import rebuild, shard_bytes
from objstore.replication.gather import gather
from objstore.replication.homes import DamageReport, Drives, Homes, located
from objstore.storage import Buffer, ShardId

__all__ = ["CODING_THREAD_BYTES_MIN", "BlockReader"]

CODING_THREAD_BYTES_MIN: Final = 64 * KIB
"""Coding less than this takes no longer than a hop into a thread."""
_READ_SLOW_S: Final = 2.0
"""After this another drive is asked, where there is one."""
_READ_DEADLINE_S: Final = 30.0


class BlockReader:
    """Reads one extent for one caller."""

    def __init__(
        self, extent: Extent, *, drives: Drives, homes: Homes, on_damage: DamageReport
    ) -> None:
        self._extent = extent
        self._drives = drives
        self._homes = homes
        self._on_damage = on_damage
        self._damaged: dict[tuple[int, int], Corrupt] = {}

    async def read(self, block: int, *, start: int, length: int) -> Buffer:
        """Return verified bytes of a block."""
        scheme = self._extent.scheme
        if scheme.k == 1:
            return await self._read_copy(block, start, length)
        size = shard_bytes(scheme, self._block_bytes(block))
        first, last = start // size, (start + length - 1) // size
        if first == last:
            return await self._read_coded(block, first, start - first * size, length)
        pieces = await gather(
            partial(
                self._read_coded,
                block,
                shard,
                max(start - shard * size, 0),
                min(start + length - shard * size, size) - max(start - shard * size, 0),
            )
            for shard in range(first, last + 1)
        )
        return b"".join(pieces)

    def read_cached(self, block: int, *, start: int, length: int) -> Buffer | None:
        """Return verified bytes that need no wait, as many of them as lie in one shard; None where `read` has to look."""
        scheme = self._extent.scheme
        if scheme.k == 1:
            shard = block % scheme.width
        else:
            size = shard_bytes(scheme, self._block_bytes(block))
            shard, start = divmod(start, size)
            length = min(length, size - start)
        drive_id = located(self._homes, self._extent, block)[shard]
        drive = None if drive_id is None else self._drives.get(drive_id)
        if drive is None or (block, shard) in self._damaged:
            return None
        shard_id = ShardId(self._extent.data_id, self._extent.part, block, shard)
        return drive.read_cached(shard_id, start=start, length=length)

    def _block_bytes(self, block: int) -> int:
        extent = self._extent
        return min(extent.block_size, extent.size - block * extent.block_size)

    async def _read_copy(self, block: int, start: int, length: int) -> Buffer:
        width = self._extent.scheme.width
        errors: list[ObjstoreError] = []
        for number in range(width):
            # Blocks take turns, so that a large download is served by all its drives.
            shard = (block + number) % width
            try:
                return await self._read_shard(
                    block, shard, start, length, is_last=number == width - 1
                )
            except (Corrupt, DriveUnavailable) as error:
                errors.append(error)
        raise _verdict(errors, usable=0, needed=1)

    async def _read_coded(self, block: int, shard: int, start: int, length: int) -> Buffer:
        try:
            return await self._read_shard(block, shard, start, length, is_last=False)
        except (Corrupt, DriveUnavailable) as error:
            payloads = await self._read_others(block, shard, start, length, error)
        work = partial(rebuild, self._extent.scheme, payloads, [shard])
        if length < CODING_THREAD_BYTES_MIN:
            return work()[shard]
        return (await anyio.to_thread.run_sync(work))[shard]

    async def _read_others(
        self, block: int, lost: int, start: int, length: int, cause: ObjstoreError
    ) -> dict[int, Buffer]:
        """Read the same range of k other shards."""
        scheme = self._extent.scheme
        rest = [shard for shard in range(scheme.width) if shard != lost]
        payloads: dict[int, Buffer] = {}
        errors = [cause]
        while len(payloads) < scheme.k and rest:
            wanted = scheme.k - len(payloads)
            batch, rest = rest[:wanted], rest[wanted:]
            results = await gather(
                partial(self._try_shard, block, shard, start, length) for shard in batch
            )
            for shard, result in zip(batch, results, strict=True):
                if isinstance(result, ObjstoreError):
                    errors.append(result)
                else:
                    payloads[shard] = result
        if len(payloads) < scheme.k:
            raise _verdict(errors, usable=len(payloads), needed=scheme.k)
        return payloads

    async def _try_shard(
        self, block: int, shard: int, start: int, length: int
    ) -> Buffer | ObjstoreError:
        try:
            return await self._read_shard(block, shard, start, length, is_last=False)
        except (Corrupt, DriveUnavailable) as error:
            return error

    async def _read_shard(
        self, block: int, shard: int, start: int, length: int, *, is_last: bool
    ) -> Buffer:
        known = self._damaged.get((block, shard))
        if known is not None:
            raise known
        drive_id = located(self._homes, self._extent, block)[shard]
        drive = None if drive_id is None else self._drives.get(drive_id)
        if drive is None:
            raise _absent(drive_id, shard)
        shard_id = ShardId(self._extent.data_id, self._extent.part, block, shard)
        data = drive.read_cached(shard_id, start=start, length=length)
        if data is not None:
            return data
        try:
            async with asyncio.timeout(_READ_DEADLINE_S if is_last else _READ_SLOW_S):
                return await drive.read(shard_id, start=start, length=length)
        except TimeoutError as error:
            raise DriveUnavailable("drive did not answer in time", drive=str(drive_id)) from error
        except Corrupt as error:
            self._damaged[block, shard] = error
            self._on_damage(self._extent, block, shard, error)
            raise


def _absent(drive_id: DriveId | None, shard: int) -> ObjstoreError:
    if drive_id is None:
        return UnreadableData("shard was never stored", shard=shard)
    return DriveUnavailable("drive cannot be reached", drive=drive_id)


def _verdict(errors: list[ObjstoreError], *, usable: int, needed: int) -> ObjstoreError:
    """Say whether the bytes are gone or only out of reach."""
    away = [error for error in errors if isinstance(error, DriveUnavailable)]
    if usable + len(away) >= needed:
        return away[0]
    return UnreadableData(
        "too few intact shards are left",
        shards=usable,
        shards_needed=needed,
        reason=str(errors[0]),
    )
