"""The data store: extents of bytes over drives.

    write     body -> blocks -> shards -> drives; block n+1 is read while block n is written, so that two blocks of an
              upload are in memory at most
    read      verified pieces: of 1 MiB where the page cache has them, else of 2 MiB, the next one under way while one is sent
    discard   all shards of an extent, through the trash
    repair    see `objstore.replication.repair`

The store keeps no records: an `Extent` says all, and the catalogue keeps it. A write that fails or
is cancelled leaves nothing that an extent names; what drives could not remove at once is found by
the sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Protocol, Self

import anyio
import anyio.to_thread
import msgspec
import xxhash

from objstore.model.errors import Unavailable, check
from objstore.model.limits import MIB
from objstore.model.names import DataId, DriveId
from objstore.model.objects import Extent, Misplaced, Scheme
from objstore.replication.background import Background, Pending
from objstore.replication.block_reader import CODING_THREAD_BYTES_MIN, BlockReader
from objstore.replication.block_writer import BlockWriter, WriteTimes
from objstore.replication.coding import encode
from objstore.replication.gather import gather
from objstore.replication.homes import (
    DamageReport,
    Drives,
    Homes,
    block_id,
    located,
    shard_ids,
    spares_for,
)
from objstore.replication.repair import BlockRepair
from objstore.storage import AlignedBuffers, Buffer, NewShard, ShardHeader, ShardId

__all__ = ["BLOCK_BYTES", "READ_PIECE_BYTES", "BodyReader", "DataStore"]

BLOCK_BYTES: Final = 8 * MIB
"""Measured with `benchmarks/data_path_bench.py`: see the DESIGN of this package."""
READ_PIECE_BYTES: Final = 2 * MIB
"""Larger pieces read faster (1 MiB 2.2, 2 MiB 2.9, 4 MiB 3.5 GB/s), but a download holds two of
them in memory.
"""
FIRST_PIECE_BYTES: Final = 1 * MIB
"""The first one is smaller, because the client waits for it; so are those that the page cache has, because everybody waits
for them: the event loop reads, verifies and sends one in half a millisecond."""
_BUFFERS_KEPT_BYTES_MAX: Final = 32 * MIB
"""Memory for blocks that is kept for the next upload: two of them with two blocks each, or many small ones."""
_CLEAN_UP_S: Final = 5.0
"""How long a failed write waits for its shards to be removed before it leaves that to the
background.
"""


class BodyReader(Protocol):
    """Where the bytes of a write come from."""

    @property
    def size(self) -> int | None:
        """Number of bytes that will come, if it is known."""
        ...

    async def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer and return how many bytes came, fewer than fit only at the end of the body."""
        ...


class DataStore:
    """Keeps extents; an async context manager that owns what goes on in the background."""

    def __init__(
        self,
        drives: Drives,
        homes: Homes,
        *,
        scheme: Scheme,
        on_damage: DamageReport,
        block_bytes: int = BLOCK_BYTES,
        times: WriteTimes | None = None,
    ) -> None:
        self._drives = drives
        self._homes = homes
        self._scheme = scheme
        self._on_damage = on_damage
        self._block_bytes = block_bytes
        self._buffers = AlignedBuffers(kept_bytes_max=_BUFFERS_KEPT_BYTES_MAX)
        self._background = Background()
        self._writer = BlockWriter(drives, self._background, times or WriteTimes())

    async def __aenter__(self) -> Self:
        await self._background.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._background.__aexit__(kind, error, trace)

    async def write(
        self, data_id: DataId, part: int, source: BodyReader, *, scheme: Scheme | None = None
    ) -> Extent:
        """Store a body durably and return where it is.

        Raises what the source raises, `StorageFull`, `DriveUnavailable` or `QuorumNotReached`;
        then, and when it is cancelled, the shards already written are removed.
        """
        blank = Extent(
            data_id, part, 0, self._block_bytes, scheme or self._scheme, self._homes.version
        )
        upload = _Upload(blank)
        try:
            await self._write_blocks(upload, source)
        except BaseException:
            await self._abandon(upload)
            raise
        return upload.extent()

    async def read(self, extent: Extent, start: int, length: int) -> AsyncGenerator[Buffer, None]:
        """Yield `length` verified bytes from `start`, in pieces.

        Raises `UnreadableData` or `DriveUnavailable`; before the first piece, or between two of
        them.
        """
        check(start >= 0 and start + length <= extent.size, "range exceeds the extent")
        reader = BlockReader(
            extent, drives=self._drives, homes=self._homes, on_damage=self._on_damage
        )
        stop = start + length
        # What is known of the next piece, at most one of the two.
        at_hand: Buffer | None = None
        ahead: Pending[Buffer] | None = None
        is_cold = False
        try:
            while start < stop:
                if at_hand is None and ahead is None:
                    at_hand = _at_hand(reader, extent, start, stop)
                if at_hand is not None:
                    piece, at_hand, is_cold = at_hand, None, False
                    start += len(piece)
                    yield piece
                    # Nothing in here waited, and a fast client does not make the sender wait: others have their turn.
                    await asyncio.sleep(0)
                    continue
                block = start // extent.block_size
                if ahead is None:
                    size = READ_PIECE_BYTES if is_cold else FIRST_PIECE_BYTES
                    ahead = self._begin_read(reader, extent, start, stop, size)
                piece, ahead = await ahead.result(), None
                start += len(piece)
                if start < stop:
                    # A file is open once it was read from: what it has not at hand then has to come from the drive.
                    is_cold = is_cold or block == start // extent.block_size
                    at_hand = _at_hand(reader, extent, start, stop)
                    if at_hand is None and is_cold:
                        ahead = self._begin_read(reader, extent, start, stop, READ_PIECE_BYTES)
                yield piece
        finally:
            if ahead is not None:
                ahead.cancel()

    def _begin_read(
        self, reader: BlockReader, extent: Extent, start: int, stop: int, piece_bytes: int
    ) -> Pending[Buffer]:
        block, offset, size = _piece(extent, start, stop, piece_bytes)
        return self._background.start(partial(reader.read, block, start=offset, length=size))

    async def read_at_once(self, extent: Extent, start: int, length: int) -> Buffer | None:
        """Return a short range that lies in one block, verified; None for others, which `read` yields.

        Errors as `read`. Saves small objects the machinery of a stream.
        """
        check(start >= 0 and start + length <= extent.size, "range exceeds the extent")
        block, offset = divmod(start, extent.block_size)
        if not 0 < length <= min(FIRST_PIECE_BYTES, extent.block_size - offset):
            return None
        reader = BlockReader(
            extent, drives=self._drives, homes=self._homes, on_damage=self._on_damage
        )
        cached = reader.read_cached(block, start=offset, length=length)
        if cached is not None and len(cached) == length:
            return cached
        return await reader.read(block, start=offset, length=length)

    async def discard(self, extent: Extent) -> None:
        """Move the shards of an extent to the trash, as far as their drives can be reached."""
        await self.remove(extent)

    async def remove(self, extent: Extent, *, at_once: bool = False) -> tuple[DriveId, ...]:
        """Move the shards to the trash.

        Return the drives that could not be reached and still hold theirs.
        """
        by_drive = _shards_by_drive(self._homes, extent)
        failed = await gather(
            partial(self._remove_from, drive, ids, at_once=at_once)
            for drive, ids in by_drive.items()
        )
        return tuple(drive for drive in failed if drive is not None)

    async def repair(
        self, extent: Extent, block: int, *, lost_drives: Sequence[DriveId] = ()
    ) -> tuple[Misplaced, ...]:
        """Bring a block back to full strength; return what the extent must now record as misplaced
        for it.

        Shards on drives that are only away are left alone, unless those drives are named as lost.
        Raises `UnreadableData` or `DriveUnavailable` when too few shards are left or in reach;
        nothing is deleted then.
        """
        repair = BlockRepair(
            extent, block, drives=self._drives, homes=self._homes, lost_drives=tuple(lost_drives)
        )
        return await repair.run()

    async def _write_blocks(self, upload: _Upload, source: BodyReader) -> None:
        """Write block after block, reading one ahead.

        Blocks are written in the background, because a cancelled upload must know when its last
        write has ended before it removes what it wrote.
        """
        announced = source.size
        is_last = announced == 0
        while not is_last:
            left = self._block_bytes if announced is None else announced - upload.size
            buffer = self._buffers.take(min(left, self._block_bytes))
            size = await source.read_into(buffer)
            is_last = size < len(buffer) or size + upload.size == announced
            await upload.settle()
            if size:
                data = buffer[:size]
                work = partial(self._write_block, upload.blank, upload.add(size), data)
                upload.pending = self._background.start(work)
        await upload.settle()

    async def _write_block(self, extent: Extent, block: int, data: Buffer) -> tuple[Misplaced, ...]:
        make = partial(_make_shards, extent, block, data)
        if extent.scheme.k > 1 and len(data) >= CODING_THREAD_BYTES_MIN:
            shards = await anyio.to_thread.run_sync(make)
        else:
            shards = make()
        name = block_id(extent.data_id, extent.part, block)
        homes = self._homes.homes(name, extent.ring_version)
        spares = spares_for(self._drives, homes[: extent.scheme.width], name)
        return await self._writer.write(shards, homes[: extent.scheme.width], spares)

    async def _abandon(self, upload: _Upload) -> None:
        """Remove what a failed write stored. Waits a little, then leaves it to the background."""
        clean_up = self._background.start(partial(self._remove_upload, upload))
        with anyio.move_on_after(_CLEAN_UP_S, shield=True):
            await clean_up.settled()

    async def _remove_upload(self, upload: _Upload) -> None:
        if upload.pending is not None:
            await upload.pending.settled()
        await self.remove(upload.extent(), at_once=True)

    async def _remove_from(
        self, drive_id: DriveId, ids: list[ShardId], *, at_once: bool
    ) -> DriveId | None:
        drive = self._drives.get(drive_id)
        if drive is None:
            return drive_id
        try:
            await drive.delete(ids, at_once=at_once)
        except Unavailable:
            return drive_id
        return None


class _Upload:
    """A write in progress: what is stored so far."""

    def __init__(self, blank: Extent) -> None:
        self.blank = blank
        self.size = 0
        self.blocks_count = 0
        self.misplaced: list[Misplaced] = []
        self.pending: Pending[tuple[Misplaced, ...]] | None = None

    def add(self, size: int) -> int:
        """Count a block in and return its index."""
        self.size += size
        self.blocks_count += 1
        return self.blocks_count - 1

    async def settle(self) -> None:
        """Wait for the block that is being written; raises its error."""
        if self.pending is not None:
            self.misplaced.extend(await self.pending.result())
            self.pending = None

    def extent(self) -> Extent:
        """Return the extent of all blocks so far."""
        return msgspec.structs.replace(self.blank, size=self.size, misplaced=tuple(self.misplaced))


def _make_shards(extent: Extent, block: int, data: Buffer) -> list[NewShard]:
    scheme = extent.scheme
    payloads = encode(scheme, data)
    checksum = xxhash.xxh3_64_digest(data) if scheme.k > 1 else bytes(8)
    return [
        NewShard(ShardHeader(shard_id, scheme, len(data), len(payload), checksum), payload)
        for shard_id, payload in zip(shard_ids(extent, block), payloads, strict=True)
    ]


def _piece(extent: Extent, start: int, stop: int, piece_bytes: int) -> tuple[int, int, int]:
    """Return the next piece of a range as (block, start in the block, length); it ends at a multiple of the piece size."""
    block, offset = divmod(start, extent.block_size)
    room = min(extent.block_size - offset, piece_bytes - offset % piece_bytes)
    return block, offset, min(room, stop - start)


def _at_hand(reader: BlockReader, extent: Extent, start: int, stop: int) -> Buffer | None:
    """Return the next piece of a range where it needs no wait."""
    block, offset, size = _piece(extent, start, stop, FIRST_PIECE_BYTES)
    return reader.read_cached(block, start=offset, length=size)


def _shards_by_drive(homes: Homes, extent: Extent) -> dict[DriveId, list[ShardId]]:
    by_drive: dict[DriveId, list[ShardId]] = {}
    for block in range(extent.blocks_count):
        places = located(homes, extent, block)
        for drive, shard_id in zip(places, shard_ids(extent, block), strict=True):
            if drive is not None:
                by_drive.setdefault(drive, []).append(shard_id)
    return by_drive
