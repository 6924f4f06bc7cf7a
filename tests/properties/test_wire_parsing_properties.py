"""Whatever bytes come in: parsing ends with a value or with an error of ours, never with another one."""

from __future__ import annotations

import contextlib
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.errors import ObjstoreError
from objstore.model.instant import Instant
from objstore.s3.dates import http_date, iso_date, parse_http_date
from objstore.s3.errors import error_reply
from objstore.s3.request import RawRequest
from objstore.s3.resolve import resolve
from objstore.s3.target import parse_headers, parse_target
from objstore.s3.xml import NAMESPACE, Element, decode, document, tag

EXAMPLES = 200
DOMAINS = ("example.com", "localhost")

names = st.sampled_from(
    ["acl", "policy", "uploads", "uploadId", "partNumber", "list-type", "id", "x"]
)
wild_query = st.one_of(
    st.binary(max_size=60),
    st.lists(st.tuples(names, st.text(max_size=4)), max_size=4).map(
        lambda pairs: "&".join(f"{name}={quote(value)}" for name, value in pairs).encode()
    ),
)
wild_headers = st.lists(
    st.tuples(
        st.sampled_from(
            [b"host", b"content-length", b"x-amz-meta-a", b"x-amz-copy-source", b"\xff"]
        ),
        st.one_of(st.binary(max_size=20), st.sampled_from([b"b.example.com", b"[::1", b"a:b:c"])),
    ),
    max_size=5,
)
wild_path = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=40).map(lambda rest: b"/" + rest),
    st.text(alphabet="/%2Ffa+.:\x00\u00e9", max_size=30).map(lambda text: text.encode()),
    st.binary(max_size=20).map(lambda rest: b"http://" + rest),
)
methods = st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", ""])


@settings(max_examples=EXAMPLES, deadline=None)
@given(methods, wild_path, wild_query, wild_headers)
def test_any_request_is_resolved_or_refused(
    method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """An exception of another kind would be a 500 that a stranger can cause at will."""
    try:
        resolve(parse_target(RawRequest(method, path, query, headers, "http"), DOMAINS))
    except ObjstoreError as error:
        reply = error_reply(error, resource="/", request_id="i", host_id="h")
        assert 400 <= reply.status <= 501
        assert reply.status != 500
        decode(reply.body, root="Error", bytes_max=1 << 20)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text(min_size=1, max_size=60).filter(lambda text: "\0" not in text))
def test_every_key_survives_the_way_through_a_target(text: str) -> None:
    """What a client encodes is what the store keeps (s3 rule 1.2.4)."""
    try:
        key = text.encode()
    except UnicodeEncodeError:
        return
    target = RawRequest("GET", b"/b/" + quote(key, safe="/~").encode(), b"", [], "http")
    assert parse_target(target).key == key


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=40))
def test_a_path_is_decoded_as_the_plain_way_does_it(path: bytes) -> None:
    """The dumb twin: cut at the first slash, unquote both halves."""
    try:
        found = parse_target(RawRequest("GET", b"/" + path, b"", [], "http"))
    except ObjstoreError:
        return
    bucket, _, key = path.partition(b"/")
    assert (found.bucket or "").encode() == unquote_to_bytes(bucket)
    assert (found.key or b"") == unquote_to_bytes(key)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.binary(max_size=8)),
        max_size=6,
    )
)
def test_headers_are_what_decoding_one_by_one_gives(pairs: list[tuple[bytes, bytes]]) -> None:
    """The short way through one join and split must be invisible."""
    expected: dict[str, list[str]] = {}
    for name, value in pairs:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        expected.setdefault(name.decode(), []).append(text)
    assert parse_headers(pairs) == {name: ",".join(values) for name, values in expected.items()}


xmlish = st.lists(
    st.sampled_from(
        ["<a>", "</a>", "<b/>", "&amp;", "&x;", "&#0;", "&#13;", "<![CDATA[", "]]>", "<!--", "-->",
         "<!DOCTYPE a [", "<!ENTITY x 'y'>", "]>", "<?xml version='1.0' encoding='", "utf-16", "big5",
         "'?>", " xmlns='u'", "t", "\u00e9", "<?pi ?>", '<c d="e">', "</c>"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=80), xmlish.map(str.encode), xmlish.map(lambda t: t.encode("utf-16"))
    )
)
def test_any_bytes_are_a_document_or_refused(body: bytes) -> None:
    """Nothing but an error of ours may leave the reader."""
    with contextlib.suppress(ObjstoreError):
        assert isinstance(decode(body, bytes_max=1000), Element)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=60))
def test_written_text_reads_back(text: str) -> None:
    """Writer against our reader and against another one; what XML 1.0 forbids is left out."""
    legal = "".join(c for c in text if c in "\t\r\n" or (c >= " " and c not in "\ufffe\uffff"))
    body = document("Root", tag("Key", legal))
    assert decode(body, bytes_max=len(body)).text_of("Key") == legal
    key = ET.fromstring(body).find(f"{{{NAMESPACE}}}Key")
    assert key is not None
    assert (key.text or "") == legal


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_written_dates_read_back_cut_to_the_second(milliseconds: int) -> None:
    """From the epoch to the end of year 9999."""
    instant = Instant(milliseconds)
    assert parse_http_date(http_date(instant)) == milliseconds // 1000
    assert parse_http_date(iso_date(instant)) == milliseconds // 1000


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text(max_size=70))
def test_any_text_is_a_date_or_none(text: str) -> None:
    """A header of a stranger must not raise."""
    assert parse_http_date(text) is None or isinstance(parse_http_date(text), int)
