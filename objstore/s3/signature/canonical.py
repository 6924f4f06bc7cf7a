"""The canonical request of SigV4, from the bytes that came over the wire.

It promises the text that a correct S3 client signed, byte for byte (s3 rules 2.2.2 to 2.2.5), for
what the client *sent*: nothing here normalises a path, and header values stay bytes. It does not
judge: whether a header had to be signed, or a date is near, is decided in `v4` and `presigned`.

S3 encodes a path once (other services twice) and removes no dot segments. The common case, a
target of unreserved characters only, is canonical as it stands: one regular expression finds it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

import msgspec

__all__ = [
    "HeaderPairs",
    "QueryPairs",
    "SignedParts",
    "canonical_headers",
    "canonical_path",
    "canonical_query",
    "canonical_request",
    "decode_component",
    "encode_component",
    "hash_of_text",
    "join_headers",
    "query_pairs",
]

HeaderPairs: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Lower-case name and value, in order of arrival, as an ASGI scope has them."""
QueryPairs: TypeAlias = list[tuple[bytes, bytes]]
"""Encoded name and encoded value in canonical spelling, in order of arrival."""


class SignedParts(msgspec.Struct, frozen=True):
    """What a signature may cover. All bytes are as received; the method is upper case."""

    method: str
    raw_path: bytes
    """The path of the request target, still percent-encoded, without the query."""
    query: bytes
    """What follows the first `?`, still percent-encoded; empty where there is none."""
    headers: HeaderPairs
    bucket_of_host: bytes = b""
    """The bucket that the host names; only version 2 signs it (s3 rule 2.5.2)."""


_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_PLAIN_PATH: Final = re.compile(rb"[A-Za-z0-9\-._~/]*")
_PLAIN_COMPONENT: Final = re.compile(rb"[A-Za-z0-9\-._~]*")
_ENCODED: Final = tuple(
    bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte for byte in range(256)
)
_ENCODED_IN_PATH: Final = tuple(b"/" if byte == ord("/") else _ENCODED[byte] for byte in range(256))


def encode_component(raw: bytes) -> bytes:
    """Percent-encode everything but unreserved characters, `/` included, in upper-case hex."""
    if _PLAIN_COMPONENT.fullmatch(raw):
        return raw
    return b"".join([_ENCODED[byte] for byte in raw])


def decode_component(encoded: bytes) -> bytes:
    """Percent-decode once; a malformed escape stays as it is."""
    return unquote_to_bytes(encoded) if b"%" in encoded else encoded


def canonical_path(raw_path: bytes) -> bytes:
    """Decode the path once and encode it once, keeping every `/` (s3 rule 2.2.3)."""
    if _PLAIN_PATH.fullmatch(raw_path):
        return raw_path or b"/"
    return b"".join([_ENCODED_IN_PATH[byte] for byte in unquote_to_bytes(raw_path)])


def _canonical_component(sent: bytes) -> bytes:
    if _PLAIN_COMPONENT.fullmatch(sent):
        return sent
    # A raw plus in a query means a space (s3 rule 2.2.4); in a path it is a plus.
    return encode_component(unquote_to_bytes(sent.replace(b"+", b" ")))


def query_pairs(query: bytes) -> QueryPairs:
    """Split a raw query and bring names and values into canonical spelling (s3 rule 2.2.4)."""
    if not query:
        return []
    pairs: QueryPairs = []
    for parameter in query.split(b"&"):
        name, _, value = parameter.partition(b"=")
        pairs.append((_canonical_component(name), _canonical_component(value)))
    return pairs


def canonical_query(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Sort encoded pairs by name, then value, bytewise, and join them; duplicates stay."""
    return b"&".join([name + b"=" + value for name, value in sorted(pairs)])


def join_headers(headers: HeaderPairs) -> dict[bytes, bytes]:
    """Map names to values; values of a repeated name are joined with `,` in order of arrival."""
    joined = dict(headers)
    if len(joined) == len(headers):
        return joined
    gathered: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        gathered.setdefault(name, []).append(value.strip())
    return {name: b",".join(values) for name, values in gathered.items()}


def canonical_headers(names: Iterable[bytes], values: Mapping[bytes, bytes]) -> bytes:
    """Return a line `name:value` for each name, values trimmed and white space folded (2.2.5).

    A signed header that did not arrive counts as empty, so the signature fails unless the client
    signed it as empty.
    """
    return b"".join(
        [b"%b:%b\n" % (name, b" ".join(values.get(name, b"").split())) for name in names]
    )


def canonical_request(
    method: str, path: bytes, query: bytes, headers: bytes, signed_names: bytes, payload: bytes
) -> bytes:
    """Join the six canonical parts (s3 rule 2.2.2); `headers` ends with a line feed already."""
    verb = method.encode("utf-8", "replace")
    return b"\n".join((verb, path, query, headers, signed_names, payload))


def hash_of_text(text: bytes) -> bytes:
    """Return the SHA-256 of a text in lower-case hex, as the strings to sign carry it."""
    return hashlib.sha256(text).hexdigest().encode("ascii")
