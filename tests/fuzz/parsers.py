"""One function per parser of untrusted bytes: it ends quietly, or what was given is a finding.

Each takes any bytes. A refusal of ours (`ObjstoreError`) is an answer and must make an error document; every other
exception, a bug of ours (`InvariantError`) included, leaves the function, and so does an answer that contradicts itself.

Inputs are as readable as the protocol allows, so that a corpus can be written and read by hand: requests are a line
`METHOD target`, lines `name: value`, an empty line and a body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote, urlencode

from objstore.model.checksum import ChecksumAlgorithm
from objstore.model.errors import InvariantError, ObjstoreError
from objstore.model.instant import Instant
from objstore.model.limits import (
    DELETE_XML_BYTES_MAX,
    KEY_BYTES_MAX,
    OBJECT_TAGS_MAX,
    XML_DEPTH_MAX,
)
from objstore.s3 import (
    checksums,
    conditional,
    copy_source,
    dates,
    metadata,
    ranges,
    tagging,
    tokens,
    xml,
)
from objstore.s3.bodies.aws_chunked import AwsChunkedDecoder
from objstore.s3.checksums import expected_checksums
from objstore.s3.errors import error_reply
from objstore.s3.operation import BodyKind
from objstore.s3.request import Query, RawRequest, S3Request
from objstore.s3.resolve import resolve
from objstore.s3.signature import (
    Anonymous,
    Authenticated,
    Authenticator,
    ChunkChain,
    Mechanism,
    Payload,
    PayloadMode,
    SignedParts,
    SigningKey,
    SigningKeyCache,
    hoisted_headers,
)
from objstore.s3.signature.timestamps import format_basic, parse_basic
from objstore.s3.signature.timestamps import parse_http_date as parse_signing_date
from objstore.s3.target import parse_headers, parse_query, parse_target

__all__ = ["PARSERS"]

_DOMAINS: Final = ("example.com", "s3.example.com")
_NOW: Final = Instant(1_717_063_872_000)
_YEAR_10000: Final = 253_402_300_800
"""Seconds: a zone can move a date of the last year beyond it, where it can be compared and not written."""


@contextmanager
def _refusals_are_answers() -> Iterator[None]:
    """Let our refusals pass, after they made the document that the client would get."""
    try:
        yield
    except InvariantError:
        raise
    except ObjstoreError as error:
        reply = error_reply(error, resource="/", request_id="i", host_id="h")
        assert 400 <= reply.status < 600
        xml.decode(reply.body, root="Error", bytes_max=len(reply.body))


def _request_of(data: bytes) -> tuple[RawRequest, bytes]:
    """Read the notation of this module; whatever is given is a request."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.partition(b"?")
    pairs = [line.partition(b":") for line in lines]
    headers = [(name.lower(), value.strip(b" \t")) for name, _, value in pairs]
    return RawRequest(method.decode("latin-1"), path, query, headers, "http"), body


# --- heads of requests -----------------------------------------------------------------------------------------


def fuzz_target(data: bytes) -> None:
    """The request target: bucket and key, the query, which operation it is (s3 rules 1.1 to 1.4)."""
    raw, _ = _request_of(data)
    with _refusals_are_answers():
        request = parse_target(raw, _DOMAINS)
        if request.key is not None:
            assert len(request.key) <= KEY_BYTES_MAX
            request.key.decode("utf-8")
            assert b"\0" not in request.key
        assert request.bucket != ""
        operation = resolve(request)
        assert operation.method == request.method


def fuzz_headers(data: bytes) -> None:
    """Header lines, and everything that is read of them for any operation that is built (s3 rules 1.6.6, 3, 4)."""
    raw, _ = _request_of(data)
    with _refusals_are_answers():
        headers = parse_headers(raw.headers)
        assert headers.keys() <= {name.decode("latin-1") for name, _ in raw.headers} | {
            name.decode("utf-8", "replace") for name, _ in raw.headers
        }
    with _refusals_are_answers():
        request = parse_target(raw, _DOMAINS)
        operation = resolve(request)
        with _refusals_are_answers():
            expected_checksums(request)
        if operation.decode is not None and operation.body is not BodyKind.XML:
            operation.decode(request, None)


def fuzz_authorization(data: bytes) -> None:
    """The Authorization header and the headers beside it: nobody is let in without the secret (s3 rules 2.1, 2.2)."""
    raw, _ = _request_of(data)
    _authenticate(raw)


def fuzz_presigned(data: bytes) -> None:
    """A query that claims to be signed, by either version, and what it says in place of headers (s3 rules 2.3, 2.5)."""
    raw, _ = _request_of(data if b"\n" in data or data[:4] == b"GET " else b"GET /b/k?" + data)
    _authenticate(raw)
    with _refusals_are_answers():
        for name, value in hoisted_headers(raw.raw_query):
            assert name.startswith(b"x-amz-")
            assert not {0, 10, 13} & set(value)
    with _refusals_are_answers():
        query = parse_query(raw.raw_query)
        assert len(query.first) <= len(query.pairs)


class _OneUser:
    def secret_of(self, access_key: str) -> str | None:
        return hashlib.sha256(b"unknown to the fuzzer").hexdigest() if access_key == "AK" else None


_AUTHENTICATOR: Final = Authenticator(_OneUser(), SigningKeyCache())


def _authenticate(raw: RawRequest) -> None:
    parts = SignedParts(raw.method, raw.raw_path, raw.raw_query, raw.headers, b"")
    with _refusals_are_answers():
        proof = _AUTHENTICATOR.authenticate(parts, now=_NOW)
        assert isinstance(proof, Anonymous), "a signature was accepted that nobody made"


# --- bodies ----------------------------------------------------------------------------------------------------


def fuzz_xml(data: bytes) -> None:
    """Documents: whatever is read can be written and read again, and has bounds (s3 rules 1.6.4, 1.2.11)."""
    with _refusals_are_answers():
        top = xml.decode(data, bytes_max=DELETE_XML_BYTES_MAX)
        assert _depth(top) <= XML_DEPTH_MAX
        assert xml.decode(_written(top).encode(), bytes_max=20 * len(data) + 1000) == top


def _depth(element: xml.Element) -> int:
    return 1 + max((_depth(child) for child in element.children), default=0)


def _written(element: xml.Element) -> str:
    inner = "".join(_written(child) for child in element.children) or xml.escape_text(element.text)
    return f"<{element.name}>{inner}</{element.name}>"


def fuzz_document(data: bytes) -> None:
    """A whole request with a document: every operation that takes one (s3 rules 4.8, 4.11.4, 4.14.3, 4.15.1)."""
    raw, body = _request_of(data)
    with _refusals_are_answers():
        request = parse_target(raw, _DOMAINS)
        operation = resolve(request)
        if operation.decode is not None and operation.body is BodyKind.XML:
            document = xml.decode(body, bytes_max=operation.body_bytes_max) if body else None
            operation.decode(request, document)


_KINDS: Final = (None, *ChecksumAlgorithm)


def fuzz_aws_chunked(data: bytes) -> None:
    """The framing of a stream: cut anywhere it means the same (s3 rules 2.4).

    The first byte chooses the trailer, the second the size of the pieces and whether the chunks must be signed.
    """
    if len(data) < 2:
        return
    algorithm = _KINDS[data[0] % len(_KINDS)]
    is_signed, piece_size = bool(data[1] & 1), 1 + (data[1] >> 1)
    stream = data[2:]
    whole = _chunked(stream, len(stream) or 1, algorithm, is_signed=is_signed)
    cut = _chunked(stream, piece_size, algorithm, is_signed=is_signed)
    assert whole == cut
    assert len(whole[0]) <= len(stream)


def _chunked(
    stream: bytes, size: int, algorithm: ChecksumAlgorithm | None, *, is_signed: bool
) -> tuple[bytes, object]:
    """Return the payload and how the stream ended."""
    decoder = AwsChunkedDecoder(
        chain=ChunkChain(_seed()) if is_signed else None, trailer_algorithm=algorithm
    )
    payload = bytearray()
    try:
        for start in range(0, len(stream), size):
            for piece in decoder.feed(stream[start : start + size]):
                payload += piece
        return bytes(payload), decoder.finish()
    except InvariantError:
        raise
    except ObjstoreError as error:
        # Which bytes were handed out before a fault depends on the cuts, the fault does not.
        return b"", type(error)


def _seed() -> Authenticated:
    return Authenticated(
        Mechanism.V4_HEADER,
        "AK",
        Payload(PayloadMode.STREAMING_SIGNED_TRAILER),
        b"a" * 64,
        b"20240530/auto/s3/aws4_request",
        b"20240530T101112Z",
        SigningKey(bytes(32)),
    )


# --- values ----------------------------------------------------------------------------------------------------


def fuzz_dates(data: bytes) -> None:
    """Dates of conditions and of signatures: what is read is written and read again as the same (s3 rules 4.1.4, 2.2.11)."""
    seconds = dates.parse_http_date(data.decode("utf-8", "surrogateescape"))
    if seconds is not None and 0 <= seconds < _YEAR_10000:
        moment = Instant(seconds * 1000)
        assert dates.parse_http_date(dates.http_date(moment)) == seconds
        assert dates.parse_http_date(dates.iso_date(moment)) == seconds
    basic = parse_basic(data)
    if basic is not None:
        assert format_basic(basic) == data
    parse_signing_date(data)


def fuzz_ranges(data: bytes) -> None:
    """The Range header: what is served lies in the object (s3 rule 4.2.1). The text before a `@` is the header."""
    text, _, size_text = data.decode("latin-1").partition("@")
    size = len(size_text) ** 3
    spec = ranges.parse(text)
    if spec is not None:
        with _refusals_are_answers():
            start, length = ranges.apply(spec, size)
            assert 0 <= start < start + length <= size
            ranges.content_range(start, length, size)


def fuzz_tokens(data: bytes) -> None:
    """Continuation tokens: one that is taken is the one that leads there, and no other text does (s3 rule 5.3.2)."""
    context = tokens.object_listing("bucket", prefix=data[:3], delimiter=b"/")
    with _refusals_are_answers():
        text = data.decode("utf-8", "surrogateescape")
        assert (
            tokens.encode_token(tokens.decode_token(text, context=context), context=context) == text
        )
    made = tokens.encode_token(data, context=context)
    assert tokens.decode_token(made, context=context) == data


def _text(data: bytes) -> str:
    """Return the value of a header as the rest of the code sees it."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def fuzz_tagging(data: bytes) -> None:
    """Tags in a header: what is read can be sent again and means the same (s3 rules 4.8.1, 4.8.2)."""
    with _refusals_are_answers():
        tags = tagging.parse_tagging_header(_text(data))
        assert len(tags) <= OBJECT_TAGS_MAX
        assert len(dict(tags)) == len(tags)
        assert tagging.parse_tagging_header(urlencode(tags)) == tags


def fuzz_copy_source(data: bytes) -> None:
    """The source of a copy, its range in a second line and its condition in a third (s3 rules 4.9.1, 4.10.1, 4.1.6)."""
    lines = [_text(line) for line in data.split(b"\n", 2)]
    source, span, etags = (*lines, "", "")[:3]
    with _refusals_are_answers():
        bucket, key, version = copy_source.parse_source(source)
        assert 0 < len(key) <= KEY_BYTES_MAX
        again = f"/{bucket}/{quote(key)}"
        again += "" if version is None else f"?versionId={version}"
        assert copy_source.parse_source(again) == (bucket, key, version)
    with _refusals_are_answers():
        read = copy_source.parse_source_range(span)
        if read is not None:
            assert 0 <= read[0] <= read[1]
            copy_source.check_source_range(read, len(etags) ** 3)
    for etag in conditional.parse_etags(etags) or ():
        assert etags.count(etag)


def fuzz_checksums(data: bytes) -> None:
    """The headers about digests, of a PUT, of a new upload and of a Complete (s3 rules 3.1 to 3.5)."""
    pairs = [line.partition(b":") for line in data.split(b"\n")]
    headers = {
        name.lower().decode("latin-1"): _text(value.strip(b" \t")) for name, _, value in pairs
    }
    for query in ({}, {"uploadId": "0"}):
        raw = RawRequest("POST", b"/b/k", b"", (), "http")
        request = S3Request(raw, "POST", "b", b"k", Query(tuple(query.items()), query), headers)
        with _refusals_are_answers():
            expected = expected_checksums(request)
            assert expected.checksum is None or expected.trailer_algorithm is None
    with _refusals_are_answers():
        checksums.require_digest(headers)
    with _refusals_are_answers():
        algorithm, kind = checksums.new_upload_checksum(headers)
        assert (algorithm is None) == (kind is None)
    with _refusals_are_answers():
        found = checksums.object_checksum(headers)
        if found is not None:
            shown = {f"x-amz-checksum-{found.algorithm.value}": checksums.checksum_text(found)}
            assert checksums.object_checksum(shown) == found


def fuzz_metadata(data: bytes) -> None:
    """Encoded words, and the headers that are stored: what is shown is read as the same (s3 rules 4.4.1, 4.6)."""
    text = _text(data)
    assert metadata.decode_words(metadata.encode_words(text)) == text or "=?" in text
    read = metadata.decode_words(text)
    shown = metadata.encode_words(read)
    assert shown.isascii()
    assert shown.isprintable()
    name, _, value = text.partition("=")
    for headers in ({f"x-amz-meta-{name}": value}, {"content-encoding": text}, {"expires": text}):
        with _refusals_are_answers():
            metadata.user_metadata(headers)
            kept = metadata.system_metadata(headers)
            assert "aws-chunked" not in [
                coding.strip().lower() for coding in (kept.content_encoding or "").split(",")
            ]
    with _refusals_are_answers():
        metadata.redirect_location({"x-amz-website-redirect-location": text})


PARSERS: Final[dict[str, Callable[[bytes], None]]] = {
    name.removeprefix("fuzz_"): function
    for name, function in list(globals().items())
    if name.startswith("fuzz_")
}
"""By name, which is the name of its folder in the corpus."""
