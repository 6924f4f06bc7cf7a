"""Decoders of the operations on one object, and of DeleteObjects."""

from __future__ import annotations

from typing import Final

from objstore.model.errors import BadRequestError, KeyTooLong, MalformedXml
from objstore.model.limits import DELETE_KEYS_MAX, KEY_BYTES_MAX, LIST_KEYS_MAX
from objstore.model.names import ObjectKey
from objstore.s3.arguments import invalid_argument, parse_count, parse_page_size, parse_part_number
from objstore.s3.checksums import algorithm_header, require_digest
from objstore.s3.conditional import strip_etag
from objstore.s3.copy_source import copy_source
from objstore.s3.decode import refusals
from objstore.s3.decode.address import bucket_of, document_of, key_of, required, version_of
from objstore.s3.decode.conditions import delete_conditions, read_conditions, write_conditions
from objstore.s3.decode.new_object import new_object
from objstore.s3.inputs import (
    CopyDestination,
    CopyObjectInput,
    DeleteEntry,
    DeleteObjectInput,
    DeleteObjectsInput,
    GetObjectAttributesInput,
    GetObjectInput,
    ObjectInput,
    PutObjectInput,
)
from objstore.s3.ranges import parse
from objstore.s3.request import Headers, Query, S3Request
from objstore.s3.xml import Element

__all__ = [
    "copy_object",
    "delete_object",
    "delete_objects",
    "get_object",
    "get_object_attributes",
    "object_input",
    "put_object",
]

_OVERRIDES: Final = {
    f"response-{name}": name
    for name in (
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    )
}
_ATTRIBUTES: Final = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})


def object_input(request: S3Request, _document: Element | None) -> ObjectInput:
    """Read bucket, key and version."""
    return ObjectInput(bucket_of(request), key_of(request), version_of(request))


def put_object(request: S3Request, _document: Element | None) -> PutObjectInput:
    """Read PutObject; the body comes beside it (s3 rules 4.4 to 4.8)."""
    headers = request.headers
    refusals.refuse(headers, refusals.WRITE_HEADERS)
    return PutObjectInput(
        bucket_of(request), key_of(request), new_object(headers), write_conditions(headers)
    )


def get_object(request: S3Request, _document: Element | None) -> GetObjectInput:
    """Read GetObject or HeadObject (s3 rules 4.1 to 4.3)."""
    headers, query = request.headers, request.query
    refusals.refuse(headers, refusals.READ_HEADERS)
    part_number = None
    if "partNumber" in query:
        part_number = parse_part_number(query.get("partNumber"))
        if "range" in headers:
            raise BadRequestError("Cannot specify both Range header and partNumber query parameter")
    return GetObjectInput(
        bucket=bucket_of(request),
        key=key_of(request),
        version_id=version_of(request),
        conditions=read_conditions(headers),
        range=parse(headers.get("range")),
        if_range=headers.get("if-range"),
        part_number=part_number,
        wants_checksum=headers.get("x-amz-checksum-mode", "").upper() == "ENABLED",
        overrides=_overrides(query),
    )


def _overrides(query: Query) -> tuple[tuple[str, str], ...]:
    """Read the `response-*` parameters (s3 rule 4.3); an empty one changes nothing."""
    if _OVERRIDES.keys().isdisjoint(query.first):
        return ()
    found = []
    for name, header in _OVERRIDES.items():
        value = query.get(name)
        if value:
            found.append((header, _header_value(name, value)))
    return tuple(found)


def _header_value(name: str, value: str) -> str:
    """Return the value. Raises `InvalidArgument` if it would not fit, or would not end, a header line."""
    if all(" " <= char <= "~" or char == "\t" or "\xa0" <= char <= "\xff" for char in value):
        return value
    raise invalid_argument(
        "Header value cannot be represented using ISO-8859-1.", name=name, value=value
    )


def get_object_attributes(
    request: S3Request, _document: Element | None
) -> GetObjectAttributesInput:
    """Read GetObjectAttributes (s3 rule 4.13.1)."""
    headers = request.headers
    refusals.refuse(headers, refusals.READ_HEADERS)
    max_parts = parse_page_size(headers.get("x-amz-max-parts"), name="x-amz-max-parts")
    marker = headers.get("x-amz-part-number-marker")
    return GetObjectAttributesInput(
        bucket=bucket_of(request),
        key=key_of(request),
        version_id=version_of(request),
        attributes=_attributes(headers),
        max_parts=min(max_parts, LIST_KEYS_MAX),
        part_number_marker=parse_count(marker, name="x-amz-part-number-marker", default=0),
    )


def _attributes(headers: Headers) -> tuple[str, ...]:
    text = headers.get("x-amz-object-attributes", "")
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise BadRequestError(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is "
            "either missing or empty"
        )
    for name in names:
        if name not in _ATTRIBUTES:
            raise invalid_argument(
                "Invalid attribute name specified.", name="x-amz-object-attributes", value=name
            )
    return names


# --- copies -----------------------------------------------------------------------------------------------------


def copy_object(request: S3Request, _document: Element | None) -> CopyObjectInput:
    """Read CopyObject (s3 rule 4.9)."""
    headers = request.headers
    refusals.refuse(headers, refusals.WRITE_HEADERS)
    refusals.refuse(headers, refusals.COPY_SOURCE_HEADERS)
    replaces_metadata = _replaces(headers, "metadata")
    replaces_tags = _replaces(headers, "tagging")
    new = new_object(headers, takes_metadata=replaces_metadata, takes_tags=replaces_tags)
    destination = CopyDestination(
        new=new,
        replaces_metadata=replaces_metadata,
        replaces_tags=replaces_tags,
        has_storage_class="x-amz-storage-class" in headers,
        has_redirect=new.system.website_redirect_location is not None,
        checksum_algorithm=algorithm_header(headers),
    )
    return CopyObjectInput(
        bucket=bucket_of(request),
        key=key_of(request),
        source=copy_source(headers),
        destination=destination,
        conditions=write_conditions(headers),
    )


def _replaces(headers: Headers, what: str) -> bool:
    """Read a directive: COPY or REPLACE (s3 rule 4.9.3)."""
    name = f"x-amz-{what}-directive"
    value = headers.get(name, "COPY")
    if value not in {"COPY", "REPLACE"}:
        raise invalid_argument(f"Unknown {what} directive.", name=name, value=value)
    return value == "REPLACE"


# --- deletes ----------------------------------------------------------------------------------------------------


def delete_object(request: S3Request, _document: Element | None) -> DeleteObjectInput:
    """Read DeleteObject; `x-amz-mfa` means nothing without MFA delete (s3 rules 4.14.2 and 4.14.8)."""
    headers = request.headers
    refusals.refuse(headers, refusals.BYPASS_HEADERS)
    version_id = version_of(request)
    return DeleteObjectInput(
        bucket_of(request), key_of(request), version_id, delete_conditions(headers, version_id)
    )


def delete_objects(request: S3Request, document: Element | None) -> DeleteObjectsInput:
    """Read DeleteObjects (s3 rule 4.14.3); it is the one call where a digest is never optional (3.1.2)."""
    require_digest(request.headers)
    # `x-amz-bypass-governance-retention` is let pass here, unlike on a single delete (s3 rule 4.14.7): clean-up tools send it
    # blindly with every batch, and where nothing is locked there is nothing to bypass.
    root = document_of(document, "Delete")
    listed = root.children_named("Object")
    if not 1 <= len(listed) <= DELETE_KEYS_MAX:
        raise MalformedXml
    entries = tuple(_delete_entry(element) for element in listed)
    return DeleteObjectsInput(bucket_of(request), entries, _is_quiet(root))


def _is_quiet(root: Element) -> bool:
    text = (root.text_of("Quiet") or "false").strip().lower()
    if text not in {"true", "false"}:
        raise MalformedXml
    return text == "true"


def _delete_entry(element: Element) -> DeleteEntry:
    key = required(element.text_of("Key")).encode()
    if not key:
        raise MalformedXml
    if len(key) > KEY_BYTES_MAX:
        raise KeyTooLong(size=len(key), max_size_allowed=KEY_BYTES_MAX)
    for name, header in _ENTRY_CONDITIONS.items():
        if element.child(name) is not None:
            raise refusals.not_implemented(header)
    etag = element.text_of("ETag")
    return DeleteEntry(
        key=ObjectKey(key),
        version_id=element.text_of("VersionId") or None,
        etag=None if etag is None else strip_etag(etag),
    )


_ENTRY_CONDITIONS: Final = {
    "LastModifiedTime": "x-amz-if-match-last-modified-time",
    "Size": "x-amz-if-match-size",
}
"""The elements of an entry that S3 has for directory buckets only, by the header that means the same."""
