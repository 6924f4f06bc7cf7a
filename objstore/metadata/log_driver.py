"""The writer of one catalogue file: a queue, a thread, a transaction for all that waits.

    submit (event loop) -> queue -> writer thread: take all that waits, apply, COMMIT -> event loop: answer all

Promises
    * A command that comes alone, and after one that was alone, is committed at once; commands that come during a commit
      share the next one, and its one fsync. Answers go back to the event loop in one call for the whole batch.
    * Nobody is answered before COMMIT has returned.
    * The queue is bounded in number and bytes; beyond that `SlowDown` (trap T17).
    * When SQLite reports an error of the drive, the outcome is unknown: everybody who waits, and everybody who comes
      later, gets `DriveUnavailable`, `on_fatal` is called once, and the file is not touched again. Only a restart, with
      WAL recovery, decides. A full drive is different: `StorageFull` for what needs room, while deletes are tried again
      alone, and the store goes on.
    * The WAL is bounded: this thread checkpoints between batches, and truncates the WAL when it falls idle.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from time import sleep
from typing import Final, NamedTuple

import apsw

from objstore.metadata.catalog_file import open_catalog_writer
from objstore.metadata.commands import (
    AbortUpload,
    CloseShard,
    Command,
    CommandResult,
    DeleteKey,
    DeleteVersion,
    DropShard,
    ForgetGarbage,
    weight_of,
)
from objstore.metadata.stats import CatalogStats
from objstore.metadata.transaction import Answer, Transactor
from objstore.metadata.wal_keeper import WalKeeper
from objstore.model.errors import DriveUnavailable, ObjstoreError, SlowDown, StorageFull
from objstore.model.limits import MIB
from objstore.model.names import PartitionId

__all__ = ["CatalogWriter"]

BATCH_COMMANDS_MAX: Final = 512
BATCH_BYTES_MAX: Final = 8 * MIB
QUEUE_COMMANDS_MAX: Final = 8_192
QUEUE_BYTES_MAX: Final = 64 * MIB
IDLE_S: Final = 0.5
GATHER_S: Final = 0.000_15
"""How long a batch that begins smaller than the last one was waits for more: clients that were answered together come back
together, and one commit for all of them is cheaper for each, and so quicker, than several."""
_FREEING: Final = (DeleteKey, DeleteVersion, AbortUpload, ForgetGarbage, CloseShard, DropShard)
"""Commands that make room, and so must get through where a drive is full."""


class _Waiting(NamedTuple):
    partition: PartitionId
    command: Command
    future: asyncio.Future[CommandResult]
    weight_bytes: int


class CatalogWriter:
    """Owns the only writing connection of a catalogue file. Use from one event loop."""

    def __init__(
        self, path: Path, *, on_fatal: Callable[[Exception], None], vfs: str | None = None
    ) -> None:
        self.stats = CatalogStats()
        self._path = path
        self._on_fatal = on_fatal
        self._connection = open_catalog_writer(path, vfs=vfs)
        self._transactor = Transactor(self._connection, self.stats)
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._queued_bytes = 0
        self._last_count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: Exception | None = None
        self._is_closing = False
        self._wal = WalKeeper(self._connection, self.stats)
        self._thread = threading.Thread(
            target=self._run, name=f"catalog-writer {path.parent.name}", daemon=True
        )

    def start(self) -> None:
        """Begin to write; answers go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """Commit what waits, truncate the WAL and close the file."""
        self._is_closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def submit(self, partition: PartitionId, command: Command) -> asyncio.Future[CommandResult]:
        """Queue a command; the future has its result, or the error that refuses it, once that is durable."""
        if self._failure is not None or self._is_closing or self._loop is None:
            raise DriveUnavailable("the catalogue is out of service", drive=str(self._path.parent))
        weight = weight_of(command)
        stats = self.stats
        if stats.queue_depth >= QUEUE_COMMANDS_MAX or self._queued_bytes + weight > QUEUE_BYTES_MAX:
            stats.slow_downs += 1
            raise SlowDown
        future: asyncio.Future[CommandResult] = self._loop.create_future()
        stats.queue_depth += 1
        self._queued_bytes += weight
        self._queue.put(_Waiting(partition, command, future, weight))
        return future

    # --- writer thread

    def _run(self) -> None:
        while self._failure is None:
            batch = self._take()
            if batch is None:
                self._finish()
                return
            self._send(batch, self._answer(batch))
            if self._failure is None:
                self._tend_wal(self._wal.checkpoint_if_due)

    def _finish(self) -> None:
        if self._failure is None:
            self._tend_wal(self._wal.truncate)
            self._connection.close()

    def _take(self) -> list[_Waiting] | None:
        """Return all that waits, within the bounds; None at the end."""
        first = self._wait()
        if first is None:
            return None
        if self._queue.qsize() + 1 < self._last_count:
            sleep(GATHER_S)
        batch = [first]
        weight = first.weight_bytes
        get = self._queue.get_nowait
        while len(batch) < BATCH_COMMANDS_MAX and weight < BATCH_BYTES_MAX:
            try:
                waiting = get()
            except Empty:
                break
            if waiting is None:
                self._queue.put(None)
                break
            batch.append(waiting)
            weight += waiting.weight_bytes
        self._last_count = len(batch)
        return batch

    def _wait(self) -> _Waiting | None:
        if not self._wal.is_empty:
            try:
                return self._queue.get(timeout=IDLE_S)
            except Empty:
                self._tend_wal(self._wal.truncate)
        return self._queue.get()

    def _answer(self, batch: Sequence[_Waiting]) -> Sequence[Answer]:
        try:
            return self._transactor.run([(item.partition, item.command) for item in batch])
        except apsw.FullError:
            return self._after_full(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be answered "no"
            return self._fail(batch, error)

    def _after_full(self, batch: Sequence[_Waiting]) -> Sequence[Answer]:
        """Nothing of the batch is in the file. Try again with what makes room; the rest has to come back."""
        try:
            self._transactor.abandon()
            freed = self._free([item for item in batch if isinstance(item.command, _FREEING)])
        except apsw.Error as error:
            return self._fail(batch, error)
        full = StorageFull("the catalogue's drive is full")
        return [freed.get(item.command.op_id, full) for item in batch]

    def _free(self, batch: Sequence[_Waiting]) -> dict[bytes, Answer]:
        """Carry out deletes with the room that truncating the WAL gives back; none of them if even that is too little."""
        if not batch:
            return {}
        self._wal.truncate()
        try:
            answers = self._transactor.run([(item.partition, item.command) for item in batch])
        except apsw.FullError:
            self._transactor.abandon()
            return {}
        return {item.command.op_id: answer for item, answer in zip(batch, answers, strict=True)}

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> Sequence[Answer]:
        self._failure = error
        drive = str(self._path.parent)
        return [DriveUnavailable("the outcome is unknown", drive=drive) for _ in batch]

    def _send(self, batch: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, batch, answers)

    def _tend_wal(self, work: Callable[[], None]) -> None:
        """Checkpoint; a drive that fails meanwhile is out of service as after a failed commit."""
        try:
            work()
        except apsw.Error as error:
            self._failure = error
            self._send([], [])

    # --- event loop

    def _deliver(self, batch: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
        self.stats.queue_depth -= len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            self._queued_bytes -= waiting.weight_bytes
            future = waiting.future
            if future.done():
                continue
            if isinstance(answer, ObjstoreError):
                self.stats.refused += 1
                future.set_exception(answer)
            else:
                future.set_result(answer)
        if self._failure is not None:
            self._give_up(self._failure)

    def _give_up(self, failure: Exception) -> None:
        """Answer everybody who still waits, once, and tell the owner."""
        on_fatal, self._on_fatal = self._on_fatal, _ignore
        while True:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
            if waiting is not None and not waiting.future.done():
                waiting.future.set_exception(
                    DriveUnavailable("the outcome is unknown", drive=str(self._path.parent))
                )
        on_fatal(failure)


def _ignore(_failure: Exception) -> None:
    """Stand in for `on_fatal` after its one call."""
