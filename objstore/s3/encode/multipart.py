"""Encoders of multipart uploads (s3 rules 4.10 to 4.12)."""

from __future__ import annotations

from objstore.model.checksum import Checksum
from objstore.model.digests import encode_digest
from objstore.model.objects import Part, Upload
from objstore.s3.checksums import checksum_headers
from objstore.s3.dates import iso_date
from objstore.s3.encode.documents import (
    algorithm_elements,
    checksum_elements,
    owner_element,
    version_header,
    xml_reply,
)
from objstore.s3.outputs import (
    CompleteMultipartUploadOutput,
    CopyPartOutput,
    CreateMultipartUploadOutput,
    ListPartsOutput,
    UploadPartOutput,
)
from objstore.s3.reply import HeaderPairs, Reply
from objstore.s3.request import S3Request
from objstore.s3.xml import escape_bytes, tag

__all__ = [
    "complete_multipart_upload",
    "create_multipart_upload",
    "list_parts",
    "upload_part",
    "upload_part_copy",
]


def create_multipart_upload(output: CreateMultipartUploadOutput, _request: S3Request) -> Reply:
    """Write the upload id; algorithm and type are echoed as headers (s3 rules 4.11.1, 3.5.1)."""
    headers: HeaderPairs = []
    if output.checksum_algorithm is not None:
        headers.append((b"x-amz-checksum-algorithm", output.checksum_algorithm.name.encode()))
    if output.checksum_type is not None:
        headers.append((b"x-amz-checksum-type", output.checksum_type.value.encode()))
    inner = (
        f"{tag('Bucket', output.bucket)}<Key>{escape_bytes(output.key)}</Key>"
        f"{tag('UploadId', output.upload_id)}"
    )
    return xml_reply("InitiateMultipartUploadResult", inner, headers)


def upload_part(output: UploadPartOutput, _request: S3Request) -> Reply:
    """Answer UploadPart; a part's checksum has no type of its own (s3 rule 3.5.3)."""
    headers = [(b"ETag", f'"{output.etag}"'.encode()), *checksum_headers(output.checksum)[:1]]
    return Reply(200, headers)


def upload_part_copy(output: CopyPartOutput, _request: S3Request) -> Reply:
    """Write CopyPartResult (s3 rule 4.10.2)."""
    inner = (
        f"<LastModified>{iso_date(output.last_modified)}</LastModified>"
        f"<ETag>&quot;{output.etag}&quot;</ETag>{_part_checksum(output.checksum)}"
    )
    headers: HeaderPairs = []
    if output.source_version_id is not None:
        headers.append((b"x-amz-copy-source-version-id", output.source_version_id.encode()))
    return xml_reply("CopyPartResult", inner, headers)


def complete_multipart_upload(output: CompleteMultipartUploadOutput, _request: S3Request) -> Reply:
    """Write CompleteMultipartUploadResult (s3 rule 4.11.6)."""
    inner = (
        f"{tag('Location', output.location)}{tag('Bucket', output.bucket)}"
        f"<Key>{escape_bytes(output.key)}</Key><ETag>&quot;{output.etag}&quot;</ETag>"
        f"{checksum_elements(output.checksum)}"
    )
    return xml_reply("CompleteMultipartUploadResult", inner, version_header(output.version_id))


def list_parts(output: ListPartsOutput, _request: S3Request) -> Reply:
    """Write a page of parts (s3 rule 4.12.1)."""
    upload = output.upload
    inner = (
        f"{tag('Bucket', output.bucket)}<Key>{escape_bytes(upload.key)}</Key>"
        f"{tag('UploadId', upload.upload_id)}"
        f"{tag('PartNumberMarker', output.part_number_marker)}"
        f"{tag('NextPartNumberMarker', output.parts[-1].number if output.parts else 0)}"
        f"{tag('MaxParts', output.max_parts)}{tag('IsTruncated', output.is_truncated)}"
        f"{''.join([_part(part, upload) for part in output.parts])}"
        f"<Initiator>{tag('ID', upload.initiator)}</Initiator>{owner_element(upload.owner)}"
        f"{tag('StorageClass', upload.storage_class)}"
        f"{algorithm_elements(upload.checksum_algorithm, upload.checksum_type)}"
    )
    return xml_reply("ListPartsResult", inner)


def _part(part: Part, upload: Upload) -> str:
    """Return a part; its checksum only where the upload has an algorithm (s3 rules 3.5.3, 3.5.4)."""
    checksum = part.checksum if upload.checksum_algorithm is not None else None
    return (
        f"<Part><PartNumber>{part.number}</PartNumber>"
        f"<LastModified>{iso_date(part.last_modified)}</LastModified>"
        f"<ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size}</Size>"
        f"{_part_checksum(checksum)}</Part>"
    )


def _part_checksum(checksum: Checksum | None) -> str:
    if checksum is None:
        return ""
    return tag(f"Checksum{checksum.algorithm.name}", encode_digest(checksum.digest))
