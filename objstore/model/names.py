"""Names of things: buckets, keys, versions, uploads, drives.

A key is opaque UTF-8 and is kept as bytes from the request line to the row: S3 orders keys by their bytes,
and nothing in the store may ever interpret one as a path. Ids that the store makes itself are ULID-shaped:
48 bits of milliseconds and 80 random bits, so that they sort by birth and carry the stamp that the
garbage-collection fence compares.
"""

from __future__ import annotations

import re
from typing import NewType

from objstore.model.instant import Instant

__all__ = [
    "NULL_VERSION",
    "AccountId",
    "BucketId",
    "BucketName",
    "CanonicalId",
    "DataId",
    "DriveId",
    "NodeId",
    "ObjectKey",
    "OpId",
    "PartitionId",
    "UploadId",
    "VersionId",
    "Zone",
    "is_bucket_name",
    "is_upload_id",
    "make_stamped_id",
    "stamp_of",
]

BucketName = NewType("BucketName", str)
BucketId = NewType("BucketId", bytes)
"""16 bytes, fresh for every creation of a bucket: a re-created name is another bucket."""
ObjectKey = NewType("ObjectKey", bytes)
"""1 to 1,024 bytes of valid UTF-8, never normalised (s3 rules 1.2.4 to 1.2.8)."""
VersionId = NewType("VersionId", str)
"""URL-safe text; `NULL_VERSION` for what was written while versioning was not enabled."""
UploadId = NewType("UploadId", str)
"""Hex of a `DataId`: sorts by initiation, as ListMultipartUploads wants (s3 rule 5.5.1)."""
DataId = NewType("DataId", bytes)
"""16 bytes naming the bytes of one write; unique for ever, shared by nothing."""
OpId = NewType("OpId", bytes)
"""16 bytes naming one mutation, so that a retry finds the first result."""
CanonicalId = NewType("CanonicalId", str)
"""64 hex digits naming an owner, as S3 shows it."""
AccountId = NewType("AccountId", str)
"""12 digits, as `x-amz-expected-bucket-owner` carries it."""
NodeId = NewType("NodeId", str)
DriveId = NewType("DriveId", str)
Zone = NewType("Zone", str)
PartitionId = NewType("PartitionId", int)

NULL_VERSION = VersionId("null")

_BUCKET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]", re.ASCII)
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)
_FORBIDDEN_PARTS = ("..", ".-", "-.")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)

_STAMP_BYTES = 6


def is_bucket_name(name: str) -> bool:
    """Tell whether a bucket of this name may be created (s3 rules 1.3.1 and 1.3.2)."""
    return (
        _BUCKET_NAME.fullmatch(name) is not None
        and _IPV4.fullmatch(name) is None
        and not any(part in name for part in _FORBIDDEN_PARTS)
        and not name.startswith(_RESERVED_PREFIXES)
        and not name.endswith(_RESERVED_SUFFIXES)
    )


def is_upload_id(text: str) -> bool:
    """Tell whether a text can be the id of an upload, open or ended."""
    return _UPLOAD_ID.fullmatch(text) is not None


def make_stamped_id(now: Instant, entropy: bytes) -> bytes:
    """Build a 16-byte id from a time and 10 random bytes; ids of later milliseconds sort later."""
    return int(now).to_bytes(_STAMP_BYTES, "big") + entropy[:10]


def stamp_of(stamped_id: bytes) -> Instant:
    """Return the time that `make_stamped_id` put in."""
    return Instant(int.from_bytes(stamped_id[:_STAMP_BYTES], "big"))
