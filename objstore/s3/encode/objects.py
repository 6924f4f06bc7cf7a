"""Encoders of the operations on objects: head and get, put, copy, delete, attributes, tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from objstore.model.digests import encode_digest
from objstore.model.names import VersionId
from objstore.model.objects import ObjectVersion, Part, SystemMetadata
from objstore.s3.checksums import checksum_headers
from objstore.s3.dates import http_date, iso_date
from objstore.s3.encode.documents import checksum_elements, version_header, xml_reply
from objstore.s3.metadata import DEFAULT_CONTENT_TYPE, encode_words
from objstore.s3.outputs import (
    CopyObjectOutput,
    DeleteObjectOutput,
    DeleteObjectsOutput,
    DeleteResult,
    EmptyOutput,
    GetObjectAttributesOutput,
    ObjectHead,
    PutObjectOutput,
    TaggingOutput,
)
from objstore.s3.ranges import content_range
from objstore.s3.reply import HeaderPairs, Reply
from objstore.s3.request import S3Request
from objstore.s3.xml import escape_bytes, tag

__all__ = [
    "copy_object",
    "delete_object",
    "delete_objects",
    "done",
    "done_without_content",
    "get_object_attributes",
    "object_head",
    "put_object",
    "tagging",
]

_ACCEPT_RANGES: Final = (b"Accept-Ranges", b"bytes")
_NO_OVERRIDES: Final[Mapping[str, str]] = {}
_DEFAULT_SYSTEM: Final = SystemMetadata()


# --- reads ------------------------------------------------------------------------------------------------------


def object_head(output: ObjectHead, _request: S3Request) -> Reply:
    """Answer GET and HEAD but for the bytes: the caller streams `start` and `length` (s3 rules 4.2, 4.4.5)."""
    version = output.version
    if output.is_not_modified:
        return _not_modified(version, output.version_id)
    headers = _validators(version)
    headers.append(_ACCEPT_RANGES)
    headers += _stored_headers(version.system, output.overrides)
    headers += [_metadata_header(name, value) for name, value in version.user]
    headers += version_header(output.version_id)
    headers += checksum_headers(output.checksum)
    if version.storage_class != "STANDARD":
        headers.append((b"x-amz-storage-class", version.storage_class.encode()))
    if version.tags:
        headers.append((b"x-amz-tagging-count", b"%d" % len(version.tags)))
    if output.parts_count is not None:
        headers.append((b"x-amz-mp-parts-count", b"%d" % output.parts_count))
    if not output.is_partial:
        return Reply(200, headers, content_length=output.length)
    if output.length:
        text = content_range(output.start, output.length, version.size)
        headers.append((b"Content-Range", text.encode()))
    return Reply(206, headers, content_length=output.length)


def _not_modified(version: ObjectVersion, version_id: VersionId | None) -> Reply:
    """Answer 304: what a cache needs to go on with what it has, and no body (s3 rule 4.1.5)."""
    headers = _validators(version) + version_header(version_id)
    system = version.system
    for name, value in ((b"Cache-Control", system.cache_control), (b"Expires", system.expires)):
        if value:
            headers.append((name, value.encode()))
    return Reply(304, headers)


def _validators(version: ObjectVersion) -> HeaderPairs:
    return [
        (b"Last-Modified", http_date(version.last_modified).encode()),
        (b"ETag", f'"{version.etag}"'.encode()),
    ]


def _stored_headers(system: SystemMetadata, overrides: tuple[tuple[str, str], ...]) -> HeaderPairs:
    """Return the system headers as stored, or as the request wants them instead (s3 rules 4.3.1, 4.4.1)."""
    if not overrides and system == _DEFAULT_SYSTEM:
        return [(b"Content-Type", DEFAULT_CONTENT_TYPE.encode())]
    wanted = dict(overrides) if overrides else _NO_OVERRIDES
    stored = (
        (b"Content-Type", "content-type", system.content_type or DEFAULT_CONTENT_TYPE),
        (b"Cache-Control", "cache-control", system.cache_control),
        (b"Content-Disposition", "content-disposition", system.content_disposition),
        (b"Content-Encoding", "content-encoding", system.content_encoding),
        (b"Content-Language", "content-language", system.content_language),
        (b"Expires", "expires", system.expires),
        (b"x-amz-website-redirect-location", "", system.website_redirect_location),
    )
    headers: HeaderPairs = []
    for shown, name, value in stored:
        if name in wanted:
            headers.append((shown, wanted[name].encode("latin-1")))
        elif value:
            headers.append((shown, value.encode()))
    return headers


def _metadata_header(name: str, value: str) -> tuple[bytes, bytes]:
    return f"x-amz-meta-{name}".encode(), encode_words(value).encode()


def get_object_attributes(output: GetObjectAttributesOutput, _request: S3Request) -> Reply:
    """Write the attributes that were asked for (s3 rule 4.13)."""
    version = output.version
    fields = {
        "ETag": tag("ETag", version.etag),
        "Checksum": _attribute_checksum(version),
        "ObjectParts": _object_parts(output),
        "StorageClass": tag("StorageClass", version.storage_class),
        "ObjectSize": tag("ObjectSize", version.size),
    }
    inner = "".join([text for name, text in fields.items() if name in output.attributes])
    headers = [(b"Last-Modified", http_date(version.last_modified).encode())]
    headers += version_header(output.version_id)
    return xml_reply("GetObjectAttributesResponse", inner, headers)


def _attribute_checksum(version: ObjectVersion) -> str:
    """Return the checksum; a composite one without its number of parts (s3 rule 3.4.5)."""
    checksum = version.checksum
    if checksum is None:
        return ""
    name = f"Checksum{checksum.algorithm.name}"
    value = tag(name, encode_digest(checksum.digest))
    return f"<Checksum>{value}{tag('ChecksumType', checksum.type.value)}</Checksum>"


def _object_parts(output: GetObjectAttributesOutput) -> str:
    """Return the number of parts, and their details where the output has some (s3 rule 4.13.3)."""
    if output.parts_count is None:
        return ""
    inner = tag("PartsCount", output.parts_count)
    if output.parts is not None:
        last = output.parts[-1].number if output.parts else 0
        inner += (
            tag("PartNumberMarker", output.part_number_marker)
            + tag("NextPartNumberMarker", last)
            + tag("MaxParts", output.max_parts)
            + tag("IsTruncated", output.is_truncated)
            + "".join([_attribute_part(part) for part in output.parts])
        )
    return f"<ObjectParts>{inner}</ObjectParts>"


def _attribute_part(part: Part) -> str:
    inner = tag("PartNumber", part.number) + tag("Size", part.size)
    if part.checksum is not None:
        name = f"Checksum{part.checksum.algorithm.name}"
        inner += tag(name, encode_digest(part.checksum.digest))
    return f"<Part>{inner}</Part>"


# --- writes -----------------------------------------------------------------------------------------------------


def put_object(output: PutObjectOutput, _request: S3Request) -> Reply:
    """Answer PutObject: headers only (s3 rule 4.4.6)."""
    headers = [(b"ETag", f'"{output.etag}"'.encode())]
    headers += checksum_headers(output.checksum)
    headers += version_header(output.version_id)
    return Reply(200, headers)


def copy_object(output: CopyObjectOutput, _request: S3Request) -> Reply:
    """Write CopyObjectResult (s3 rule 4.9.6)."""
    inner = (
        f"<LastModified>{iso_date(output.last_modified)}</LastModified>"
        f"{tag('ETag', quoted(output.etag))}{checksum_elements(output.checksum)}"
    )
    headers = version_header(output.version_id)
    if output.source_version_id is not None:
        headers.append((b"x-amz-copy-source-version-id", output.source_version_id.encode()))
    return xml_reply("CopyObjectResult", inner, headers)


def quoted(etag: str) -> str:
    """Return an ETag as headers and most documents show it (s3 rule 1.7.10)."""
    return f'"{etag}"'


# --- deletes ----------------------------------------------------------------------------------------------------


def delete_object(output: DeleteObjectOutput, _request: S3Request) -> Reply:
    """Answer DeleteObject with 204 (s3 rules 4.14.1, 4.15.3, 4.15.4)."""
    headers = version_header(output.version_id)
    if output.is_delete_marker:
        headers.append((b"x-amz-delete-marker", b"true"))
    return Reply(204, headers)


def delete_objects(output: DeleteObjectsOutput, _request: S3Request) -> Reply:
    """Write one line per key, or per failure when the client wants quiet (s3 rule 4.14.4)."""
    lines = [_failed(result) for result in output.results if result.error is not None]
    if not output.is_quiet:
        lines = [
            _deleted(result) if result.error is None else _failed(result)
            for result in output.results
        ]
    return xml_reply("DeleteResult", "".join(lines))


def _deleted(result: DeleteResult) -> str:
    inner = f"<Key>{escape_bytes(result.key)}</Key>"
    if result.version_id is not None:
        inner += tag("VersionId", result.version_id)
    if result.is_delete_marker:
        inner += "<DeleteMarker>true</DeleteMarker>"
    if result.delete_marker_version_id is not None:
        inner += tag("DeleteMarkerVersionId", result.delete_marker_version_id)
    return f"<Deleted>{inner}</Deleted>"


def _failed(result: DeleteResult) -> str:
    code, message = result.error or ("InternalError", "")
    inner = f"<Key>{escape_bytes(result.key)}</Key>"
    if result.version_id is not None:
        inner += tag("VersionId", result.version_id)
    return f"<Error>{inner}{tag('Code', code)}{tag('Message', message)}</Error>"


# --- tags, and answers without content --------------------------------------------------------------------------


def tagging(output: TaggingOutput, _request: S3Request) -> Reply:
    """Write a tag set; an object without tags has an empty one (s3 rule 4.8.4)."""
    tags = "".join(
        [f"<Tag>{tag('Key', key)}{tag('Value', value)}</Tag>" for key, value in output.tags]
    )
    inner = f"<TagSet>{tags}</TagSet>"
    return xml_reply("Tagging", inner, version_header(output.version_id))


def done(output: EmptyOutput, _request: S3Request) -> Reply:
    """Answer 200 without a body."""
    return Reply(200, version_header(output.version_id))


def done_without_content(output: EmptyOutput, _request: S3Request) -> Reply:
    """Answer 204 (s3 rule 1.7.3)."""
    return Reply(204, version_header(output.version_id))
