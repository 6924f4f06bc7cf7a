"""Targets, hosts, queries and headers as clients send them."""

from __future__ import annotations

import pytest

from objstore.model.errors import (
    BadRequestError,
    InvalidBucketName,
    InvalidUri,
    KeyTooLong,
    ObjstoreError,
)
from objstore.s3.request import RawRequest, S3Request
from objstore.s3.target import parse_headers, parse_query, parse_target, percent_decode

DOMAINS = ("example.com", "s3.example.com", "localhost")


def parse(
    path: bytes, *, host: str = "", query: bytes = b"", domains: tuple[str, ...] = DOMAINS
) -> S3Request:
    headers = [(b"host", host.encode())] if host else []
    return parse_target(RawRequest("GET", path, query, headers, "http"), domains)


@pytest.mark.parametrize(
    ("path", "bucket", "key"),
    [
        (b"/", None, None),
        (b"", None, None),
        (b"/bucket", "bucket", None),
        (b"/bucket/", "bucket", None),
        (b"/bucket/k", "bucket", b"k"),
        (b"/bucket//k", "bucket", b"/k"),
        (b"/bucket//", "bucket", b"/"),
        (b"/bucket/a//b", "bucket", b"a//b"),
        (b"/bucket/dir/", "bucket", b"dir/"),
        (b"/bucket/./../a/../b", "bucket", b"./../a/../b"),
        (b"/bucket/..", "bucket", b".."),
        (b"/bucket/a%2Fb", "bucket", b"a/b"),
        (b"/bucket/a%252Fb", "bucket", b"a%2Fb"),
        (b"/bucket/a+b%20c%2B", "bucket", b"a+b c+"),
        (b"/bucket/%C3%A9", "bucket", "\u00e9".encode()),
        (b"/bucket/e%CC%81", "bucket", "e\u0301".encode()),
        (b"/bucket/\xc3\xa9", "bucket", "\u00e9".encode()),
        (b"/bucket/%01%0a%7f", "bucket", b"\x01\n\x7f"),
        (b"/bucket/%20", "bucket", b" "),
        (b"/bucket/a;b?c", "bucket", b"a;b?c"),
        (b"/bu%63ket/k", "bucket", b"k"),
    ],
)
def test_a_key_is_decoded_once_and_otherwise_left_alone(
    path: bytes, bucket: str | None, key: bytes | None
) -> None:
    """Merging, resolving or decoding twice would name another object (s3 rules 1.2.2 to 1.2.4)."""
    request = parse(path)
    assert (request.bucket, request.key) == (bucket, key)


@pytest.mark.parametrize(
    "path",
    [
        b"/bucket/%",
        b"/bucket/%4",
        b"/bucket/%zz",
        b"/bucket/%+1",
        b"/bucket/%ff",
        b"/bucket/\xff",
        b"/bucket/%ed%a0%80",
        b"/bucket/%c0%af",
        b"/bucket/a%00b",
        b"/bucket/a\x00b",
        b"/%ff",
        b"/%00/k",
        b"bucket/k",
        b"ftp://host/bucket",
        b"*",
    ],
)
def test_a_target_that_cannot_be_read_is_refused(path: bytes) -> None:
    """Malformed escapes, no UTF-8, NUL (s3 rules 1.2.7 and 1.2.9)."""
    with pytest.raises(InvalidUri):
        parse(path)


def test_an_empty_bucket_before_a_key_is_refused() -> None:
    """`//key` must not become a service request."""
    for path in (b"//", b"//key"):
        with pytest.raises(InvalidBucketName):
            parse(path)


def test_the_key_length_counts_decoded_bytes() -> None:
    """1,024 bytes after decoding (s3 rule 1.2.6)."""
    assert len(parse(b"/b/" + b"%61" * 1024).key or b"") == 1024
    with pytest.raises(KeyTooLong) as caught:
        parse(b"/b/" + b"%C3%A9" * 513)
    assert caught.value.detail == {"size": 1026, "max_size_allowed": 1024}


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("photos.example.com", "photos"),
        ("photos.example.com:9000", "photos"),
        ("Photos.Example.COM", "photos"),
        ("a.b.c.example.com", "a.b.c"),
        ("photos.s3.example.com", "photos"),
        ("photos.localhost:9000", "photos"),
        ("photos.example.com.", "photos"),
    ],
)
def test_a_host_below_a_base_domain_names_the_bucket(host: str, bucket: str) -> None:
    """The longest base domain counts; case and port do not (s3 rules 1.1.2 and 1.1.5)."""
    request = parse(b"/dir/k", host=host)
    assert (request.bucket, request.key, request.is_virtual_host) == (bucket, b"dir/k", True)
    assert request.host == host
    assert parse(b"/", host=host).key is None
    assert parse(b"//k", host=host).key == b"/k"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "s3.example.com:443",
        "localhost",
        "127.0.0.1:9000",
        "[::1]:9000",
        "other.org",
        "notexample.com",
        ".example.com",
        "example.com.evil.org",
    ],
)
def test_every_other_host_is_path_style(host: str) -> None:
    """Base domains themselves, addresses and strangers (s3 rule 1.1.2)."""
    request = parse(b"/bucket/k", host=host)
    assert (request.bucket, request.key, request.is_virtual_host) == ("bucket", b"k", False)


def test_without_base_domains_all_is_path_style() -> None:
    """The default of a fresh server."""
    assert parse(b"/bucket/k", host="photos.localhost", domains=()).bucket == "bucket"


def test_an_address_is_never_a_bucket_below_a_domain() -> None:
    """An operator may have made `0.0.1` a base domain; 127.0.0.1 is an address all the same."""
    assert parse(b"/bucket", host="127.0.0.1", domains=("0.0.1",)).bucket == "bucket"


def test_an_absolute_target_is_brought_into_origin_form() -> None:
    """Proxies send it; the signature covers the path alone (s3 rule 1.2.1)."""
    request = parse(b"http://photos.example.com/a%20b", host="photos.example.com")
    assert (request.bucket, request.key) == ("photos", b"a b")
    assert request.raw.raw_path == b"/a%20b"
    without_host = parse(b"HTTPS://photos.example.com")
    assert (without_host.bucket, without_host.key) == ("photos", None)
    assert without_host.host == "photos.example.com"


def test_an_absolute_target_for_another_host_is_refused() -> None:
    """Target and Host must not name two buckets."""
    with pytest.raises(BadRequestError):
        parse(b"http://photos.example.com/k", host="other.example.com")


def test_options_of_the_whole_server_has_no_bucket() -> None:
    """`OPTIONS *` (s3 rule 1.2.1)."""
    assert parse_target(RawRequest("OPTIONS", b"*", b"", [], "http")).bucket is None


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        (b"", ()),
        (b"&&", ()),
        (b"acl", (("acl", ""),)),
        (b"acl=", (("acl", ""),)),
        (b"a=b=c", (("a", "b=c"),)),
        (b"a+b=c+d%2B", (("a b", "c d+"),)),
        (b"prefix=%C3%A9&max-keys=1", (("prefix", "\u00e9"), ("max-keys", "1"))),
        (b"p=1&p=2", (("p", "1"), ("p", "2"))),
        (b"marker=a%00b", (("marker", "a\0b"),)),
        (b"=x", (("", "x"),)),
    ],
)
def test_a_query_is_decoded_with_plus_as_a_space(
    query: bytes, pairs: tuple[tuple[str, str], ...]
) -> None:
    """In the path a plus is a plus, here it is a space (s3 rule 1.2.3)."""
    assert parse_query(query).pairs == pairs


def test_the_first_value_of_a_parameter_counts() -> None:
    """One rule for all who read parameters."""
    query = parse_query(b"p=1&p=2&q=3")
    assert (query.get("p"), query.get("q"), query.get("r")) == ("1", "3", None)
    assert "p" in query
    assert "r" not in query


@pytest.mark.parametrize("query", [b"a=%", b"%zz", b"a=%ff", b"%c3=1"])
def test_a_query_that_cannot_be_read_is_refused(query: bytes) -> None:
    """Guessing would let the signature and the handler see two different requests."""
    with pytest.raises(InvalidUri):
        parse(b"/b", query=query)


def test_headers_are_decoded_and_joined() -> None:
    """UTF-8, or Latin-1 where it is not; repeated ones are one list (s3 rule 2.2.5)."""
    headers = parse_headers(
        [
            (b"x-amz-meta-a", "\u00e9".encode()),
            (b"x-amz-meta-b", b"\xe9"),
            (b"x-amz-meta-c", b"1"),
            (b"x-amz-meta-c", b"2"),
        ]
    )
    assert headers == {"x-amz-meta-a": "\u00e9", "x-amz-meta-b": "\u00e9", "x-amz-meta-c": "1,2"}
    assert parse_headers([]) == {}


def test_a_nul_in_a_header_moves_no_other_header() -> None:
    """The short way joins headers with NUL; a client must not be able to shift names and values."""
    pairs = [(b"a", b"1\x00b\x002"), (b"c", b"3")]
    assert parse_headers(pairs) == {"a": "1\x00b\x002", "c": "3"}
    assert parse_headers([(b"a", b"1\0a"), (b"b", b"2")]) == {"a": "1\0a", "b": "2"}


@pytest.mark.parametrize("name", [b"host", b"content-length"])
def test_a_second_host_or_length_is_refused(name: bytes) -> None:
    """Two answers to one question: requests get smuggled that way (RFC 9112 section 11.2)."""
    for other in (b"5", b"6"):
        with pytest.raises(BadRequestError):
            parse_headers([(name, b"5"), (name, other)])


def test_percent_decoding_is_strict_and_single() -> None:
    """The one decoder for keys and queries."""
    assert percent_decode(b"%25%41+") == b"%A+"
    with pytest.raises(InvalidUri):
        percent_decode(b"%4")


def test_a_hostile_target_is_not_echoed_at_length() -> None:
    """The error document shows the target, but not a megabyte of it."""
    with pytest.raises(ObjstoreError) as caught:
        parse(b"/b/" + b"%" * 100_000)
    assert len(str(caught.value.detail["uri"])) <= 2048
