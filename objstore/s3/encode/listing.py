"""Encoders of the listings of a bucket (s3 rules 5.1 to 5.5)."""

from __future__ import annotations

from objstore.model.objects import Upload
from objstore.s3.dates import iso_date
from objstore.s3.encode.documents import (
    algorithm_elements,
    name_text,
    owner_element,
    xml_reply,
)
from objstore.s3.encode.rows import common_prefixes, contents, versions
from objstore.s3.inputs import ListObjectsInput, ListQuery
from objstore.s3.outputs import (
    ListMultipartUploadsOutput,
    ListObjectsOutput,
    ListObjectVersionsOutput,
)
from objstore.s3.reply import Reply
from objstore.s3.request import S3Request
from objstore.s3.tokens import encode_token, object_listing
from objstore.s3.xml import tag

__all__ = ["list_multipart_uploads", "list_object_versions", "list_objects"]


def list_objects(output: ListObjectsOutput, _request: S3Request) -> Reply:
    """Write a page of ListObjects or ListObjectsV2, in the order and with the fields of s3 rule 5.1.16."""
    asked = output.request
    query = asked.query
    head = _v2_fields(output) if asked.is_v2 else _v1_fields(output)
    inner = (
        _names_and_prefix("Name", asked.bucket, query)
        + head
        + _page_fields("MaxKeys", query, is_truncated=output.next_after is not None)
        + contents(output.rows, encodes_url=query.encodes_url, shows_owner=asked.fetch_owner)
        + common_prefixes(output.common_prefixes, encodes_url=query.encodes_url)
    )
    return xml_reply("ListBucketResult", inner)


def _v1_fields(output: ListObjectsOutput) -> str:
    """Marker always; NextMarker only when grouping truncated the page (s3 rule 5.2.2)."""
    query = output.request.query
    text = _name("Marker", output.request.marker, query)
    if output.next_after is not None and query.delimiter:
        text += _name("NextMarker", output.next_after, query)
    return text


def _v2_fields(output: ListObjectsOutput) -> str:
    """Echo what positions the page and say how to go on (s3 rules 5.3.2 to 5.3.4)."""
    asked = output.request
    text = ""
    if asked.continuation_token is not None:
        text += tag("ContinuationToken", asked.continuation_token)
    if output.next_after is not None:
        text += tag("NextContinuationToken", _token(asked, output.next_after))
    if asked.start_after is not None:
        text += _name("StartAfter", asked.start_after, asked.query)
    return text + tag("KeyCount", len(output.rows) + len(output.common_prefixes))


def _token(asked: ListObjectsInput, after: bytes) -> str:
    query = asked.query
    context = object_listing(asked.bucket, prefix=query.prefix, delimiter=query.delimiter)
    return encode_token(after, context=context)


def list_object_versions(output: ListObjectVersionsOutput, _request: S3Request) -> Reply:
    """Write a page of versions and delete markers, interleaved in order (s3 rule 5.4)."""
    asked = output.request
    query = asked.query
    following = ""
    if output.next_marker is not None:
        key, version_id = output.next_marker
        following = _name("NextKeyMarker", key, query)
        # Left out rather than empty: a client would send the empty one back.
        following += "" if version_id is None else tag("NextVersionIdMarker", version_id)
    inner = (
        _names_and_prefix("Name", asked.bucket, query)
        + _name("KeyMarker", asked.key_marker, query)
        + tag("VersionIdMarker", asked.version_id_marker or "")
        + following
        + _page_fields("MaxKeys", query, is_truncated=output.next_marker is not None)
        + versions(output.rows, encodes_url=query.encodes_url)
        + common_prefixes(output.common_prefixes, encodes_url=query.encodes_url)
    )
    return xml_reply("ListVersionsResult", inner)


def list_multipart_uploads(output: ListMultipartUploadsOutput, _request: S3Request) -> Reply:
    """Write a page of uploads; the next markers stand there even when empty (s3 rules 5.5.2, 5.5.4)."""
    asked = output.request
    query = asked.query
    next_key, next_upload = output.next_marker or (b"", None)
    inner = (
        _names_and_prefix("Bucket", asked.bucket, query)
        + _name("KeyMarker", asked.key_marker, query)
        + tag("UploadIdMarker", asked.upload_id_marker or "")
        + _name("NextKeyMarker", next_key, query)
        + tag("NextUploadIdMarker", next_upload or "")
        + _page_fields("MaxUploads", query, is_truncated=output.is_truncated)
        + "".join([_upload(upload, query) for upload in output.uploads])
        + common_prefixes(output.common_prefixes, encodes_url=query.encodes_url)
    )
    return xml_reply("ListMultipartUploadsResult", inner)


def _upload(upload: Upload, query: ListQuery) -> str:
    return (
        f"<Upload>{tag('UploadId', upload.upload_id)}{_name('Key', upload.key, query)}"
        f"<Initiator>{tag('ID', upload.initiator)}</Initiator>{owner_element(upload.owner)}"
        f"{tag('StorageClass', upload.storage_class)}"
        f"<Initiated>{iso_date(upload.initiated)}</Initiated>"
        f"{algorithm_elements(upload.checksum_algorithm, upload.checksum_type)}</Upload>"
    )


def _names_and_prefix(bucket_element: str, bucket: str, query: ListQuery) -> str:
    return tag(bucket_element, bucket) + _name("Prefix", query.prefix, query)


def _page_fields(size_element: str, query: ListQuery, *, is_truncated: bool) -> str:
    """Return page size, delimiter (where one was given), encoding and whether more remains."""
    text = tag(size_element, query.max_keys)
    if query.delimiter:
        text += _name("Delimiter", query.delimiter, query)
    if query.encodes_url:
        text += "<EncodingType>url</EncodingType>"
    return text + tag("IsTruncated", is_truncated)


def _name(element: str, name: bytes, query: ListQuery) -> str:
    return f"<{element}>{name_text(name, encodes_url=query.encodes_url)}</{element}>"
