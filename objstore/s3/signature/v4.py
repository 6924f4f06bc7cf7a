"""SigV4 in the Authorization header (s3 rules 2.2).

It promises the exact error of each fault, in a fixed order: syntax, payload line, date and skew,
coverage of the headers, key, signature. It reads no body: whether the body fits its announced
digest is found out while it streams. It has no clock: `now` is an argument.
"""

from __future__ import annotations

import re
from typing import Final

from objstore.model.errors import (
    AccessDenied,
    BadRequestError,
    RequestTimeTooSkewed,
)
from objstore.model.instant import Instant
from objstore.model.limits import CLOCK_SKEW_MS_MAX
from objstore.s3.signature.canonical import QueryPairs, SignedParts, canonical_query
from objstore.s3.signature.outcome import Authenticated, Mechanism, parse_payload
from objstore.s3.signature.scope import HEADER_BLAME, parse_scope
from objstore.s3.signature.timestamps import (
    format_basic,
    format_extended,
    parse_basic,
    parse_http_date,
)
from objstore.s3.signature.verify import Claim, Trust, check_all_signed, signed_names_of, verify

__all__ = ["authenticate_header"]

_USUAL: Final = re.compile(
    rb"AWS4-HMAC-SHA256 +Credential=([!-+\--~]+), *"
    rb"SignedHeaders=([!-+\--~]+), *Signature=([!-+\--~]+)"
)
_COMPONENTS: Final = (b"Credential", b"SignedHeaders", b"Signature")


def authenticate_header(
    parts: SignedParts,
    headers: dict[bytes, bytes],
    pairs: QueryPairs,
    trust: Trust,
    *,
    now: Instant,
) -> Authenticated:
    """Verify a request whose Authorization header says AWS4-HMAC-SHA256."""
    credential, signed_text, signature = _components(headers[b"authorization"])
    scope = parse_scope(credential, trust.region, HEADER_BLAME)
    payload_line = headers.get(b"x-amz-content-sha256")
    if payload_line is None:
        raise BadRequestError("Missing required header for this request: x-amz-content-sha256")
    payload = parse_payload(payload_line)
    timestamp = _check_date(headers, scope.date, now)
    signed_names = signed_names_of(signed_text)
    check_all_signed(headers, signed_names)
    claim = Claim(scope, timestamp, signed_names, payload_line, canonical_query(pairs), signature)
    key = verify(parts, headers, claim, trust)
    token = headers.get(b"x-amz-security-token")
    return Authenticated(
        Mechanism.V4_HEADER,
        scope.access_key,
        payload,
        signature,
        scope.text,
        timestamp,
        key,
        None if token is None else token.decode("utf-8", "replace"),
    )


def _components(authorization: bytes) -> tuple[bytes, bytes, bytes]:
    usual = _USUAL.fullmatch(authorization)
    if usual is not None:
        return usual.group(1), usual.group(2), usual.group(3)
    found: dict[bytes, bytes] = {}
    for component in authorization.partition(b" ")[2].split(b","):
        name, equals, value = component.strip().partition(b"=")
        if not equals or name not in _COMPONENTS or name in found or not value:
            shown = component.strip().decode("utf-8", "replace")
            raise HEADER_BLAME.error(f'the authorization component "{shown}" is malformed.')
        found[name] = value
    for name in _COMPONENTS:
        if name not in found:
            raise HEADER_BLAME.error(f"missing {name.decode('ascii')}.")
    return found[b"Credential"], found[b"SignedHeaders"], found[b"Signature"]


def _check_date(headers: dict[bytes, bytes], credential_date: str, now: Instant) -> bytes:
    """Return the timestamp as signed, once it is near enough (s3 rule 2.2.11)."""
    text = headers.get(b"x-amz-date")
    signed_at = parse_http_date(headers.get(b"date", b"")) if text is None else parse_basic(text)
    if signed_at is None:
        raise AccessDenied("AWS authentication requires a valid Date or x-amz-date header")
    timestamp = format_basic(signed_at) if text is None else text
    if abs(signed_at - now) > CLOCK_SKEW_MS_MAX:
        raise RequestTimeTooSkewed(
            request_time=timestamp.decode("ascii"),
            server_time=format_extended(now),
            max_allowed_skew_milliseconds=CLOCK_SKEW_MS_MAX,
        )
    if timestamp[:8] != credential_date.encode("ascii"):
        raise HEADER_BLAME.error(
            f'Invalid credential date "{credential_date}". This date is not the same as '
            f'X-Amz-Date: "{timestamp[:8].decode("ascii")}".'
        )
    return timestamp
