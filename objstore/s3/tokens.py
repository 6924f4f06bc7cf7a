"""Continuation tokens: a place in a listing, as opaque text (s3 rule 5.3.2).

A token is base64url of a version byte, a short check, and the raw bytes of the position, so that any key survives
URL and XML and the token stays valid when its key is deleted. The check covers the context (bucket, prefix,
delimiter): a token of another listing, or garbage, is refused instead of leading somewhere. It is no secret and no
signature; what a caller may list is decided by permissions, not by tokens.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from objstore.model.errors import InvalidArgument

__all__ = ["bucket_listing", "decode_token", "encode_token", "object_listing"]

_VERSION: Final = b"\x01"
_CHECK_BYTES: Final = 5
_HEAD_BYTES: Final = len(_VERSION) + _CHECK_BYTES
"""Six bytes are eight characters of base64: the position starts on a boundary."""


def object_listing(bucket: str, *, prefix: bytes, delimiter: bytes) -> tuple[bytes, ...]:
    """Return the context of a ListObjectsV2 token (s3 rule 5.3.2)."""
    return (bucket.encode(), prefix, delimiter)


def bucket_listing(prefix: str | None) -> tuple[bytes, ...]:
    """Return the context of a ListBuckets token; no bucket is named by a blank."""
    return (b" ", (prefix or "").encode("utf-8", "surrogateescape"))


def encode_token(position: bytes, *, context: Sequence[bytes]) -> str:
    """Return the token that leads back to a position in the listing that `context` describes."""
    return _text_of(_VERSION + _check(position, context) + position)


def decode_token(token: str, *, context: Sequence[bytes]) -> bytes:
    """Return the position. Raises `InvalidArgument` for everything that `encode_token` did not make for `context`."""
    position = _position_of(token, context)
    if position is None:
        raise InvalidArgument(
            "The continuation token provided is incorrect",
            argument_name="continuation-token",
            argument_value=token,
        )
    return position


def _position_of(token: str, context: Sequence[bytes]) -> bytes | None:
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:  # binascii.Error for bad base64, plain ValueError for text outside ASCII
        return None
    if _text_of(raw) != token:  # base64 readers pass over what they do not know
        return None
    version, stated, position = raw[:1], raw[1:_HEAD_BYTES], raw[_HEAD_BYTES:]
    if version != _VERSION or stated != _check(position, context):
        return None
    return position


def _text_of(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _check(position: bytes, context: Sequence[bytes]) -> bytes:
    """Digest the position with its context; lengths keep the pieces apart."""
    digest = blake2b(digest_size=_CHECK_BYTES)
    for piece in (position, *context):
        digest.update(len(piece).to_bytes(4, "big"))
        digest.update(piece)
    return digest.digest()
