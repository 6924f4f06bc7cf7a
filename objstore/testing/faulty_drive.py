"""A drive that misbehaves as it is told: faults are data, so that a failing run can be printed and
repeated.

    FaultyDrive(inner, [Fault("write", nth=3, effect=Fail(DriveUnavailable("gone")))])

Operations are counted by kind from 1. A fault with `count` hits that many in a row; `count=0` means
all from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import anyio
import msgspec

from objstore.model.errors import ObjstoreError
from objstore.model.instant import Instant
from objstore.model.names import DriveId
from objstore.storage.drive import DriveUsage, TrashReport
from objstore.storage.format import Buffer, NewShard, ShardHeader, ShardId
from objstore.testing.memory_drive import MemoryDrive

__all__ = ["Effect", "Fail", "Fault", "FaultyDrive", "FlipBit", "Lose", "Stall"]


class Fail(msgspec.Struct, frozen=True):
    """The operation raises and does nothing."""

    error: ObjstoreError


class FlipBit(msgspec.Struct, frozen=True):
    """The write succeeds, but one bit of each stored file is wrong."""

    offset: int
    mask: int = 1


class Lose(msgspec.Struct, frozen=True):
    """The write says yes and keeps nothing.

    A drive that lies about its cache, after a power failure.
    """


class Stall(msgspec.Struct, frozen=True):
    """The operation waits for the event, then goes on as usual."""

    until: anyio.Event


Effect: TypeAlias = Fail | FlipBit | Lose | Stall


class Fault(msgspec.Struct, frozen=True):
    """What happens to the nth operation of a kind."""

    operation: str
    effect: Effect
    nth: int = 1
    count: int = 1

    def hits(self, number: int) -> bool:
        """Tell whether the operation of that number is hit."""
        return number >= self.nth and (self.count == 0 or number < self.nth + self.count)


class FaultyDrive:
    """A memory drive behind a list of faults."""

    def __init__(self, inner: MemoryDrive, faults: Sequence[Fault]) -> None:
        self._inner = inner
        self._faults = tuple(faults)
        self.counts: dict[str, int] = {}
        """Operations so far, by kind."""

    @property
    def drive_id(self) -> DriveId:
        """See `Drive.drive_id`."""
        return self._inner.drive_id

    async def ping(self) -> None:
        """See `Drive.ping`."""
        await self._before("ping")
        await self._inner.ping()

    async def usage(self) -> DriveUsage:
        """See `Drive.usage`."""
        await self._before("usage")
        return await self._inner.usage()

    async def write(self, shards: Sequence[NewShard]) -> None:
        """See `Drive.write`."""
        effect = await self._before("write")
        if isinstance(effect, Lose):
            return
        await self._inner.write(shards)
        if isinstance(effect, FlipBit):
            for shard in shards:
                self._inner.flip(shard.header.shard_id, effect.offset, effect.mask)

    async def read(self, shard_id: ShardId, *, start: int, length: int) -> Buffer:
        """See `Drive.read`."""
        await self._before("read")
        return await self._inner.read(shard_id, start=start, length=length)

    def read_cached(self, shard_id: ShardId, *, start: int, length: int) -> Buffer | None:  # noqa: ARG002
        """See `Drive.read_cached`; so that faults hit every read, it has nothing at hand."""
        return None

    async def stat(self, shard_id: ShardId) -> ShardHeader:
        """See `Drive.stat`."""
        await self._before("stat")
        return await self._inner.stat(shard_id)

    async def verify(self, shard_id: ShardId) -> ShardHeader:
        """See `Drive.verify`."""
        await self._before("verify")
        return await self._inner.verify(shard_id)

    async def delete(self, shard_ids: Sequence[ShardId], *, at_once: bool = False) -> int:
        """See `Drive.delete`."""
        await self._before("delete")
        return await self._inner.delete(shard_ids, at_once=at_once)

    async def purge_trash(self, deleted_before: Instant) -> TrashReport:
        """See `Drive.purge_trash`."""
        await self._before("purge_trash")
        return await self._inner.purge_trash(deleted_before)

    async def list_names(self, directory: int) -> tuple[str, ...]:
        """See `Drive.list_names`."""
        await self._before("list_names")
        return await self._inner.list_names(directory)

    async def _before(self, operation: str) -> Effect | None:
        """Count the operation; fail or stall as told; return what is to happen to a write."""
        number = self.counts[operation] = self.counts.get(operation, 0) + 1
        for fault in self._faults:
            if fault.operation != operation or not fault.hits(number):
                continue
            if isinstance(fault.effect, Fail):
                raise fault.effect.error
            if isinstance(fault.effect, Stall):
                await fault.effect.until.wait()
            return fault.effect
        return None
