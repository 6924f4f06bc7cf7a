"""The one place where a signature is compared, for headers and for presigned URLs.

It promises a comparison in constant time (s3 rule 2.1.5), a second try with the path as sent
(2.2.3), and an error that shows the client what the server computed, but never the signature that
would have been right. A signing key enters the cache only after it proved itself.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Final

import msgspec

from objstore.model.errors import AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch
from objstore.s3.signature.canonical import (
    SignedParts,
    canonical_headers,
    canonical_path,
    canonical_request,
    hash_of_text,
)
from objstore.s3.signature.credentials import CredentialSource
from objstore.s3.signature.keys import SigningKey, SigningKeyCache
from objstore.s3.signature.outcome import RegionPolicy
from objstore.s3.signature.scope import Scope

__all__ = [
    "Claim",
    "Trust",
    "check_all_signed",
    "signature_mismatch",
    "string_to_sign",
    "verify",
]

ALGORITHM: Final = b"AWS4-HMAC-SHA256"


class Trust(msgspec.Struct, frozen=True):
    """What a gateway verifies against: the users' keys, derived keys, and its region."""

    credentials: CredentialSource
    keys: SigningKeyCache
    region: RegionPolicy = RegionPolicy()


class Claim(msgspec.Struct, frozen=True):
    """What a request says about its own signature; nothing of it is believed yet."""

    scope: Scope
    timestamp: bytes
    signed_names: tuple[bytes, ...]
    """Lower case, ascending, each once."""
    payload_line: bytes
    canonical_query: bytes
    signature: bytes


@lru_cache(maxsize=512)
def signed_names_of(text: bytes) -> tuple[bytes, ...]:
    """Return the names of a SignedHeaders list in canonical order (s3 rule 2.2.5)."""
    return tuple(sorted(text.lower().split(b";")))


def check_all_signed(
    headers: dict[bytes, bytes], signed_names: tuple[bytes, ...], *, tolerated: bytes = b""
) -> None:
    """Raise `AccessDenied` for an unsigned `host` or `x-amz-*` header (2.2.6, 2.2.7, 2.3.7)."""
    signed = {tolerated, *signed_names}
    unsigned = [name for name in headers if name[:6] == b"x-amz-" and name not in signed]
    if b"host" not in signed:
        unsigned.insert(0, b"host")
    if unsigned:
        raise AccessDenied(
            "There were headers present in the request which were not signed",
            headers_not_signed=b", ".join(unsigned).decode("utf-8", "replace"),
        )


def string_to_sign(timestamp: bytes, scope: bytes, request: bytes) -> bytes:
    """Return the text whose HMAC is the signature (s3 rule 2.2.12)."""
    return b"\n".join((ALGORITHM, timestamp, scope, hash_of_text(request)))


def verify(
    parts: SignedParts, headers: dict[bytes, bytes], claim: Claim, trust: Trust
) -> SigningKey:
    """Return the signing key if the claim holds.

    Raises `InvalidAccessKeyId` for an unknown key and `SignatureDoesNotMatch` for a wrong signature
    (s3 rule 2.2.15).
    """
    scope = claim.scope
    secret = trust.credentials.secret_of(scope.access_key)
    if secret is None:
        raise InvalidAccessKeyId(aws_access_key_id=scope.access_key)
    key = trust.keys.key_for(secret, date=scope.date, region=scope.region)
    lines = canonical_headers(claim.signed_names, headers)
    request = _request(parts, canonical_path(parts.raw_path), lines, claim)
    to_sign = string_to_sign(claim.timestamp, scope.text, request)
    matches = hmac.compare_digest(key.sign(to_sign), claim.signature)
    if not matches and not _matches_path_as_sent(parts, lines, claim, key):
        raise signature_mismatch(claim.signature, to_sign, scope.access_key, request)
    trust.keys.keep(key, secret=secret, date=scope.date, region=scope.region)
    return key


def _request(parts: SignedParts, path: bytes, lines: bytes, claim: Claim) -> bytes:
    signed = b";".join(claim.signed_names)
    return canonical_request(
        parts.method, path, claim.canonical_query, lines, signed, claim.payload_line
    )


def _matches_path_as_sent(parts: SignedParts, lines: bytes, claim: Claim, key: SigningKey) -> bool:
    # Some clients leave `=`, `:`, `@` and their like unescaped and sign what they send (2.2.3).
    request = _request(parts, parts.raw_path, lines, claim)
    to_sign = string_to_sign(claim.timestamp, claim.scope.text, request)
    return hmac.compare_digest(key.sign(to_sign), claim.signature)


def signature_mismatch(
    provided: bytes, to_sign: bytes, access_key: str, request: bytes = b""
) -> SignatureDoesNotMatch:
    """Return the error that shows the client what the server computed (s3 rule 2.2.15)."""
    error = SignatureDoesNotMatch(
        aws_access_key_id=access_key,
        string_to_sign=to_sign.decode("utf-8", "replace"),
        signature_provided=provided.decode("utf-8", "replace"),
        string_to_sign_bytes=_spaced_hex(to_sign),
    )
    if request:
        error.detail["canonical_request"] = request.decode("utf-8", "replace")
        error.detail["canonical_request_bytes"] = _spaced_hex(request)
    return error


def _spaced_hex(text: bytes) -> str:
    return text.hex(" ").upper()
