"""Fills a drive that came back empty: walks all extents and brings each block that should be there to full strength.

What is to be rebuilt is an item of the control store, so that a restart goes on with it (from the beginning: what is
there already is only verified). Half of the time is left to others. A walk that missed a block is made again, each time after
a longer pause; a block of which too little is left anywhere is not missed, but lost: nothing would bring it back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final, Protocol

import anyio
import structlog

from objstore.cluster.control_store import ControlStore
from objstore.metadata.partitioning import PARTITIONS_COUNT
from objstore.metadata.replicated_catalog import WalkPosition
from objstore.model.errors import DriveUnavailable, ObjstoreError, UnreadableData
from objstore.model.names import DriveId, PartitionId
from objstore.model.objects import Extent
from objstore.replication.homes import Homes, located
from objstore.service.maintenance import RepairableStore, WorkerState

__all__ = ["ExtentWalk", "Rebuilder", "mark_for_rebuild"]

_PREFIX: Final = "rebuild/"
_BATCH: Final = 256
_IDLE_S: Final = 1.0
_IDLE_S_MAX: Final = 60.0
_log = structlog.get_logger("objstore.rebuild")


class ExtentWalk(Protocol):
    """The part of the catalogue that lists extents."""

    async def extents(
        self, partition: PartitionId, after: WalkPosition | None, *, limit: int
    ) -> tuple[Sequence[Extent], WalkPosition | None]:
        """Return extents in an order of their own, and where to go on; None at the end."""
        ...


async def mark_for_rebuild(control: ControlStore, slot: DriveId) -> None:
    """Ask for the rebuild of everything that a slot should hold."""
    await control.put(_PREFIX + slot, b"")


class Rebuilder:
    """A background job (`objstore.service.maintenance`)."""

    name = "rebuilder"

    def __init__(
        self,
        control: ControlStore,
        catalog: ExtentWalk,
        data: RepairableStore,
        homes: Homes,
        *,
        pause: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._control = control
        self._catalog = catalog
        self._data = data
        self._homes = homes
        self._pause = pause
        self.blocks_done = 0
        """Blocks brought to full strength or found so, since the start."""
        self.partitions_left = 0
        self._idle_s = _IDLE_S

    async def work(self) -> WorkerState:
        """Rebuild one slot."""
        for item in await self._control.list(_PREFIX):
            slot = DriveId(item.key.removeprefix(_PREFIX))
            _log.info("rebuild_started", slot=slot)
            missed = 0
            for number in range(PARTITIONS_COUNT):
                self.partitions_left = PARTITIONS_COUNT - number
                missed += await self._rebuild(PartitionId(number), slot)
            self.partitions_left = 0
            _log.info("rebuild_ended", slot=slot, blocks=self.blocks_done, missed=missed)
            if missed:
                self._idle_s = min(_IDLE_S_MAX, self._idle_s * 2)
                return WorkerState.IDLE
            await self._control.delete(item.key, expected_revision=item.revision)
        self._idle_s = _IDLE_S
        return WorkerState.IDLE

    async def wait_for_work(self) -> None:
        """Look again after a while."""
        await self._pause(self._idle_s)

    async def _rebuild(self, partition: PartitionId, slot: DriveId) -> int:
        """Walk one partition; return how many blocks could not be rebuilt."""
        position: WalkPosition | None = None
        missed = 0
        while True:
            extents, position = await self._catalog.extents(partition, position, limit=_BATCH)
            for extent in extents:
                missed += await self._rebuild_extent(extent, slot)
            if position is None:
                return missed

    async def _rebuild_extent(self, extent: Extent, slot: DriveId) -> int:
        missed = 0
        for block in range(extent.blocks_count):
            places = located(self._homes, extent, block)
            if slot not in places:
                continue
            started = monotonic()
            try:
                left = await self._data.repair(extent, block)
                if any(places[item.shard] == slot for item in left):
                    raise DriveUnavailable("the shard found no place there", drive=slot)
            except UnreadableData as error:
                _log.error("rebuild_lost", data_id=extent.data_id.hex(), cause=str(error))
            except ObjstoreError as error:
                missed += 1
                _log.warning("rebuild_waits", data_id=extent.data_id.hex(), cause=str(error))
            self.blocks_done += 1
            await self._pause(monotonic() - started)
        return missed
