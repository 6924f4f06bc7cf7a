"""The rows of the catalogue as values, and the codecs of their records. Pure.

A row of a version repeats in columns what listings, conditions and counters need; `record` is the whole version in its
checksummed envelope, without inline bytes. Whoever hands a version out decodes the record, so that a damaged row raises
`CorruptRecord` and never counts as "absent".
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import msgspec

from objstore.metadata.commands import CompletedUpload, Deleted, Done, Written
from objstore.model.errors import CorruptRecord
from objstore.model.instant import Instant
from objstore.model.names import BucketId, DataId, ObjectKey, UploadId, VersionId
from objstore.model.objects import Extent, InlineBody, ObjectVersion, Part, Upload
from objstore.model.versioned import RecordCodec

__all__ = [
    "COMPLETED_CODEC",
    "EXTENT_CODEC",
    "PART_CODEC",
    "RESULTS_CODEC",
    "UPLOAD_CODEC",
    "VERSION_CODEC",
    "Finished",
    "Outcome",
    "PartHead",
    "PartRow",
    "Refused",
    "RepairItem",
    "RepairPosition",
    "UploadRow",
    "VersionRow",
    "part_row",
    "version_of",
    "version_row",
]

FORMAT: Final = 1
EMPTY_INLINE: Final = InlineBody()


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A domain refusal as the result table keeps it (`ObjstoreError.to_parts`)."""

    name: str
    message: str
    detail: dict[str, str | int]


Outcome: TypeAlias = Done | Written | Deleted | CompletedUpload | Refused


class Finished(msgspec.Struct, frozen=True, array_like=True):
    """A finished upload: what a retry of its Complete is compared with, and answered (s3 rule 4.11.8)."""

    key: ObjectKey
    parts_digest: bytes
    result: CompletedUpload


class VersionRow(NamedTuple):
    """A row of `objects` or `versions`, in order of columns after `shard`."""

    key: bytes
    sequence: int
    version_id: str
    is_delete_marker: int
    last_modified: int
    size: int
    etag: str
    storage_class: str
    checksum_algorithm: str | None
    checksum_type: str | None
    owner: str
    inline_id: int | None
    record: bytes


class UploadRow(NamedTuple):
    """An open upload; `is_touched` says that its key was written or deleted since (s3 rule 4.5.6)."""

    upload: Upload
    is_touched: bool


class PartRow(NamedTuple):
    """A row of `parts`, in order of columns after `upload_id`."""

    number: int
    size: int
    etag: str
    checksum: bytes | None
    crc64nvme: bytes
    inline_id: int | None
    record: bytes


class PartHead(NamedTuple):
    """What Complete judges a part by."""

    number: int
    size: int
    etag: str
    checksum: bytes | None
    crc64nvme: bytes


class RepairItem(NamedTuple):
    """An extent with shards that exist nowhere, and who refers to it."""

    since: Instant
    bucket_id: BucketId
    key: ObjectKey
    version_id: VersionId | None
    upload_id: UploadId | None
    extent: Extent

    @property
    def position(self) -> RepairPosition:
        """Where it stands in the queue of its partition."""
        return self.since, self.extent.data_id, self.extent.part


RepairPosition: TypeAlias = tuple[Instant, DataId, int]
"""Order of the repair queue: since when, then data id and part."""


VERSION_CODEC: Final = RecordCodec(ObjectVersion, version=FORMAT)
UPLOAD_CODEC: Final = RecordCodec(Upload, version=FORMAT)
PART_CODEC: Final = RecordCodec(Part, version=FORMAT)
EXTENT_CODEC: Final = RecordCodec(Extent, version=FORMAT)
COMPLETED_CODEC: Final = RecordCodec(Finished, version=FORMAT)
RESULTS_CODEC: Final[RecordCodec[tuple[tuple[bytes, Outcome], ...]]] = RecordCodec(
    tuple[tuple[bytes, Outcome], ...],
    version=FORMAT,
)


def version_row(version: ObjectVersion, inline_id: int | None) -> VersionRow:
    """Return the row of a version whose body carries no inline bytes any more."""
    checksum = version.checksum
    return VersionRow(
        version.key,
        version.sequence,
        version.version_id,
        version.is_delete_marker,
        version.last_modified,
        version.size,
        version.etag,
        version.storage_class,
        checksum.algorithm.value if checksum else None,
        checksum.type.value if checksum else None,
        version.owner,
        inline_id,
        VERSION_CODEC.encode(version),
    )


def version_of(row: VersionRow) -> ObjectVersion:
    """Return the version of a row; raise `CorruptRecord` where row and record disagree."""
    version = VERSION_CODEC.decode(row.record)
    if (version.key, version.sequence, version.version_id) != row[:3]:
        raise CorruptRecord("row and record disagree", sequence=row.sequence)
    return version


def part_row(part: Part, inline_id: int | None) -> PartRow:
    """Return the row of a part; inline bytes stay out of its record."""
    body = part.body
    stored = (
        msgspec.structs.replace(part, body=EMPTY_INLINE)
        if isinstance(body, InlineBody) and body.data
        else part
    )
    checksum = part.checksum.digest if part.checksum else None
    record = PART_CODEC.encode(stored)
    return PartRow(part.number, part.size, part.etag, checksum, part.crc64nvme, inline_id, record)
