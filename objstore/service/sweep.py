"""The sweep: finds shards on drives that nothing refers to, and moves them to the trash (reliability rule T9).

Such shards are left by crashes, by uploads whose outcome was unknown, by drives that answer too late, and on spares by
shards that came home. The order is what makes it safe:

    1. fence       every metadata partition refuses, durably and from now on, to commit data whose id has a stamp < T
    2. references  everything that refers to data with a stamp < T; behind the fence nothing can be added to it
    3. drives      shards with a stamp < T that step 2 did not see go to the trash
    4. copies      a shard on a drive where the catalogue does not know it goes to the trash, if the right one is intact

A partition that does not answer, and a row that cannot be read, end the sweep before step 3. A drive that does not answer
is left for the next time. Nothing is remembered between two sweeps, so a crash costs no more than the work done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import structlog

from objstore.metadata.catalog import Catalog
from objstore.metadata.commands import RaiseFence
from objstore.metadata.partitioning import PARTITIONS_COUNT
from objstore.metadata.reference_walk import ReferencePosition
from objstore.model.errors import Corrupt, Unavailable
from objstore.model.instant import MS_PER_SECOND, Clock, Instant
from objstore.model.names import DataId, DriveId, PartitionId
from objstore.model.objects import Extent
from objstore.replication.homes import Drives, Homes, located
from objstore.service.maintenance import NO_BUCKET, MoveGuard, WorkerState
from objstore.service.ports import Ids
from objstore.service.sweep_plan import REFERENCES_MAX, References, judge_directory
from objstore.storage import Drive, ShardId
from objstore.storage.format import DIRECTORIES_COUNT, PREFIX_BYTES

__all__ = ["Places", "SweepReport", "SweepSettings", "Sweeper"]

T = TypeVar("T")

DOUBLED_MAX: Final = 10_000
"""Shards on several drives that one sweep decides about; the others wait for the next."""
_SLICE_ROWS: Final = 250
"""Rows of one read: two or three milliseconds of the event loop."""
_TRASH_BATCH: Final = 64
_FIRST_S_MAX: Final = 300.0
_PAUSE_FACTOR: Final = 2.0
"""Length of the pause after a step, in steps: two thirds of the time belong to others."""
_PAUSE_S_MAX: Final = 5.0

_log = structlog.get_logger("objstore.sweep")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """What to sweep, and when."""

    age_s: float
    """Data whose write began longer ago is swept unless something refers to it, and can no longer be committed."""
    every_s: float
    references_max: int = REFERENCES_MAX
    slice_rows: int = _SLICE_ROWS


@dataclass(frozen=True, slots=True)
class Places:
    """The drives, and where on them shards belong."""

    drives: Drives
    homes: Homes


@dataclass(slots=True)
class SweepReport:
    """What a sweep saw and did; the counts go up while it runs."""

    before: Instant
    """T: older stamps are swept."""
    passes: int = 0
    scanned: int = 0
    """Names of shard files looked at."""
    trashed_shards: int = 0
    trashed_bytes: int = 0
    left_over_copies: int = 0
    """Of the trashed shards, those whose extent is referred to and that are on another drive, too."""
    skipped_drives: set[DriveId] = field(default_factory=set)
    """Drives that did not answer."""


class Sweeper:
    """A background job (`objstore.service.maintenance`)."""

    name = "sweeper"

    def __init__(
        self,
        catalog: Catalog,
        places: Places,
        ids: Ids,
        clock: Clock,
        *,
        settings: SweepSettings,
        guard: MoveGuard,
    ) -> None:
        self._catalog = catalog
        self._places = places
        self._ids = ids
        self._clock = clock
        self._settings = settings
        self._guard = guard
        self._opened_at, self._opened_s = clock.now(), clock.monotonic_s()
        self._due_s = self._opened_s + min(_FIRST_S_MAX, settings.every_s)
        self.report = SweepReport(Instant(0))
        """Of the sweep that runs, or of the last one."""
        self.ended_at = Instant(0)
        """When the last sweep ended that came to its end; 0 before the first."""
        self.trashed_bytes = 0
        """Moved to the trash by sweeps that ended, since the start."""

    async def work(self) -> WorkerState:
        """Sweep when it is time."""
        if self._clock.monotonic_s() >= self._due_s:
            await self.sweep()
            self._due_s = self._clock.monotonic_s() + self._settings.every_s
        return WorkerState.IDLE

    async def wait_for_work(self) -> None:
        """Return when the next sweep is due."""
        await anyio.sleep(max(0.0, self._due_s - self._clock.monotonic_s()))

    async def sweep(self) -> SweepReport:
        """Sweep once; raises what kept it from being done. It may be cancelled at any point."""
        self.report = report = SweepReport(self._limit())
        _log.info("sweep_started", before_ms=report.before)
        # Before the fence: whatever is proposed to a partition before its fence is decided when that is acknowledged.
        await self._guard.mark()
        await self._raise_fences()
        doubled: dict[ShardId, tuple[DriveId, ...]] = {}
        directory = 0
        while directory < DIRECTORIES_COUNT:
            references = await self._read_references(directory)
            report.passes += 1
            for directory in range(references.first, references.stop):
                await self._paced(self._sweep_directory(directory, references, doubled))
            directory = references.stop
            _log.info("sweep_progress", directories=directory, scanned=report.scanned)
        await self._trash_left_over(doubled)
        self.ended_at = self._clock.now()
        self.trashed_bytes += report.trashed_bytes
        _log.info(
            "sweep_ended",
            scanned=report.scanned,
            trashed=report.trashed_shards,
            trashed_bytes=report.trashed_bytes,
            left_over_copies=report.left_over_copies,
            skipped_drives=sorted(report.skipped_drives),
        )
        return report

    def _limit(self) -> Instant:
        """Return T. A clock that was set forward while the process runs must not fence uploads of today."""
        run_s = self._clock.monotonic_s() - self._opened_s
        now = min(self._clock.now(), self._opened_at + int(run_s * MS_PER_SECOND))
        return Instant(max(0, now - int(self._settings.age_s * MS_PER_SECOND)))

    # --- the fence

    async def _raise_fences(self) -> None:
        """Raise the fence of every partition there can be: one without buckets keeps it for the first that it gets."""
        outcomes = await asyncio.gather(
            *(self._raise_fence(PartitionId(number)) for number in range(PARTITIONS_COUNT)),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _raise_fence(self, partition: PartitionId) -> None:
        command = RaiseFence(
            op_id=self._ids.op(),
            at=self._clock.now(),
            bucket_id=NO_BUCKET,
            stamp=self.report.before,
        )
        await self._catalog.submit_to(partition, command)

    # --- references

    async def _read_references(self, first: int) -> References:
        """Read the references for the directories from the first on, for as many as fit."""
        references = References(first, count_max=self._settings.references_max)
        async for extents in self._extents():
            references.add(extents, before=self.report.before)
        return references

    async def _extents(self) -> AsyncIterator[Sequence[Extent]]:
        for number in range(PARTITIONS_COUNT):
            position: ReferencePosition | None = None
            while True:
                extents, position = await self._paced(
                    self._catalog.references(
                        PartitionId(number), position, limit=self._settings.slice_rows
                    )
                )
                yield extents
                if position is None:
                    break

    # --- drives

    async def _sweep_directory(
        self, directory: int, references: References, doubled: dict[ShardId, tuple[DriveId, ...]]
    ) -> None:
        names: dict[DriveId, Sequence[str]] = {}
        for drive_id, drive in tuple(self._places.drives.items()):
            try:
                names[drive_id] = await drive.list_names(directory)
            except Unavailable:
                self.report.skipped_drives.add(drive_id)
        self.report.scanned += sum(map(len, names.values()))
        # A directory of a large store has tens of thousands of names: too many for the event loop.
        findings = await anyio.to_thread.run_sync(
            partial(judge_directory, names, references.of(directory), before=self.report.before)
        )
        for drive_id, shards in findings.unreferenced.items():
            await self._trash(drive_id, shards)
        for shard, holders in findings.doubled.items():
            if len(doubled) < DOUBLED_MAX:
                doubled[shard] = holders

    async def _trash(self, drive_id: DriveId, shards: Sequence[ShardId]) -> None:
        """Move shards to the trash of a drive, from which they can still be read."""
        drive = self._places.drives.get(drive_id)
        if drive is None:
            return
        report = self.report
        try:
            for start in range(0, len(shards), _TRASH_BATCH):
                batch = shards[start : start + _TRASH_BATCH]
                sizes = [await _size_of(drive, shard) for shard in batch]
                report.trashed_shards += await drive.delete(batch)
                report.trashed_bytes += sum(sizes)
        except Unavailable:
            report.skipped_drives.add(drive_id)

    # --- shards on several drives

    async def _trash_left_over(self, doubled: Mapping[ShardId, tuple[DriveId, ...]]) -> None:
        if not doubled:
            return
        wanted = {(shard.data_id, shard.part) for shard in doubled}
        found: dict[tuple[DataId, int], Extent] = {}
        async for extents in self._extents():
            for extent in extents:
                if (extent.data_id, extent.part) in wanted:
                    found[extent.data_id, extent.part] = extent
        for shard, holders in doubled.items():
            known = found.get((shard.data_id, shard.part))
            if known is not None:
                await self._paced(self._trash_copies(shard, holders, known))

    async def _trash_copies(
        self, shard: ShardId, holders: Sequence[DriveId], extent: Extent
    ) -> None:
        """Remove a shard from where it does not belong, if where it belongs it is intact."""
        async with self._guard.unmoved(extent) as is_unmoved:
            if not is_unmoved or shard.shard >= extent.scheme.width:
                return
            place = located(self._places.homes, extent, shard.block)[shard.shard]
            drive = None if place is None else self._places.drives.get(place)
            if place not in holders or drive is None:
                return
            try:
                await drive.verify(shard)
            except (Corrupt, Unavailable):
                return
            for holder in holders:
                if holder != place:
                    trashed_before = self.report.trashed_shards
                    await self._trash(holder, (shard,))
                    self.report.left_over_copies += self.report.trashed_shards - trashed_before

    async def _paced(self, step: Awaitable[T]) -> T:
        """Do a step, then leave the drives and the event loop to others for a while."""
        started_s = self._clock.monotonic_s()
        result = await step
        used_s = self._clock.monotonic_s() - started_s
        await anyio.sleep(min(_PAUSE_S_MAX, _PAUSE_FACTOR * used_s))
        return result


async def _size_of(drive: Drive, shard: ShardId) -> int:
    """Return the bytes of a shard file; 0 where it does not tell."""
    try:
        return PREFIX_BYTES + (await drive.stat(shard)).payload_bytes
    except Corrupt:
        return 0
