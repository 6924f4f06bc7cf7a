"""Every error of the store has an S3 answer, and no answer tells what is inside."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from objstore.model import errors as model
from objstore.model.errors import ObjstoreError, error_leaves
from objstore.s3.errors import ERROR_CODES, error_code, error_document, error_reply
from objstore.s3.reply import Reply

LEAVES = [kind for kind in error_leaves() if kind.__module__ == model.__name__]
FAMILIES = [
    ObjstoreError,
    model.InvalidRequest,
    model.Denied,
    model.NotFound,
    model.Conflict,
    model.Unavailable,
    model.Corrupt,
    model.Unsupported,
]
SECRET = "drive-7 at /var/lib/secret"


def answer(error: ObjstoreError, *, is_head: bool = False) -> Reply:
    return error_reply(error, resource="/b/k", request_id="ID16", host_id="HOST==", is_head=is_head)


def children(error: ObjstoreError) -> dict[str, str]:
    root = ET.fromstring(answer(error).body)
    assert root.tag == "Error"
    return {child.tag: child.text or "" for child in root}


def headers(error: ObjstoreError) -> dict[bytes, bytes]:
    return dict(answer(error).headers)


@pytest.mark.parametrize("kind", [*LEAVES, *FAMILIES], ids=lambda kind: kind.__name__)
def test_every_leaf_has_its_own_row(kind: type[ObjstoreError]) -> None:
    """An error without a row would answer like its family and nobody would notice."""
    assert kind in ERROR_CODES
    row = ERROR_CODES[kind]
    assert row.code.isalnum()
    assert row.message


def test_an_error_of_tomorrow_answers_like_its_family() -> None:
    """Look-up walks up the classes."""
    assert error_code(type("X", (model.NoSuchBucket,), {})).code == "NoSuchBucket"
    assert error_code(model.NoSuchKey(key="k")).status == 404
    for name in [name for name in ObjstoreError.registry if name == "X"]:
        del ObjstoreError.registry[name]


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (model.AccessDenied, "AccessDenied", 403),
        (model.BadRequestError, "InvalidRequest", 400),
        (model.TooManyTags, "BadRequest", 400),
        (model.InvalidUri, "InvalidURI", 400),
        (model.KeyTooLong, "KeyTooLongError", 400),
        (model.MalformedXml, "MalformedXML", 400),
        (model.EntityTooLarge, "EntityTooLarge", 400),
        (model.RequestTimeout, "RequestTimeout", 400),
        (model.MissingContentLength, "MissingContentLength", 411),
        (model.MethodNotAllowed, "MethodNotAllowed", 405),
        (model.DeleteMarkerNotAllowed, "MethodNotAllowed", 405),
        (model.InvalidRange, "InvalidRange", 416),
        (model.InvalidPartNumber, "InvalidPartNumber", 416),
        (model.PreconditionFailed, "PreconditionFailed", 412),
        (model.ConditionalRequestConflict, "ConditionalRequestConflict", 409),
        (model.BucketNotEmpty, "BucketNotEmpty", 409),
        (model.PayloadHashMismatch, "XAmzContentSHA256Mismatch", 400),
        (model.InvalidBucketOwnerAccountId, "InvalidBucketOwnerAWSAccountID", 400),
        (model.NotImplementedByStore, "NotImplemented", 501),
        (model.SlowDown, "SlowDown", 503),
        (model.QuorumNotReached, "ServiceUnavailable", 503),
        (model.StorageFull, "InsufficientStorage", 507),
        (model.CorruptShard, "InternalError", 500),
        (model.InvariantError, "InternalError", 500),
    ],
)
def test_codes_and_statuses_are_those_of_s3(
    kind: type[ObjstoreError], code: str, status: int
) -> None:
    """Clients decide by code and status (s3 rules, section 10)."""
    row = error_code(kind)
    assert (row.code, row.status) == (code, status)


def test_the_document_has_no_namespace_and_all_parts() -> None:
    """With a namespace botocore would not see the code (s3 rule 1.7.5)."""
    reply = answer(model.NoSuchBucket(bucket_name="photos"))
    assert reply.body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchBucket</Code>'
        b"<Message>The specified bucket does not exist</Message>"
        b"<BucketName>photos</BucketName><Resource>/b/k</Resource>"
        b"<RequestId>ID16</RequestId><HostId>HOST==</HostId></Error>"
    )
    assert dict(reply.headers) == {b"Content-Type": b"application/xml"}
    assert reply.status == 404


def test_an_error_brings_its_own_text() -> None:
    """Catch-all codes are raised with S3's text for the case."""
    found = children(model.BadRequestError("A key must be specified"))
    assert (found["Code"], found["Message"]) == ("InvalidRequest", "A key must be specified")


@pytest.mark.parametrize(
    ("detail", "element"),
    [
        ("upload_id", "UploadId"),
        ("part_number", "PartNumber"),
        ("etag", "ETag"),
        ("aws_access_key_id", "AWSAccessKeyId"),
        ("x_amz_expires", "X-Amz-Expires"),
        ("content_md5", "Content-MD5"),
        ("token_0", "Token-0"),
        ("uri", "URI"),
        ("client_computed_content_sha256", "ClientComputedContentSHA256"),
        ("s3_computed_content_sha256", "S3ComputedContentSHA256"),
        ("additional_message", "additionalMessage"),
        ("max_allowed_skew_milliseconds", "MaxAllowedSkewMilliseconds"),
        ("string_to_sign_bytes", "StringToSignBytes"),
        ("range_requested", "RangeRequested"),
    ],
)
def test_details_become_children_under_s3s_names(detail: str, element: str) -> None:
    """Names as section 10 of the s3 rules has them."""
    assert children(model.InvalidArgument("text", **{detail: "v"}))[element] == "v"


def test_details_are_escaped() -> None:
    """A key in an error must neither break the document nor put elements into it."""
    found = children(model.NoSuchKey(key='</Key><Code>x&"\r\n'))
    assert found["Key"] == '</Key><Code>x&"\r\n'
    assert found["Code"] == "NoSuchKey"


def test_every_error_document_is_well_formed() -> None:
    """A strict parser that refuses the document costs the client the code (s3 rule 1.7.5)."""
    found = children(model.NoSuchKey("bad \x02", key="a\x00\x01\ufffe\x7f\ud800b"))
    assert found["Key"] == "a\ufffd\ufffd\ufffd\x7f\ufffdb"
    assert found["Message"] == "bad \ufffd"


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in LEAVES
        if issubclass(kind, model.Corrupt | model.Unavailable | model.InvariantError)
        and kind is not model.ClientDisconnected
    ],
    ids=lambda kind: kind.__name__,
)
def test_faults_of_ours_show_nothing_of_the_inside(kind: type[ObjstoreError]) -> None:
    """Drives, nodes and paths are for the log, not for whoever asks."""
    reply = answer(kind(SECRET, drive=SECRET, header_last_modified=1, header_allow=SECRET))
    assert SECRET.encode() not in reply.body
    assert not any(SECRET.encode() in value for _, value in reply.headers)
    assert reply.status >= 500


@pytest.mark.parametrize(
    "kind",
    [model.SlowDown, model.QuorumNotReached, model.NotLeader, model.Draining],
    ids=lambda kind: kind.__name__,
)
def test_what_passes_is_to_be_retried_later(kind: type[ObjstoreError]) -> None:
    """503 with a real document and Retry-After; never 429 (s3 rules 1.7.7 and 1.7.8)."""
    reply = answer(kind())
    assert reply.status == 503
    assert dict(reply.headers)[b"Retry-After"] == b"1"
    assert reply.body


def test_a_full_store_is_not_to_be_retried() -> None:
    """Waiting makes no room, and clients retry every 503 (s3 rule 1.7.8)."""
    assert b"Retry-After" not in headers(model.StorageFull())


def test_head_errors_have_no_body() -> None:
    """On a connection kept alive a body would be the next answer (s3 rule 1.7.2)."""
    reply = answer(model.NoSuchKey(key="k"), is_head=True)
    assert (reply.status, reply.body) == (404, b"")


def test_not_modified_has_neither_body_nor_content_type() -> None:
    """S3 rule 1.7.3."""
    reply = answer(model.NotModified(condition="If-None-Match"))
    assert (reply.status, reply.body, reply.headers) == (304, b"", [])


def test_a_delete_marker_shows_in_the_headers() -> None:
    """404 says that the newest version is a marker, and which (s3 rule 4.15.5)."""
    error = model.NoSuchKey(key="k", header_delete_marker="v1")
    assert headers(error)[b"x-amz-delete-marker"] == b"true"
    assert headers(error)[b"x-amz-version-id"] == b"v1"
    assert set(children(error)) == {"Code", "Message", "Key", "Resource", "RequestId", "HostId"}


def test_a_named_delete_marker_can_only_be_deleted() -> None:
    """405 with Last-Modified and Allow (s3 rule 4.15.5)."""
    error = model.DeleteMarkerNotAllowed(
        method="GET",
        resource_type="DeleteMarker",
        header_delete_marker="v1",
        header_last_modified=784_111_777_999,
    )
    found = headers(error)
    assert found[b"Allow"] == b"DELETE"
    assert found[b"Last-Modified"] == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert children(error)["ResourceType"] == "DeleteMarker"


def test_a_wrong_method_is_told_the_right_ones() -> None:
    """405 comes with Allow (s3 rule 1.4.5)."""
    error = model.MethodNotAllowed(method="PUT", resource_type="SERVICE", header_allow="GET")
    assert headers(error)[b"Allow"] == b"GET"
    assert "HeaderAllow" not in children(error)


def test_an_unsatisfiable_range_is_told_the_size() -> None:
    """RFC 9110 section 14.4."""
    error = model.InvalidRange(range_requested="bytes=9-", actual_object_size=5)
    assert headers(error)[b"Content-Range"] == b"bytes */5"
    assert children(error)["ActualObjectSize"] == "5"


def test_a_header_value_cannot_end_the_header() -> None:
    """Nothing that came from outside may start another header."""
    error = model.NoSuchKey(key="k", header_delete_marker="v\r\nSet-Cookie: a")
    assert headers(error)[b"x-amz-version-id"] == b"vSet-Cookie: a"


def test_a_late_error_is_the_same_document() -> None:
    """CompleteMultipartUpload may fail inside a 200 (s3 rule 4.11.7)."""
    error = model.InvalidPart(upload_id="u", part_number=3)
    document = error_document(error, resource="/b/k", request_id="ID16", host_id="HOST==")
    assert document == answer(error).body
