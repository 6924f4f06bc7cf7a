"""The ten checksum algorithms of S3, their types, and how the checksum of a whole follows from its parts.

Values are raw big-endian digests here; headers and XML carry their base64 (s3 rules 3.2).
"""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = ["Checksum", "ChecksumAlgorithm", "ChecksumType"]


class ChecksumAlgorithm(Enum):
    """Name as it stands in header names (`x-amz-checksum-<value>`)."""

    CRC32 = "crc32"
    CRC32C = "crc32c"
    CRC64NVME = "crc64nvme"
    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA512 = "sha512"
    MD5 = "md5"
    XXHASH64 = "xxhash64"
    XXHASH3 = "xxhash3"
    XXHASH128 = "xxhash128"

    # Members are singletons. Enum's own hash is a function in Python, and every small write asks for it twenty times.
    __hash__ = object.__hash__


class ChecksumType(Enum):
    """Over the bytes of the object, or over the digests of its parts."""

    FULL_OBJECT = "FULL_OBJECT"
    COMPOSITE = "COMPOSITE"


class Checksum(msgspec.Struct, frozen=True, array_like=True):
    """A digest with its meaning. `parts_count` is 0 for FULL_OBJECT."""

    algorithm: ChecksumAlgorithm
    type: ChecksumType
    digest: bytes
    parts_count: int = 0
