"""SigV2 in the query: the presigned URLs that boto3 and the AWS command line make by default (s3 rules 2.1.3, 2.5).

It promises that what is processed is what was signed: every `x-amz-*` value takes part, in a header or in the query, and a
query parameter that the scheme leaves unsigned is taken only if it cannot change which operation runs. Without that rule the
bearer of a link to an object could append `?retention` to it. Version 2 in an Authorization header is not taken.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import Final

from objstore.model.errors import AccessDenied, BadRequestError, InvalidAccessKeyId
from objstore.model.instant import MS_PER_SECOND, Instant
from objstore.s3.signature.canonical import SignedParts, decode_component
from objstore.s3.signature.keys import SigningKey
from objstore.s3.signature.outcome import (
    UNSIGNED,
    Authenticated,
    Mechanism,
    Payload,
    parse_payload,
)
from objstore.s3.signature.timestamps import format_extended
from objstore.s3.signature.verify import Trust, signature_mismatch

__all__ = ["V2_MARKERS", "authenticate_presigned_v2"]

V2_MARKERS: Final = frozenset((b"AWSAccessKeyId", b"Signature"))
"""Either of these names, as spelled here, makes a request a presigned one of version 2."""

_REQUIRED: Final = (b"AWSAccessKeyId", b"Signature", b"Expires")
_SIGNED_QUERY: Final = frozenset(
    b"accelerate acl analytics cors defaultObjectAcl delete inventory lifecycle location logging metrics notification "
    b"object-lock partNumber policy replication requestPayment response-cache-control response-content-disposition "
    b"response-content-encoding response-content-language response-content-type response-expires restore select select-type "
    b"storageClass tagging torrent uploadId uploads versionId versioning versions website".split()
)
"""The sub-resources that the string to sign contains (s3 rule 2.5.2)."""
_HARMLESS_QUERY: Final = frozenset(
    b"continuation-token delimiter encoding-type fetch-owner key-marker list-type marker max-keys max-parts max-uploads "
    b"part-number-marker prefix start-after upload-id-marker version-id-marker x-id".split()
)
"""Arguments of listings, and what SDKs add for their logs: unsigned, and no operation is chosen by them."""
_AS_HEADERS: Final = (b"content-md5", b"content-type")
_HOISTED_NAME: Final = re.compile(rb"x-amz-[a-z0-9\-._~]+")
_EXPIRES: Final = re.compile(rb"[0-9]{1,15}")
_NO_KEY: Final = SigningKey(b"")
"""The scheme signs no chunks; no chunk fits this key."""

_Terms = list[tuple[bytes, bytes | None]]


def authenticate_presigned_v2(
    parts: SignedParts, headers: dict[bytes, bytes], trust: Trust, *, now: Instant
) -> Authenticated:
    """Verify a request whose query carries a SigV2 signature.

    Raises `AccessDenied` for missing, repeated or expired parameters and for unsigned ones that could choose an operation,
    `InvalidAccessKeyId` and `SignatureDoesNotMatch`.
    """
    terms = _terms(parts.query)
    parameters = _parameters(terms)
    expires = parameters[b"Expires"]
    _check_validity(expires, now)
    signed = _headers_of(terms) | headers
    payload = _payload(headers)
    access_key = parameters[b"AWSAccessKeyId"].decode("utf-8", "replace")
    secret = trust.credentials.secret_of(access_key)
    if secret is None:
        raise InvalidAccessKeyId(aws_access_key_id=access_key)
    # A raw plus in a query reads as a space, but base64 has no space (s3 rule 2.5.3).
    provided = parameters[b"Signature"].replace(b" ", b"+")
    texts = [
        _string_to_sign(parts.method, resource, signed, expires)
        for resource in _resources(parts, terms)
    ]
    if not any([_is_signature_of(text, secret, provided) for text in texts]):  # noqa: C419 - all of them, always
        raise signature_mismatch(provided, texts[0], access_key)
    token = signed.get(b"x-amz-security-token")
    return Authenticated(
        Mechanism.V2_PRESIGNED,
        access_key,
        payload,
        provided,
        b"",
        b"",
        _NO_KEY,
        None if token is None else token.decode("utf-8", "replace"),
    )


def _terms(query: bytes) -> _Terms:
    """Return decoded names and values; None for a name without `=`, which is signed without one."""
    found: _Terms = []
    for term in query.split(b"&"):
        name, equals, value = term.replace(b"+", b" ").partition(b"=")
        if term:
            found.append((decode_component(name), decode_component(value) if equals else None))
    return found


def _parameters(terms: _Terms) -> dict[bytes, bytes]:
    """Return the three parameters of the scheme, once each, after a look at all the others."""
    found: dict[bytes, bytes] = {}
    unsigned = []
    for name, value in terms:
        if name in _REQUIRED:
            if name in found:
                raise AccessDenied(f"{name.decode('ascii')} must stand in the query only once")
            found[name] = value or b""
        elif name not in _SIGNED_QUERY and name not in _HARMLESS_QUERY and not _is_header(name):
            unsigned.append(name)
    if not all(found.get(name) for name in _REQUIRED):
        raise AccessDenied(
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        )
    if unsigned:
        names = b", ".join(unsigned).decode("utf-8", "replace")
        raise AccessDenied(
            f"Signature version 2 does not cover these query parameters, sign with version 4: {names}"
        )
    return found


def _is_header(name: bytes) -> bool:
    lower = name.lower()
    return lower in _AS_HEADERS or _HOISTED_NAME.fullmatch(lower) is not None


def _check_validity(expires: bytes, now: Instant) -> None:
    if _EXPIRES.fullmatch(expires) is None:
        raise AccessDenied("Invalid date (should be seconds since epoch)")
    ends_at = Instant(int(expires) * MS_PER_SECOND)
    if now > ends_at:
        raise AccessDenied(
            "Request has expired",
            expires=format_extended(ends_at),
            server_time=format_extended(now),
        )


def _headers_of(terms: _Terms) -> dict[bytes, bytes]:
    """Return the query parameters that stand for headers, by lower-case name (s3 rule 2.5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in terms:
        lower = name.lower()
        if _is_header(lower):
            text = value or b""
            found[lower] = found[lower] + b"," + text if lower in found else text
    return found


def _payload(headers: dict[bytes, bytes]) -> Payload:
    """Say how the body is framed; the scheme itself does not cover the body."""
    line = headers.get(b"x-amz-content-sha256")
    payload = UNSIGNED if line is None else parse_payload(line)
    if payload.mode.is_signed_stream:
        raise BadRequestError("Signature version 2 has no chunk signatures")
    return payload


def _is_signature_of(text: bytes, secret: str, provided: bytes) -> bool:
    expected = base64.b64encode(hmac.digest(secret.encode("utf-8"), text, "sha1"))
    return hmac.compare_digest(expected, provided)


def _string_to_sign(
    method: str, resource: bytes, headers: dict[bytes, bytes], expires: bytes
) -> bytes:
    """Return the text whose HMAC-SHA1 is the signature (s3 rule 2.5.1)."""
    lines = [
        method.encode("utf-8", "replace"),
        headers.get(b"content-md5", b"").strip(),
        headers.get(b"content-type", b"").strip(),
        expires,
    ]
    lines += [
        name + b":" + value.strip()
        for name, value in sorted(headers.items())
        if name.startswith(b"x-amz-")
    ]
    return b"\n".join([*lines, resource])


def _resources(parts: SignedParts, terms: _Terms) -> list[bytes]:
    """Return the canonical resource (s3 rule 2.5.2), for a bucket also as it was sent: signers differ in the last slash."""
    path = parts.raw_path
    if parts.bucket_of_host:
        path = b"/" + parts.bucket_of_host + path
    signed = sorted((term for term in terms if term[0] in _SIGNED_QUERY), key=lambda term: term[0])
    written = [name if value is None else name + b"=" + value for name, value in signed]
    query = b"?" + b"&".join(written) if written else b""
    if path.count(b"/") == 1 and path != b"/":
        return [path + b"/" + query, path + query]
    return [path + query]
