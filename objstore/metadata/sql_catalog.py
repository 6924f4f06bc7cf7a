"""`Catalog` on SQLite files: which partition, which file, merge of pages. See `objstore.metadata.catalog`.

Point reads and pages run on the event loop: they take tens of microseconds to a millisecond, less than a thread hop
costs. A page that needs many scans lets others run between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from heapq import merge
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Protocol, Self

import xxhash

from objstore.metadata.catalog import ListPage, UploadsPage, VersionsPage, VersionState
from objstore.metadata.commands import Command, CommandResult, Garbage
from objstore.metadata.listing import Page, Position, Row, Steps, start_after, walk
from objstore.metadata.log_driver import CatalogWriter
from objstore.metadata.partitioning import partition_of, partitions_of
from objstore.metadata.reader import CatalogReader, ShardView
from objstore.metadata.records import UPLOAD_CODEC, RepairItem, RepairPosition
from objstore.metadata.reference_walk import ReferencePosition
from objstore.metadata.stats import CatalogStats
from objstore.model.errors import (
    BucketNotEmpty,
    InvalidPart,
    NoSuchBucket,
    NoSuchUpload,
    ObjstoreError,
)
from objstore.model.instant import Instant
from objstore.model.names import DataId, ObjectKey, OpId, PartitionId, UploadId, VersionId
from objstore.model.objects import BucketRecord, Extent, Part, Upload, Usage, Versioning

__all__ = ["CatalogStore", "SqlCatalog", "Store", "Stores", "Writer"]

_START: Final[Mapping[PartitionId, Any]] = MappingProxyType({})
_FIRST_REPAIR: Final[RepairPosition] = (Instant(-1), DataId(b""), -1)
"""Before every entry of the repair queue."""
SCANS_PER_TURN: Final = 8
"""Scans that a page may make before it lets the event loop go on."""

_Scan = Callable[[CatalogReader, int, Position, bytes, int], Sequence[Row]]


class Writer(Protocol):
    """Who commits to a file: `CatalogWriter`, or somebody who asks the process that has it."""

    def submit(self, partition: PartitionId, command: Command) -> Awaitable[CommandResult]:
        """Queue a command; the awaitable has its result once that is durable."""
        ...


class Store(Protocol):
    """One catalogue file as this process reaches it."""

    @property
    def writer(self) -> Writer:
        """Who commits."""
        ...

    @property
    def reader(self) -> CatalogReader:
        """The reader of this event loop."""
        ...


class Stores(Protocol):
    """Which file holds which partition, for whoever reads and writes it now."""

    def at(self, partition: PartitionId) -> Store:
        """Return the store of a partition; raise `Unavailable` where there is none at the moment."""
        ...

    def scans(self) -> Iterable[tuple[CatalogReader, PartitionId]]:
        """Return the partitions that have state, each with who reads it."""
        ...


class _ByModulo:
    """A fixed number of files, each with its share of the partitions."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = tuple(stores)

    def at(self, partition: PartitionId) -> Store:
        """See `Stores`."""
        return self._stores[partition % len(self._stores)]

    def scans(self) -> Iterable[tuple[CatalogReader, PartitionId]]:
        """See `Stores`."""
        for store in self._stores:
            for partition in store.reader.partitions():
                yield store.reader, partition


class CatalogStore:
    """One catalogue file: its writer, and the reader of this event loop."""

    def __init__(self, path: Path, *, on_fatal: Callable[[Exception], None]) -> None:
        self.writer = CatalogWriter(path, on_fatal=on_fatal)
        self.reader = CatalogReader(path)

    @property
    def stats(self) -> CatalogStats:
        """What the writer measures."""
        return self.writer.stats

    async def __aenter__(self) -> Self:
        self.writer.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.reader.close()
        await self.writer.close()


class _ShardsCursor:
    """The rows of all shards of a bucket in one order (a cursor of `objstore.metadata.listing`)."""

    def __init__(self, scan: _Scan, shards: Sequence[tuple[CatalogReader, int]]) -> None:
        self._scan = scan
        self._shards = shards

    def scan(self, start: Position, upper: bytes, limit: int) -> Sequence[Row]:
        """Return the first rows over all shards; a key is in one shard only."""
        if len(self._shards) == 1:
            reader, shard = self._shards[0]
            return self._scan(reader, shard, start, upper, limit)
        pages = [self._scan(reader, shard, start, upper, limit) for reader, shard in self._shards]
        rows: list[Row] = []
        for row in merge(*pages, key=_key):
            rows.append(row)
            if len(rows) == limit:
                break
        return rows


class SqlCatalog:
    """The catalogue over the files that this process reaches."""

    def __init__(self, stores: Sequence[Store] | Stores) -> None:
        self._stores = _ByModulo(stores) if isinstance(stores, Sequence) else stores

    async def submit(self, bucket: BucketRecord, key: ObjectKey, command: Command) -> CommandResult:
        """See `Catalog`."""
        partition = partition_of(bucket.bucket_id, bucket.spread, key)
        store = self._stores.at(partition)
        try:
            return await store.writer.submit(partition, command)
        except NoSuchBucket as error:
            raise _no_bucket(bucket) from error

    async def submit_all(self, bucket: BucketRecord, make: type[Command], **fields: Any) -> None:
        """See `Catalog`. Fields are those of the command but `bucket_id`; the op-ids of the shards follow from `op_id`."""
        op_id: bytes = fields.pop("op_id")
        pending = []
        for partition in partitions_of(bucket.bucket_id, bucket.spread):
            shard_op = OpId(xxhash.xxh3_128_digest(op_id + partition.to_bytes(2, "big")))
            command = make(op_id=shard_op, bucket_id=bucket.bucket_id, **fields)
            store = self._stores.at(partition)
            pending.append(store.writer.submit(partition, command))
        errors = [
            outcome
            for outcome in await asyncio.gather(*pending, return_exceptions=True)
            if isinstance(outcome, BaseException)
        ]
        for error in errors:
            raise _named(error, bucket)

    async def submit_to(self, partition: PartitionId, command: Command) -> CommandResult:
        """Propose a command of the background work (`ForgetGarbage`, `RaiseFence`) to one partition."""
        return await self._stores.at(partition).writer.submit(partition, command)

    async def find(
        self, bucket: BucketRecord, key: ObjectKey, version_id: VersionId | None = None
    ) -> VersionState:
        """See `Catalog`."""
        partition = partition_of(bucket.bucket_id, bucket.spread, key)
        reader = self._stores.at(partition).reader
        try:
            return VersionState(*reader.find(bucket.bucket_id, partition, key, version_id))
        except NoSuchBucket as error:
            raise _no_bucket(bucket) from error

    async def list_current(
        self, bucket: BucketRecord, *, prefix: bytes, delimiter: bytes, after: bytes, limit: int
    ) -> ListPage:
        """See `Catalog`."""
        cursor = self._cursor(bucket, CatalogReader.scan_current)
        start = start_after(after, prefix=prefix, delimiter=delimiter)
        page = await _page(walk(cursor, start, prefix=prefix, delimiter=delimiter, limit=limit))
        next_after = None
        if page.is_truncated and page.last is not None:
            next_after = page.last if isinstance(page.last, bytes) else page.last[0]
        return ListPage(page.rows, page.common_prefixes, next_after)

    async def list_versions(
        self,
        bucket: BucketRecord,
        *,
        prefix: bytes,
        delimiter: bytes,
        after: tuple[bytes, VersionId | None],
        limit: int,
    ) -> VersionsPage:
        """See `Catalog`. A marker whose version is gone goes on at the newest version of its key: nothing is missed."""
        cursor = self._cursor(bucket, CatalogReader.scan_versions)
        start = self._start_of_versions(bucket, prefix, delimiter, after)
        page = await _page(walk(cursor, start, prefix=prefix, delimiter=delimiter, limit=limit))
        next_marker = None
        if page.is_truncated and page.last is not None:
            last = page.last
            next_marker = (last, None) if isinstance(last, bytes) else (last[0], last[8])
        inside = start.key if start.sub is not None else None
        return VersionsPage(_version_rows(page.rows, inside), page.common_prefixes, next_marker)

    def _start_of_versions(
        self,
        bucket: BucketRecord,
        prefix: bytes,
        delimiter: bytes,
        after: tuple[bytes, VersionId | None],
    ) -> Position:
        key, version_id = after
        if version_id is None or not key:
            return start_after(key, prefix=prefix, delimiter=delimiter)
        partition = partition_of(bucket.bucket_id, bucket.spread, ObjectKey(key))
        reader = self._stores.at(partition).reader
        shard = self._shard(bucket, partition)
        sequence = reader.sequence_of(shard, key, version_id)
        if sequence is None:
            sequence = SEQUENCE_END
        return start_after(key, prefix=prefix, delimiter=delimiter, sub=sequence)

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
        cursor = self._cursor(bucket, CatalogReader.scan_uploads)
        key, upload_id = after
        start = start_after(key, prefix=prefix, delimiter=delimiter, sub=upload_id or None)
        page = await _page(walk(cursor, start, prefix=prefix, delimiter=delimiter, limit=limit))
        last = page.last
        marker = None
        if last is not None:
            marker = (last, None) if isinstance(last, bytes) else (last[0], UploadId(last[2]))
        uploads = [UPLOAD_CODEC.decode(row[1]) for row in page.rows]
        return UploadsPage(uploads, page.common_prefixes, page.is_truncated, marker)

    async def find_upload(
        self, bucket: BucketRecord, key: ObjectKey, upload_id: UploadId
    ) -> Upload:
        """See `Catalog`."""
        reader, shard = self._place(bucket, key)
        upload = reader.upload(shard, key, upload_id)
        if upload is None:
            raise NoSuchUpload(upload_id=upload_id)
        return upload

    async def list_parts(
        self, bucket: BucketRecord, key: ObjectKey, upload_id: UploadId, *, after: int, limit: int
    ) -> Sequence[Part]:
        """See `Catalog`. Inline bytes stay out; `find_parts` has them."""
        reader, shard = self._place(bucket, key)
        return reader.parts(shard, upload_id, after, limit)

    async def find_parts(
        self, bucket: BucketRecord, key: ObjectKey, upload_id: UploadId, numbers: Sequence[int]
    ) -> Sequence[Part]:
        """See `Catalog`; raise `InvalidPart` for one that is not there."""
        reader, shard = self._place(bucket, key)
        parts = []
        for number in numbers:
            part = reader.part(shard, upload_id, number)
            if part is None:
                raise InvalidPart(upload_id=upload_id, part_number=number)
            parts.append(part)
        return parts

    async def versioning(self, bucket: BucketRecord) -> Versioning:
        """See `Catalog`."""
        partition = partitions_of(bucket.bucket_id, bucket.spread)[0]
        return self._view(bucket, partition).versioning

    async def usage(self, bucket: BucketRecord) -> Usage:
        """See `Catalog`."""
        return _sum(
            self._view(bucket, partition).usage
            for partition in partitions_of(bucket.bucket_id, bucket.spread)
        )

    async def garbage(
        self, *, before_ms: int, limit: int, after: Mapping[PartitionId, int] = _START
    ) -> Sequence[tuple[PartitionId, Garbage]]:
        """See `Catalog`."""
        found: list[tuple[PartitionId, Garbage]] = []
        for reader, partition in self._stores.scans():
            position = after.get(partition, -1)
            entries = reader.garbage(
                partition, before=Instant(before_ms), after=position, limit=limit
            )
            found += [(partition, entry) for entry in entries]
        found.sort(key=lambda item: (item[1].since, item[0], item[1].sequence))
        return found[:limit]

    async def repairs(
        self, *, limit: int, after: Mapping[PartitionId, RepairPosition] = _START
    ) -> Sequence[tuple[PartitionId, RepairItem]]:
        """Return (partition, entry) of the repair queue, oldest first."""
        found: list[tuple[PartitionId, RepairItem]] = []
        for reader, partition in self._stores.scans():
            position = after.get(partition, _FIRST_REPAIR)
            entries = reader.repairs(partition, after=position, limit=limit)
            found += [(partition, entry) for entry in entries]
        found.sort(key=lambda item: (item[1].since, item[0], item[1].extent.data_id))
        return found[:limit]

    async def references(
        self, partition: PartitionId, after: ReferencePosition | None, *, limit: int
    ) -> tuple[Sequence[Extent], ReferencePosition | None]:
        """See `Catalog`."""
        return self._stores.at(partition).reader.references(partition, after, limit)

    def _view(self, bucket: BucketRecord, partition: PartitionId) -> ShardView:
        try:
            reader = self._stores.at(partition).reader
            return reader.shard(bucket.bucket_id, partition)
        except NoSuchBucket as error:
            raise _no_bucket(bucket) from error

    def _shard(self, bucket: BucketRecord, partition: PartitionId) -> int:
        return self._view(bucket, partition).number

    def _place(self, bucket: BucketRecord, key: ObjectKey) -> tuple[CatalogReader, int]:
        partition = partition_of(bucket.bucket_id, bucket.spread, key)
        reader = self._stores.at(partition).reader
        return reader, self._shard(bucket, partition)

    def _cursor(self, bucket: BucketRecord, scan: _Scan) -> _ShardsCursor:
        shards = [
            (self._stores.at(partition).reader, self._shard(bucket, partition))
            for partition in partitions_of(bucket.bucket_id, bucket.spread)
        ]
        return _ShardsCursor(scan, shards)


SEQUENCE_END: Final = 2**62
"""Larger than every sequence."""


async def _page(steps: Steps) -> Page:
    """Run a walk; let the event loop go on between scans."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            page: Page = done.value
            return page
        count += 1
        if count % SCANS_PER_TURN == 0:
            await asyncio.sleep(0)


def _version_rows(rows: Sequence[Row], inside: bytes | None) -> list[Any]:
    """Shape rows as `VersionRow`; the first row of a key is the latest, unless the page began inside that key."""
    shaped = []
    previous = inside
    for row in rows:
        key = row[0]
        shaped.append((*row[:9], key != previous, bool(row[9])))
        previous = key
    return shaped


def _sum(usages: Iterable[Usage]) -> Usage:
    totals = [0] * 6
    for usage in usages:
        for index, value in enumerate(
            (
                usage.objects,
                usage.versions,
                usage.delete_markers,
                usage.size_bytes,
                usage.uploads,
                usage.part_bytes,
            )
        ):
            totals[index] += value
    return Usage(*totals)


def _no_bucket(bucket: BucketRecord) -> ObjstoreError:
    return NoSuchBucket(bucket_name=bucket.name)


def _named(error: BaseException, bucket: BucketRecord) -> BaseException:
    """Add the bucket's name, which a shard does not know."""
    if isinstance(error, NoSuchBucket | BucketNotEmpty):
        return type(error)(bucket_name=bucket.name)
    return error


def _key(row: Row) -> bytes:
    key: bytes = row[0]
    return key
