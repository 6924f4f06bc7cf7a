"""Reading a catalogue file: look-ups and ordered scans on a connection that cannot write.

Each call is one statement, or one short transaction, and so one snapshot of what is durable. Nothing waits: with WAL a
reader is never blocked by the writer. Any process of the machine may open a reader of the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import msgspec
import xxhash

from objstore.metadata import statements as sql
from objstore.metadata.catalog_file import open_catalog_reader
from objstore.metadata.commands import Garbage
from objstore.metadata.listing import Position, Row
from objstore.metadata.records import (
    EMPTY_INLINE,
    EXTENT_CODEC,
    PART_CODEC,
    UPLOAD_CODEC,
    VERSION_CODEC,
    RepairItem,
    RepairPosition,
)
from objstore.metadata.reference_walk import ReferencePosition, read_references
from objstore.model.errors import CorruptRecord, NoSuchBucket
from objstore.model.instant import Instant
from objstore.model.names import BucketId, ObjectKey, PartitionId, UploadId, VersionId
from objstore.model.objects import (
    Extent,
    ExtentBody,
    InlineBody,
    ObjectVersion,
    Part,
    Upload,
    Usage,
    Versioning,
)

__all__ = ["CatalogReader", "ExtentPosition", "ShardView"]

_VERSIONING: Final = {state.value: state for state in Versioning}


class ShardView(NamedTuple):
    """A shard as a reader sees it."""

    number: int
    versioning: Versioning
    usage: Usage


class ExtentPosition(NamedTuple):
    """Where a walk over extents stands; it means something in one file only."""

    table: int = 0
    shard: int = -1
    key: bytes | str = b""
    sub: int = -(2**62)


_WALKS: Final = (
    (sql.WALK_OBJECTS, b"", VERSION_CODEC.decode),
    (sql.WALK_VERSIONS, b"", VERSION_CODEC.decode),
    (sql.WALK_PARTS, "", PART_CODEC.decode),
)


class CatalogReader:
    """One reading connection. Not to be used by two threads at once."""

    def __init__(self, path: Path) -> None:
        self._connection = open_catalog_reader(path)
        self._execute = self._connection.execute

    def close(self) -> None:
        """Close the connection; one that another thread is reading from is closed when that one lets it go."""
        with suppress(apsw.ThreadingViolationError):
            self._connection.close()

    def shard(self, bucket_id: BucketId, partition: PartitionId) -> ShardView:
        """Return a shard; raise `NoSuchBucket` if it is not there or closed."""
        row = self._execute(sql.READ_SHARD, (bucket_id, partition)).get
        if row is None or not row[1]:
            raise NoSuchBucket
        return ShardView(row[0], _VERSIONING[row[2]], Usage(*row[3:]))

    # --- versions

    def find(
        self,
        bucket_id: BucketId,
        partition: PartitionId,
        key: ObjectKey,
        version_id: VersionId | None,
    ) -> tuple[Versioning, ObjectVersion | None]:
        """Return the versioning state and the current or named version, inline bytes included."""
        row = self._execute(sql.FIND_CURRENT, (key, bucket_id, partition)).get
        if row is None or not row[0]:
            raise NoSuchBucket
        versioning = _VERSIONING[row[1]]
        if row[2] is not None and (version_id is None or row[3] == version_id):
            return versioning, _version(key, row)
        if versioning is Versioning.UNSET:
            return versioning, None
        return self._find_elsewhere(bucket_id, partition, key, version_id)

    def _find_elsewhere(
        self,
        bucket_id: BucketId,
        partition: PartitionId,
        key: ObjectKey,
        version_id: VersionId | None,
    ) -> tuple[Versioning, ObjectVersion | None]:
        """Look into both tables in one snapshot: a version may move between them at any commit."""
        self._execute("BEGIN")
        try:
            row = self._execute(sql.FIND_CURRENT, (key, bucket_id, partition)).get
            if row is None or not row[0]:
                raise NoSuchBucket
            versioning = _VERSIONING[row[1]]
            if row[2] is not None and version_id in {None, row[3]}:
                return versioning, _version(key, row)
            if version_id is None:
                record = self._execute(sql.FIND_NEWEST, (bucket_id, partition, key)).get
                return versioning, None if record is None else VERSION_CODEC.decode(record)
            row = self._execute(sql.FIND_VERSION, (key, version_id, bucket_id, partition)).get
            if row is None or row[2] is None:
                return versioning, None
            return versioning, _version(key, row)
        finally:
            self._execute("COMMIT")

    # --- ordered scans, for `listing.walk`

    def scan_current(self, shard: int, start: Position, upper: bytes, limit: int) -> list[Row]:
        """Return rows of current objects, shaped as `ListRow`."""
        # Keys are unique here: behind a row means behind its key.
        key = start.key if start.sub is None else start.key + b"\x00"
        return self._execute(sql.LIST_CURRENT, (shard, key, upper, limit)).fetchall()

    def scan_versions(self, shard: int, start: Position, upper: bytes, limit: int) -> list[Row]:
        """Return rows of all versions, newest first within a key; the last column is the sequence."""
        if start.sub is None:
            return self._execute(sql.LIST_VERSIONS, (shard, start.key, upper, limit)).fetchall()
        rows = self._execute(
            sql.LIST_VERSIONS_OF_KEY, (shard, start.key, start.sub, limit)
        ).fetchall()
        if len(rows) < limit:
            rest = (shard, start.key + b"\x00", upper, limit - len(rows))
            rows += self._execute(sql.LIST_VERSIONS, rest).fetchall()
        return rows

    def scan_uploads(self, shard: int, start: Position, upper: bytes, limit: int) -> list[Row]:
        """Return (key, record, upload id) of open uploads."""
        after = (start.key, start.sub or "")
        return self._execute(sql.LIST_UPLOADS, (shard, *after, upper, limit)).fetchall()

    def sequence_of(self, shard: int, key: bytes, version_id: VersionId) -> int | None:
        """Return the sequence of a version, None if it is not there."""
        found: int | None = self._execute(sql.SEQUENCE_OF, (shard, key, version_id)).get
        return found

    # --- uploads and parts

    def upload(self, shard: int, key: ObjectKey, upload_id: UploadId) -> Upload | None:
        """Return an open upload."""
        record = self._execute(sql.READ_UPLOAD, (shard, key, upload_id)).get
        return None if record is None else UPLOAD_CODEC.decode(record)

    def parts(self, shard: int, upload_id: UploadId, after: int, limit: int) -> list[Part]:
        """Return parts by number, without inline bytes."""
        rows: list[Any] = self._execute(sql.READ_PARTS, (shard, upload_id, after, limit)).fetchall()
        return [PART_CODEC.decode(record) for (record,) in rows]

    def part(self, shard: int, upload_id: UploadId, number: int) -> Part | None:
        """Return one part with its inline bytes."""
        row = self._execute(sql.READ_PART, (shard, upload_id, number)).get
        if row is None:
            return None
        record, inline_id, digest, data = row
        part = PART_CODEC.decode(record)
        if inline_id is None:
            return part
        return msgspec.structs.replace(part, body=_inline(digest, data))

    # --- queues

    def garbage(
        self, partition: PartitionId, *, before: Instant, after: int, limit: int
    ) -> list[Garbage]:
        """Return entries of the GC queue that are older than a time, from behind a sequence on."""
        terms = (partition, before, after, limit)
        rows: list[Any] = self._execute(sql.READ_GARBAGE, terms).fetchall()
        return [_garbage(*row) for row in rows]

    def repairs(
        self, partition: PartitionId, *, after: RepairPosition, limit: int
    ) -> list[RepairItem]:
        """Return entries of the repair queue from behind a position on, oldest first."""
        rows: list[Any] = self._execute(sql.READ_REPAIRS, (partition, *after, limit)).fetchall()
        return [RepairItem._make((*row[:5], EXTENT_CODEC.decode(row[5]))) for row in rows]

    def extents(
        self, partition: PartitionId, after: ExtentPosition, limit: int
    ) -> tuple[list[Extent], ExtentPosition | None]:
        """Return extents behind a position, and where to go on; None at the end."""
        table, shard, key, sub = after
        query, first, decode = _WALKS[table]
        rows: list[Any] = self._execute(
            query, (partition, shard, key if shard >= 0 else first, sub, limit)
        ).fetchall()
        bodies = [decode(row[3]).body for row in rows]
        extents = [body.extent for body in bodies if isinstance(body, ExtentBody)]
        if len(rows) == limit:
            return extents, ExtentPosition(table, *rows[-1][:3])
        return extents, ExtentPosition(table + 1) if table + 1 < len(_WALKS) else None

    def references(
        self, partition: PartitionId, after: ReferencePosition | None, limit: int
    ) -> tuple[list[Extent], ReferencePosition | None]:
        """Return a slice of all extents that anything refers to; see `objstore.metadata.reference_walk`."""
        return read_references(self._execute, partition, after, limit)

    def partitions(self) -> Sequence[PartitionId]:
        """Return the partitions that have state in this file."""
        rows: list[Any] = self._execute(sql.SELECT_PARTITIONS).fetchall()
        return [row[0] for row in rows]


def _version(key: bytes, row: tuple[Any, ...]) -> ObjectVersion:
    _, _, sequence, version_id, record, inline_id, digest, data = row
    version = VERSION_CODEC.decode(record)
    if version.sequence != sequence or version.version_id != version_id or version.key != key:
        raise CorruptRecord("row and record disagree", sequence=sequence)
    if inline_id is None:
        return version
    return msgspec.structs.replace(version, body=_inline(digest, data))


def _inline(digest: bytes | None, data: bytes | None) -> InlineBody:
    if data is None or digest != xxhash.xxh3_64_digest(data):
        raise CorruptRecord("inline bytes do not match their checksum")
    return InlineBody(data) if data else EMPTY_INLINE


def _garbage(sequence: int, since: int, is_part: int, record: bytes) -> Garbage:
    if not is_part:
        return Garbage(sequence, Instant(since), EXTENT_CODEC.decode(record))
    body = PART_CODEC.decode(record).body
    if not isinstance(body, ExtentBody):
        raise CorruptRecord("a part in the GC queue has no extent", sequence=sequence)
    return Garbage(sequence, Instant(since), body.extent)
