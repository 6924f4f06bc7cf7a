"""The nouns of the store: buckets, object versions, bodies, uploads and parts.

These are the records that the catalogue keeps (see `objstore.model.versioned` for their envelope) and that services hand
around. They are immutable; a change makes a new record.

Where the bytes of an object are
    `InlineBody`    in the catalogue, up to the inline limit
    `ExtentBody`    one `Extent`: the bytes of a single write, cut into blocks of equal size
    `PartsBody`     a finished multipart upload: runs of part sizes; part n's extent is kept in the row of that part

A block has no record of its own. Its name follows from the data id, the part number and the block's index, its shards'
homes follow from the ring at `ring_version`, and `Extent.misplaced` lists the exceptions.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

import msgspec

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.instant import Instant
from objstore.model.names import (
    AccountId,
    BucketId,
    BucketName,
    CanonicalId,
    DataId,
    DriveId,
    ObjectKey,
    UploadId,
    VersionId,
)

__all__ = [
    "Body",
    "BucketRecord",
    "Conditions",
    "Extent",
    "ExtentBody",
    "Identity",
    "InlineBody",
    "Misplaced",
    "ObjectVersion",
    "Part",
    "PartRun",
    "PartsBody",
    "Scheme",
    "SystemMetadata",
    "Tags",
    "Upload",
    "Usage",
    "UserMetadata",
    "Versioning",
]

UserMetadata: TypeAlias = tuple[tuple[str, str], ...]
"""Lower-case names without `x-amz-meta-`, with their values, in order of arrival."""
Tags: TypeAlias = tuple[tuple[str, str], ...]


class Versioning(Enum):
    """State of a bucket; there is no way back to UNSET (s3 rule 4.15.1)."""

    UNSET = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


class Identity(msgspec.Struct, frozen=True):
    """Who sends a request. `access_key` is empty for the anonymous caller."""

    name: str
    access_key: str
    canonical_id: CanonicalId
    account_id: AccountId
    is_root: bool = False

    @property
    def is_anonymous(self) -> bool:
        """Tell whether nobody signed the request."""
        return not self.access_key


class Scheme(msgspec.Struct, frozen=True, array_like=True):
    """How a block is spread: `k` data shards and `m` parity shards; k=1 means m further copies."""

    k: int
    m: int

    @property
    def width(self) -> int:
        """Number of shards of a block."""
        return self.k + self.m

    @property
    def durable_shards_min(self) -> int:
        """Shards that must be durable before a write is acknowledged.

        Coded: k+1. Copies: a majority, and at least two where there are two.
        """
        if self.k > 1:
            return self.k + 1
        return min(self.width, max(2, self.width // 2 + 1))


class Misplaced(msgspec.Struct, frozen=True, array_like=True):
    """A shard that is not at the home that the ring names; `drive` is None while it exists nowhere."""

    block: int
    shard: int
    drive: DriveId | None


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """The bytes of one write: `size` bytes in blocks of `block_size` (the last one shorter)."""

    data_id: DataId
    part: int
    size: int
    block_size: int
    scheme: Scheme
    ring_version: int
    misplaced: tuple[Misplaced, ...] = ()

    @property
    def blocks_count(self) -> int:
        """Number of blocks; an extent of no bytes has none."""
        return -(-self.size // self.block_size)


class InlineBody(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """The bytes themselves, kept in the catalogue. In rows of the index `data` is empty and fetched by need."""

    data: bytes = b""


class ExtentBody(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """The bytes of a single write on the drives."""

    extent: Extent


class PartRun(msgspec.Struct, frozen=True, array_like=True):
    """`count` parts numbered upwards from `first_number`, each of `size` bytes."""

    first_number: int
    count: int
    size: int


class PartsBody(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """The parts of a finished multipart upload, in order, as runs of equal size."""

    upload_id: UploadId
    runs: tuple[PartRun, ...]

    @property
    def parts_count(self) -> int:
        """Number of parts."""
        return sum(run.count for run in self.runs)


Body: TypeAlias = InlineBody | ExtentBody | PartsBody


class SystemMetadata(msgspec.Struct, frozen=True, array_like=True):
    """Headers that S3 keeps and returns verbatim (s3 rule 4.4.1); an empty value counts as absent."""

    content_type: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    expires: str | None = None
    website_redirect_location: str | None = None


class ObjectVersion(msgspec.Struct, frozen=True, array_like=True):
    """One version of a key: an object or a delete marker."""

    key: ObjectKey
    version_id: VersionId
    last_modified: Instant
    owner: CanonicalId
    is_delete_marker: bool = False
    size: int = 0
    etag: str = ""
    """Without quotes; `<hex>-<parts>` for multipart."""
    body: Body = InlineBody()
    checksum: Checksum | None = None
    system: SystemMetadata = SystemMetadata()
    user: UserMetadata = ()
    tags: Tags = ()
    storage_class: str = "STANDARD"
    sequence: int = 0
    """Position in the order of commits of its partition; larger is newer. Given by the catalogue."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One uploaded part. `crc64nvme` is kept for uploads without an algorithm, which end up with that checksum."""

    number: int
    size: int
    etag: str
    last_modified: Instant
    body: InlineBody | ExtentBody
    checksum: Checksum | None = None
    crc64nvme: bytes = b""


class Upload(msgspec.Struct, frozen=True, array_like=True):
    """An open multipart upload; everything that the object will carry is fixed here (s3 rule 4.11.1)."""

    upload_id: UploadId
    key: ObjectKey
    initiated: Instant
    owner: CanonicalId
    initiator: CanonicalId
    system: SystemMetadata = SystemMetadata()
    user: UserMetadata = ()
    tags: Tags = ()
    storage_class: str = "STANDARD"
    checksum_algorithm: ChecksumAlgorithm | None = None
    checksum_type: ChecksumType | None = None


class Conditions(msgspec.Struct, frozen=True, array_like=True):
    """Conditions of a write, judged in the same step as the commit (s3 rule 4.5).

    `if_match` is an ETag without quotes, or `*` where the operation accepts it (deletes).
    """

    if_none_match: bool = False
    if_match: str | None = None


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """What a bucket holds, exact at every commit."""

    objects: int = 0
    """Keys whose current version is an object."""
    versions: int = 0
    """All versions that are objects, current ones included."""
    delete_markers: int = 0
    size_bytes: int = 0
    """Bytes of all versions."""
    uploads: int = 0
    part_bytes: int = 0
    """Bytes of parts of open uploads."""


class BucketRecord(msgspec.Struct, frozen=True, array_like=True):
    """A bucket as the control store keeps it. Versioning lives in the catalogue, where it orders writes."""

    name: BucketName
    bucket_id: BucketId
    owner: CanonicalId
    owner_account: AccountId
    created: Instant
    region: str
    spread: int = 1
    """Over how many partitions its keys spread; a power of two."""
    tags: Tags = ()
    is_deleting: bool = False
