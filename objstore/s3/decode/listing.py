"""Decoders of the listings of a bucket (s3 rules 5.1 to 5.5)."""

from __future__ import annotations

from objstore.model.names import UploadId, VersionId, is_upload_id
from objstore.s3.arguments import invalid_argument, parse_page_size, parse_version_id
from objstore.s3.decode.address import bucket_of
from objstore.s3.inputs import (
    ListMultipartUploadsInput,
    ListObjectsInput,
    ListObjectVersionsInput,
    ListQuery,
)
from objstore.s3.request import Query, S3Request
from objstore.s3.tokens import decode_token, object_listing
from objstore.s3.xml import Element

__all__ = [
    "list_multipart_uploads",
    "list_object_versions",
    "list_objects",
]


def list_objects(request: S3Request, _document: Element | None) -> ListObjectsInput:
    """Read ListObjects, or ListObjectsV2 when `list-type=2` says so (s3 rules 5.2, 5.3)."""
    query = request.query
    list_type = query.get("list-type")
    if list_type is None:
        marker = _bytes(query, "marker")
        return ListObjectsInput(
            bucket_of(request),
            _list_query(query, "max-keys"),
            is_v2=False,
            after=marker,
            marker=marker,
        )
    if list_type != "2":
        raise invalid_argument(
            "Invalid List Type specified in Request", name="list-type", value=list_type
        )
    return _list_objects_v2(request)


def _list_objects_v2(request: S3Request) -> ListObjectsInput:
    """A token, where there is one, outweighs start-after (s3 rule 5.3.3)."""
    query = request.query
    common = _list_query(query, "max-keys")
    bucket = bucket_of(request)
    token = query.get("continuation-token")
    start_after = _bytes(query, "start-after") if "start-after" in query else None
    if token is None:
        after = start_after or b""
    else:
        context = object_listing(bucket, prefix=common.prefix, delimiter=common.delimiter)
        after = decode_token(token, context=context)
    return ListObjectsInput(
        bucket,
        common,
        is_v2=True,
        after=after,
        start_after=start_after,
        continuation_token=token,
        fetch_owner=(query.get("fetch-owner") or "").lower() == "true",
    )


def list_object_versions(request: S3Request, _document: Element | None) -> ListObjectVersionsInput:
    """Read ListObjectVersions (s3 rule 5.4.3)."""
    query = request.query
    key_marker = _bytes(query, "key-marker")
    return ListObjectVersionsInput(
        bucket_of(request),
        _list_query(query, "max-keys"),
        key_marker=key_marker,
        version_id_marker=_version_id_marker(query, has_key_marker=bool(key_marker)),
    )


def _version_id_marker(query: Query, *, has_key_marker: bool) -> VersionId | None:
    name = "version-id-marker"
    text = query.get(name)
    if text is None or not (text or has_key_marker):
        return None
    if not has_key_marker:
        raise invalid_argument(
            "A version-id marker cannot be specified without a key marker.", name=name, value=text
        )
    if not text:
        raise invalid_argument("A version-id marker cannot be empty.", name=name, value=text)
    return parse_version_id(text, name=name)


def list_multipart_uploads(
    request: S3Request, _document: Element | None
) -> ListMultipartUploadsInput:
    """Read ListMultipartUploads; an upload marker without a key marker is ignored (s3 rule 5.5.3).

    Raises `InvalidArgument` for an upload marker that is no upload id. One that is, but whose upload has ended, still marks
    its place, as in S3: callers abort uploads while they page through them.
    """
    query = request.query
    key_marker = _bytes(query, "key-marker")
    upload_id_marker = query.get("upload-id-marker") if key_marker else None
    if upload_id_marker and not is_upload_id(upload_id_marker):
        raise invalid_argument(
            "Invalid uploadId marker", name="upload-id-marker", value=upload_id_marker
        )
    return ListMultipartUploadsInput(
        bucket_of(request),
        _list_query(query, "max-uploads", at_least=1),
        key_marker=key_marker,
        upload_id_marker=UploadId(upload_id_marker) if upload_id_marker else None,
    )


def _list_query(query: Query, size_name: str, *, at_least: int = 0) -> ListQuery:
    """Read prefix, delimiter, page size and encoding (s3 rules 5.1.6 to 5.1.10)."""
    return ListQuery(
        prefix=_bytes(query, "prefix"),
        delimiter=_bytes(query, "delimiter"),
        max_keys=parse_page_size(query.get(size_name), name=size_name, at_least=at_least),
        encodes_url=_encodes_url(query),
    )


def _encodes_url(query: Query) -> bool:
    value = query.get("encoding-type")
    if value is None:
        return False
    if value != "url":
        raise invalid_argument(
            "Invalid Encoding Method specified in Request", name="encoding-type", value=value
        )
    return True


def _bytes(query: Query, name: str) -> bytes:
    return (query.get(name) or "").encode("utf-8", "surrogateescape")
