"""`Catalog` over replicas: every call goes to the leader of its partition, and waits instead of failing.

A call that meets a partition without a leader, or a leader that fails under it, is made again, with the same op-id,
until it is answered or its deadline is over: a client sees latency. Only then it is told `Unavailable`: unknown. A command
that waits in a store is given up by the keeper; reads wait for nothing. A look-up that finds a file damaged is made again
like the others, at the replica that leads next, as long as there may be one that is whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from objstore.metadata.catalog import (
    ListPage,
    UploadsPage,
    VersionsPage,
    VersionState,
)
from objstore.metadata.commands import Command, CommandResult, Garbage
from objstore.metadata.partitioning import partition_of, partitions_of
from objstore.metadata.read_lane import FileFault, ReadLane
from objstore.metadata.reader import CatalogReader, ExtentPosition
from objstore.metadata.records import RepairItem, RepairPosition
from objstore.metadata.reference_walk import ReferencePosition
from objstore.metadata.replica_keeper import PATIENCE_S
from objstore.metadata.sql_catalog import SqlCatalog, Store, Stores
from objstore.model.errors import (
    Corrupt,
    CorruptRecord,
    DriveUnavailable,
    NotLeader,
    SlowDown,
    StorageFull,
    Unavailable,
)
from objstore.model.names import ObjectKey, PartitionId, UploadId, VersionId
from objstore.model.objects import BucketRecord, Extent, Part, Upload, Usage, Versioning

__all__ = ["Replicas", "ReplicatedCatalog", "WalkPosition"]

T = TypeVar("T")
WalkPosition: TypeAlias = tuple[Store, ExtentPosition]

_START: Final[Mapping[PartitionId, Any]] = MappingProxyType({})

RETRY_S: Final = 0.02
"""Shortest time between two tries of one call."""


class Replicas(Stores, Protocol):
    """Who serves which partition: the keeper, or in another process somebody who follows it."""

    def is_serving(self, partition: PartitionId) -> bool:
        """Tell whether `at` would answer."""
        ...

    def refusal(self, partition: PartitionId) -> StorageFull | None:
        """Return why nothing can be written in a partition before there is room again; None if that is not so."""
        ...

    async def wait_for_change(self, timeout_s: float) -> None:
        """Return when it is worth looking again."""
        ...

    def hangs(self, store: Store) -> None:
        """Take note that a read of this store hangs: it must not be read until it `goes_on`."""
        ...

    def goes_on(self, store: Store) -> None:
        """Take note that a read came back that hung."""
        ...

    async def suspect(
        self, store: object, partitions: Sequence[PartitionId], error: Exception
    ) -> bool:
        """Take note that a look-up in one of these partitions found a store damaged, or not to be read.

        The answer tells whether it is worth asking again: another replica may be whole.
        """
        ...


class _Seen:
    """Tells the lane which store a look-up is about to read."""

    def __init__(self, replicas: Replicas, lane: ReadLane[Store]) -> None:
        self._replicas = replicas
        self._lane = lane
        self.scanned: tuple[PartitionId, ...] = ()
        """What the last scan looked at."""

    def at(self, partition: PartitionId) -> Store:
        """See `Stores`."""
        store = self._replicas.at(partition)
        self._lane.looks_at(store)
        return store

    def scans(self) -> Iterable[tuple[CatalogReader, PartitionId]]:
        """See `Stores`."""
        for _, partition in list(self._replicas.scans()):
            with suppress(DriveUnavailable):
                self.scanned = (partition,)
                yield self.at(partition).reader, partition


class ReplicatedCatalog:
    """Satisfies `Catalog`."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._inner = SqlCatalog(replicas)
        self._lane: ReadLane[Store] = ReadLane(replicas.hangs, replicas.goes_on)
        self._seen = _Seen(replicas, self._lane)
        self._reads = SqlCatalog(self._seen)
        self.patience_s = PATIENCE_S

    def close(self) -> None:
        """End the thread of the look-ups."""
        self._lane.close()

    async def submit(self, bucket: BucketRecord, key: ObjectKey, command: Command) -> CommandResult:
        """See `Catalog`."""
        return await self._of_key(bucket, key, lambda: self._inner.submit(bucket, key, command))

    async def submit_all(self, bucket: BucketRecord, make: type[Command], **fields: Any) -> None:
        """See `Catalog`."""
        return await self._of_bucket(bucket, lambda: self._inner.submit_all(bucket, make, **fields))

    async def submit_to(self, partition: PartitionId, command: Command) -> CommandResult:
        """See `Catalog`."""
        return await self._change((partition,), lambda: self._inner.submit_to(partition, command))

    async def find(
        self, bucket: BucketRecord, key: ObjectKey, version_id: VersionId | None = None
    ) -> VersionState:
        """See `Catalog`."""
        return await self._look_up(bucket, key, lambda: self._reads.find(bucket, key, version_id))

    async def list_current(
        self, bucket: BucketRecord, *, prefix: bytes, delimiter: bytes, after: bytes, limit: int
    ) -> ListPage:
        """See `Catalog`."""
        return await self._look_through(
            bucket,
            lambda: self._reads.list_current(
                bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
            ),
        )

    async def list_versions(
        self,
        bucket: BucketRecord,
        *,
        prefix: bytes,
        delimiter: bytes,
        after: tuple[bytes, VersionId | None],
        limit: int,
    ) -> VersionsPage:
        """See `Catalog`."""
        return await self._look_through(
            bucket,
            lambda: self._reads.list_versions(
                bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
            ),
        )

    async def list_uploads(
        self,
        bucket: BucketRecord,
        *,
        prefix: bytes,
        delimiter: bytes,
        after: tuple[bytes, UploadId | None],
        limit: int,
    ) -> UploadsPage:
        """See `Catalog`."""
        return await self._look_through(
            bucket,
            lambda: self._reads.list_uploads(
                bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
            ),
        )

    async def find_upload(
        self, bucket: BucketRecord, key: ObjectKey, upload_id: UploadId
    ) -> Upload:
        """See `Catalog`."""
        return await self._look_up(
            bucket, key, lambda: self._reads.find_upload(bucket, key, upload_id)
        )

    async def list_parts(
        self, bucket: BucketRecord, key: ObjectKey, upload_id: UploadId, *, after: int, limit: int
    ) -> Sequence[Part]:
        """See `Catalog`."""
        return await self._look_up(
            bucket,
            key,
            lambda: self._reads.list_parts(bucket, key, upload_id, after=after, limit=limit),
        )

    async def find_parts(
        self, bucket: BucketRecord, key: ObjectKey, upload_id: UploadId, numbers: Sequence[int]
    ) -> Sequence[Part]:
        """See `Catalog`."""
        return await self._look_up(
            bucket, key, lambda: self._reads.find_parts(bucket, key, upload_id, numbers)
        )

    async def versioning(self, bucket: BucketRecord) -> Versioning:
        """See `Catalog`."""
        return await self._look_through(bucket, lambda: self._reads.versioning(bucket))

    async def usage(self, bucket: BucketRecord) -> Usage:
        """See `Catalog`."""
        return await self._look_through(bucket, lambda: self._reads.usage(bucket))

    async def garbage(
        self, *, before_ms: int, limit: int, after: Mapping[PartitionId, int] = _START
    ) -> Sequence[tuple[PartitionId, Garbage]]:
        """See `Catalog`; of the partitions that are served at the moment."""
        return await self._read(
            (), lambda: self._reads.garbage(before_ms=before_ms, limit=limit, after=after)
        )

    async def repairs(
        self, *, limit: int, after: Mapping[PartitionId, RepairPosition] = _START
    ) -> Sequence[tuple[PartitionId, RepairItem]]:
        """See `Catalog`; of the partitions that are served at the moment."""
        return await self._read((), lambda: self._reads.repairs(limit=limit, after=after))

    async def extents(
        self, partition: PartitionId, after: WalkPosition | None, *, limit: int
    ) -> tuple[Sequence[Extent], WalkPosition | None]:
        """Return extents of a partition, and where to go on; begins anew where another file is read from now on."""

        async def read() -> tuple[Sequence[Extent], WalkPosition | None]:
            store = self._seen.at(partition)
            start = after[1] if after and after[0] is store else ExtentPosition()
            found, position = store.reader.extents(partition, start, limit)
            return found, None if position is None else (store, position)

        return await self._read((partition,), read)

    async def references(
        self, partition: PartitionId, after: ReferencePosition | None, *, limit: int
    ) -> tuple[Sequence[Extent], ReferencePosition | None]:
        """See `Catalog`. The walk goes on in whichever file is read from now on."""
        return await self._read(
            (partition,), lambda: self._reads.references(partition, after, limit=limit)
        )

    async def _look_up(
        self, bucket: BucketRecord, key: ObjectKey, call: Callable[[], Awaitable[T]]
    ) -> T:
        return await self._read((partition_of(bucket.bucket_id, bucket.spread, key),), call)

    async def _look_through(self, bucket: BucketRecord, call: Callable[[], Awaitable[T]]) -> T:
        return await self._read(partitions_of(bucket.bucket_id, bucket.spread), call)

    async def _read(self, partitions: Sequence[PartitionId], call: Callable[[], Awaitable[T]]) -> T:
        return await self._patiently(partitions, lambda: self._lane.run(call))

    async def _of_key(
        self, bucket: BucketRecord, key: ObjectKey, call: Callable[[], Awaitable[T]]
    ) -> T:
        return await self._change((partition_of(bucket.bucket_id, bucket.spread, key),), call)

    async def _of_bucket(self, bucket: BucketRecord, call: Callable[[], Awaitable[T]]) -> T:
        return await self._change(partitions_of(bucket.bucket_id, bucket.spread), call)

    async def _change(
        self, partitions: Sequence[PartitionId], call: Callable[[], Awaitable[T]]
    ) -> T:
        return await self._patiently(partitions, call, is_change=True)

    async def _patiently(
        self,
        partitions: Sequence[PartitionId],
        call: Callable[[], Awaitable[T]],
        *,
        is_change: bool = False,
    ) -> T:
        """Make a call when all its partitions are served, again and again until it is answered, or refused for lack of room."""
        until = monotonic() + self.patience_s
        failure: Exception | None = None
        has_waited = False
        while True:
            try:
                # Between this look and the first step of the call nothing else runs.
                if all(map(self._replicas.is_serving, partitions)):
                    if not has_waited:
                        # A timer for every call would cost as much as a look-up.
                        return await call()
                    async with asyncio.timeout(until - monotonic()):
                        return await call()
            except (SlowDown, StorageFull) as error:
                raise _turned_away(error, after=failure) from failure
            except (DriveUnavailable, NotLeader, TimeoutError) as error:
                failure = error
            except FileFault as fault:
                failure = await self._doubted(fault, partitions)
            if is_change:
                self._check_room(partitions, failure)
            has_waited = True
            left_s = until - monotonic()
            if left_s <= 0:
                raise _given_up(failure)
            if all(map(self._replicas.is_serving, partitions)):
                await asyncio.sleep(RETRY_S)
            else:
                await self._replicas.wait_for_change(min(left_s, 1.0))

    def _check_room(self, partitions: Sequence[PartitionId], failure: Exception | None) -> None:
        for partition in partitions:
            refusal = self._replicas.refusal(partition)
            if refusal is not None:
                raise _turned_away(refusal, after=failure) from failure

    async def _doubted(self, fault: FileFault, partitions: Sequence[PartitionId]) -> Exception:
        """Return what a look-up met, if another replica may be better; else raise it."""
        doubted = partitions or self._seen.scanned
        if not await self._replicas.suspect(fault.file, doubted, fault.cause):
            raise _damage(fault.cause) from fault.cause
        return fault.cause


def _turned_away(error: Unavailable, *, after: Exception | None) -> Unavailable:
    """This try was turned away; one before it may be committed yet, and then its bytes must stay (trap T7)."""
    return error if after is None else DriveUnavailable("the outcome is unknown")


def _damage(cause: Exception) -> Exception:
    return (
        cause if isinstance(cause, Corrupt) else CorruptRecord(f"the catalogue is damaged: {cause}")
    )


def _given_up(failure: Exception | None) -> Exception:
    if isinstance(failure, Unavailable):
        return failure
    unavailable = DriveUnavailable("too few replicas of the catalogue can be reached")
    unavailable.__cause__ = failure
    return unavailable
