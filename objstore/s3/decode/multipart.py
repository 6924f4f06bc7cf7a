"""Decoders of multipart uploads (s3 rules 3.5 and 4.10 to 4.12)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from objstore.model.checksum import ChecksumAlgorithm
from objstore.model.digests import decode_digest
from objstore.model.errors import BadRequestError, InvalidPartOrder, MalformedXml
from objstore.model.limits import PARTS_MAX
from objstore.model.names import UploadId
from objstore.s3.arguments import (
    invalid_argument,
    parse_count,
    parse_page_size,
    parse_part_number,
)
from objstore.s3.checksums import checksum_type_of, new_upload_checksum, object_checksum
from objstore.s3.conditional import strip_etag
from objstore.s3.copy_source import copy_source, parse_source_range
from objstore.s3.decode import refusals
from objstore.s3.decode.address import bucket_of, document_of, key_of, required, upload_of
from objstore.s3.decode.conditions import refuse_write_conditions, write_conditions
from objstore.s3.decode.new_object import new_object
from objstore.s3.inputs import (
    AbortMultipartUploadInput,
    CompletedPart,
    CompleteMultipartUploadInput,
    CreateMultipartUploadInput,
    ListPartsInput,
    UploadPartCopyInput,
    UploadPartInput,
)
from objstore.s3.request import Headers, S3Request
from objstore.s3.xml import Element

__all__ = [
    "abort_multipart_upload",
    "complete_multipart_upload",
    "create_multipart_upload",
    "list_parts",
    "upload_part",
    "upload_part_copy",
]

_NUMBER: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_SIZE: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_CHECKSUM_ELEMENTS: Final = {
    f"Checksum{algorithm.name}": algorithm for algorithm in ChecksumAlgorithm
}


def create_multipart_upload(
    request: S3Request, _document: Element | None
) -> CreateMultipartUploadInput:
    """Read CreateMultipartUpload: all that the object will carry is judged here (s3 rule 4.11.1)."""
    headers = request.headers
    refusals.refuse(headers, refusals.WRITE_HEADERS)
    algorithm, checksum_type = new_upload_checksum(headers)
    return CreateMultipartUploadInput(
        bucket=bucket_of(request),
        key=key_of(request),
        new=new_object(headers),
        checksum_algorithm=algorithm,
        checksum_type=checksum_type,
        conditions=write_conditions(headers),
    )


def upload_part(request: S3Request, _document: Element | None) -> UploadPartInput:
    """Read UploadPart; the body comes beside it (s3 rule 4.11.3)."""
    refusals.refuse(request.headers, refusals.PART_HEADERS)
    refuse_write_conditions(request.headers)
    number = parse_part_number(request.query.get("partNumber"))
    return UploadPartInput(bucket_of(request), key_of(request), upload_of(request), number)


def upload_part_copy(request: S3Request, _document: Element | None) -> UploadPartCopyInput:
    """Read UploadPartCopy (s3 rule 4.10)."""
    headers = request.headers
    refusals.refuse(headers, refusals.PART_HEADERS)
    refusals.refuse(headers, refusals.COPY_SOURCE_HEADERS)
    refuse_write_conditions(headers)
    return UploadPartCopyInput(
        bucket=bucket_of(request),
        key=key_of(request),
        upload_id=upload_of(request),
        part_number=parse_part_number(request.query.get("partNumber")),
        source=copy_source(headers),
        source_range=parse_source_range(headers.get("x-amz-copy-source-range")),
    )


def abort_multipart_upload(
    request: S3Request, _document: Element | None
) -> AbortMultipartUploadInput:
    """Read AbortMultipartUpload. Its one condition belongs to directory buckets (s3 rule 4.11.10)."""
    if "x-amz-if-match-initiated-time" in request.headers:
        raise refusals.not_implemented("x-amz-if-match-initiated-time")
    return AbortMultipartUploadInput(bucket_of(request), key_of(request), upload_of(request))


def list_parts(request: S3Request, _document: Element | None) -> ListPartsInput:
    """Read ListParts (s3 rule 4.12.2)."""
    query = request.query
    refusals.refuse(request.headers, refusals.READ_HEADERS)
    return ListPartsInput(
        bucket=bucket_of(request),
        key=key_of(request),
        upload_id=upload_of(request),
        max_parts=parse_page_size(query.get("max-parts"), name="max-parts"),
        part_number_marker=parse_count(
            query.get("part-number-marker"), name="part-number-marker", default=0
        ),
    )


# --- complete ---------------------------------------------------------------------------------------------------


def complete_multipart_upload(
    request: S3Request, document: Element | None
) -> CompleteMultipartUploadInput:
    """Read CompleteMultipartUpload (s3 rules 4.11.4 and 3.5.5 to 3.5.8)."""
    headers, upload_id = request.headers, upload_of(request)
    refusals.refuse(headers, refusals.PART_HEADERS)
    root = document_of(document, "CompleteMultipartUpload")
    listed = root.children_named("Part")
    if len(listed) > PARTS_MAX:
        raise MalformedXml
    parts = tuple(_completed_part(part) for part in listed)
    _check_parts(parts, upload_id)
    return CompleteMultipartUploadInput(
        bucket=bucket_of(request),
        key=key_of(request),
        upload_id=upload_id,
        parts=parts,
        conditions=write_conditions(headers),
        checksum=object_checksum(headers),
        checksum_type=checksum_type_of(headers),
        object_size=_object_size(headers),
    )


def _check_parts(parts: Sequence[CompletedPart], upload_id: UploadId) -> None:
    """Raise `BadRequestError` for no parts and `InvalidPartOrder` unless numbers ascend strictly."""
    if not parts:
        raise BadRequestError("You must specify at least one part")
    previous = 0
    for part in parts:
        if part.number <= previous:
            raise InvalidPartOrder(upload_id=upload_id)
        previous = part.number


def _completed_part(element: Element) -> CompletedPart:
    number = required(element.text_of("PartNumber")).strip()
    etag = required(element.text_of("ETag"))
    if _NUMBER.fullmatch(number) is None:
        raise MalformedXml
    if not 1 <= int(number) <= PARTS_MAX:
        raise invalid_argument(
            f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive",
            name="partNumber",
            value=number,
        )
    return CompletedPart(int(number), strip_etag(etag), _part_checksums(element))


def _part_checksums(element: Element) -> tuple[tuple[ChecksumAlgorithm, bytes], ...]:
    """Read the one checksum that a part may state. Raises `InvalidArgument` (s3 rule 3.5.5)."""
    found: list[tuple[ChecksumAlgorithm, bytes]] = []
    for child in element.children:
        algorithm = _CHECKSUM_ELEMENTS.get(child.name)
        if algorithm is None:
            continue
        digest = decode_digest(algorithm, child.text)
        if digest is None or found:
            raise invalid_argument(
                "Each part takes one checksum, in base64.", name="Checksum", value=child.text
            )
        found.append((algorithm, digest))
    return tuple(found)


def _object_size(headers: Headers) -> int | None:
    """Read `x-amz-mp-object-size`. Raises `BadRequestError` (s3 rule 3.5.8)."""
    text = headers.get("x-amz-mp-object-size")
    if text is None:
        return None
    if _SIZE.fullmatch(text) is None:
        raise BadRequestError("Value for x-amz-mp-object-size header is invalid.")
    return int(text)
