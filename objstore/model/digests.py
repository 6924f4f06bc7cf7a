"""The digest engine: ten checksum algorithms over one pass of a body, and digests of wholes.

It promises raw big-endian digests equal to those of S3's clients (s3 rules 3.2.1 to 3.2.4),
whatever the size of the pieces that a body arrives in. Native code does the work; hashing of large
pieces releases the interpreter lock. It does not decide which digests a request needs, and it does
not compare: both are the caller's rules.

CRCs are linear, so the CRC of a whole follows from the CRCs and lengths of its parts without the
bytes. Hashes are not; for them S3 defines a composite, the hash over the parts' digests.
"""

from __future__ import annotations

import binascii
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import msgspec
import xxhash
from awscrt import checksums as crt

from objstore.model.checksum import ChecksumAlgorithm, ChecksumType
from objstore.model.errors import check

__all__ = [
    "EMPTY_SHA256",
    "AlgorithmTraits",
    "DigestSet",
    "combine_full",
    "composite_digest",
    "decode_digest",
    "digest_of",
    "encode_digest",
    "traits_of",
]

Buffer: TypeAlias = bytes | bytearray | memoryview

_HELD_BYTES: Final = 2047
"""The largest piece that hashlib digests without giving the interpreter lock back."""
_HELD_BYTES_MAX: Final = 8 * 1024
"""Up to here digesting piece by piece costs less than winning the lock again from a busy writer's thread."""

EMPTY_SHA256: Final = hashlib.sha256(b"").digest()
"""SHA-256 of nothing, which every signed request without a body carries (s3 rule 2.2.17)."""


class AlgorithmTraits(msgspec.Struct, frozen=True):
    """What S3 fixes for one algorithm (s3 rules 3.2, table)."""

    digest_bytes: int
    multipart_types: tuple[ChecksumType, ...]
    multipart_type_default: ChecksumType
    combines: bool
    """Whether the full-object value follows from the values of the parts."""


_BOTH = (ChecksumType.FULL_OBJECT, ChecksumType.COMPOSITE)
_FULL = (ChecksumType.FULL_OBJECT,)
_COMPOSITE = (ChecksumType.COMPOSITE,)


def _hash_traits(digest_bytes: int) -> AlgorithmTraits:
    return AlgorithmTraits(digest_bytes, _COMPOSITE, ChecksumType.COMPOSITE, combines=False)


_TRAITS: Final[Mapping[ChecksumAlgorithm, AlgorithmTraits]] = MappingProxyType(
    {
        ChecksumAlgorithm.CRC32: AlgorithmTraits(4, _BOTH, ChecksumType.COMPOSITE, combines=True),
        ChecksumAlgorithm.CRC32C: AlgorithmTraits(4, _BOTH, ChecksumType.COMPOSITE, combines=True),
        ChecksumAlgorithm.CRC64NVME: AlgorithmTraits(
            8, _FULL, ChecksumType.FULL_OBJECT, combines=True
        ),
        ChecksumAlgorithm.SHA1: _hash_traits(20),
        ChecksumAlgorithm.SHA256: _hash_traits(32),
        ChecksumAlgorithm.SHA512: _hash_traits(64),
        ChecksumAlgorithm.MD5: _hash_traits(16),
        ChecksumAlgorithm.XXHASH64: _hash_traits(8),
        ChecksumAlgorithm.XXHASH3: _hash_traits(8),
        ChecksumAlgorithm.XXHASH128: _hash_traits(16),
    }
)


def traits_of(algorithm: ChecksumAlgorithm) -> AlgorithmTraits:
    """Return digest length and multipart types of an algorithm."""
    return _TRAITS[algorithm]


class _Hash(Protocol):
    def update(self, data: Buffer, /) -> None: ...
    def digest(self) -> bytes: ...


def _new_md5() -> _Hash:
    # An ETag is not a security feature; without the flag a FIPS build of OpenSSL refuses MD5.
    return hashlib.md5(usedforsecurity=False)


def _new_sha1() -> _Hash:
    return hashlib.sha1(usedforsecurity=False)


_NEW_HASH: Final[Mapping[ChecksumAlgorithm, Callable[[], _Hash]]] = MappingProxyType(
    {
        ChecksumAlgorithm.SHA1: _new_sha1,
        ChecksumAlgorithm.SHA256: hashlib.sha256,
        ChecksumAlgorithm.SHA512: hashlib.sha512,
        ChecksumAlgorithm.MD5: _new_md5,
        ChecksumAlgorithm.XXHASH64: xxhash.xxh64,
        ChecksumAlgorithm.XXHASH3: xxhash.xxh3_64,
        ChecksumAlgorithm.XXHASH128: xxhash.xxh3_128,
    }
)

_CrcFunction: TypeAlias = Callable[[Any, int], int]

# zlib's CRC-32 measured 20 % faster than awscrt's, and it releases the interpreter lock.
_CRC: Final[Mapping[ChecksumAlgorithm, _CrcFunction]] = MappingProxyType(
    {
        ChecksumAlgorithm.CRC32: zlib.crc32,
        ChecksumAlgorithm.CRC32C: crt.crc32c,
        ChecksumAlgorithm.CRC64NVME: crt.crc64nvme,
    }
)

_COMBINE: Final[Mapping[ChecksumAlgorithm, Callable[[int, int, int], int]]] = MappingProxyType(
    {
        ChecksumAlgorithm.CRC32: crt.combine_crc32,
        ChecksumAlgorithm.CRC32C: crt.combine_crc32c,
        ChecksumAlgorithm.CRC64NVME: crt.combine_crc64nvme,
    }
)


class _RunningCrc:
    """A chained CRC with the interface of a hash object."""

    __slots__ = ("_digest_bytes", "_function", "_value")

    def __init__(self, function: _CrcFunction, digest_bytes: int) -> None:
        self._function = function
        self._digest_bytes = digest_bytes
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._digest_bytes, "big")


def _start(algorithm: ChecksumAlgorithm) -> _Hash:
    crc = _CRC.get(algorithm)
    if crc is not None:
        return _RunningCrc(crc, _TRAITS[algorithm].digest_bytes)
    return _NEW_HASH[algorithm]()


class DigestSet:
    """All digests that one body needs, each computed once, over the same buffers.

    MD5 (the ETag) and SHA-256 (the signed payload) share their engine with a checksum of the same
    algorithm. Digests may be read at any time and do not end the computation. Not for two threads
    at once.
    """

    __slots__ = ("_engines", "_updates", "size_bytes")

    def __init__(
        self,
        *,
        md5: bool = True,
        algorithms: Iterable[ChecksumAlgorithm] = (),
        sha256_payload: bool = False,
    ) -> None:
        wanted = dict.fromkeys(algorithms)
        if md5:
            wanted[ChecksumAlgorithm.MD5] = None
        if sha256_payload:
            wanted[ChecksumAlgorithm.SHA256] = None
        self._engines = {algorithm: _start(algorithm) for algorithm in wanted}
        self._updates = [engine.update for engine in self._engines.values()]
        self.size_bytes = 0

    def update(self, data: Buffer) -> None:
        """Take the next piece of the body; a memoryview must be contiguous bytes."""
        size = len(data)
        self.size_bytes += size
        if _HELD_BYTES < size <= _HELD_BYTES_MAX:
            view = memoryview(data)
            for start in range(0, size, _HELD_BYTES):
                piece = view[start : start + _HELD_BYTES]
                for update in self._updates:
                    update(piece)
            return
        for update in self._updates:
            update(data)

    def jobs(self, pieces: Sequence[Buffer]) -> list[Callable[[], None]]:
        """Return calls that together take the next pieces, MD5 apart from the rest: for two threads.

        Each is run once, and all of them before anything else of this set is.
        """
        self.size_bytes += sum(map(len, pieces))
        md5 = self._engines.get(ChecksumAlgorithm.MD5)
        first = [] if md5 is None else [md5.update]
        rest = [engine.update for engine in self._engines.values() if engine is not md5]
        return [partial(_feed, lane, pieces) for lane in (first, rest) if lane]

    def digest(self, algorithm: ChecksumAlgorithm) -> bytes:
        """Return the raw digest of what came so far, of an algorithm asked for at creation."""
        check(algorithm in self._engines, "digest was not asked for at creation")
        return self._engines[algorithm].digest()

    def md5_digest(self) -> bytes:
        """Return the 16 bytes behind the ETag (s3 rule 3.6.1)."""
        return self.digest(ChecksumAlgorithm.MD5)

    def sha256_payload_digest(self) -> bytes:
        """Return the 32 bytes to compare with `x-amz-content-sha256` (s3 rule 2.2.10)."""
        return self.digest(ChecksumAlgorithm.SHA256)


def _feed(updates: Sequence[Callable[[Buffer], None]], pieces: Sequence[Buffer]) -> None:
    for piece in pieces:
        for update in updates:
            update(piece)


def digest_of(algorithm: ChecksumAlgorithm, data: Buffer) -> bytes:
    """Return the raw big-endian digest of one buffer."""
    crc = _CRC.get(algorithm)
    if crc is not None:
        return crc(data, 0).to_bytes(_TRAITS[algorithm].digest_bytes, "big")
    engine = _NEW_HASH[algorithm]()
    engine.update(data)
    return engine.digest()


def combine_full(algorithm: ChecksumAlgorithm, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """Return the CRC of the whole from (CRC, size in bytes) of its parts in order (s3 rule 3.2.3).

    Only for algorithms whose traits say `combines`. No parts give the CRC of nothing.
    """
    check(algorithm in _COMBINE, "only CRCs combine")
    combine = _COMBINE[algorithm]
    digest_bytes = _TRAITS[algorithm].digest_bytes
    whole = 0
    for digest, size_bytes in parts:
        check(len(digest) == digest_bytes, "the CRC of a part has the wrong length")
        whole = combine(whole, int.from_bytes(digest, "big"), size_bytes)
    return whole.to_bytes(digest_bytes, "big")


def composite_digest(algorithm: ChecksumAlgorithm, part_digests: Sequence[bytes]) -> bytes:
    """Return the digest over the parts' raw digests; headers append `-<count>` (s3 rule 3.2.4)."""
    return digest_of(algorithm, b"".join(part_digests))


def encode_digest(digest: bytes) -> str:
    """Return the base64 that headers and XML carry."""
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def decode_digest(algorithm: ChecksumAlgorithm, text: str | bytes) -> bytes | None:
    """Return the raw digest, or None unless the text is standard base64 of the right length.

    The caller knows the place (header, trailer, XML, Content-MD5) and so the error (s3 rules 2.4.6,
    3.1.1, 3.3.2).
    """
    try:
        digest = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error for bad base64, plain ValueError for text outside ASCII
        return None
    return digest if len(digest) == _TRAITS[algorithm].digest_bytes else None
