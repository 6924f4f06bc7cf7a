"""What `apply` needs of one partition's state: row operations, nothing that decides. Pure; a port.

Two implementations: `objstore.metadata.sql_state` (rows in SQLite, within the open transaction) and
`objstore.testing.memory_state` (dictionaries). Whatever `apply` does through this port must leave both with the same
rows; a property test holds them to it.

Rules of use
    * `apply` judges a command completely before it writes: a refusal after the first write is a bug, which the log
      driver answers by taking the command out of its batch.
    * A `Shard` is changed in place and announced with `save_shard`.
    * `change_count` grows with every write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from objstore.metadata.records import Finished, PartHead, PartRow, RepairItem, UploadRow, VersionRow
from objstore.model.instant import Instant
from objstore.model.names import BucketId, DataId, ObjectKey, UploadId, VersionId
from objstore.model.objects import Extent, Upload, Usage, Versioning

__all__ = ["CatalogState", "Shard", "UsageCounters"]


@dataclass(slots=True)
class UsageCounters:
    """`objstore.model.objects.Usage` while it is being counted."""

    objects: int = 0
    versions: int = 0
    delete_markers: int = 0
    size_bytes: int = 0
    uploads: int = 0
    part_bytes: int = 0

    def freeze(self) -> Usage:
        """Return the counters as a value."""
        return Usage(
            objects=self.objects,
            versions=self.versions,
            delete_markers=self.delete_markers,
            size_bytes=self.size_bytes,
            uploads=self.uploads,
            part_bytes=self.part_bytes,
        )


@dataclass(slots=True)
class Shard:
    """The part of a bucket that one partition holds. `number` is a short name for it inside one store."""

    number: int
    bucket_id: BucketId
    is_open: bool = True
    versioning: Versioning = Versioning.UNSET
    usage: UsageCounters = field(default_factory=UsageCounters)


class CatalogState(Protocol):
    """The rows of one partition."""

    @property
    def change_count(self) -> int:
        """Number of writes so far; only ever compared with itself."""
        ...

    @property
    def fence(self) -> Instant:
        """Data ids with an older stamp are refused (trap T9)."""
        ...

    def raise_fence(self, stamp: Instant) -> None:
        """Move the fence forward."""
        ...

    def next_sequence(self) -> int:
        """Return the next position in the order of commits."""
        ...

    # --- shards

    def shard(self, bucket_id: BucketId) -> Shard | None:
        """Return the shard of a bucket."""
        ...

    def add_shard(self, bucket_id: BucketId) -> None:
        """Create an open shard."""
        ...

    def save_shard(self, shard: Shard) -> None:
        """Keep what was changed in place."""
        ...

    def drop_shard(self, shard: Shard) -> None:
        """Remove an empty shard, with the finished uploads that it remembers."""
        ...

    # --- versions

    def current(self, shard: Shard, key: ObjectKey) -> VersionRow | None:
        """Return the current version where it is an object."""
        ...

    def newest_noncurrent(self, shard: Shard, key: ObjectKey) -> VersionRow | None:
        """Return the newest of the other versions; it is the current one if it is a marker and `current` is None."""
        ...

    def noncurrent(self, shard: Shard, key: ObjectKey, version_id: VersionId) -> VersionRow | None:
        """Return one of the other versions by id."""
        ...

    def put_current(self, shard: Shard, row: VersionRow) -> None:
        """Make a row the current one in place of whatever is there."""
        ...

    def put_noncurrent(self, shard: Shard, row: VersionRow) -> None:
        """Add or replace one of the other versions."""
        ...

    def remove_current(self, shard: Shard, key: ObjectKey) -> None:
        """Remove the current version."""
        ...

    def remove_noncurrent(self, shard: Shard, row: VersionRow) -> None:
        """Remove one of the other versions."""
        ...

    def add_inline(self, data: bytes) -> int:
        """Keep inline bytes and return their id."""
        ...

    def remove_inline(self, inline_id: int) -> None:
        """Forget inline bytes."""
        ...

    # --- uploads and parts

    def upload(self, shard: Shard, key: ObjectKey, upload_id: UploadId) -> UploadRow | None:
        """Return an open upload."""
        ...

    def add_upload(self, shard: Shard, upload: Upload) -> None:
        """Open an upload."""
        ...

    def touch_uploads(self, shard: Shard, key: ObjectKey) -> None:
        """Mark the open uploads of a key: it was written or deleted."""
        ...

    def remove_upload(self, shard: Shard, upload: Upload) -> None:
        """Close an upload; its parts stay."""
        ...

    def remove_uploads(self, shard: Shard, since: Instant) -> None:
        """Close all uploads of a shard; their parts become garbage."""
        ...

    def part(self, shard: Shard, upload_id: UploadId, number: int) -> PartRow | None:
        """Return a part of an upload, open or finished."""
        ...

    def put_part(self, shard: Shard, upload_id: UploadId, row: PartRow) -> None:
        """Add or replace a part."""
        ...

    def part_heads(self, shard: Shard, upload_id: UploadId) -> Sequence[PartHead]:
        """Return what Complete needs of all parts, by number."""
        ...

    def remove_parts(
        self,
        shard: Shard,
        upload_id: UploadId,
        *,
        numbers: Sequence[int] | None,
        since: Instant,
    ) -> None:
        """Remove some parts (None = all): extents enter the GC queue by number, repairs end, inline bytes go."""
        ...

    def finished(self, shard: Shard, upload_id: UploadId) -> Finished | None:
        """Return what is remembered of a finished upload."""
        ...

    def add_finished(
        self, shard: Shard, upload_id: UploadId, finished: Finished, at: Instant
    ) -> None:
        """Remember a finished upload."""
        ...

    def forget_finished(self, before: Instant) -> None:
        """Forget uploads that were finished before a time; some of them if there are many."""
        ...

    # --- queues

    def add_garbage(self, extent: Extent, since: Instant) -> None:
        """Queue an extent that nothing refers to any more, and end its repair."""
        ...

    def remove_garbage(self, sequences: Sequence[int]) -> None:
        """Take entries out of the GC queue."""
        ...

    def put_repair(self, shard: Shard, item: RepairItem) -> None:
        """Queue, or update, the repair of an extent."""
        ...

    def remove_repair(self, data_id: DataId, part: int) -> None:
        """End the repair of an extent."""
        ...
