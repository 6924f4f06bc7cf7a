"""From what came in to bucket, key, query and headers (s3 rules 1.1 and 1.2).

Works on the raw bytes of the target: signatures and keys need them as they were sent. A key is
percent-decoded once and then left alone: no merging of slashes, no resolving of dots, no
normalising. The query is decoded here as well; what its names mean is decided in `resolve`.

Every request passes here, so the plain case (path style, nothing encoded, headers in UTF-8) takes a
short way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from objstore.model.errors import (
    BadRequestError,
    HeaderSectionTooLarge,
    InvalidBucketName,
    InvalidUri,
    KeyTooLong,
)
from objstore.model.limits import HEADER_SECTION_BYTES_MAX, KEY_BYTES_MAX
from objstore.model.names import ObjectKey
from objstore.s3.request import Headers, Query, RawRequest, S3Request

__all__ = ["parse_headers", "parse_query", "parse_target", "percent_decode"]

_NO_QUERY: Final = Query((), MappingProxyType({}))
_MALFORMED_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE: Final = re.compile(rb"https?://([^/]*)(.*)", re.IGNORECASE | re.DOTALL)
_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)
_ONCE_ONLY: Final = ("host", "content-length")
_HEADER_LINE_EXTRA_BYTES: Final = 2
"""A line has `: ` and a line end: four bytes, of which the join below brings two."""
_URI_SHOWN_CHARACTERS_MAX: Final = 2048


def parse_target(raw: RawRequest, base_domains: Sequence[str] = ()) -> S3Request:
    """Return the parsed request.

    `base_domains` are host names in lower case; a host below one of them is virtual-host style, all
    others are path style (s3 rule 1.1.2). Raises `InvalidUri`, `KeyTooLong`, `InvalidBucketName`
    for an empty bucket before a key, and `BadRequestError` for headers that contradict each other.
    """
    headers = parse_headers(raw.headers)
    host = headers.get("host", "")
    if raw.raw_path[:1] != b"/":
        raw, host = _origin_form(raw, host)
    bucket_of_host = _bucket_of_host(host, base_domains) if base_domains else None
    path = raw.raw_path[1:]
    if bucket_of_host is None:
        bucket_bytes, slash, key_bytes = path.partition(b"/")
        bucket = _decoded(bucket_bytes, path).decode("utf-8")
        if not bucket and slash:
            raise InvalidBucketName(bucket_name="")
    else:
        bucket, key_bytes = bucket_of_host, path
    return S3Request(
        raw=raw,
        method=raw.method,
        bucket=bucket or None,
        key=_key(key_bytes, path) if key_bytes else None,
        query=parse_query(raw.raw_query) if raw.raw_query else _NO_QUERY,
        headers=headers,
        is_virtual_host=bucket_of_host is not None,
        host=host,
    )


# --- path --------------------------------------------------------------------


def percent_decode(encoded: bytes) -> bytes:
    """Decode once, `+` staying a plus.

    Raises `InvalidUri` for a malformed escape (s3 rule 1.2.7).
    """
    if b"%" not in encoded:
        return encoded
    if _MALFORMED_ESCAPE.search(encoded) is not None:
        raise _invalid(encoded)
    return unquote_to_bytes(encoded)


def _key(encoded: bytes, path: bytes) -> ObjectKey:
    key = _decoded(encoded, path)
    if len(key) > KEY_BYTES_MAX:
        raise KeyTooLong(size=len(key), max_size_allowed=KEY_BYTES_MAX)
    return ObjectKey(key)


def _decoded(encoded: bytes, path: bytes) -> bytes:
    """Decode a piece of the path; it must be UTF-8 and hold no NUL (s3 rules 1.2.7 and 1.2.9)."""
    piece = percent_decode(encoded)
    if not piece.isascii():
        _require_utf8(piece, path)
    if b"\0" in piece:
        raise _invalid(path)
    return piece


def _require_utf8(text: bytes, shown: bytes) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(shown) from error


def _invalid(target: bytes) -> InvalidUri:
    return InvalidUri(uri=target.decode("latin-1")[:_URI_SHOWN_CHARACTERS_MAX])


def _origin_form(raw: RawRequest, host: str) -> tuple[RawRequest, str]:
    """Bring `http://host/path`, `*` and an empty path into the usual form (s3 rule 1.2.1).

    The authority of an absolute target counts (RFC 9112 section 3.2.2), but a `Host` header that
    names somebody else is refused: what is signed is that header.
    """
    match = _ABSOLUTE.fullmatch(raw.raw_path)
    if match is None:
        if raw.raw_path and (raw.raw_path != b"*" or raw.method != "OPTIONS"):
            raise _invalid(raw.raw_path)
        return _with_path(raw, b"/"), host
    authority = match[1].decode("latin-1")
    if host and host.lower() != authority.lower():
        raise BadRequestError("The Host header does not match the request target.")
    if match[2][:1] not in (b"", b"/"):
        raise _invalid(raw.raw_path)
    return _with_path(raw, match[2] or b"/"), authority


def _with_path(raw: RawRequest, path: bytes) -> RawRequest:
    return RawRequest(
        method=raw.method,
        raw_path=path,
        raw_query=raw.raw_query,
        headers=raw.headers,
        scheme=raw.scheme,
    )


# --- host --------------------------------------------------------------------


def _bucket_of_host(host: str, base_domains: Iterable[str]) -> str | None:
    """Return the bucket in front of the longest base domain, None for path style."""
    name = _without_port(host.lower())
    best = ""
    for domain in base_domains:
        if name == domain:
            return None
        if len(domain) > len(best) and name.endswith(domain) and name[-len(domain) - 1] == ".":
            best = domain
    if not best or _IPV4.fullmatch(name) is not None:
        return None
    return name[: -len(best) - 1] or None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].removesuffix(".")


# --- query -------------------------------------------------------------------


def parse_query(raw_query: bytes) -> Query:
    """Decode a query string; `+` is a space here. Raises `InvalidUri`."""
    pairs = []
    for piece in raw_query.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((_query_text(name), _query_text(value)))
    if not pairs:
        return _NO_QUERY
    first = dict(pairs)
    if len(first) != len(pairs):
        first = dict(reversed(pairs))
    return Query(tuple(pairs), first)


def _query_text(encoded: bytes) -> str:
    if b"+" in encoded:
        encoded = encoded.replace(b"+", b" ")
    try:
        return percent_decode(encoded).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(encoded) from error


# --- headers -----------------------------------------------------------------


def parse_headers(pairs: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Decode headers once; repeated ones are joined with `,`.

    Raises `HeaderSectionTooLarge` (s3 rule 1.6.6), and `BadRequestError` for a second Host or
    Content-Length: two parties that each believe another one of them would disagree about what the
    request is.
    """
    joined = b"\0".join(chain.from_iterable(pairs))
    if len(joined) + _HEADER_LINE_EXTRA_BYTES * len(pairs) > HEADER_SECTION_BYTES_MAX:
        raise HeaderSectionTooLarge(max_size_allowed=HEADER_SECTION_BYTES_MAX)
    # One join, one decode and one split cost a third of decoding header by header. A NUL inside a
    # header shows as a wrong number of pieces.
    try:
        pieces = joined.decode("utf-8").split("\0")
    except UnicodeDecodeError:
        return _headers_with_care(pairs)
    headers = dict(zip(pieces[::2], pieces[1::2], strict=False))
    if len(headers) == len(pairs) and len(pieces) == 2 * len(pairs):
        return headers
    return _headers_with_care(pairs)


def _headers_with_care(pairs: Sequence[tuple[bytes, bytes]]) -> Headers:
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name = str(raw_name, "latin-1")
        value = _header_text(raw_value)
        if name not in headers:
            headers[name] = value
        elif name in _ONCE_ONLY:
            raise BadRequestError(f"The header {name} must not be repeated.")
        else:
            headers[name] = f"{headers[name]},{value}"
    return headers


def _header_text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
