"""Objects: put, get, head, delete, attributes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import anyio
import msgspec

from objstore.metadata.catalog import Catalog, VersionState
from objstore.metadata.commands import Deleted, DeleteKey, DeleteVersion, PutVersion, Written
from objstore.model.checksum import Checksum, ChecksumAlgorithm
from objstore.model.errors import (
    InvalidPartNumber,
    InvariantError,
    NoSuchKey,
    NotModified,
    ObjstoreError,
    PreconditionFailed,
)
from objstore.model.names import NULL_VERSION, ObjectKey, VersionId
from objstore.model.objects import (
    BucketRecord,
    Conditions,
    ObjectVersion,
    Part,
    PartsBody,
)
from objstore.s3 import conditional, ranges
from objstore.s3.arguments import parse_version_id
from objstore.s3.errors import error_code
from objstore.s3.inputs import (
    DeleteEntry,
    DeleteObjectInput,
    DeleteObjectsInput,
    GetObjectAttributesInput,
    GetObjectInput,
    PutObjectInput,
)
from objstore.s3.outputs import (
    DeleteObjectOutput,
    DeleteObjectsOutput,
    DeleteResult,
    GetObjectAttributesOutput,
    ObjectHead,
    PutObjectOutput,
)
from objstore.service.ingest import Ingest, Ingested
from objstore.service.ports import Buffer, Call, Ids
from objstore.service.reading import ObjectReader, part_span
from objstore.service.versions import key_text, shown_id, visible, written_id

__all__ = ["ObjectService", "ObjectStream", "judge_early"]

_DELETES_AT_ONCE = 64
_SINGLE_PART = 1


class ObjectStream(msgspec.Struct, frozen=True):
    """An answer with bytes: in one piece in `inline`, or to be pulled from `chunks`."""

    head: ObjectHead
    inline: Buffer | None
    chunks: AsyncGenerator[Buffer, None] | None = None


def judge_early(state: VersionState, key: ObjectKey, conditions: Conditions) -> None:
    """Refuse a write whose condition is false already, before its body is read (s3 rule 4.5.5).

    The catalogue judges again with the commit; only that decides.
    """
    version = state.version
    current = None if version is None or version.is_delete_marker else version
    if conditions.if_none_match and current is not None:
        raise PreconditionFailed(condition="If-None-Match")
    if conditions.if_match is not None:
        if current is None:
            raise NoSuchKey(key=key_text(key))
        if conditions.if_match not in ("*", current.etag):
            raise PreconditionFailed(condition="If-Match")


class ObjectService:
    """The operations whose subject is one object."""

    def __init__(self, catalog: Catalog, ingest: Ingest, reader: ObjectReader, ids: Ids) -> None:
        self._catalog = catalog
        self._ingest = ingest
        self._reader = reader
        self._ids = ids

    async def put_object(self, call: Call, request: PutObjectInput) -> PutObjectOutput:
        """Store an object (s3 rules 4.4 to 4.8, 3.4.1)."""
        if request.conditions != Conditions():
            state = await self._catalog.find(call.bucket, request.key)
            judge_early(state, request.key, request.conditions)
        algorithm = call.body.claimed or ChecksumAlgorithm.CRC64NVME
        call.body.require(algorithm)
        data_id = self._ids.data(call.now)
        async with self._ingest.taken(call.body, data_id) as ingested:
            version = self._new_version(call, request, ingested, algorithm)
            command = PutVersion(
                op_id=self._ids.op(),
                at=call.now,
                bucket_id=call.bucket.bucket_id,
                version=version,
                conditions=request.conditions,
            )
            result = await self._catalog.submit(call.bucket, request.key, command)
        if not isinstance(result, Written):
            raise InvariantError("a put was answered with something else")
        shown = written_id(result.versioning, result.version_id)
        return PutObjectOutput(version.etag, version.checksum, shown)

    async def get_object(self, call: Call, request: GetObjectInput) -> ObjectStream:
        """Return an object, a range or a part of it (s3 rules 4.1 to 4.4)."""
        head = await self._head(call, request, method="GET")
        if head.is_not_modified:
            return ObjectStream(head, b"")
        inline = self._reader.inline(head.version, head.start, head.length)
        if inline is None:
            inline = await self._reader.at_once(head.version, head.start, head.length)
        if inline is not None:
            return ObjectStream(head, inline)
        chunks = await self._reader.open(call.bucket, head.version, head.start, head.length)
        return ObjectStream(head, None, chunks)

    async def head_object(self, call: Call, request: GetObjectInput) -> ObjectHead:
        """Return what GetObject would say, without bytes (s3 rule 4.2.4)."""
        return await self._head(call, request, method="HEAD")

    async def delete_object(self, call: Call, request: DeleteObjectInput) -> DeleteObjectOutput:
        """Delete the key or one version of it (s3 rules 4.14.1, 4.14.2, 4.15.3, 4.15.4)."""
        if request.version_id is None:
            deleted = await self._delete_key(call, request.key, request.conditions)
        else:
            deleted = await self._delete_version(call, request.key, request.version_id, None)
        return DeleteObjectOutput(deleted.is_delete_marker, deleted.version_id)

    async def delete_objects(self, call: Call, request: DeleteObjectsInput) -> DeleteObjectsOutput:
        """Delete many keys; each has its own outcome, in the order of the request (s3 rule 4.14.4)."""
        results: list[DeleteResult | None] = [None] * len(request.entries)
        limiter = anyio.CapacityLimiter(_DELETES_AT_ONCE)

        async def delete(index: int, entry: DeleteEntry) -> None:
            async with limiter:
                results[index] = await self._delete_entry(call, entry)

        repeated = _has_repeats(request.entries)
        if repeated:
            for index, entry in enumerate(request.entries):
                await delete(index, entry)
        else:
            async with anyio.create_task_group() as group:
                for index, entry in enumerate(request.entries):
                    group.start_soon(delete, index, entry)
        return DeleteObjectsOutput([r for r in results if r is not None], request.is_quiet)

    async def get_object_attributes(
        self, call: Call, request: GetObjectAttributesInput
    ) -> GetObjectAttributesOutput:
        """Describe an object (s3 rule 4.13)."""
        state = await self._catalog.find(call.bucket, request.key, request.version_id)
        version = visible(state, request.key, request.version_id, method="GET")
        parts: Sequence[Part] | None = None
        is_truncated = False
        body = version.body
        if isinstance(body, PartsBody):
            found = await self._catalog.list_parts(
                call.bucket,
                request.key,
                body.upload_id,
                after=request.part_number_marker,
                limit=request.max_parts + 1,
            )
            # Without an explicit algorithm the parts carry no checksum, and S3 shows their number only.
            if not found or found[0].checksum is not None:
                is_truncated = len(found) > request.max_parts
                parts = found[: request.max_parts]
        return GetObjectAttributesOutput(
            version=version,
            version_id=shown_id(state.versioning, version.version_id),
            attributes=request.attributes,
            parts_count=body.parts_count if isinstance(body, PartsBody) else None,
            parts=parts,
            max_parts=request.max_parts,
            part_number_marker=request.part_number_marker,
            is_truncated=is_truncated,
        )

    def _new_version(
        self, call: Call, request: PutObjectInput, taken: Ingested, algorithm: ChecksumAlgorithm
    ) -> ObjectVersion:
        return ObjectVersion(
            key=request.key,
            version_id=self._ids.version(),
            last_modified=call.now,
            owner=call.bucket.owner,
            size=taken.digests.size,
            etag=taken.digests.md5.hex(),
            body=taken.body,
            checksum=taken.digests.full_object(algorithm),
            system=request.new.system,
            user=request.new.user,
            tags=request.new.tags,
            storage_class=request.new.storage_class,
        )

    async def _head(self, call: Call, request: GetObjectInput, *, method: str) -> ObjectHead:
        state = await self._catalog.find(call.bucket, request.key, request.version_id)
        version = visible(state, request.key, request.version_id, method=method)
        is_not_modified = False
        try:
            conditional.evaluate_read(
                request.conditions,
                etag=version.etag,
                last_modified=version.last_modified,
                now=call.now,
            )
        except NotModified:
            is_not_modified = True
        whole = _Span(0, version.size, is_partial=False, checksum=version.checksum)
        span = whole if is_not_modified else await self._span(call.bucket, request, whole, version)
        return ObjectHead(
            version=version,
            version_id=shown_id(state.versioning, version.version_id),
            start=span.start,
            length=span.length,
            is_partial=span.is_partial,
            checksum=span.checksum if request.wants_checksum else None,
            parts_count=span.parts_count,
            overrides=request.overrides,
            is_not_modified=is_not_modified,
        )

    async def _span(
        self,
        bucket: BucketRecord,
        request: GetObjectInput,
        whole: _Span,
        version: ObjectVersion,
    ) -> _Span:
        if request.part_number is not None:
            return await self._part_span(bucket, request.part_number, version)
        wanted = request.range
        if wanted is None or not conditional.range_applies(
            request.if_range, etag=version.etag, last_modified=version.last_modified
        ):
            return whole
        start, length = ranges.apply(wanted, version.size)
        checksum = version.checksum if length == version.size else None
        return _Span(start, length, is_partial=True, checksum=checksum)

    async def _part_span(
        self, bucket: BucketRecord, position: int, version: ObjectVersion
    ) -> _Span:
        """Find a part by its position (s3 rules 4.2.5 to 4.2.7, 3.4.4)."""
        body = version.body
        count = body.parts_count if isinstance(body, PartsBody) else _SINGLE_PART
        if position > count:
            raise InvalidPartNumber(actual_part_count=count, part_number_requested=position)
        if not isinstance(body, PartsBody):
            return _Span(0, version.size, is_partial=True, checksum=version.checksum)
        start, size, number = part_span(body, position)
        rows = await self._catalog.find_parts(bucket, version.key, body.upload_id, [number])
        checksum = rows[0].checksum if rows else None
        if checksum is not None and version.checksum is not None:  # with the type of the object
            checksum = Checksum(checksum.algorithm, version.checksum.type, checksum.digest)
        return _Span(start, size, is_partial=True, checksum=checksum, parts_count=count)

    async def _delete_key(self, call: Call, key: ObjectKey, conditions: Conditions) -> Deleted:
        marker = ObjectVersion(
            key=key,
            version_id=self._ids.version(),
            last_modified=call.now,
            owner=call.bucket.owner,
            is_delete_marker=True,
        )
        command = DeleteKey(
            op_id=self._ids.op(),
            at=call.now,
            bucket_id=call.bucket.bucket_id,
            key=key,
            marker=marker,
            conditions=conditions,
        )
        return _deleted(await self._catalog.submit(call.bucket, key, command))

    async def _delete_version(
        self, call: Call, key: ObjectKey, version_id: VersionId, etag: str | None
    ) -> Deleted:
        command = DeleteVersion(
            op_id=self._ids.op(),
            at=call.now,
            bucket_id=call.bucket.bucket_id,
            key=key,
            version_id=version_id,
            etag=etag,
        )
        return _deleted(await self._catalog.submit(call.bucket, key, command))

    async def _delete_entry(self, call: Call, entry: DeleteEntry) -> DeleteResult:
        try:
            if entry.version_id is None:
                return await self._delete_entry_key(call, entry)
            return await self._delete_entry_version(call, entry, entry.version_id)
        except ObjstoreError as error:
            row = error_code(error)
            message = row.message if row.is_internal else error.message or row.message
            return DeleteResult(entry.key, entry.version_id, error=(row.code, message))

    async def _delete_entry_key(self, call: Call, entry: DeleteEntry) -> DeleteResult:
        conditions = Conditions(if_match=entry.etag)
        deleted = await self._delete_key(call, entry.key, conditions)
        marker = deleted.version_id if deleted.is_delete_marker else None
        return DeleteResult(
            entry.key,
            is_delete_marker=deleted.is_delete_marker,
            delete_marker_version_id=marker,
        )

    async def _delete_entry_version(
        self, call: Call, entry: DeleteEntry, text: str
    ) -> DeleteResult:
        version_id = parse_version_id(text)
        deleted = await self._delete_version(call, entry.key, version_id, entry.etag)
        if not deleted.found and version_id != NULL_VERSION:
            row = ("NoSuchVersion", "The specified version does not exist.")
            return DeleteResult(entry.key, text, error=row)
        marker = version_id if deleted.is_delete_marker else None
        return DeleteResult(
            entry.key,
            text,
            is_delete_marker=deleted.is_delete_marker,
            delete_marker_version_id=marker,
        )


class _Span(msgspec.Struct, frozen=True, gc=False):
    start: int
    length: int
    is_partial: bool
    checksum: Checksum | None
    parts_count: int | None = None


def _has_repeats(entries: Sequence[DeleteEntry]) -> bool:
    """Tell whether order matters between entries: the same key twice."""
    return len({entry.key for entry in entries}) < len(entries)


def _deleted(result: object) -> Deleted:
    if not isinstance(result, Deleted):
        raise InvariantError("a delete was answered with something else")
    return result
