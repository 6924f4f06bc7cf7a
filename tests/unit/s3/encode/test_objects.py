"""Answers about objects, as boto clients read them."""

from datetime import UTC, datetime

import pytest

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.objects import InlineBody, ObjectVersion, Part, SystemMetadata
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

MODIFIED = 1_767_323_045_678
SHOWN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CRC32 = Checksum(ChecksumAlgorithm.CRC32, ChecksumType.FULL_OBJECT, bytes(4))
COMPOSITE = Checksum(ChecksumAlgorithm.SHA1, ChecksumType.COMPOSITE, bytes(20), 3)


def version(**fields):
    fields = {"size": 10, "etag": "abc"} | fields
    return ObjectVersion(b"key", "v1", MODIFIED, "0" * 64, **fields)


def head(record=None, **fields):
    fields = {
        "version_id": None,
        "start": 0,
        "length": 10,
        "is_partial": False,
        "checksum": None,
        "parts_count": None,
        "overrides": (),
    } | fields
    return ObjectHead(record or version(), **fields)


def headers_of(reply):
    assert len({name.lower() for name, _ in reply.headers}) == len(reply.headers)
    return {name.decode(): value.decode("latin-1") for name, value in reply.headers}


def test_a_plain_object_has_just_the_standard_headers(encode):
    """What has its default stays unsaid, and names are spelled as S3 spells them (s3 rules 1.7.10, 4.4.5)."""
    reply = encode("GetObject", head())
    assert (reply.status, reply.content_length, reply.body) == (200, 10, b"")
    assert headers_of(reply) == {
        "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT",
        "ETag": '"abc"',
        "Accept-Ranges": "bytes",
        "Content-Type": "binary/octet-stream",
    }


def test_everything_stored_comes_back(seen_by_client):
    """HEAD shows all that PUT took (s3 rules 4.4.1, 4.4.5, 4.6.3)."""
    record = version(
        system=SystemMetadata("text/x", "c", "d", "gzip", "en", None, "/r"),
        user=(("color", "réd"), ("empty", "")),
        tags=(("a", "1"), ("b", "2")),
        storage_class="GLACIER",
    )
    output = head(record, version_id="v1", checksum=CRC32, parts_count=3)
    seen = seen_by_client("HeadObject", output)
    assert seen == {
        "AcceptRanges": "bytes",
        "LastModified": SHOWN,
        "ETag": '"abc"',
        "ContentType": "text/x",
        "CacheControl": "c",
        "ContentDisposition": "d",
        "ContentEncoding": "gzip",
        "ContentLanguage": "en",
        "WebsiteRedirectLocation": "/r",
        "Metadata": {"color": "=?UTF-8?Q?r=C3=A9d?=", "empty": ""},
        "VersionId": "v1",
        "StorageClass": "GLACIER",
        "ChecksumCRC32": "AAAAAA==",
        "ChecksumType": "FULL_OBJECT",
        "PartsCount": 3,
        "TagCount": 2,
    }


def test_expires_is_opaque(encode):
    """An invalid date comes back byte for byte (s3 rule 4.4.2)."""
    record = version(system=SystemMetadata(expires="Never, ever"))
    assert headers_of(encode("GetObject", head(record)))["Expires"] == "Never, ever"


def test_a_slice_is_partial_content(encode):
    """The length is the slice's, the validators stay the object's (s3 rules 4.2.1, 4.2.2)."""
    reply = encode("GetObject", head(start=2, length=3, is_partial=True))
    assert (reply.status, reply.content_length) == (206, 3)
    assert headers_of(reply)["Content-Range"] == "bytes 2-4/10"
    empty = encode("GetObject", head(version(size=0), length=0, is_partial=True))
    assert empty.status == 206
    assert "Content-Range" not in headers_of(empty)


def test_overrides_replace_stored_headers_and_add_missing_ones(encode):
    """Presigned downloads set their own type and file name (s3 rule 4.3.1)."""
    record = version(system=SystemMetadata(content_type="a/b", cache_control="c"))
    overrides = (("content-type", "x/y"), ("content-disposition", "é"))
    headers = headers_of(encode("GetObject", head(record, overrides=overrides)))
    assert headers["Content-Type"] == "x/y"
    assert headers["Content-Disposition"] == "é"
    assert headers["Cache-Control"] == "c"


def test_not_modified_carries_what_a_cache_needs(encode):
    """No body and no content headers in a 304 (s3 rule 4.1.5)."""
    record = version(system=SystemMetadata("a/b", cache_control="c", expires="e"))
    reply = encode("GetObject", head(record, version_id="v1", is_not_modified=True))
    assert (reply.status, reply.body) == (304, b"")
    assert headers_of(reply) == {
        "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT",
        "ETag": '"abc"',
        "x-amz-version-id": "v1",
        "Cache-Control": "c",
        "Expires": "e",
    }


def test_put_answers_in_headers_alone(seen_by_client, encode):
    """A body would be parsed as XML by every boto client (s3 rules 1.7.6, 4.4.6)."""
    output = PutObjectOutput("abc", CRC32, "v1")
    assert encode("PutObject", output).body == b""
    assert seen_by_client("PutObject", output) == {
        "ETag": '"abc"',
        "ChecksumCRC32": "AAAAAA==",
        "ChecksumType": "FULL_OBJECT",
        "VersionId": "v1",
    }


def test_copy_names_both_versions(seen_by_client):
    """A copy tells which version it made and from which (s3 rule 4.9.6)."""
    seen = seen_by_client("CopyObject", CopyObjectOutput("abc", MODIFIED, CRC32, "null", "s1"))
    result = {
        "ETag": '"abc"',
        "LastModified": SHOWN,
        "ChecksumCRC32": "AAAAAA==",
        "ChecksumType": "FULL_OBJECT",
    }
    assert seen == {"VersionId": "null", "CopySourceVersionId": "s1", "CopyObjectResult": result}


@pytest.mark.parametrize(
    ("output", "headers"),
    [
        (DeleteObjectOutput(is_delete_marker=False, version_id=None), {}),
        (
            DeleteObjectOutput(is_delete_marker=True, version_id="null"),
            {"x-amz-version-id": "null", "x-amz-delete-marker": "true"},
        ),
    ],
)
def test_delete_tells_of_markers(encode, output, headers):
    """A marker's id is the way to undo the delete (s3 rules 4.15.3, 4.15.4)."""
    reply = encode("DeleteObject", output)
    assert (reply.status, reply.body, headers_of(reply)) == (204, b"", headers)


RESULTS = [
    DeleteResult(b"a&\r"),
    DeleteResult(b"b", version_id="v1"),
    DeleteResult(b"c", is_delete_marker=True, delete_marker_version_id="m1"),
    DeleteResult(b"d", version_id="v9", error=("NoSuchVersion", "gone <")),
]


def test_delete_objects_reports_each_key(seen_by_client):
    """Spark and others take any Error for a failure, so each line must be right (s3 rule 4.14.4)."""
    seen = seen_by_client("DeleteObjects", DeleteObjectsOutput(RESULTS, is_quiet=False))
    assert seen["Deleted"] == [
        {"Key": "a&\r"},
        {"Key": "b", "VersionId": "v1"},
        {"Key": "c", "DeleteMarker": True, "DeleteMarkerVersionId": "m1"},
    ]
    error = {"Key": "d", "VersionId": "v9", "Code": "NoSuchVersion", "Message": "gone <"}
    assert seen["Errors"] == [error]
    quiet = seen_by_client("DeleteObjects", DeleteObjectsOutput(RESULTS, is_quiet=True))
    assert quiet == {"Errors": [error]}


def attributes(record, **fields):
    fields = {
        "version_id": None,
        "attributes": ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"),
        "parts_count": None,
        "parts": None,
        "max_parts": 1000,
        "part_number_marker": 0,
        "is_truncated": False,
    } | fields
    return GetObjectAttributesOutput(record, **fields)


def test_attributes_show_the_bare_etag_and_the_bare_composite(seen_by_client):
    """The one document without quotes and without the number of parts (s3 rules 1.7.10, 3.4.5, 4.13)."""
    parts = [Part(2, 5, "x", MODIFIED, InlineBody(), COMPOSITE)]
    output = attributes(
        version(etag="abc-3", checksum=COMPOSITE),
        version_id="v1",
        parts_count=3,
        parts=parts,
        max_parts=1,
        part_number_marker=1,
        is_truncated=True,
    )
    digest = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert seen_by_client("GetObjectAttributes", output) == {
        "LastModified": SHOWN,
        "VersionId": "v1",
        "ETag": "abc-3",
        "Checksum": {"ChecksumSHA1": digest, "ChecksumType": "COMPOSITE"},
        "ObjectParts": {
            "TotalPartsCount": 3,
            "PartNumberMarker": 1,
            "NextPartNumberMarker": 2,
            "MaxParts": 1,
            "IsTruncated": True,
            "Parts": [{"PartNumber": 2, "Size": 5, "ChecksumSHA1": digest}],
        },
        "StorageClass": "STANDARD",
        "ObjectSize": 10,
    }


def test_attributes_show_only_what_was_asked_for(seen_by_client):
    """Parts without details are just counted; nothing is invented for plain objects (s3 rule 4.13.3)."""
    counted = attributes(version(), attributes=("ObjectParts",), parts_count=2)
    assert seen_by_client("GetObjectAttributes", counted)["ObjectParts"] == {"TotalPartsCount": 2}
    plain = attributes(version(), attributes=("ObjectParts", "Checksum", "ObjectSize"))
    assert seen_by_client("GetObjectAttributes", plain) == {
        "LastModified": SHOWN,
        "ObjectSize": 10,
    }


@pytest.mark.parametrize("operation", ["GetObjectTagging", "GetBucketTagging"])
def test_tags_keep_their_order(seen_by_client, operation):
    """Order of insertion is what people expect to see again (s3 rule 4.8.5)."""
    seen = seen_by_client(operation, TaggingOutput((("b", "1&"), ("a", "")), None))
    assert seen["TagSet"] == [{"Key": "b", "Value": "1&"}, {"Key": "a", "Value": ""}]


def test_an_untagged_object_has_an_empty_set(encode):
    """Absent and empty are the same to a reader (s3 rule 4.8.4)."""
    reply = encode("GetObjectTagging", TaggingOutput((), "v1"))
    assert b"<TagSet></TagSet>" in reply.body
    assert headers_of(reply)["x-amz-version-id"] == "v1"


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ("PutObjectTagging", 200),
        ("PutBucketVersioning", 200),
        ("DeleteObjectTagging", 204),
        ("PutBucketTagging", 204),
        ("DeleteBucketTagging", 204),
        ("DeleteBucket", 204),
        ("AbortMultipartUpload", 204),
    ],
)
def test_answers_without_content_have_the_status_that_s3_gives(encode, operation, status):
    """PutBucketTagging is 204 and PutObjectTagging is 200 (s3 rules 4.8.4, 4.8.6)."""
    reply = encode(operation, EmptyOutput("v1"))
    assert (reply.status, reply.body) == (status, b"")
    assert headers_of(reply) == {"x-amz-version-id": "v1"}
