"""What services need from the outside: a body that arrives, bytes that stay, time and fresh ids.

Ports are defined here, by their consumer; `objstore.api` and `objstore.replication` satisfy them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.instant import Instant
from objstore.model.names import BucketId, DataId, OpId, UploadId, VersionId, make_stamped_id
from objstore.model.objects import BucketRecord, Extent, Identity

__all__ = ["BodyDigests", "BodySource", "Buffer", "Call", "DataSource", "DataStore", "Ids"]

Buffer = bytes | bytearray | memoryview

_POOL_BYTES: Final = 4096


class BodyDigests(msgspec.Struct, frozen=True, gc=False):
    """What is known of a body after its last byte: size in bytes and raw digests."""

    size: int
    md5: bytes
    values: Mapping[ChecksumAlgorithm, bytes]

    def full_object(self, algorithm: ChecksumAlgorithm) -> Checksum:
        """Return a digest of the whole body as a checksum record."""
        return Checksum(algorithm, ChecksumType.FULL_OBJECT, self.values[algorithm])


class BodySource(Protocol):
    """A body that is pulled once, front to back."""

    @property
    def size(self) -> int | None:
        """Number of payload bytes if it was announced."""
        ...

    @property
    def claimed(self) -> ChecksumAlgorithm | None:
        """Algorithm of the checksum that the client sends or will send in a trailer."""
        ...

    def require(self, algorithm: ChecksumAlgorithm) -> None:
        """Ask for one more digest; only before the first read."""
        ...

    async def read(self, size: int) -> Buffer:
        """Return exactly `size` bytes, fewer at the end of the body, none after it.

        Raises `IncompleteBody`, `SignatureDoesNotMatch`, `EntityTooLarge` and the like. The buffer belongs to the caller.
        """
        ...

    async def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer and return how many bytes came, fewer than fit only at the end of the body.

        Errors as `read`. What was filled is still read by digests, and must not change, until `finish` returns.
        """
        ...

    async def finish(self) -> BodyDigests:
        """Read what is left (nothing may be), compare every digest and signature the client sent, return the digests.

        Raises `BadDigest`, `PayloadHashMismatch`, `IncompleteBody`, `MalformedTrailer`.
        """
        ...


class DataSource(Protocol):
    """The bytes of a body, for those who store them and know nothing of digests."""

    @property
    def size(self) -> int | None:
        """Number of payload bytes if it is known."""
        ...

    async def read_into(self, buffer: memoryview) -> int:
        """See `BodySource.read_into`."""
        ...


class DataStore(Protocol):
    """Bytes on drives (satisfied by `objstore.replication`)."""

    async def write(self, data_id: DataId, part: int, source: DataSource) -> Extent:
        """Store what is left of the source durably; nothing stays behind when it raises."""
        ...

    def read(self, extent: Extent, start: int, length: int) -> AsyncGenerator[Buffer, None]:
        """Yield verified bytes; raises `UnreadableData` before the first byte, or in the middle."""
        ...

    async def read_at_once(self, extent: Extent, start: int, length: int) -> Buffer | None:
        """Return a short range, verified, or None where it takes several pieces; errors as `read`."""
        ...

    async def discard(self, extent: Extent) -> None:
        """Give the shards up: they were never referenced."""
        ...

    async def remove(self, extent: Extent) -> Sequence[object]:
        """Move the shards to the trash, where running downloads still find them; return the drives not reached."""
        ...


class Ids:
    """Source of fresh ids; `entropy(n)` returns n random bytes.

    Randomness is fetched for many ids at once, because each call of the system gives the interpreter lock away; no byte of
    it is used twice. Used from one thread; a process that forks must not go on with it in both.
    """

    __slots__ = ("_entropy", "_pool", "_position")

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._pool = b""
        self._position = 0

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._pool):
            self._pool = self._entropy(_POOL_BYTES)
            end = size
        self._position = end
        return self._pool[end - size : end]

    def op(self) -> OpId:
        """Return an id for a mutation."""
        return OpId(self._take(16))

    def bucket(self) -> BucketId:
        """Return an id for a bucket; a name that is used again gets another one."""
        return BucketId(self._take(16))

    def version(self) -> VersionId:
        """Return a version id: 32 URL-safe characters, as S3's are."""
        return VersionId(self._take(16).hex())

    def data(self, now: Instant) -> DataId:
        """Return a name for the bytes of one write."""
        return DataId(make_stamped_id(now, self._take(10)))

    def upload(self, now: Instant) -> UploadId:
        """Return an unguessable upload id that sorts by initiation."""
        return UploadId(self.data(now).hex())


class Call(msgspec.Struct, frozen=True):
    """The circumstances of one request: who, when, on which bucket, with which body."""

    identity: Identity
    now: Instant
    request_id: str = ""
    bucket: BucketRecord = None  # type: ignore[assignment]  # set for all but service-level operations
    body: BodySource = None  # type: ignore[assignment]  # set where the operation takes a stream
    endpoint: str = ""
    """Scheme and host as the client reached us, for `Location`."""
