"""The canonical request: the examples of the S3 documentation and the traps of its rules."""

import pytest

from objstore.s3.signature.canonical import (
    canonical_headers,
    canonical_path,
    canonical_query,
    canonical_request,
    encode_component,
    join_headers,
    query_pairs,
)


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"/bucket//a/../b/", b"/bucket//a/../b/"),
        (b"/test$file.text", b"/test%24file.text"),
        (b"/a%2fb", b"/a/b"),
        (b"/a%252fb", b"/a%252fb"),
        (b"/%7euser", b"/~user"),
        (b"/a+b c", b"/a%2Bb%20c"),
        (b"/\xc3\xa9", b"/%C3%A9"),
        (b"/%c3%a9", b"/%C3%A9"),
        (b"/%zz%", b"/%25zz%25"),
    ],
)
def test_canonical_paths(sent, canonical):
    """Decoded once, encoded once, no segment removed (s3 rule 2.2.3)."""
    assert canonical_path(sent) == canonical


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        (b"", b""),
        (b"lifecycle", b"lifecycle="),
        (b"max-keys=2&prefix=J", b"max-keys=2&prefix=J"),
        (b"b=1&a=2&a=1&A=3", b"A=3&a=1&a=2&b=1"),
        (b"a=b=c", b"a=b%3Dc"),
        (b"p=a/b+c%2bd", b"p=a%2Fb%20c%2Bd"),
        (b"a-=1&a=2", b"a=2&a-=1"),
        (b"a&&b", b"=&a=&b="),
    ],
)
def test_canonical_queries(sent, canonical):
    """Sorted by encoded name, then value; never by the joined text (s3 rule 2.2.4)."""
    assert canonical_query(query_pairs(sent)) == canonical


def test_encoding_of_every_byte():
    """Only unreserved characters stay, hex digits are upper case (s3 rule 2.2.3)."""
    encoded = encode_component(bytes(range(256)))
    assert encoded.count(b"%") == 256 - 66
    assert encode_component(b"/\xff ~") == b"%2F%FF%20~"


def test_repeated_headers_join_in_order():
    """The name appears once, values trimmed and joined with a comma (s3 rule 2.2.5)."""
    headers = [(b"b", b" 1 "), (b"a", b"x"), (b"b", b""), (b"b", b"2  3")]
    assert join_headers(headers) == {b"b": b"1,,2  3", b"a": b"x"}
    assert canonical_headers([b"a", b"b", b"c"], join_headers(headers)) == b"a:x\nb:1,,2 3\nc:\n"


def test_folded_continuation_cannot_forge_a_line():
    """A value with a line break would otherwise add a header to the signed text."""
    assert canonical_headers([b"a"], {b"a": b"1\r\nb:2"}) == b"a:1 b:2\n"


def test_shape_of_the_canonical_request():
    """Six parts, and an empty line between headers and their names (s3 rule 2.2.2)."""
    request = canonical_request("GET", b"/", b"", b"host:h\n", b"host", b"UNSIGNED-PAYLOAD")
    assert request == b"GET\n/\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD"
