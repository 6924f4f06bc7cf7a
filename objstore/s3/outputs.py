"""Typed outputs of the operations: what a handler returns. Encoders (`objstore.s3.encode`) write them.

`version_id` is what the header `x-amz-version-id` shall show; None = no such header.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.instant import Instant
from objstore.model.names import BucketName, CanonicalId, ObjectKey, UploadId, VersionId
from objstore.model.objects import (
    BucketRecord,
    ObjectVersion,
    Part,
    Tags,
    Upload,
    Versioning,
)
from objstore.s3.inputs import ListMultipartUploadsInput, ListObjectsInput, ListObjectVersionsInput

__all__ = [
    "AclOutput",
    "CompleteMultipartUploadOutput",
    "CopyObjectOutput",
    "CopyPartOutput",
    "CreateBucketOutput",
    "CreateMultipartUploadOutput",
    "DeleteObjectOutput",
    "DeleteObjectsOutput",
    "DeleteResult",
    "EmptyOutput",
    "GetBucketLocationOutput",
    "GetBucketVersioningOutput",
    "GetObjectAttributesOutput",
    "HeadBucketOutput",
    "ListBucketsOutput",
    "ListMultipartUploadsOutput",
    "ListObjectVersionsOutput",
    "ListObjectsOutput",
    "ListPartsOutput",
    "ListRow",
    "ObjectHead",
    "PutObjectOutput",
    "TaggingOutput",
    "UnsetSettingOutput",
    "UploadPartOutput",
    "VersionRow",
]

ListRow: TypeAlias = tuple[bytes, int, str, int, str, str | None, str | None, str]
"""key, last modified (ms), ETag, size, storage class, checksum algorithm, checksum type, owner - as the index has it."""

VersionRow: TypeAlias = tuple[
    bytes, int, str, int, str, str | None, str | None, str, str, bool, bool
]
"""A `ListRow` followed by version id, is latest, is delete marker."""


class EmptyOutput(msgspec.Struct, frozen=True, gc=False):
    """Nothing to say but the success status (and perhaps a version)."""

    version_id: VersionId | None = None


class ListBucketsOutput(msgspec.Struct, frozen=True, gc=False):
    """`next_after` is the last name of a truncated page."""

    buckets: Sequence[BucketRecord]
    owner: str
    prefix: str | None = None
    next_after: str | None = None


class CreateBucketOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 1.3.6."""

    bucket: BucketName
    region: str


class HeadBucketOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 1.3.10."""

    bucket: BucketName
    region: str


class GetBucketLocationOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 1.7.13."""

    region: str


class GetBucketVersioningOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.15.1."""

    versioning: Versioning


class PutObjectOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.4.6."""

    etag: str
    checksum: Checksum | None
    version_id: VersionId | None


class ObjectHead(msgspec.Struct, frozen=True, gc=False):
    """Everything of a GetObject or HeadObject answer but the bytes.

    `start` and `length` say which bytes follow; `is_partial` makes it a 206.
    """

    version: ObjectVersion
    version_id: VersionId | None
    start: int
    length: int
    is_partial: bool
    checksum: Checksum | None
    parts_count: int | None
    overrides: tuple[tuple[str, str], ...]
    is_not_modified: bool = False
    """Answer 304 with the validators and no body (s3 rule 4.1.5)."""


class GetObjectAttributesOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.13.2. `parts` is None where no part details are shown."""

    version: ObjectVersion
    version_id: VersionId | None
    attributes: tuple[str, ...]
    parts_count: int | None
    parts: Sequence[Part] | None
    max_parts: int
    part_number_marker: int
    is_truncated: bool


class DeleteObjectOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rules 4.14, 4.15.3 and 4.15.4."""

    is_delete_marker: bool
    version_id: VersionId | None


class DeleteResult(msgspec.Struct, frozen=True, gc=False):
    """Outcome for one key: `error` is (code, message) or None."""

    key: ObjectKey
    version_id: str | None = None
    is_delete_marker: bool = False
    delete_marker_version_id: VersionId | None = None
    error: tuple[str, str] | None = None


class DeleteObjectsOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.14.4; results in the order of the request."""

    results: Sequence[DeleteResult]
    is_quiet: bool


class CopyObjectOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.9.6."""

    etag: str
    last_modified: Instant
    checksum: Checksum | None
    version_id: VersionId | None
    source_version_id: VersionId | None


class CopyPartOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.10.2."""

    etag: str
    last_modified: Instant
    checksum: Checksum | None
    source_version_id: VersionId | None


class CreateMultipartUploadOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.11.1."""

    bucket: BucketName
    key: ObjectKey
    upload_id: UploadId
    checksum_algorithm: ChecksumAlgorithm | None
    checksum_type: ChecksumType | None


class UploadPartOutput(msgspec.Struct, frozen=True, gc=False):
    """The checksum is the upload's, or the one that the client sent (s3 rule 3.5.3)."""

    etag: str
    checksum: Checksum | None


class CompleteMultipartUploadOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.11.6."""

    bucket: BucketName
    key: ObjectKey
    etag: str
    checksum: Checksum | None
    version_id: VersionId | None
    location: str


class ListObjectsOutput(msgspec.Struct, frozen=True, gc=False):
    """A page. `next_after` is the last key or common prefix of a truncated page, else None."""

    request: ListObjectsInput
    rows: Sequence[ListRow]
    common_prefixes: Sequence[bytes]
    next_after: bytes | None


class ListObjectVersionsOutput(msgspec.Struct, frozen=True, gc=False):
    """A page; `next_marker` is (key or prefix, version id or None)."""

    request: ListObjectVersionsInput
    rows: Sequence[VersionRow]
    common_prefixes: Sequence[bytes]
    next_marker: tuple[bytes, VersionId | None] | None


class ListMultipartUploadsOutput(msgspec.Struct, frozen=True, gc=False):
    """A page; the next markers are those of the last item even when nothing remains (s3 rule 5.5.2)."""

    request: ListMultipartUploadsInput
    uploads: Sequence[Upload]
    common_prefixes: Sequence[bytes]
    is_truncated: bool
    next_marker: tuple[bytes, UploadId | None] | None


class ListPartsOutput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.12."""

    bucket: BucketName
    upload: Upload
    parts: Sequence[Part]
    max_parts: int
    part_number_marker: int
    is_truncated: bool


class TaggingOutput(msgspec.Struct, frozen=True, gc=False):
    """Tags of an object or a bucket."""

    tags: Tags
    version_id: VersionId | None = None


class UnsetSettingOutput(msgspec.Struct, frozen=True, gc=False):
    """Nothing is set; which document says so follows from the operation."""

    operation: str


class AclOutput(msgspec.Struct, frozen=True, gc=False):
    """The owner, who alone may do everything."""

    owner: CanonicalId
    version_id: VersionId | None = None
