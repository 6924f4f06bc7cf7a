"""`CatalogState` on SQLite: the rows of one partition, within the transaction that the writer has open.

Shards and cursors are kept in memory between transactions; they and the changed rows of the hot tables are written once
per transaction by `flush`, and `load` forgets them after a rollback. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw

from objstore.metadata import statements as sql
from objstore.metadata.apply_objects import has_lost_shards
from objstore.metadata.records import (
    COMPLETED_CODEC,
    EXTENT_CODEC,
    UPLOAD_CODEC,
    Finished,
    PartHead,
    PartRow,
    RepairItem,
    UploadRow,
    VersionRow,
)
from objstore.metadata.row_buffer import RowBuffer
from objstore.metadata.state import Shard, UsageCounters
from objstore.model.errors import check
from objstore.model.instant import Instant
from objstore.model.limits import PARTS_MAX
from objstore.model.names import BucketId, DataId, ObjectKey, PartitionId, UploadId, VersionId
from objstore.model.objects import Extent, Upload, Versioning

__all__ = ["InlineIds", "SqlState"]

FORGET_ROWS_MAX: Final = 100


class InlineIds:
    """Row ids of inline bytes, one sequence per file: new bytes always go to the right edge of their tree."""

    __slots__ = ("last",)

    def __init__(self, connection: apsw.Connection) -> None:
        self.last: int = connection.execute(sql.MAX_INLINE).get

    def next(self) -> int:
        """Return a fresh id. Ids of a transaction that was rolled back are not used again."""
        self.last += 1
        return self.last


class SqlState:
    """The rows of one partition."""

    def __init__(
        self, connection: apsw.Connection, partition: PartitionId, inline_ids: InlineIds
    ) -> None:
        self._execute = connection.execute
        self._connection = connection
        self._inline_ids = inline_ids
        self._rows = RowBuffer(connection)
        self.partition = partition
        self.change_count = 0
        self.epoch = 0
        self.applied = 0
        self.state_hash = b""
        self.fence = Instant(0)
        self._sequence = 0
        self._shards: dict[BucketId, Shard] = {}
        self._dirty: dict[BucketId, Shard] = {}
        self.load()

    def load(self) -> None:
        """Read the cursors, and forget what was changed in memory since the last commit."""
        self._shards.clear()
        self._dirty.clear()
        self._rows.forget()
        row = self._execute(sql.SELECT_PARTITION, (self.partition,)).get
        if row is None:
            row = (0, 0, 1, 0, b"")
        self.epoch, self.applied, self._sequence, fence, self.state_hash = row
        self.fence = Instant(fence)

    def flush(self) -> None:
        """Write changed rows, shards and cursors; the last step before COMMIT."""
        self._rows.write()
        for shard in self._dirty.values():
            usage = shard.usage
            self._execute(
                sql.SAVE_SHARD,
                (
                    shard.is_open,
                    shard.versioning.value,
                    usage.objects,
                    usage.versions,
                    usage.delete_markers,
                    usage.size_bytes,
                    usage.uploads,
                    usage.part_bytes,
                    shard.number,
                ),
            )
        self._dirty.clear()
        self._execute(
            sql.PUT_PARTITION,
            (
                self.partition,
                self.epoch,
                self.applied,
                self._sequence,
                self.fence,
                self.state_hash,
            ),
        )

    def next_sequence(self) -> int:
        """See `CatalogState`."""
        self.change_count += 1
        sequence = self._sequence
        self._sequence = sequence + 1
        return sequence

    def raise_fence(self, stamp: Instant) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self.fence = stamp

    # --- shards

    def shard(self, bucket_id: BucketId) -> Shard | None:
        """See `CatalogState`."""
        shard = self._shards.get(bucket_id)
        if shard is None:
            row = self._execute(sql.SELECT_SHARD, (bucket_id, self.partition)).get
            if row is None:
                return None
            number, is_open, versioning, *usage = row
            shard = Shard(
                number, bucket_id, bool(is_open), Versioning(versioning), UsageCounters(*usage)
            )
            self._shards[bucket_id] = shard
        return shard

    def add_shard(self, bucket_id: BucketId) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._execute(sql.ADD_SHARD, (bucket_id, self.partition))

    def save_shard(self, shard: Shard) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._dirty[shard.bucket_id] = shard

    def drop_shard(self, shard: Shard) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._execute(sql.DROP_FINISHED, (shard.number,))
        self._execute(sql.DROP_SHARD, (shard.number,))
        self._shards.pop(shard.bucket_id, None)
        self._dirty.pop(shard.bucket_id, None)

    # --- versions

    def current(self, shard: Shard, key: ObjectKey) -> VersionRow | None:
        """See `CatalogState`."""
        return self._rows.current(shard.number, key)

    def read_ahead(self, shard: Shard, keys: Iterable[ObjectKey]) -> None:
        """Read the current objects of many keys that commands are about to ask for."""
        self._rows.read_ahead(shard.number, keys)

    def newest_noncurrent(self, shard: Shard, key: ObjectKey) -> VersionRow | None:
        """See `CatalogState`."""
        row = self._execute(sql.SELECT_NEWEST, (shard.number, key)).get
        return None if row is None else VersionRow._make(row)

    def noncurrent(self, shard: Shard, key: ObjectKey, version_id: VersionId) -> VersionRow | None:
        """See `CatalogState`."""
        row = self._execute(sql.SELECT_NONCURRENT, (shard.number, key, version_id)).get
        return None if row is None else VersionRow._make(row)

    def put_current(self, shard: Shard, row: VersionRow) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._rows.put_current(shard.number, row)

    def put_noncurrent(self, shard: Shard, row: VersionRow) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._execute(sql.PUT_NONCURRENT, (shard.number, *row))

    def remove_current(self, shard: Shard, key: ObjectKey) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._rows.remove_current(shard.number, key)

    def remove_noncurrent(self, shard: Shard, row: VersionRow) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._execute(sql.REMOVE_NONCURRENT, (shard.number, row.key, row.sequence))

    def add_inline(self, data: bytes) -> int:
        """See `CatalogState`."""
        self.change_count += 1
        inline_id = self._inline_ids.next()
        self._rows.add_inline(inline_id, data)
        return inline_id

    def remove_inline(self, inline_id: int) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._rows.remove_inline(inline_id)

    # --- uploads and parts

    def upload(self, shard: Shard, key: ObjectKey, upload_id: UploadId) -> UploadRow | None:
        """See `CatalogState`."""
        row = self._execute(sql.SELECT_UPLOAD, (shard.number, key, upload_id)).get
        return None if row is None else UploadRow(UPLOAD_CODEC.decode(row[0]), bool(row[1]))

    def add_upload(self, shard: Shard, upload: Upload) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        record = UPLOAD_CODEC.encode(upload)
        self._execute(sql.ADD_UPLOAD, (shard.number, upload.key, upload.upload_id, record))

    def touch_uploads(self, shard: Shard, key: ObjectKey) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._execute(sql.TOUCH_UPLOADS, (shard.number, key))

    def remove_upload(self, shard: Shard, upload: Upload) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._execute(sql.REMOVE_UPLOAD, (shard.number, upload.key, upload.upload_id))

    def remove_uploads(self, shard: Shard, since: Instant) -> None:
        """See `CatalogState`."""
        rows: list[Any] = self._execute(sql.SELECT_SHARD_UPLOADS, (shard.number,)).fetchall()
        for key, upload_id in rows:
            self.remove_parts(shard, upload_id, numbers=None, since=since)
            self._execute(sql.REMOVE_UPLOAD, (shard.number, key, upload_id))

    def part(self, shard: Shard, upload_id: UploadId, number: int) -> PartRow | None:
        """See `CatalogState`."""
        row = self._execute(sql.SELECT_PART, (shard.number, upload_id, number)).get
        return None if row is None else PartRow._make(row)

    def put_part(self, shard: Shard, upload_id: UploadId, row: PartRow) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._execute(sql.PUT_PART, (shard.number, upload_id, *row))

    def part_heads(self, shard: Shard, upload_id: UploadId) -> Sequence[PartHead]:
        """See `CatalogState`."""
        rows = self._execute(sql.SELECT_PART_HEADS, (shard.number, upload_id))
        return [PartHead._make(row) for row in rows]

    def remove_parts(
        self,
        shard: Shard,
        upload_id: UploadId,
        *,
        numbers: Sequence[int] | None,
        since: Instant,
    ) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._rows.write()  # the statements below look for the parts' bytes in the file
        for first, last in (
            [(0, PARTS_MAX)] if numbers is None else zip(numbers, numbers, strict=True)
        ):
            span = (shard.number, upload_id, first, last)
            self._execute(sql.GARBAGE_OF_PARTS, (self.partition, self._sequence - 1, since, *span))
            self._sequence += self._connection.changes()
            self._execute(sql.INLINE_OF_PARTS, span)
            self._execute(sql.REMOVE_PARTS, span)
            self._execute(sql.REMOVE_REPAIR_OF_PARTS, (self.partition, upload_id, first, last))

    def finished(self, shard: Shard, upload_id: UploadId) -> Finished | None:
        """See `CatalogState`."""
        record = self._execute(sql.SELECT_FINISHED, (shard.number, upload_id)).get
        return None if record is None else COMPLETED_CODEC.decode(record)

    def add_finished(
        self, shard: Shard, upload_id: UploadId, finished: Finished, at: Instant
    ) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        record = COMPLETED_CODEC.encode(finished)
        self._execute(sql.ADD_FINISHED, (shard.number, upload_id, self.partition, at, record))

    def forget_finished(self, before: Instant) -> None:
        """See `CatalogState`."""
        self._execute(sql.FORGET_FINISHED, (self.partition, before, FORGET_ROWS_MAX))

    # --- queues

    def add_garbage(self, extent: Extent, since: Instant) -> None:
        """See `CatalogState`."""
        sequence = self.next_sequence()
        record = EXTENT_CODEC.encode(extent)
        self._execute(sql.ADD_GARBAGE, (self.partition, sequence, since, record))
        if has_lost_shards(extent):
            self.remove_repair(extent.data_id, extent.part)

    def remove_garbage(self, sequences: Sequence[int]) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        for sequence in sequences:
            self._execute(sql.REMOVE_GARBAGE, (self.partition, sequence))

    def put_repair(self, shard: Shard, item: RepairItem) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        check(item.bucket_id == shard.bucket_id, "a repair belongs to its shard")
        extent = item.extent
        self._execute(
            sql.PUT_REPAIR,
            (
                self.partition,
                extent.data_id,
                extent.part,
                item.since,
                item.bucket_id,
                item.key,
                item.version_id,
                item.upload_id,
                EXTENT_CODEC.encode(extent),
            ),
        )

    def remove_repair(self, data_id: DataId, part: int) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._execute(sql.REMOVE_REPAIR, (self.partition, data_id, part))
