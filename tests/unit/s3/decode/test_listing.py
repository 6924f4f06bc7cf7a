"""Decoding of listings."""

import pytest

from objstore.model.errors import InvalidArgument
from objstore.s3.inputs import (
    ListMultipartUploadsInput,
    ListObjectsInput,
    ListObjectVersionsInput,
    ListQuery,
)
from objstore.s3.tokens import encode_token, object_listing

SIZES = [
    ("ListObjects", "max-keys"),
    ("ListObjectVersions", "max-keys"),
    ("ListMultipartUploads", "max-uploads"),
]


def _page_size(decode, operation, name, text):
    return decode(operation, query={name: text}).query.max_keys


@pytest.mark.parametrize(("operation", "name"), SIZES)
def test_page_sizes_have_a_default_and_a_cap(decode, operation, name):
    """More than a page is served, and echoed, as a page (s3 rule 5.1.6)."""
    assert _page_size(decode, operation, name, "") == 1000
    assert _page_size(decode, operation, name, "7") == 7
    assert _page_size(decode, operation, name, "2147483647") == 1000


@pytest.mark.parametrize(("operation", "name"), SIZES)
@pytest.mark.parametrize("text", ["-1", "x", "1.5", "2147483648", "1" * 5000, " 1", "٣"])
def test_page_sizes_that_are_no_numbers_are_refused(decode, operation, name, text):
    """The argument is named, so that a client's log tells what was wrong (s3 rule 5.1.6)."""
    with pytest.raises(InvalidArgument) as caught:
        _page_size(decode, operation, name, text)
    assert caught.value.detail == {"argument_name": name, "argument_value": text}


def test_zero_is_a_page_of_keys_but_not_of_uploads(decode):
    """Zero keys ask only whether the bucket is there (s3 rules 5.1.6, 5.5.5)."""
    assert _page_size(decode, "ListObjects", "max-keys", "0") == 0
    with pytest.raises(InvalidArgument):
        _page_size(decode, "ListMultipartUploads", "max-uploads", "0")


@pytest.mark.parametrize("operation", [operation for operation, _ in SIZES])
@pytest.mark.parametrize("text", ["", "URL", "base64"])
def test_url_is_the_only_encoding(decode, operation, text):
    """Lower-case, and not empty (s3 rule 5.1.10)."""
    assert decode(operation, query={"encoding-type": "url"}).query.encodes_url
    with pytest.raises(InvalidArgument) as caught:
        decode(operation, query={"encoding-type": text})
    assert caught.value.message == "Invalid Encoding Method specified in Request"
    assert caught.value.detail["argument_name"] == "encoding-type"


def test_v1_goes_on_from_its_marker(decode):
    """Names are bytes from here on (s3 rules 5.1.7, 5.2.1)."""
    query = {"prefix": "é", "delimiter": "%", "marker": "m", "max-keys": "2"}
    assert decode("ListObjects", query=query) == ListObjectsInput(
        "bucket",
        ListQuery("é".encode(), b"%", 2),
        is_v2=False,
        after=b"m",
        marker=b"m",
    )


def test_v2_goes_on_from_start_after_or_the_token(decode):
    """The token wins where both are given (s3 rule 5.3.3)."""
    query = {"list-type": "2", "start-after": "s", "prefix": "p", "delimiter": "/"}
    found = decode("ListObjectsV2", query=query)
    assert (found.is_v2, found.after, found.start_after) == (True, b"s", b"s")
    assert not found.fetch_owner
    token = encode_token(b"\x00k", context=object_listing("bucket", prefix=b"p", delimiter=b"/"))
    again = query | {"continuation-token": token, "fetch-owner": "true"}
    found = decode("ListObjectsV2", query=again)
    assert (found.after, found.start_after, found.continuation_token) == (b"\x00k", b"s", token)
    assert found.fetch_owner


@pytest.mark.parametrize("token", ["", "x", "AQ", "é", "a" * 100])
def test_v2_refuses_tokens_that_it_did_not_make(decode, token):
    """Garbage must not lead to some other place in the bucket (s3 rule 5.3.2)."""
    with pytest.raises(InvalidArgument) as caught:
        decode("ListObjectsV2", query={"list-type": "2", "continuation-token": token})
    assert caught.value.message == "The continuation token provided is incorrect"
    assert caught.value.detail["argument_name"] == "continuation-token"


def test_other_list_types_are_refused(decode):
    """A future listing is not guessed at (s3 rule 5.3.1)."""
    with pytest.raises(InvalidArgument):
        decode("ListObjectsV2", query={"list-type": "3"})


def test_versions_go_on_from_key_and_version(decode):
    """A version marker means nothing without its key (s3 rule 5.4.3)."""
    found = decode("ListObjectVersions", query={"key-marker": "k", "version-id-marker": "null"})
    assert found == ListObjectVersionsInput("bucket", ListQuery(), b"k", "null")
    both_empty = {"key-marker": "", "version-id-marker": ""}
    assert decode("ListObjectVersions", query=both_empty).version_id_marker is None
    refused = [
        ({"version-id-marker": "v"}, "cannot be specified without a key marker"),
        ({"key-marker": "k", "version-id-marker": ""}, "cannot be empty"),
        ({"key-marker": "k", "version-id-marker": "a b"}, "Invalid version id specified"),
    ]
    for query, text in refused:
        with pytest.raises(InvalidArgument, match=text) as caught:
            decode("ListObjectVersions", query=query)
        assert caught.value.detail["argument_name"] == "version-id-marker"


def test_uploads_ignore_an_upload_marker_without_a_key(decode):
    """Unlike versions, S3 passes over it (s3 rule 5.5.3)."""
    upload = "0123456789abcdef" * 2
    query = {"key-marker": "k", "upload-id-marker": upload}
    found = decode("ListMultipartUploads", query=query)
    assert found == ListMultipartUploadsInput("bucket", ListQuery(), b"k", upload)
    query["upload-id-marker"] = ""
    assert decode("ListMultipartUploads", query=query).upload_id_marker is None
    assert decode("ListMultipartUploads", query={"upload-id-marker": "u"}).upload_id_marker is None


@pytest.mark.parametrize("text", ["x", "0" * 31, "0" * 33, "0" * 31 + "A", "0" * 31 + "/"])
def test_an_upload_marker_must_be_an_upload_id(decode, text):
    """Anything else could only stand for the wrong place in the list (s3 rule 5.5.3)."""
    with pytest.raises(InvalidArgument, match="Invalid uploadId marker") as caught:
        decode("ListMultipartUploads", query={"key-marker": "k", "upload-id-marker": text})
    assert caught.value.detail == {"argument_name": "upload-id-marker", "argument_value": text}
