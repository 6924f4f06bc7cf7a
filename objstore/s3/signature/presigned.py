"""SigV4 in the query: presigned URLs (s3 rules 2.3).

It promises the exact error of each fault and that a parameter counts once: a second
`X-Amz-Signature` in any spelling is refused, not chosen between. Which hoisted parameters may stand
for headers is answered by `hoisted_headers`; a real header wins, and that is the caller's merge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from objstore.model.errors import (
    AccessDenied,
    AuthorizationQueryParametersError,
    InvalidArgument,
)
from objstore.model.instant import MS_PER_SECOND, Instant
from objstore.model.limits import CLOCK_SKEW_MS_MAX, PRESIGNED_EXPIRES_S_MAX
from objstore.s3.signature.canonical import (
    QueryPairs,
    SignedParts,
    canonical_query,
    decode_component,
    query_pairs,
)
from objstore.s3.signature.outcome import (
    UNSIGNED,
    Authenticated,
    Mechanism,
    Payload,
    parse_payload,
)
from objstore.s3.signature.scope import QUERY_BLAME, parse_scope
from objstore.s3.signature.timestamps import format_extended, parse_basic
from objstore.s3.signature.verify import (
    ALGORITHM,
    Claim,
    Trust,
    check_all_signed,
    signed_names_of,
    verify,
)

__all__ = ["PRESIGNED_MARKERS", "authenticate_presigned", "hoisted_headers"]

_REQUIRED: Final = (
    b"x-amz-algorithm",
    b"x-amz-credential",
    b"x-amz-signature",
    b"x-amz-date",
    b"x-amz-signedheaders",
    b"x-amz-expires",
)
_OPTIONAL: Final = (b"x-amz-security-token", b"x-amz-content-sha256")
_PARAMETERS: Final = frozenset(_REQUIRED + _OPTIONAL)

PRESIGNED_MARKERS: Final = frozenset((b"x-amz-algorithm", b"x-amz-credential", b"x-amz-signature"))
"""Any of these names, in any case, makes a request a presigned one."""

_SIGNED_HEADERS: Final = re.compile(rb"[!-~]+")
_EXPIRES: Final = re.compile(rb"-?[0-9]+")
_EXPIRES_DIGITS_MAX: Final = 12
_DATE_TEXT: Final = "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NEVER_HOISTED: Final = ("x-amz-checksum-", "x-amz-sdk-checksum-algorithm")


def authenticate_presigned(
    parts: SignedParts,
    headers: dict[bytes, bytes],
    pairs: QueryPairs,
    trust: Trust,
    *,
    now: Instant,
) -> Authenticated:
    """Verify a request whose query carries a SigV4 signature."""
    parameters = _parameters(pairs)
    if parameters[b"x-amz-algorithm"] != ALGORITHM:
        raise AuthorizationQueryParametersError('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
    scope = parse_scope(parameters[b"x-amz-credential"], trust.region, QUERY_BLAME)
    timestamp = parameters[b"x-amz-date"]
    _check_validity(parameters, scope.date, now)
    signed_text = parameters[b"x-amz-signedheaders"]
    if _SIGNED_HEADERS.fullmatch(signed_text) is None:
        raise AuthorizationQueryParametersError("X-Amz-SignedHeaders is not a list of header names")
    signed_names = signed_names_of(signed_text)
    check_all_signed(headers, signed_names, tolerated=b"x-amz-content-sha256")
    payload_line, payload = _payload(parameters, headers, signed_names)
    query = canonical_query(
        (name, value) for name, value in pairs if name.lower() != b"x-amz-signature"
    )
    signature = parameters[b"x-amz-signature"]
    claim = Claim(scope, timestamp, signed_names, payload_line, query, signature)
    key = verify(parts, headers, claim, trust)
    token = parameters.get(b"x-amz-security-token", headers.get(b"x-amz-security-token"))
    return Authenticated(
        Mechanism.V4_PRESIGNED,
        scope.access_key,
        payload,
        signature,
        scope.text,
        timestamp,
        key,
        None if token is None else token.decode("utf-8", "replace"),
    )


def _parameters(pairs: QueryPairs) -> dict[bytes, bytes]:
    """Return the decoded authentication parameters by lower-case name (2.3.1)."""
    found: dict[bytes, bytes] = {}
    for name, value in pairs:
        lower = name.lower()
        if lower not in _PARAMETERS:
            continue
        if lower in found:
            raise AuthorizationQueryParametersError(
                f"{name.decode('ascii')} must stand in the query only once"
            )
        found[lower] = decode_component(value)
    if not all(found.get(name) for name in _REQUIRED):
        raise AuthorizationQueryParametersError(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    return found


def _check_validity(parameters: Mapping[bytes, bytes], credential_date: str, now: Instant) -> None:
    """Check the date, that it is the credential's, and that now lies in the window (2.3.4)."""
    timestamp = parameters[b"x-amz-date"]
    signed_at = parse_basic(timestamp)
    if signed_at is None:
        raise AuthorizationQueryParametersError(_DATE_TEXT)
    expires_s = _expires_s(parameters[b"x-amz-expires"])
    signed_date = timestamp[:8].decode("ascii")
    if signed_date != credential_date:
        raise AuthorizationQueryParametersError(
            f'Invalid credential date "{credential_date}". This date is not the same as '
            f'X-Amz-Date: "{signed_date}".'
        )
    if now < signed_at - CLOCK_SKEW_MS_MAX:
        raise AccessDenied("Request is not valid yet")
    ends_at = Instant(signed_at + expires_s * MS_PER_SECOND)
    if now > ends_at:
        raise AccessDenied(
            "Request has expired",
            x_amz_expires=expires_s,
            expires=format_extended(ends_at),
            server_time=format_extended(now),
        )


def _expires_s(text: bytes) -> int:
    """Return X-Amz-Expires in seconds (s3 rule 2.3.3)."""
    if _EXPIRES.fullmatch(text) is None:
        raise AuthorizationQueryParametersError("X-Amz-Expires should be a number")
    if text.startswith(b"-") and text.strip(b"-0"):
        raise AuthorizationQueryParametersError("X-Amz-Expires must be non-negative")
    # Converting a number of many digits costs quadratic time, so its length is judged first.
    if len(text) > _EXPIRES_DIGITS_MAX or int(text) > PRESIGNED_EXPIRES_S_MAX:
        raise AuthorizationQueryParametersError(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires "
            "must be less than 604800 seconds"
        )
    return int(text)


def _payload(
    parameters: Mapping[bytes, bytes],
    headers: Mapping[bytes, bytes],
    signed_names: tuple[bytes, ...],
) -> tuple[bytes, Payload]:
    """Return the line that was signed and how the body is to be read (s3 rule 2.3.5).

    An unsigned header is not part of the signature, but it still says how the sender framed the
    body, and the holder of an unsigned body may bind it to a digest.
    """
    header = headers.get(b"x-amz-content-sha256")
    signed = parameters.get(b"x-amz-content-sha256")
    if header is not None and b"x-amz-content-sha256" in signed_names:
        signed = header
    line = b"UNSIGNED-PAYLOAD" if signed is None else signed
    payload = parse_payload(line)
    if payload == UNSIGNED and header is not None:
        return line, parse_payload(header)
    return line, payload


def hoisted_headers(query: bytes) -> list[tuple[bytes, bytes]]:
    """Return the `x-amz-*` parameters of a signed query that stand for headers (s3 rule 2.3.8).

    Names come in lower case, values decoded, in order of arrival. Authentication parameters are
    left out, and so are checksums, which a presigner computes over an empty body (2.3.9). Raises
    `InvalidArgument` for a value that no header could carry: a line break would let the signer of
    one URL write headers into the answers of other requests.
    """
    hoisted: list[tuple[bytes, bytes]] = []
    for encoded_name, encoded_value in query_pairs(query):
        name = encoded_name.lower()
        if not name.startswith(b"x-amz-") or name in _PARAMETERS or b"%" in name:
            continue
        text = name.decode("ascii")
        if text.startswith(_NEVER_HOISTED):
            continue
        value = decode_component(encoded_value)
        if _CONTROL.search(value):
            raise InvalidArgument(
                "The value of a query parameter cannot stand for a header.",
                argument_name=text,
            )
        hoisted.append((name, value))
    return hoisted
