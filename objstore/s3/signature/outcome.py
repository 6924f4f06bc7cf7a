"""What authentication finds out: who signed, how, and what that says about the body.

Values only. Key material is inside `Authenticated`, so its text form shows none of it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from objstore.model.errors import BadRequestError, InvalidArgument
from objstore.s3.signature.keys import SigningKey

__all__ = [
    "Anonymous",
    "Authenticated",
    "Mechanism",
    "Payload",
    "PayloadMode",
    "RegionPolicy",
    "parse_payload",
]


class Mechanism(Enum):
    """How a request proves who sent it (s3 rule 2.1.1)."""

    V4_HEADER = "AWS4-HMAC-SHA256 header"
    V4_PRESIGNED = "AWS4-HMAC-SHA256 query"
    V2_PRESIGNED = "AWS query"
    ANONYMOUS = "none"


class PayloadMode(Enum):
    """How the body is framed and covered (s3 rule 2.2.9)."""

    SIGNED_HEX = "sha256"
    UNSIGNED = "UNSIGNED-PAYLOAD"
    STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    @property
    def is_chunked(self) -> bool:
        """Whether the body is aws-chunked, whatever Content-Encoding says (s3 rule 2.4.1)."""
        return self in _CHUNKED

    @property
    def is_signed_stream(self) -> bool:
        """Whether every chunk carries a signature."""
        return self in _SIGNED_STREAMS


_SIGNED_STREAMS: Final = (PayloadMode.STREAMING_SIGNED, PayloadMode.STREAMING_SIGNED_TRAILER)
_CHUNKED: Final = (*_SIGNED_STREAMS, PayloadMode.STREAMING_UNSIGNED_TRAILER)


class Payload(msgspec.Struct, frozen=True):
    """The mode, and for SIGNED_HEX the 32 bytes that the SHA-256 of the body must equal."""

    mode: PayloadMode
    sha256: bytes = b""


UNSIGNED: Final = Payload(PayloadMode.UNSIGNED)

_NAMED: Final = {
    mode.value.encode("ascii"): Payload(mode)
    for mode in PayloadMode
    if mode is not PayloadMode.SIGNED_HEX
}
_ECDSA: Final = (
    b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
    b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
)
_HEX_DIGITS: Final = frozenset(b"0123456789abcdefABCDEF")

MECHANISM_NOT_SUPPORTED: Final = (
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
)


def parse_payload(value: bytes) -> Payload:
    """Read `x-amz-content-sha256`.

    Raises `InvalidArgument` for an unknown value and `BadRequestError` for the ECDSA forms.
    """
    if len(value) == 64 and _HEX_DIGITS.issuperset(value):
        return Payload(PayloadMode.SIGNED_HEX, bytes.fromhex(value.decode("ascii")))
    named = _NAMED.get(value)
    if named is not None:
        return named
    if value in _ECDSA:
        raise BadRequestError(MECHANISM_NOT_SUPPORTED)
    raise InvalidArgument(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid "
        "sha256 value.",
        argument_name="x-amz-content-sha256",
        argument_value=value.decode("utf-8", "replace"),
    )


class Anonymous(msgspec.Struct, frozen=True):
    """Nobody signed; the body may still announce its framing or digest."""

    payload: Payload


class Authenticated(msgspec.Struct, frozen=True):
    """A verified signature. What the holder of the key may do is decided elsewhere."""

    mechanism: Mechanism
    access_key: str
    payload: Payload
    signature: bytes
    """64 hex digits, the seed of the chunk signatures; base64 for version 2, which has none."""
    scope: bytes
    """`date/region/s3/aws4_request`; empty for version 2, like the next two."""
    timestamp: bytes
    """`yyyymmddThhmmssZ`, as it stands in the string that was signed."""
    signing_key: SigningKey
    session_token: str | None = None
    """As sent; whether it belongs to the key is for the issuer to say (s3 rule 2.2.16)."""

    def __repr__(self) -> str:
        return (
            f"Authenticated({self.access_key!r}, {self.mechanism.name}, {self.payload.mode.name})"
        )


class RegionPolicy(msgspec.Struct, frozen=True):
    """Lenient: any region of the scope is taken as signed. Strict: it must be ours (2.2.14)."""

    region: str = "us-east-1"
    strict: bool = False
