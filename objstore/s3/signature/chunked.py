"""The signatures inside an aws-chunked body: a chain that starts at the request's own (2.4.5).

It promises that a chunk verifies only in its place: every signature covers the one before it, so
chunks cannot be dropped, repeated or swapped. It frames nothing; `bodies.aws_chunked` does.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

from objstore.model.digests import EMPTY_SHA256
from objstore.s3.signature.canonical import hash_of_text
from objstore.s3.signature.outcome import Authenticated
from objstore.s3.signature.verify import signature_mismatch

__all__ = ["ChunkChain", "chunk_string_to_sign", "trailer_string_to_sign"]

_PAYLOAD: Final = b"AWS4-HMAC-SHA256-PAYLOAD"
_TRAILER: Final = b"AWS4-HMAC-SHA256-TRAILER"
_EMPTY: Final = EMPTY_SHA256.hex().encode("ascii")


def chunk_string_to_sign(
    timestamp: bytes, scope: bytes, previous: bytes, data_sha256: bytes
) -> bytes:
    """Return the text that the signature of one chunk covers; the digest is raw."""
    data_hash = data_sha256.hex().encode("ascii")
    return b"\n".join((_PAYLOAD, timestamp, scope, previous, _EMPTY, data_hash))


def trailer_string_to_sign(
    timestamp: bytes, scope: bytes, previous: bytes, trailers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Return the text that the trailer's signature covers."""
    lines = b"".join([name + b":" + value + b"\n" for name, value in trailers])
    return b"\n".join((_TRAILER, timestamp, scope, previous, hash_of_text(lines)))


class ChunkChain:
    """The running state of one body's signatures. Holds key material: never print it."""

    __slots__ = ("_access_key", "_key", "_previous", "_scope", "_timestamp")

    def __init__(self, seed: Authenticated) -> None:
        self._access_key = seed.access_key
        self._key = seed.signing_key
        self._scope = seed.scope
        self._timestamp = seed.timestamp
        self._previous = seed.signature

    def check_chunk(self, data_sha256: bytes, provided: bytes) -> None:
        """Verify the next chunk by the raw digest of its data; raises `SignatureDoesNotMatch`."""
        text = chunk_string_to_sign(self._timestamp, self._scope, self._previous, data_sha256)
        self._check(text, provided)
        self._previous = provided

    def check_trailer(self, trailers: Iterable[tuple[bytes, bytes]], provided: bytes) -> None:
        """Verify the trailers, signature line excluded; raises `SignatureDoesNotMatch`."""
        text = trailer_string_to_sign(self._timestamp, self._scope, self._previous, trailers)
        self._check(text, provided)

    def _check(self, text: bytes, provided: bytes) -> None:
        if not hmac.compare_digest(self._key.sign(text), provided):
            raise signature_mismatch(provided, text, self._access_key)
