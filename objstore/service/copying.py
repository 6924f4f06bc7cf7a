"""Copies: a stored object as the source of a new object or of a part (s3 rules 4.9 and 4.10).

A copy has bytes of its own. Nothing is shared between objects, so deleting one can never hurt the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import msgspec

from objstore.metadata.catalog import Catalog
from objstore.metadata.commands import PutVersion, Written
from objstore.model.checksum import ChecksumAlgorithm
from objstore.model.digests import DigestSet
from objstore.model.errors import (
    BadRequestError,
    InvariantError,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    UnreadableData,
)
from objstore.model.limits import COPY_SOURCE_BYTES_MAX
from objstore.model.names import VersionId
from objstore.model.objects import (
    BucketRecord,
    Conditions,
    Identity,
    ObjectVersion,
    SystemMetadata,
    Tags,
    UserMetadata,
    Versioning,
)
from objstore.s3 import conditional
from objstore.s3.inputs import CopyObjectInput, CopySource
from objstore.s3.outputs import CopyObjectOutput
from objstore.service.hashing import RunningDigests
from objstore.service.ingest import Ingest
from objstore.service.objects import judge_early
from objstore.service.ports import BodyDigests, Buffer, Call, Ids
from objstore.service.reading import ObjectReader
from objstore.service.registry import BucketRegistry
from objstore.service.versions import key_text, shown_id

__all__ = ["CopyService", "CopySources", "OpenedSource", "StoredSource"]

Authorise = Callable[[Identity, str, BucketRecord, str | None], None]
"""(identity, action, bucket, expected owner) -> None, or raises `AccessDenied`."""

_SELF_COPY = (
    "This copy request is illegal because it is trying to copy an object to itself without changing "
    "the object's metadata, storage class, website redirect location or encryption attributes."
)


class StoredSource:
    """A stored object, or a range of one, as a body to be ingested."""

    def __init__(self, chunks: AsyncIterator[Buffer], size: int, pool: Executor) -> None:
        self._chunks = chunks
        self._size = size
        self._pool = pool
        self._algorithms: list[ChecksumAlgorithm] = []
        self._running: RunningDigests | None = None
        self._result: BodyDigests | None = None
        self._pending: Buffer = b""
        self._read_bytes = 0

    @property
    def size(self) -> int | None:
        """Number of bytes that will come."""
        return self._size

    @property
    def claimed(self) -> ChecksumAlgorithm | None:
        """Nobody claims a checksum for stored bytes."""
        return None

    def require(self, algorithm: ChecksumAlgorithm) -> None:
        """Ask for one more digest; only before the first read."""
        self._algorithms.append(algorithm)

    async def read(self, size: int) -> Buffer:
        """Return exactly `size` bytes, fewer at the end."""
        running = self._digests()
        gathered: list[Buffer] = []
        missing = size
        while missing:
            piece = self._pending or await anext(self._chunks, b"")
            if not piece:
                break
            head = piece if len(piece) <= missing else memoryview(piece)[:missing]
            self._pending = b"" if len(piece) <= missing else memoryview(piece)[missing:]
            await running.add(head)
            gathered.append(head)
            missing -= len(head)
        self._read_bytes += size - missing
        return gathered[0] if len(gathered) == 1 else b"".join(gathered)

    async def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer, less of it only at the end."""
        running = self._digests()
        filled = 0
        while filled < len(buffer):
            piece = self._pending or await anext(self._chunks, b"")
            if not piece:
                break
            head = memoryview(piece)[: len(buffer) - filled]
            self._pending = memoryview(piece)[len(head) :]
            part = buffer[filled : filled + len(head)]
            part[:] = head
            await running.add(part)
            filled += len(head)
        self._read_bytes += filled
        return filled

    async def finish(self) -> BodyDigests:
        """Return the digests. Raises `UnreadableData` unless all bytes came."""
        if self._result is None:
            if self._read_bytes != self._size:
                raise UnreadableData(
                    "source ended early", size=self._size, read_bytes=self._read_bytes
                )
            digests = await self._digests().end()
            values = {algorithm: digests.digest(algorithm) for algorithm in self._algorithms}
            self._result = BodyDigests(self._size, digests.md5_digest(), values)
        return self._result

    def _digests(self) -> RunningDigests:
        if self._running is None:
            digests = DigestSet(md5=True, algorithms=tuple(self._algorithms))
            self._running = RunningDigests(digests, self._pool)
        return self._running


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source that exists, may be read and meets its conditions."""

    bucket: BucketRecord
    version: ObjectVersion
    version_id: VersionId | None
    """As the answer shows it."""


class CopySources:
    """Finds and judges what `x-amz-copy-source` names."""

    def __init__(
        self,
        registry: BucketRegistry,
        catalog: Catalog,
        reader: ObjectReader,
        authorise: Authorise,
        hash_pool: Executor,
    ) -> None:
        self._registry = registry
        self._catalog = catalog
        self._reader = reader
        self._authorise = authorise
        self._hash_pool = hash_pool

    async def find(self, call: Call, source: CopySource) -> OpenedSource:
        """Return the source (s3 rules 4.1.6 and 4.9.2)."""
        bucket = await self._registry.find(source.bucket)
        if bucket is None:
            raise NoSuchBucket(bucket_name=source.bucket)
        action = "s3:GetObject" if source.version_id is None else "s3:GetObjectVersion"
        self._authorise(call.identity, action, bucket, source.expected_owner)
        state = await self._catalog.find(bucket, source.key, source.version_id)
        version = state.version
        if version is None:
            if source.version_id is None:
                raise NoSuchKey(key=key_text(source.key))
            raise NoSuchVersion(key=key_text(source.key), version_id=source.version_id)
        if version.is_delete_marker:
            if source.version_id is None:
                raise NoSuchKey(key=key_text(source.key))
            raise BadRequestError(
                "The source of a copy request may not specifically refer to a delete marker "
                "by version id."
            )
        conditional.evaluate_copy_source(
            source.conditions, etag=version.etag, last_modified=version.last_modified, now=call.now
        )
        return OpenedSource(bucket, version, shown_id(state.versioning, version.version_id))

    async def stream(self, opened: OpenedSource, start: int, length: int) -> StoredSource:
        """Open a range of the source as a body."""
        inline = self._reader.inline(opened.version, start, length)
        if inline is not None:
            return StoredSource(_once(inline), length, self._hash_pool)
        chunks = await self._reader.open(opened.bucket, opened.version, start, length)
        return StoredSource(chunks, length, self._hash_pool)


class CopyService:
    """CopyObject."""

    def __init__(self, catalog: Catalog, ingest: Ingest, sources: CopySources, ids: Ids) -> None:
        self._catalog = catalog
        self._ingest = ingest
        self._sources = sources
        self._ids = ids

    async def copy_object(self, call: Call, request: CopyObjectInput) -> CopyObjectOutput:
        """Write a new object with the bytes of another (s3 rule 4.9)."""
        opened = await self._sources.find(call, request.source)
        source = opened.version
        _judge_source(request, source)
        if request.conditions != Conditions():
            state = await self._catalog.find(call.bucket, request.key)
            judge_early(state, request.key, request.conditions)
        algorithm = _algorithm(request, source)
        body = await self._sources.stream(opened, 0, source.size)
        body.require(algorithm)
        async with self._ingest.taken(body, self._ids.data(call.now)) as taken:
            version = ObjectVersion(
                key=request.key,
                version_id=self._ids.version(),
                last_modified=call.now,
                owner=call.bucket.owner,
                size=taken.digests.size,
                etag=taken.digests.md5.hex(),
                body=taken.body,
                checksum=taken.digests.full_object(algorithm),
                system=_system(request, source),
                user=_user(request, source),
                tags=_tags(request, source),
                storage_class=request.destination.new.storage_class,
            )
            command = PutVersion(
                op_id=self._ids.op(),
                at=call.now,
                bucket_id=call.bucket.bucket_id,
                version=version,
                conditions=request.conditions,
            )
            result = await self._catalog.submit(call.bucket, request.key, command)
        if not isinstance(result, Written):
            raise InvariantError("a copy was answered with something else")
        # A suspended bucket shows `null` here although PutObject shows nothing (s3 rule 4.9.6).
        is_shown = result.versioning is not Versioning.UNSET
        return CopyObjectOutput(
            etag=version.etag,
            last_modified=result.last_modified,
            checksum=version.checksum,
            version_id=result.version_id if is_shown else None,
            source_version_id=opened.version_id,
        )


def _judge_source(request: CopyObjectInput, source: ObjectVersion) -> None:
    """Refuse sources that are too large, and copies that change nothing (s3 rules 1.6.3, 4.9.5)."""
    if source.size > COPY_SOURCE_BYTES_MAX:
        raise BadRequestError(
            "The specified copy source is larger than the maximum allowable size for a copy "
            f"source: {COPY_SOURCE_BYTES_MAX}"
        )
    is_self = (request.bucket, request.key) == (request.source.bucket, request.source.key)
    if not is_self or request.source.version_id is not None:
        return
    wanted = request.destination
    changes = (
        wanted.replaces_metadata
        or wanted.has_redirect
        or (wanted.has_storage_class and wanted.new.storage_class != source.storage_class)
        or (
            wanted.checksum_algorithm is not None
            and source.checksum is not None
            and wanted.checksum_algorithm is not source.checksum.algorithm
        )
    )
    if not changes:
        raise BadRequestError(_SELF_COPY)


def _algorithm(request: CopyObjectInput, source: ObjectVersion) -> ChecksumAlgorithm:
    """Choose the checksum of the copy (s3 rule 3.5.11)."""
    if request.destination.checksum_algorithm is not None:
        return request.destination.checksum_algorithm
    if source.checksum is not None:
        return source.checksum.algorithm
    return ChecksumAlgorithm.CRC64NVME


def _system(request: CopyObjectInput, source: ObjectVersion) -> SystemMetadata:
    """Take metadata by directive; the website redirect always comes from the request (s3 rule 4.9.4)."""
    new = request.destination.new.system
    if request.destination.replaces_metadata:
        return new
    return msgspec.structs.replace(
        source.system, website_redirect_location=new.website_redirect_location
    )


def _user(request: CopyObjectInput, source: ObjectVersion) -> UserMetadata:
    return request.destination.new.user if request.destination.replaces_metadata else source.user


def _tags(request: CopyObjectInput, source: ObjectVersion) -> Tags:
    return request.destination.new.tags if request.destination.replaces_tags else source.tags


async def _once(data: Buffer) -> AsyncIterator[Buffer]:
    if data:
        yield data
