"""Multipart uploads: create, parts, complete, abort, list (s3 rules 4.10 to 4.12, 3.5)."""

from __future__ import annotations

from objstore.metadata.catalog import Catalog, VersionState
from objstore.metadata.commands import (
    AbortUpload,
    CompletedUpload,
    CompletePart,
    CompleteUpload,
    CreateUpload,
    PutPart,
)
from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.errors import BadRequestError, InvariantError, NoSuchUpload
from objstore.model.limits import COPY_SOURCE_BYTES_MAX
from objstore.model.objects import Conditions, Part, Upload
from objstore.s3.copy_source import check_source_range
from objstore.s3.inputs import (
    AbortMultipartUploadInput,
    CompleteMultipartUploadInput,
    CreateMultipartUploadInput,
    ListMultipartUploadsInput,
    ListPartsInput,
    UploadPartCopyInput,
    UploadPartInput,
)
from objstore.s3.outputs import (
    CompleteMultipartUploadOutput,
    CopyPartOutput,
    CreateMultipartUploadOutput,
    EmptyOutput,
    ListMultipartUploadsOutput,
    ListPartsOutput,
    UploadPartOutput,
)
from objstore.s3.uris import encode_key
from objstore.service.copying import CopySources
from objstore.service.ingest import Ingest
from objstore.service.objects import judge_early
from objstore.service.ports import BodyDigests, BodySource, Call, Ids
from objstore.service.versions import written_id

__all__ = ["MultipartService"]


class MultipartService:
    """The operations of multipart uploads."""

    def __init__(self, catalog: Catalog, ingest: Ingest, sources: CopySources, ids: Ids) -> None:
        self._catalog = catalog
        self._ingest = ingest
        self._sources = sources
        self._ids = ids

    async def create_multipart_upload(
        self, call: Call, request: CreateMultipartUploadInput
    ) -> CreateMultipartUploadOutput:
        """Open an upload; everything but the bytes is fixed now (s3 rule 4.11.1)."""
        if request.conditions != Conditions():
            state = await self._catalog.find(call.bucket, request.key)
            judge_early(state, request.key, request.conditions)
        upload = Upload(
            upload_id=self._ids.upload(call.now),
            key=request.key,
            initiated=call.now,
            owner=call.bucket.owner,
            initiator=call.identity.canonical_id,
            system=request.new.system,
            user=request.new.user,
            tags=request.new.tags,
            storage_class=request.new.storage_class,
            checksum_algorithm=request.checksum_algorithm,
            checksum_type=request.checksum_type,
        )
        command = CreateUpload(
            op_id=self._ids.op(), at=call.now, bucket_id=call.bucket.bucket_id, upload=upload
        )
        await self._catalog.submit(call.bucket, request.key, command)
        return CreateMultipartUploadOutput(
            request.bucket,
            request.key,
            upload.upload_id,
            upload.checksum_algorithm,
            upload.checksum_type,
        )

    async def upload_part(self, call: Call, request: UploadPartInput) -> UploadPartOutput:
        """Store a part; the same number again replaces it (s3 rules 4.11.3, 3.5.2, 3.5.3)."""
        upload = await self._catalog.find_upload(call.bucket, request.key, request.upload_id)
        _judge_part_checksum(upload, call.body.claimed)
        part = await self._store_part(call, upload, request.part_number, call.body)
        claimed = call.body.claimed
        shown = part.checksum
        if shown is None and claimed is not None:
            digests = await call.body.finish()
            shown = digests.full_object(claimed)
        return UploadPartOutput(part.etag, shown)

    async def upload_part_copy(self, call: Call, request: UploadPartCopyInput) -> CopyPartOutput:
        """Store a part with bytes of a stored object (s3 rule 4.10)."""
        upload = await self._catalog.find_upload(call.bucket, request.key, request.upload_id)
        opened = await self._sources.find(call, request.source)
        start, length = _copy_span(request, opened.version.size)
        body = await self._sources.stream(opened, start, length)
        part = await self._store_part(call, upload, request.part_number, body)
        return CopyPartOutput(part.etag, part.last_modified, part.checksum, opened.version_id)

    async def complete_multipart_upload(
        self, call: Call, request: CompleteMultipartUploadInput
    ) -> CompleteMultipartUploadOutput:
        """Make the object; metadata only, and repeatable (s3 rules 4.11.4 to 4.11.9)."""
        if request.conditions != Conditions():
            state = await self._catalog.find(call.bucket, request.key)
            await self._judge_complete_early(call, request, state)
        command = CompleteUpload(
            op_id=self._ids.op(),
            at=call.now,
            bucket_id=call.bucket.bucket_id,
            key=request.key,
            upload_id=request.upload_id,
            parts=tuple(CompletePart(p.number, p.etag, p.checksums) for p in request.parts),
            version_id=self._ids.version(),
            conditions=request.conditions,
            checksum=request.checksum,
            checksum_type=request.checksum_type,
            object_size=request.object_size,
        )
        done = await self._catalog.submit(call.bucket, request.key, command)
        if not isinstance(done, CompletedUpload):
            raise InvariantError("a completion was answered with something else")
        return CompleteMultipartUploadOutput(
            bucket=request.bucket,
            key=request.key,
            etag=done.etag,
            checksum=done.checksum,
            version_id=written_id(done.versioning, done.version_id),
            location=f"{call.endpoint}/{request.bucket}/{encode_key(request.key)}",
        )

    async def abort_multipart_upload(
        self, call: Call, request: AbortMultipartUploadInput
    ) -> EmptyOutput:
        """Drop the upload and its parts (s3 rule 4.11.10)."""
        command = AbortUpload(
            op_id=self._ids.op(),
            at=call.now,
            bucket_id=call.bucket.bucket_id,
            key=request.key,
            upload_id=request.upload_id,
        )
        await self._catalog.submit(call.bucket, request.key, command)
        return EmptyOutput()

    async def list_parts(self, call: Call, request: ListPartsInput) -> ListPartsOutput:
        """List the parts of an open upload (s3 rule 4.12)."""
        upload = await self._catalog.find_upload(call.bucket, request.key, request.upload_id)
        limit = request.max_parts
        parts = await self._catalog.list_parts(
            call.bucket,
            request.key,
            request.upload_id,
            after=request.part_number_marker,
            limit=limit + 1,
        )
        return ListPartsOutput(
            bucket=request.bucket,
            upload=upload,
            parts=parts[:limit],
            max_parts=limit,
            part_number_marker=request.part_number_marker,
            is_truncated=0 < limit < len(parts),
        )

    async def list_multipart_uploads(
        self, call: Call, request: ListMultipartUploadsInput
    ) -> ListMultipartUploadsOutput:
        """List open uploads (s3 rule 5.5)."""
        page = await self._catalog.list_uploads(
            call.bucket,
            prefix=request.query.prefix,
            delimiter=request.query.delimiter,
            after=(request.key_marker, request.upload_id_marker),
            limit=request.query.max_keys,
        )
        return ListMultipartUploadsOutput(
            request, page.uploads, page.common_prefixes, page.is_truncated, page.last_marker
        )

    async def _store_part(
        self, call: Call, upload: Upload, number: int, source: BodySource
    ) -> Part:
        algorithm = upload.checksum_algorithm
        if algorithm is not None:
            source.require(algorithm)
        if algorithm is not ChecksumAlgorithm.CRC64NVME:
            source.require(ChecksumAlgorithm.CRC64NVME)
        # A fresh name for every attempt: a replaced part can never be mixed up with its successor.
        data_id = self._ids.data(call.now)
        async with self._ingest.taken(source, data_id, number) as taken:
            part = Part(
                number=number,
                size=taken.digests.size,
                etag=taken.digests.md5.hex(),
                last_modified=call.now,
                body=taken.body,
                checksum=_part_checksum(taken.digests, algorithm),
                crc64nvme=taken.digests.values[ChecksumAlgorithm.CRC64NVME],
            )
            command = PutPart(
                op_id=self._ids.op(),
                at=call.now,
                bucket_id=call.bucket.bucket_id,
                key=upload.key,
                upload_id=upload.upload_id,
                part=part,
            )
            await self._catalog.submit(call.bucket, upload.key, command)
        return part

    async def _judge_complete_early(
        self, call: Call, request: CompleteMultipartUploadInput, state: VersionState
    ) -> None:
        """Judge conditions early only while the upload is open: a retry must find its first result."""
        try:
            await self._catalog.find_upload(call.bucket, request.key, request.upload_id)
        except NoSuchUpload:
            return
        judge_early(state, request.key, request.conditions)


def _part_checksum(digests: BodyDigests, algorithm: ChecksumAlgorithm | None) -> Checksum | None:
    if algorithm is None:
        return None
    return Checksum(algorithm, ChecksumType.FULL_OBJECT, digests.values[algorithm])


def _judge_part_checksum(upload: Upload, claimed: ChecksumAlgorithm | None) -> None:
    """Refuse a part whose checksum does not fit the upload's algorithm (s3 rule 3.5.2)."""
    expected = upload.checksum_algorithm
    if expected is None or claimed is expected:
        return
    if claimed is None and upload.checksum_type is ChecksumType.FULL_OBJECT:
        return
    actual = "null" if claimed is None else claimed.value
    raise BadRequestError(
        f"Checksum Type mismatch occurred, expected checksum Type: {expected.value}, "
        f"actual checksum Type: {actual}"
    )


def _copy_span(request: UploadPartCopyInput, size: int) -> tuple[int, int]:
    """Return (start, length); nothing is clipped here, unlike a GET (s3 rule 4.10.1)."""
    if request.source_range is None:
        if size > COPY_SOURCE_BYTES_MAX:
            raise BadRequestError(
                "The specified copy source is larger than the maximum allowable size for a copy "
                f"source: {COPY_SOURCE_BYTES_MAX}"
            )
        return 0, size
    check_source_range(request.source_range, size)
    first, last = request.source_range
    return first, last - first + 1
