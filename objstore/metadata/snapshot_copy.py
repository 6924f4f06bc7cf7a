"""Copying the state of partitions from one file of this process into others, beside everything else.

The read transaction begins on the leader's writer thread, between two of its own, so that it sees exactly the index that
the log names; reading, sending and comparing then run on a thread of their own. A few copies run at a time; the others
wait, and begin with the state of that moment. A copy whose digest differs at the target is thrown away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Final

import apsw

from objstore.consensus import ReplicaId, Snapshot
from objstore.metadata.catalog_file import open_catalog_reader
from objstore.metadata.replica_events import Event, SnapshotRead, Stage
from objstore.metadata.replica_transport import LocalTransport, Receiver
from objstore.metadata.snapshot import (
    CopyId,
    Slice,
    SliceDigest,
    digest_of,
    read_slices,
    staged,
    verify,
)
from objstore.model.errors import Corrupt, DriveUnavailable, InvariantError, ObjstoreError
from objstore.model.names import PartitionId

__all__ = ["SnapshotCopies"]

COPIES_MAX: Final = 2
STAGE_S: Final = 30.0
"""How long a target may take for one slice."""

_NUMBERS: Final = count()
"""One row for all stores of the process: a store that returned must not be taken for the one before it."""

_Post = Callable[[Event], None]


class _SourceError(Exception):
    """The rows cannot be copied from this file."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class SnapshotCopies:
    """The copies that one store makes. `start` and `ended` are called on its writer thread."""

    def __init__(self, path: Path, replica: ReplicaId, transport: LocalTransport) -> None:
        self._path = path
        self._replica = replica
        self._transport = transport
        self._threads = ThreadPoolExecutor(COPIES_MAX, thread_name_prefix="snapshot")
        self._waiting: deque[tuple[PartitionId, ReplicaId]] = deque()
        self._running: set[tuple[PartitionId, ReplicaId]] = set()
        self.copied_rows = 0
        """Rows sent so far (for metrics)."""

    def close(self) -> None:
        """Begin no more copies."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def start(
        self, partition: PartitionId, target: ReplicaId, point: Snapshot, post: _Post
    ) -> None:
        """Copy the state as it is now, or put the copy into the queue; one that is under way goes on."""
        if (partition, target) in self._running:
            return
        if len(self._running) >= COPIES_MAX:
            if (partition, target) not in self._waiting:
                self._waiting.append((partition, target))
            return
        connection = open_catalog_reader(self._path)
        connection.execute("BEGIN")
        # The first read fixes what the transaction sees.
        connection.execute("SELECT 1 FROM partitions WHERE partition=?", (partition,)).fetchall()
        self._running.add((partition, target))
        self._threads.submit(self._copy, connection, partition, target, point, post)

    def ended(
        self,
        partition: PartitionId,
        target: ReplicaId,
        point_of: Callable[[PartitionId], Snapshot | None],
        post: _Post,
    ) -> None:
        """A copy has ended: begin one that waits."""
        self._running.discard((partition, target))
        while self._waiting and len(self._running) < COPIES_MAX:
            partition, target = self._waiting.popleft()
            point = point_of(partition)
            if point is not None:
                self.start(partition, target, point, post)

    def _copy(
        self,
        connection: apsw.Connection,
        partition: PartitionId,
        target: ReplicaId,
        point: Snapshot,
        post: _Post,
    ) -> None:
        done: Snapshot | None = point
        damage = None
        try:
            self._send(connection, partition, target)
        except _SourceError as error:
            done, damage = None, error.cause
        except (ObjstoreError, apsw.Error):
            done = None
        finally:
            connection.close()
        post(SnapshotRead(partition, target, done, damage))

    def _send(self, connection: apsw.Connection, partition: PartitionId, target: ReplicaId) -> None:
        store = self._transport.store(target)
        if store is None:
            raise DriveUnavailable("the target of a snapshot is out of service", drive=target)
        digest = SliceDigest()
        copy_id = (self._replica, next(_NUMBERS))
        self._stage(store, partition, copy_id, None)
        for piece in _read(connection, partition):
            digest.add(piece)
            self._stage(store, partition, copy_id, piece)
            self.copied_rows += len(piece.rows)
        copy = open_catalog_reader(store.path)
        try:
            if digest_of(copy, staged(partition)) != digest.value():
                raise InvariantError("a snapshot arrived changed", partition=partition)
        finally:
            copy.close()

    def _stage(
        self, store: Receiver, partition: PartitionId, copy: CopyId, piece: Slice | None
    ) -> None:
        """Have a slice written, and wait: one slice is under way, so that memory stays bounded."""
        settled: Future[bool] = Future()
        store.post(Stage(partition, copy, piece, settled.set_result))
        try:
            is_kept = settled.result(STAGE_S)
        except TimeoutError:
            raise DriveUnavailable("the target of a snapshot does not answer") from None
        if not is_kept:
            raise DriveUnavailable("another copy has displaced this one")


def _read(connection: apsw.Connection, partition: PartitionId) -> Iterator[Slice]:
    """Yield the rows of a partition, each of them whole: a damaged one must not become two."""
    try:
        for piece in read_slices(connection, partition):
            verify(piece)
            yield piece
    except (Corrupt, apsw.Error) as error:
        raise _SourceError(error) from error
