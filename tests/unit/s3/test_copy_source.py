"""The source of a copy."""

import pytest

from objstore.model.errors import BadRequestError, InvalidArgument, KeyTooLong
from objstore.s3.copy_source import check_source_range, parse_source, parse_source_range


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("bk1/key", ("bk1", b"key", None)),
        ("/bk1/key", ("bk1", b"key", None)),
        ("bk1/a%20b%2Bc/%C3%A9%3Fx?versionId=v1", ("bk1", "a b+c/é?x".encode(), "v1")),
        ("bk1%2Fkey", ("bk1", b"key", None)),
        ("%2Fbk1%2Fa%2Fb", ("bk1", b"a/b", None)),
        ("bk1/é?x", ("bk1", "é?x".encode(), None)),
        ("bk1/a%3FversionId=v1", ("bk1", b"a?versionId=v1", None)),
        ("bk1/a?versionId=null", ("bk1", b"a", "null")),
        ("bk1//a//", ("bk1", b"/a//", None)),
        ("bk1/a+b", ("bk1", b"a b", None)),
        ("bk1/100%", ("bk1", b"100%", None)),
    ],
)
def test_sources_come_in_several_encodings(value, wanted):
    """Encoded once, as a whole, or not at all; the version is cut off first (s3 rule 4.9.1)."""
    assert parse_source(value) == wanted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", "Invalid copy source object key"),
        ("bk1", "Invalid copy source object key"),
        ("bk1/", "Invalid copy source object key"),
        ("/bk1?versionId=v", "Invalid copy source object key"),
        ("//key", "Invalid copy source bucket name"),
        ("arn:aws:s3:region:1:accesspoint/a", "Invalid copy source bucket name"),
        ("bk1/%FF", "Invalid copy source encoding."),
    ],
)
def test_sources_that_name_nothing(value, text):
    """The error repeats the header (s3 rule 4.9.2)."""
    with pytest.raises(InvalidArgument) as caught:
        parse_source(value)
    assert caught.value.message == text
    assert caught.value.detail == {"argument_name": "x-amz-copy-source", "argument_value": value}


def test_versions_and_keys_of_sources_follow_the_common_rules():
    """An empty version is no wildcard, and keys have their length (s3 rules 1.2.6, 4.15.6)."""
    for version in ("", "a b", "a%20b"):
        with pytest.raises(InvalidArgument):
            parse_source(f"bk1/key?versionId={version}")
    with pytest.raises(KeyTooLong):
        parse_source(f"bk1/{'k' * 1025}")


def test_a_source_range_has_both_ends():
    """Nothing is guessed when bytes are glued together (s3 rule 4.10.1)."""
    assert parse_source_range(None) is None
    assert parse_source_range("bytes=0-0") == (0, 0)
    bad = ("0-8", "bytes=1-", "bytes=-2", "bytes=1-0", "bytes=0-1,3-4", "", "bytes=0-8 ")
    for text in bad:
        with pytest.raises(InvalidArgument, match="must be of the form") as caught:
            parse_source_range(text)
        assert caught.value.detail["argument_name"] == "x-amz-copy-source-range"


def test_a_source_range_lies_inside_the_source():
    """Unlike GET nothing is clipped, and the two ends fail differently (s3 rule 4.10.1)."""
    check_source_range((0, 9), 10)
    with pytest.raises(InvalidArgument, match=r"Range specified is not valid .* of size: 10"):
        check_source_range((0, 10), 10)
    with pytest.raises(BadRequestError, match="The specified copy range is invalid"):
        check_source_range((10, 20), 10)
