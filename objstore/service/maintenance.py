"""Work in the background: each job does one unit and then waits for more; one runner serves all.

The garbage collector turns rows of the GC queue into deleted shards. The order is the safe one: shards first, row after, so that a
crash repeats a delete instead of forgetting a shard. Deleted shards rest in the drives' trash, from which running downloads still
read, and are removed for good after the retention.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

import anyio
import structlog

from objstore.metadata.catalog import Catalog
from objstore.model.errors import ObjstoreError
from objstore.model.instant import MS_PER_SECOND, Clock, Instant
from objstore.service.ports import DataStore

__all__ = ["GarbageCollector", "Worker", "WorkerState", "run_worker"]

_BATCH: Final = 256
_IDLE_S: Final = 5.0
_BACKOFF_S_MAX: Final = 60.0
_PURGE_EVERY_S: Final = 300.0

_log = structlog.get_logger("objstore.worker")


class WorkerState(Enum):
    """What a unit of work left behind."""

    BUSY = "more to do at once"
    IDLE = "nothing to do"


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

    def __init__(
        self, catalog: Catalog, data: DataStore, clock: Clock, *, retention_s: float
    ) -> None:
        self._catalog = catalog
        self._data = data
        self._clock = clock
        self._retention_ms = int(retention_s * MS_PER_SECOND)
        self._purged_s = clock.monotonic_s()

    async def work(self) -> WorkerState:
        """Delete one batch; purge the trash now and then."""
        now = self._clock.now()
        entries = await self._catalog.garbage(before_ms=now, limit=_BATCH)
        by_partition: dict[int, list[int]] = {}
        for partition, entry in entries:
            await self._data.delete(entry.extent)
            by_partition.setdefault(partition, []).append(entry.sequence)
        for partition, sequences in by_partition.items():
            await self._catalog.forget_garbage(partition, sequences, now)
        await self._purge(now)
        return WorkerState.BUSY if len(entries) == _BATCH else WorkerState.IDLE

    async def wait_for_work(self) -> None:
        """Look again after a while."""
        await anyio.sleep(_IDLE_S)

    async def _purge(self, now: Instant) -> None:
        if self._clock.monotonic_s() - self._purged_s < min(
            _PURGE_EVERY_S, self._retention_ms / MS_PER_SECOND
        ):
            return
        self._purged_s = self._clock.monotonic_s()
        await self._data.purge_trash(Instant(now - self._retention_ms))
