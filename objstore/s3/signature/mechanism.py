"""Which way a request proves who sent it: the first step of authentication (s3 rules 2.1).

It promises that exactly one mechanism is at work: two at once are refused, because a reader that
picks one may be a different reader than the client's. The fields of a browser upload are looked at
when the form is read, not here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from objstore.model.errors import (
    AuthorizationQueryParametersError,
    BadRequestError,
    InvalidArgument,
)
from objstore.model.instant import Instant
from objstore.s3.signature.canonical import QueryPairs, SignedParts, join_headers, query_pairs
from objstore.s3.signature.credentials import CredentialSource
from objstore.s3.signature.keys import SigningKeyCache
from objstore.s3.signature.outcome import (
    MECHANISM_NOT_SUPPORTED,
    UNSIGNED,
    Anonymous,
    Authenticated,
    Mechanism,
    RegionPolicy,
    parse_payload,
)
from objstore.s3.signature.presigned import PRESIGNED_MARKERS, authenticate_presigned
from objstore.s3.signature.v2 import V2_MARKERS, authenticate_presigned_v2
from objstore.s3.signature.v4 import authenticate_header
from objstore.s3.signature.verify import Trust

__all__ = ["Authenticator", "choose_mechanism", "is_presigned"]

_V4: Final = b"AWS4-HMAC-SHA256"
_KNOWN_BUT_REFUSED: Final = (b"AWS", b"AWS4-ECDSA-P256-SHA256")


class Authenticator:
    """Finds out who sent a request. One per gateway process; used from one thread."""

    __slots__ = ("_trust",)

    def __init__(
        self,
        credentials: CredentialSource,
        keys: SigningKeyCache,
        region: RegionPolicy = RegionPolicy(),  # noqa: B008 - frozen, so it can be shared
    ) -> None:
        self._trust = Trust(credentials, keys, region)

    def authenticate(self, parts: SignedParts, *, now: Instant) -> Authenticated | Anonymous:
        """Verify the signature of a request, or say that it has none.

        Raises a leaf of `InvalidRequest` for what cannot be read and a leaf of `Denied` for what is
        not proven (s3 rules 2.1 to 2.3). The body is not looked at.
        """
        headers = join_headers(parts.headers)
        pairs = query_pairs(parts.query)
        mechanism = choose_mechanism(headers, pairs)
        if mechanism is Mechanism.V4_HEADER:
            return authenticate_header(parts, headers, pairs, self._trust, now=now)
        if mechanism is Mechanism.V4_PRESIGNED:
            return authenticate_presigned(parts, headers, pairs, self._trust, now=now)
        if mechanism is Mechanism.V2_PRESIGNED:
            return authenticate_presigned_v2(parts, headers, self._trust, now=now)
        return _anonymous(headers)


def choose_mechanism(headers: dict[bytes, bytes], pairs: QueryPairs) -> Mechanism:
    """Return the mechanism of a request.

    Raises `InvalidArgument` for several at once or an unreadable Authorization header, and
    `BadRequestError` for mechanisms that this store does not take (s3 rules 2.1.1, 2.1.2, 2.7.1).
    """
    authorization = headers.get(b"authorization", b"")
    in_query = _query_mechanism(pairs) if pairs else Mechanism.ANONYMOUS
    if not authorization:
        return in_query
    if in_query is not Mechanism.ANONYMOUS:
        raise _bad_authorization(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature "
            "query string parameter or the Authorization header should be specified",
            authorization,
        )
    kind, space, _ = authorization.partition(b" ")
    if not space:
        raise _bad_authorization(
            "Authorization header is invalid -- one and only one ' ' (space) required.",
            authorization,
        )
    if kind == _V4:
        return Mechanism.V4_HEADER
    if kind in _KNOWN_BUT_REFUSED:
        raise BadRequestError(MECHANISM_NOT_SUPPORTED)
    raise _bad_authorization("Unsupported Authorization Type", authorization)


def _query_mechanism(pairs: QueryPairs) -> Mechanism:
    names = [name for name, _ in pairs]
    presigned = not PRESIGNED_MARKERS.isdisjoint([name.lower() for name in names])
    if not V2_MARKERS.isdisjoint(names):
        if presigned:
            raise AuthorizationQueryParametersError(
                "Only one auth mechanism allowed: the query carries the parameters of two."
            )
        return Mechanism.V2_PRESIGNED
    return Mechanism.V4_PRESIGNED if presigned else Mechanism.ANONYMOUS


def is_presigned(names: Iterable[str]) -> bool:
    """Tell whether decoded names of query parameters make a request a presigned one, of either version.

    Decoded, as the signature sees them: `X%2DAmz-Signature` is one too, and its `x-amz-*` neighbours count as headers.
    """
    return any(
        name.lower().encode() in PRESIGNED_MARKERS or name.encode() in V2_MARKERS for name in names
    )


def _bad_authorization(text: str, authorization: bytes) -> InvalidArgument:
    # A log may keep the error, and what follows the type may be a password: it stays out.
    kind = authorization.partition(b" ")[0].decode("utf-8", "replace")
    return InvalidArgument(text, argument_name="Authorization", argument_value=kind)


def _anonymous(headers: dict[bytes, bytes]) -> Anonymous:
    line = headers.get(b"x-amz-content-sha256")
    if line is None:
        return Anonymous(UNSIGNED)
    payload = parse_payload(line)
    if payload.mode.is_signed_stream:
        # Nothing could be the seed of its chunk signatures (s3 rule 2.4.10).
        raise BadRequestError(
            "Anonymous requests don't support this x-amz-content-sha256 value. Please use "
            "UNSIGNED-PAYLOAD or STREAMING-UNSIGNED-PAYLOAD-TRAILER."
        )
    return Anonymous(payload)
