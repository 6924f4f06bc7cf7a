"""The port through which everything above reads and changes the catalogue.

Promises of every implementation
    * `submit` returns after the command is durable at a quorum and applied; a domain refusal is raised as its error leaf.
      An uncertain commit raises `Unavailable`: the outcome is unknown, never "no".
    * Reads are linearizable: they see every command acknowledged before they began.
    * A read of a bucket that is not there, closed or re-created raises `NoSuchBucket`.
    * LIST, GET and versions answer from the same rows.
    * No cursor outlives a call; a page visits rows in slices of at most `SLICE_ROWS_MAX`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from objstore.metadata.commands import Command, CommandResult, Garbage
from objstore.metadata.records import RepairItem, RepairPosition
from objstore.metadata.reference_walk import ReferencePosition
from objstore.model.names import ObjectKey, PartitionId, UploadId, VersionId
from objstore.model.objects import (
    BucketRecord,
    Extent,
    ObjectVersion,
    Part,
    Upload,
    Usage,
    Versioning,
)

__all__ = ["Catalog", "ListPage", "UploadsPage", "VersionState", "VersionsPage"]


@dataclass(frozen=True, slots=True)
class VersionState:
    """What a look-up found: the shard's versioning state, and the version or None."""

    versioning: Versioning
    version: ObjectVersion | None


@dataclass(frozen=True, slots=True)
class ListPage:
    """Rows shaped as `objstore.s3.outputs.ListRow`; `next_after` is None on the last page."""

    rows: Sequence[tuple[bytes, int, str, int, str, str | None, str | None, str]]
    common_prefixes: Sequence[bytes]
    next_after: bytes | None


@dataclass(frozen=True, slots=True)
class VersionsPage:
    """Rows shaped as `objstore.s3.outputs.VersionRow`."""

    rows: Sequence[tuple[bytes, int, str, int, str, str | None, str | None, str, str, bool, bool]]
    common_prefixes: Sequence[bytes]
    next_marker: tuple[bytes, VersionId | None] | None


@dataclass(frozen=True, slots=True)
class UploadsPage:
    """Open uploads in order of key, then initiation; `last_marker` names the last item of the page."""

    uploads: Sequence[Upload]
    common_prefixes: Sequence[bytes]
    is_truncated: bool
    last_marker: tuple[bytes, UploadId | None] | None


class Catalog(Protocol):
    """Buckets' contents: versions, uploads, parts, garbage."""

    async def submit(self, bucket: BucketRecord, key: ObjectKey, command: Command) -> CommandResult:
        """Propose a command to the partition that holds the key and wait for its result."""
        ...

    async def submit_all(self, bucket: BucketRecord, make: type[Command], **fields: object) -> None:
        """Propose one command of a kind to every shard of the bucket (OpenShard, CloseShard, ...)."""
        ...

    async def find(
        self, bucket: BucketRecord, key: ObjectKey, version_id: VersionId | None = None
    ) -> VersionState:
        """Return the current or the named version, with inline bytes in its body."""
        ...

    async def list_current(
        self, bucket: BucketRecord, *, prefix: bytes, delimiter: bytes, after: bytes, limit: int
    ) -> ListPage:
        """Return current objects and common prefixes strictly after `after` (s3 rules 5.1, 5.2.1)."""
        ...

    async def list_versions(
        self,
        bucket: BucketRecord,
        *,
        prefix: bytes,
        delimiter: bytes,
        after: tuple[bytes, VersionId | None],
        limit: int,
    ) -> VersionsPage:
        """Return versions and delete markers, keys ascending, newest first (s3 rule 5.4)."""
        ...

    async def list_uploads(
        self,
        bucket: BucketRecord,
        *,
        prefix: bytes,
        delimiter: bytes,
        after: tuple[bytes, UploadId | None],
        limit: int,
    ) -> UploadsPage:
        """Return open uploads (s3 rule 5.5)."""
        ...

    async def find_upload(
        self, bucket: BucketRecord, key: ObjectKey, upload_id: UploadId
    ) -> Upload:
        """Return an open upload; raise `NoSuchUpload`."""
        ...

    async def list_parts(
        self, bucket: BucketRecord, key: ObjectKey, upload_id: UploadId, *, after: int, limit: int
    ) -> Sequence[Part]:
        """Return parts by number, of an open upload or of the finished object of that upload."""
        ...

    async def find_parts(
        self, bucket: BucketRecord, key: ObjectKey, upload_id: UploadId, numbers: Sequence[int]
    ) -> Sequence[Part]:
        """Return the named parts with their extents and inline bytes, for reading an object."""
        ...

    async def versioning(self, bucket: BucketRecord) -> Versioning:
        """Return the bucket's versioning state."""
        ...

    async def usage(self, bucket: BucketRecord) -> Usage:
        """Return exact counters."""
        ...

    async def submit_to(self, partition: PartitionId, command: Command) -> CommandResult:
        """Propose a command of the background work to one partition."""
        ...

    async def garbage(
        self, *, before_ms: int, limit: int, after: Mapping[PartitionId, int] = ...
    ) -> Sequence[tuple[PartitionId, Garbage]]:
        """Return (partition, entry) of the GC queue that is older than a time, oldest first.

        `after` names, by partition, the sequence to go on behind; a partition without one begins at its start.
        """
        ...

    async def repairs(
        self, *, limit: int, after: Mapping[PartitionId, RepairPosition] = ...
    ) -> Sequence[tuple[PartitionId, RepairItem]]:
        """Return (partition, entry) of the repair queue, oldest first; `after` as for `garbage`."""
        ...

    async def references(
        self, partition: PartitionId, after: ReferencePosition | None, *, limit: int
    ) -> tuple[Sequence[Extent], ReferencePosition | None]:
        """Return a slice of the extents that anything in a partition refers to, and where to go on; None at the end.

        Each reference that is there from before the walk until its end is returned at least once. An unreachable
        partition raises `Unavailable`, a row that cannot be read `CorruptRecord`: neither counts as "no reference".
        """
        ...
