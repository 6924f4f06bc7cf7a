"""Typed inputs of the operations: what a handler gets after everything textual has been judged.

One class per operation. Decoders (`objstore.s3.decode`) build them from an `S3Request` and a document; services read
them and never see a header, a query or XML.
"""

from __future__ import annotations

from typing import Final

import msgspec

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.names import BucketName, ObjectKey, UploadId, VersionId
from objstore.model.objects import Conditions, SystemMetadata, Tags, UserMetadata, Versioning

__all__ = [
    "AbortMultipartUploadInput",
    "AclInput",
    "BucketInput",
    "CompleteMultipartUploadInput",
    "CompletedPart",
    "CopyDestination",
    "CopyObjectInput",
    "CopySource",
    "CreateBucketInput",
    "CreateMultipartUploadInput",
    "DeleteEntry",
    "DeleteObjectInput",
    "DeleteObjectsInput",
    "GetObjectAttributesInput",
    "GetObjectInput",
    "ListBucketsInput",
    "ListMultipartUploadsInput",
    "ListObjectVersionsInput",
    "ListObjectsInput",
    "ListPartsInput",
    "ListQuery",
    "NewObject",
    "ObjectInput",
    "PreflightInput",
    "PutBucketTaggingInput",
    "PutBucketVersioningInput",
    "PutObjectInput",
    "PutObjectTaggingInput",
    "RangeSpec",
    "ReadConditions",
    "UnsetSettingInput",
    "UploadPartCopyInput",
    "UploadPartInput",
]

_NO_CONDITIONS: Final = Conditions()
_NO_METADATA: Final = SystemMetadata()


class ReadConditions(msgspec.Struct, frozen=True, gc=False):
    """Conditions of a read or of a copy source (s3 rule 4.1). ETags without quotes; `*` matches any; times in s."""

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    if_modified_since_s: int | None = None
    if_unmodified_since_s: int | None = None


class RangeSpec(msgspec.Struct, frozen=True, gc=False):
    """A single byte range: `bytes=first-last`, `bytes=first-` (last None) or `bytes=-suffix` (first None)."""

    first: int | None
    last: int | None
    text: str


class NewObject(msgspec.Struct, frozen=True, gc=False):
    """What a new object carries beside its bytes (s3 rule 4.4.1)."""

    system: SystemMetadata = _NO_METADATA
    user: UserMetadata = ()
    tags: Tags = ()
    storage_class: str = "STANDARD"


class BucketInput(msgspec.Struct, frozen=True, gc=False):
    """Operations that name nothing but a bucket."""

    bucket: BucketName


class ObjectInput(msgspec.Struct, frozen=True, gc=False):
    """Operations that name an object and perhaps a version."""

    bucket: BucketName
    key: ObjectKey
    version_id: VersionId | None = None


class ListBucketsInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 5.6. `after` is the name that the continuation token carries; None = from the start."""

    max_buckets: int | None
    after: str | None
    prefix: str | None
    bucket_region: str | None


class CreateBucketInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 1.3."""

    bucket: BucketName
    location_constraint: str | None = None
    tags: Tags = ()
    object_lock_enabled: bool = False


class PutBucketVersioningInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.15.1."""

    bucket: BucketName
    versioning: Versioning


class PutBucketTaggingInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.8.6."""

    bucket: BucketName
    tags: Tags


class PutObjectInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rules 4.4 to 4.8. The body comes beside it as a stream that checks its own digests."""

    bucket: BucketName
    key: ObjectKey
    new: NewObject
    conditions: Conditions = _NO_CONDITIONS


class GetObjectInput(msgspec.Struct, frozen=True, gc=False):
    """GetObject and HeadObject (s3 rules 4.1 to 4.3)."""

    bucket: BucketName
    key: ObjectKey
    version_id: VersionId | None = None
    conditions: ReadConditions = ReadConditions()
    range: RangeSpec | None = None
    if_range: str | None = None
    part_number: int | None = None
    wants_checksum: bool = False
    overrides: tuple[tuple[str, str], ...] = ()
    """Response header names (lower case) with the value that replaces the stored one."""


class GetObjectAttributesInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.13. `attributes` holds S3's names."""

    bucket: BucketName
    key: ObjectKey
    version_id: VersionId | None
    attributes: tuple[str, ...]
    max_parts: int
    part_number_marker: int


class DeleteObjectInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rules 4.14.1 to 4.14.2."""

    bucket: BucketName
    key: ObjectKey
    version_id: VersionId | None = None
    conditions: Conditions = _NO_CONDITIONS


class DeleteEntry(msgspec.Struct, frozen=True, gc=False):
    """One line of DeleteObjects. An unparsable version id stays text and fails for this key alone."""

    key: ObjectKey
    version_id: str | None = None
    etag: str | None = None


class DeleteObjectsInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.14.3."""

    bucket: BucketName
    entries: tuple[DeleteEntry, ...]
    is_quiet: bool


class CopySource(msgspec.Struct, frozen=True, gc=False):
    """`x-amz-copy-source` with its conditions (s3 rules 4.1.6 and 4.9.1)."""

    bucket: BucketName
    key: ObjectKey
    version_id: VersionId | None
    conditions: ReadConditions
    expected_owner: str | None = None


class CopyDestination(msgspec.Struct, frozen=True, gc=False):
    """What a copy takes from the request instead of from its source (s3 rule 4.9.3)."""

    new: NewObject
    replaces_metadata: bool
    replaces_tags: bool
    has_storage_class: bool
    has_redirect: bool
    checksum_algorithm: ChecksumAlgorithm | None


class CopyObjectInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.9."""

    bucket: BucketName
    key: ObjectKey
    source: CopySource
    destination: CopyDestination
    conditions: Conditions = _NO_CONDITIONS


class CreateMultipartUploadInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rules 4.11.1 and 3.5.1; algorithm and type are resolved and fit each other, or both are None.

    `conditions` can only refuse early here (s3 rule 4.5.5): clients that send them with Create repeat them with
    Complete, and that one decides.
    """

    bucket: BucketName
    key: ObjectKey
    new: NewObject
    checksum_algorithm: ChecksumAlgorithm | None = None
    checksum_type: ChecksumType | None = None
    conditions: Conditions = _NO_CONDITIONS


class UploadPartInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.11.3."""

    bucket: BucketName
    key: ObjectKey
    upload_id: UploadId
    part_number: int


class UploadPartCopyInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.10. The range is inclusive on both ends; None = the whole source."""

    bucket: BucketName
    key: ObjectKey
    upload_id: UploadId
    part_number: int
    source: CopySource
    source_range: tuple[int, int] | None


class CompletedPart(msgspec.Struct, frozen=True, gc=False):
    """One line of CompleteMultipartUpload; the ETag without quotes."""

    number: int
    etag: str
    checksums: tuple[tuple[ChecksumAlgorithm, bytes], ...] = ()


class CompleteMultipartUploadInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rules 4.11.4 and 3.5.5 to 3.5.8."""

    bucket: BucketName
    key: ObjectKey
    upload_id: UploadId
    parts: tuple[CompletedPart, ...]
    conditions: Conditions = _NO_CONDITIONS
    checksum: Checksum | None = None
    checksum_type: ChecksumType | None = None
    object_size: int | None = None


class AbortMultipartUploadInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.11.10."""

    bucket: BucketName
    key: ObjectKey
    upload_id: UploadId


class ListQuery(msgspec.Struct, frozen=True, gc=False):
    """What all listings share (s3 rule 5.1). Bytes, because keys are bytes."""

    prefix: bytes = b""
    delimiter: bytes = b""
    max_keys: int = 1000
    encodes_url: bool = False


class ListObjectsInput(msgspec.Struct, frozen=True, gc=False):
    """ListObjects and ListObjectsV2 (s3 rules 5.2, 5.3).

    `after` is the position to go on from, exclusive: marker, start-after, or what the token carries.
    """

    bucket: BucketName
    query: ListQuery
    is_v2: bool
    after: bytes = b""
    marker: bytes = b""
    start_after: bytes | None = None
    continuation_token: str | None = None
    fetch_owner: bool = True


class ListObjectVersionsInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 5.4. `version_id_marker` is None when absent."""

    bucket: BucketName
    query: ListQuery
    key_marker: bytes = b""
    version_id_marker: VersionId | None = None


class ListMultipartUploadsInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 5.5."""

    bucket: BucketName
    query: ListQuery
    key_marker: bytes = b""
    upload_id_marker: UploadId | None = None


class ListPartsInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.12."""

    bucket: BucketName
    key: ObjectKey
    upload_id: UploadId
    max_parts: int = 1000
    part_number_marker: int = 0


class PutObjectTaggingInput(msgspec.Struct, frozen=True, gc=False):
    """s3 rule 4.8."""

    bucket: BucketName
    key: ObjectKey
    version_id: VersionId | None
    tags: Tags


class UnsetSettingInput(msgspec.Struct, frozen=True, gc=False):
    """A read or removal of a setting that the store does not keep, by the name of the operation."""

    bucket: BucketName
    operation: str


class AclInput(msgspec.Struct, frozen=True, gc=False):
    """An access control list for a bucket, or for an object of it.

    `grants` are pairs of a canonical id and a permission; None = a canned list that asks for what is in force.
    """

    bucket: BucketName
    key: ObjectKey | None = None
    version_id: VersionId | None = None
    grants: tuple[tuple[str, str], ...] | None = None


class PreflightInput(msgspec.Struct, frozen=True, gc=False):
    """What a browser asks before a request from another origin."""

    bucket: BucketName
    origin: str
    method: str
