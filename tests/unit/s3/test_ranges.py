"""The Range header."""

import pytest

from objstore.model.errors import InvalidRange
from objstore.s3.inputs import RangeSpec
from objstore.s3.ranges import apply, content_range, parse


@pytest.mark.parametrize(
    ("text", "start", "length"),
    [
        ("bytes=0-8", 0, 9),
        ("bytes=0-100", 0, 10),
        ("bytes=3-", 3, 7),
        ("bytes=00-09", 0, 10),
        ("bytes=-4", 6, 4),
        ("bytes=-100", 0, 10),
        ("bytes=0-99999999999999999999999999999999999999999", 0, 10),
        ("bytes=0000000000000000000000000000000000000000009-", 9, 1),
        (f"bytes=0-{'9' * 7000}", 0, 10),
        ("BYTES=1-1", 1, 1),
    ],
)
def test_ranges_of_an_object_of_ten_bytes(text, start, length):
    """The end is clipped, the suffix counts from the end (s3 rule 4.2.1)."""
    assert apply(parse(text), 10) == (start, length)


@pytest.mark.parametrize("text", ["bytes=-0", "bytes=10-", "bytes=100-200", f"bytes={'9' * 99}-"])
def test_ranges_without_a_byte_are_errors(text):
    """The error tells the size, from which clients go on (s3 rule 4.2.1)."""
    with pytest.raises(InvalidRange) as caught:
        apply(parse(text), 10)
    assert caught.value.detail == {"range_requested": text, "actual_object_size": 10}


@pytest.mark.parametrize("text", ["bytes=0-0", "bytes=0-", "bytes=-1", "bytes=-0"])
def test_no_range_fits_an_empty_object(text):
    """There is no byte to serve (s3 rule 4.2.1)."""
    with pytest.raises(InvalidRange):
        apply(parse(text), 0)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=,",
        "bytes=a-b",
        "bytes=-1-",
        "bytes=1--2",
        "chars=0-1",
        "0-1",
        "bytes=0-1,3-4",
        "bytes=\u0660-\u0661",
        "bytes 0-1",
    ],
)
def test_what_is_no_single_range_is_ignored(text):
    """S3 serves the whole object instead of refusing, and never several ranges (s3 rule 4.2.1)."""
    assert parse(text) is None


def test_the_header_is_kept_for_the_error():
    """RangeRequested repeats what the client sent (s3 rule 4.2.1)."""
    assert parse("bytes=-4") == RangeSpec(None, 4, "bytes=-4")


def test_content_range_ends_at_the_last_byte():
    """Its end is inclusive, unlike ours (s3 rule 4.2.1)."""
    assert content_range(3, 7, 10) == "bytes 3-9/10"
