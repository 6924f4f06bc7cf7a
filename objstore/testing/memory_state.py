"""`CatalogState` in dictionaries: the dumb twin of `objstore.metadata.sql_state`.

Slow and obvious on purpose. `rows()` gives everything it holds in a form that can be compared with the rows of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from objstore.metadata.records import (
    PART_CODEC,
    Finished,
    PartHead,
    PartRow,
    RepairItem,
    UploadRow,
    VersionRow,
)
from objstore.metadata.state import Shard
from objstore.model.errors import check
from objstore.model.instant import Instant
from objstore.model.names import BucketId, DataId, ObjectKey, UploadId, VersionId
from objstore.model.objects import Extent, ExtentBody, Upload

__all__ = ["MemoryState"]


class MemoryState:
    """One partition, in memory."""

    def __init__(self) -> None:
        self.change_count = 0
        self.fence = Instant(0)
        self.sequence = 1
        self.shards: dict[BucketId, Shard] = {}
        self.objects: dict[tuple[int, bytes], VersionRow] = {}
        self.versions: dict[tuple[int, bytes], list[VersionRow]] = {}
        self.inline: dict[int, bytes] = {}
        self.uploads: dict[tuple[int, bytes, str], UploadRow] = {}
        self.parts: dict[tuple[int, str], dict[int, PartRow]] = {}
        self.finished_uploads: dict[tuple[int, str], tuple[Instant, Finished]] = {}
        self.garbage: dict[int, tuple[Instant, Extent]] = {}
        self.repairs: dict[tuple[bytes, int], RepairItem] = {}
        self._inline_id = 0
        self._shard_number = 0

    def raise_fence(self, stamp: Instant) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self.fence = stamp

    def next_sequence(self) -> int:
        """See `CatalogState`."""
        self.change_count += 1
        self.sequence += 1
        return self.sequence - 1

    def shard(self, bucket_id: BucketId) -> Shard | None:
        """See `CatalogState`."""
        return self.shards.get(bucket_id)

    def add_shard(self, bucket_id: BucketId) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self._shard_number += 1
        self.shards[bucket_id] = Shard(self._shard_number, bucket_id)

    def save_shard(self, shard: Shard) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self.shards[shard.bucket_id] = shard

    def drop_shard(self, shard: Shard) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        del self.shards[shard.bucket_id]
        for name in [name for name in self.finished_uploads if name[0] == shard.number]:
            del self.finished_uploads[name]

    def current(self, shard: Shard, key: ObjectKey) -> VersionRow | None:
        """See `CatalogState`."""
        return self.objects.get((shard.number, key))

    def newest_noncurrent(self, shard: Shard, key: ObjectKey) -> VersionRow | None:
        """See `CatalogState`."""
        rows = self.versions.get((shard.number, key), [])
        return max(rows, key=lambda row: row.sequence, default=None)

    def noncurrent(self, shard: Shard, key: ObjectKey, version_id: VersionId) -> VersionRow | None:
        """See `CatalogState`."""
        rows = self.versions.get((shard.number, key), [])
        return next((row for row in rows if row.version_id == version_id), None)

    def put_current(self, shard: Shard, row: VersionRow) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self.objects[shard.number, row.key] = row

    def put_noncurrent(self, shard: Shard, row: VersionRow) -> None:
        """See `CatalogState`."""
        self.remove_noncurrent(shard, row)
        self.versions.setdefault((shard.number, row.key), []).append(row)

    def remove_current(self, shard: Shard, key: ObjectKey) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        del self.objects[shard.number, key]

    def remove_noncurrent(self, shard: Shard, row: VersionRow) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        name = (shard.number, ObjectKey(row.key))
        rows = [old for old in self.versions.get(name, []) if old.sequence != row.sequence]
        self.versions[name] = rows
        if not rows:
            del self.versions[name]

    def add_inline(self, data: bytes) -> int:
        """See `CatalogState`."""
        self.change_count += 1
        self._inline_id += 1
        self.inline[self._inline_id] = data
        return self._inline_id

    def remove_inline(self, inline_id: int) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        del self.inline[inline_id]

    def upload(self, shard: Shard, key: ObjectKey, upload_id: UploadId) -> UploadRow | None:
        """See `CatalogState`."""
        return self.uploads.get((shard.number, key, upload_id))

    def add_upload(self, shard: Shard, upload: Upload) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        name = (shard.number, upload.key, upload.upload_id)
        self.uploads[name] = UploadRow(upload, is_touched=False)

    def touch_uploads(self, shard: Shard, key: ObjectKey) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        for name, row in self.uploads.items():
            if name[:2] == (shard.number, key):
                self.uploads[name] = UploadRow(row.upload, is_touched=True)

    def remove_upload(self, shard: Shard, upload: Upload) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        del self.uploads[shard.number, upload.key, upload.upload_id]

    def remove_uploads(self, shard: Shard, since: Instant) -> None:
        """See `CatalogState`."""
        for name, row in sorted(self.uploads.items(), key=lambda item: item[0]):
            if name[0] == shard.number:
                self.remove_parts(shard, row.upload.upload_id, numbers=None, since=since)
                self.remove_upload(shard, row.upload)

    def part(self, shard: Shard, upload_id: UploadId, number: int) -> PartRow | None:
        """See `CatalogState`."""
        return self.parts.get((shard.number, upload_id), {}).get(number)

    def put_part(self, shard: Shard, upload_id: UploadId, row: PartRow) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self.parts.setdefault((shard.number, upload_id), {})[row.number] = row

    def part_heads(self, shard: Shard, upload_id: UploadId) -> Sequence[PartHead]:
        """See `CatalogState`."""
        rows = self.parts.get((shard.number, upload_id), {})
        return [PartHead(*rows[number][:5]) for number in sorted(rows)]

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
        name = (shard.number, upload_id)
        rows = self.parts.get(name, {})
        for number in sorted(rows) if numbers is None else numbers:
            row = rows.pop(number)
            body = PART_CODEC.decode(row.record).body
            if row.inline_id is not None:
                del self.inline[row.inline_id]
            elif isinstance(body, ExtentBody) and row.size > 0:
                self.add_garbage(body.extent, since)
        if not rows:
            self.parts.pop(name, None)

    def finished(self, shard: Shard, upload_id: UploadId) -> Finished | None:
        """See `CatalogState`."""
        found = self.finished_uploads.get((shard.number, upload_id))
        return None if found is None else found[1]

    def add_finished(
        self, shard: Shard, upload_id: UploadId, finished: Finished, at: Instant
    ) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self.finished_uploads[shard.number, upload_id] = (at, finished)

    def forget_finished(self, before: Instant) -> None:
        """See `CatalogState`."""
        for name, (at, _) in list(self.finished_uploads.items()):
            if at < before:
                del self.finished_uploads[name]

    def add_garbage(self, extent: Extent, since: Instant) -> None:
        """See `CatalogState`."""
        self.garbage[self.next_sequence()] = (since, extent)
        self.repairs.pop((extent.data_id, extent.part), None)

    def remove_garbage(self, sequences: Sequence[int]) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        for sequence in sequences:
            self.garbage.pop(sequence, None)

    def put_repair(self, shard: Shard, item: RepairItem) -> None:
        """See `CatalogState`."""
        check(item.bucket_id == shard.bucket_id, "a repair belongs to its shard")
        self.change_count += 1
        self.repairs[item.extent.data_id, item.extent.part] = item

    def remove_repair(self, data_id: DataId, part: int) -> None:
        """See `CatalogState`."""
        self.change_count += 1
        self.repairs.pop((data_id, part), None)

    def rows(self) -> dict[str, list[Any]]:
        """Return everything, ordered, with inline bytes in place of their ids."""
        names = {shard.number: shard.bucket_id for shard in self.shards.values()}
        return {
            "sequence": [self.sequence, self.fence],
            "shards": sorted(
                (shard.bucket_id, shard.is_open, shard.versioning.value, shard.usage.freeze())
                for shard in self.shards.values()
            ),
            "objects": sorted(
                (names[number], self._shown(row)) for (number, _), row in self.objects.items()
            ),
            "versions": sorted(
                (names[number], self._shown(row))
                for (number, _), rows in self.versions.items()
                for row in rows
            ),
            "inline": sorted(self.inline.values()),
            "uploads": sorted(
                (names[name[0]], *name[1:], row.is_touched) for name, row in self.uploads.items()
            ),
            "parts": sorted(
                (names[name[0]], name[1], row.number, row.record, self._bytes(row.inline_id))
                for name, rows in self.parts.items()
                for row in rows.values()
            ),
            "finished": sorted(
                (names[name[0]], name[1], at) for name, (at, _) in self.finished_uploads.items()
            ),
            "garbage": sorted(
                (sequence, since, extent.data_id, extent.part)
                for sequence, (since, extent) in self.garbage.items()
            ),
            "repairs": sorted(
                (*name, item.key, item.version_id or "", item.upload_id or "", item.since)
                for name, item in self.repairs.items()
            ),
        }

    def _shown(self, row: VersionRow) -> tuple[Any, ...]:
        return (row.key, row.sequence, row.version_id, row.record, self._bytes(row.inline_id))

    def _bytes(self, inline_id: int | None) -> bytes:
        return b"" if inline_id is None else self.inline[inline_id]
