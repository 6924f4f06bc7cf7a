"""Work in the background: each job does one unit and then waits for more; one runner serves all.

The garbage collector turns rows of the GC queue into deleted shards. The order is the safe one: shards first, row after, so
that a crash repeats a delete instead of forgetting a shard. Deleted shards rest in the trash of the drives, from which running
downloads still read, and are removed for good after the retention. The repairer rebuilds what is missing or damaged from what
is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final, Protocol

import anyio
import structlog

from objstore.metadata.catalog import Catalog
from objstore.metadata.commands import ForgetGarbage, MoveShards
from objstore.metadata.records import RepairItem, RepairPosition
from objstore.model.errors import DriveUnavailable, ObjstoreError
from objstore.model.instant import MS_PER_SECOND, Clock, Instant
from objstore.model.names import BucketId, DataId, PartitionId
from objstore.model.objects import Extent, Misplaced
from objstore.service.ports import DataStore, Ids
from objstore.storage import Drive

__all__ = [
    "GarbageCollector",
    "MoveGuard",
    "RepairableStore",
    "Repairer",
    "TrashPurger",
    "Worker",
    "WorkerState",
    "run_worker",
]

NO_BUCKET: Final = BucketId(bytes(16))
"""Commands that concern a partition and no bucket carry this."""

_BATCH: Final = 256
_REPAIR_BATCH: Final = 64
_DAMAGED_MAX: Final = 10_000
_MOVED_MAX: Final = 100_000
_IDLE_S: Final = 5.0
_AWAY_S: Final = 60.0
_BACKOFF_S_MAX: Final = 60.0
_PURGE_EVERY_S: Final = 300.0

_log = structlog.get_logger("objstore.worker")


class RepairableStore(Protocol):
    """The part of the data store that repairs."""

    async def repair(self, extent: Extent, block: int) -> tuple[Misplaced, ...]:
        """Rebuild a block's missing shards; return what must be recorded as misplaced for it."""
        ...


class WorkerState(Enum):
    """What a unit of work left behind."""

    BUSY = "more to do at once"
    IDLE = "nothing to do"


class MoveGuard:
    """Keeps the sweep away from copies of shards whose record is about to change.

    A repair puts a shard somewhere and then records the place. In between, and as long as nobody knows whether the record
    was changed, the record says which copy is *not* wanted any more.
    """

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._moved: set[tuple[DataId, int]] = set()
        self._is_overfull = False

    async def mark(self) -> None:
        """Begin to note moves, when none is under way."""
        async with self._lock:
            self._moved.clear()
            self._is_overfull = False

    @asynccontextmanager
    async def moving(self, extent: Extent) -> AsyncIterator[None]:
        """Hold the sweep off while shards of an extent are placed and their places recorded."""
        async with self._lock:
            self._is_overfull = self._is_overfull or len(self._moved) >= _MOVED_MAX
            if not self._is_overfull:
                self._moved.add((extent.data_id, extent.part))
            yield

    @asynccontextmanager
    async def unmoved(self, extent: Extent) -> AsyncIterator[bool]:
        """Hold moves off; says whether none of this extent has begun since the mark."""
        async with self._lock:
            yield not self._is_overfull and (extent.data_id, extent.part) not in self._moved


class Worker(Protocol):
    """A background job."""

    @property
    def name(self) -> str:
        """Name for logs and metrics."""
        ...

    async def work(self) -> WorkerState:
        """Do one bounded unit; may raise, and is then tried again later."""
        ...

    async def wait_for_work(self) -> None:
        """Return when there may be something to do."""
        ...


async def run_worker(worker: Worker) -> None:
    """Run a job until cancelled; a failing one backs off, up to a minute."""
    failures = 0
    while True:
        try:
            state = await worker.work()
        except ObjstoreError as error:
            failures += 1
            delay_s = min(_BACKOFF_S_MAX, 2.0**failures)
            _log.warning("worker_failed", worker=worker.name, cause=str(error), retry_s=delay_s)
            await anyio.sleep(delay_s)
            continue
        failures = 0
        if state is WorkerState.IDLE:
            await worker.wait_for_work()


class GarbageCollector:
    """Deletes the shards of extents that nothing refers to any more."""

    name = "garbage-collector"

    def __init__(self, catalog: Catalog, data: DataStore, ids: Ids, clock: Clock) -> None:
        self._catalog = catalog
        self._data = data
        self._ids = ids
        self._clock = clock
        self._after: dict[PartitionId, int] = {}
        self._kept_count = 0

    async def work(self) -> WorkerState:
        """Delete one batch, from where the last one ended; at the end of the queue begin again.

        What a drive that cannot be reached still holds stays in the queue and must not keep the rest from going.
        """
        now = self._clock.now()
        if not self._after:
            self._kept_count = 0
        entries = await self._catalog.garbage(before_ms=now, limit=_BATCH, after=self._after)
        done: dict[PartitionId, list[int]] = {}
        for partition, entry in entries:
            self._after[partition] = max(entry.sequence, self._after.get(partition, -1))
            if await self._data.remove(entry.extent):
                self._kept_count += 1
            else:
                done.setdefault(partition, []).append(entry.sequence)
        for partition, sequences in done.items():
            command = ForgetGarbage(
                op_id=self._ids.op(), at=now, bucket_id=NO_BUCKET, sequences=tuple(sequences)
            )
            await self._catalog.submit_to(partition, command)
        if len(entries) == _BATCH:
            return WorkerState.BUSY
        self._after.clear()
        return WorkerState.IDLE

    async def wait_for_work(self) -> None:
        """Look again after a while; later where drives are away, because the whole queue is tried again."""
        await anyio.sleep(_AWAY_S if self._kept_count else _IDLE_S)


class TrashPurger:
    """Gives the space of deleted shards back after the retention."""

    name = "trash-purger"

    def __init__(self, drives: Collection[Drive], clock: Clock, *, retention_s: float) -> None:
        self._drives = drives
        self._clock = clock
        self._retention_s = retention_s

    async def work(self) -> WorkerState:
        """Purge every drive once; a drive that is offline keeps its trash."""
        before = Instant(self._clock.now() - int(self._retention_s * MS_PER_SECOND))
        for drive in tuple(self._drives):
            try:
                await drive.purge_trash(before)
            except DriveUnavailable:
                continue
        return WorkerState.IDLE

    async def wait_for_work(self) -> None:
        """Look again after a part of the retention, five minutes at most."""
        await anyio.sleep(max(1.0, min(_PURGE_EVERY_S, self._retention_s / 2)))


class Repairer:
    """Brings blocks back to full strength: those that were written short, and those that readers found damaged."""

    name = "repairer"

    def __init__(self, catalog: Catalog, ids: Ids, clock: Clock) -> None:
        self._catalog = catalog
        self._ids = ids
        self._clock = clock
        self.guard = MoveGuard()
        self._data: RepairableStore | None = None
        self._damaged: dict[tuple[DataId, int, int], Extent] = {}
        self._after: dict[PartitionId, RepairPosition] = {}
        self._wake = anyio.Event()

    def serve(self, data: RepairableStore) -> None:
        """Take the store to repair; it is built after its reporter."""
        self._data = data

    def report_damage(self, extent: Extent, block: int, shard: int, error: ObjstoreError) -> None:
        """Note a damaged shard; bounded, because every further read of it reports it again."""
        if isinstance(error, DriveUnavailable) or len(self._damaged) >= _DAMAGED_MAX:
            return
        _log.warning(
            "shard_damaged",
            data_id=extent.data_id.hex(),
            block=block,
            shard=shard,
            cause=str(error),
        )
        self._damaged[extent.data_id, extent.part, block] = extent
        self._wake.set()

    async def work(self) -> WorkerState:
        """Repair what readers reported, then one batch of the queue, from where the last one ended.

        An extent that has to wait for a drive must not keep the others waiting.
        """
        data = self._data
        if data is None:
            return WorkerState.IDLE
        while self._damaged:
            (_, _, block), extent = self._damaged.popitem()
            await data.repair(extent, block)
        entries = await self._catalog.repairs(limit=_REPAIR_BATCH, after=self._after)
        for partition, item in entries:
            self._after[partition] = item.position
            async with self.guard.moving(item.extent):
                await self._repair(data, partition, item)
        if len(entries) == _REPAIR_BATCH:
            return WorkerState.BUSY
        self._after.clear()
        return WorkerState.IDLE

    async def wait_for_work(self) -> None:
        """Return when damage is reported, or after a while."""
        with anyio.move_on_after(_IDLE_S):
            await self._wake.wait()
        self._wake = anyio.Event()

    async def _repair(
        self, data: RepairableStore, partition: PartitionId, item: RepairItem
    ) -> None:
        """Repair one extent, as far as that can be done yet, and record where its shards are now."""
        extent = item.extent
        misplaced: list[Misplaced] = []
        for block in sorted({entry.block for entry in extent.misplaced}):
            try:
                misplaced += await data.repair(extent, block)
            except ObjstoreError as error:
                _log.warning(
                    "repair_waits", data_id=extent.data_id.hex(), block=block, cause=str(error)
                )
                misplaced += [entry for entry in extent.misplaced if entry.block == block]
        if tuple(misplaced) == extent.misplaced:
            return
        command = MoveShards(
            op_id=self._ids.op(),
            at=self._clock.now(),
            bucket_id=item.bucket_id,
            key=item.key,
            version_id=item.version_id,
            upload_id=item.upload_id,
            data_id=extent.data_id,
            part=extent.part,
            misplaced=tuple(misplaced),
        )
        await self._catalog.submit_to(partition, command)
