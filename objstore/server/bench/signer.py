"""Signs requests of one client with Signature Version 4 at the smallest cost: one hash, one HMAC and two joins a request.

The signing key and the date lines are kept for the second or the day that they are good for. Always signed are host,
payload hash, date and, where there is one, the session token; other headers travel unsigned.
"""

from __future__ import annotations

import hmac
from typing import Final

import msgspec

from objstore.model.instant import Clock
from objstore.s3.signature import derive_signing_key
from objstore.s3.signature.canonical import hash_of_text
from objstore.s3.signature.timestamps import format_basic
from objstore.server.bench.request import Request
from objstore.server.settings import Secret

__all__ = ["Credentials", "Signer"]

_DATE_GOOD_FOR_S: Final = 1.0


class Credentials(msgspec.Struct, frozen=True):
    """A key pair, the region it signs for, and the session token of temporary keys."""

    access_key: str
    secret_key: Secret
    region: str
    token: str = ""


class Signer:
    """Renders signed request heads for one host."""

    __slots__ = (
        "_clock",
        "_credentials",
        "_day",
        "_good_until_s",
        "_host",
        "_key",
        "_names",
        "_parts",
        "_token_line",
    )

    def __init__(self, credentials: Credentials, host: bytes, clock: Clock) -> None:
        self._credentials = credentials
        self._host = host
        self._clock = clock
        self._good_until_s = float("-inf")
        self._day = b""
        self._key = b""
        token = credentials.token.encode()
        self._names = b"host;x-amz-content-sha256;x-amz-date"
        self._token_line = b""
        if token:
            self._names += b";x-amz-security-token"
            self._token_line = b"x-amz-security-token:%b\n" % token
        self._parts = (b"", b"", b"", b"")

    def head(self, request: Request, now_s: float) -> bytes:
        """Return the whole signed head. `now_s` is a monotonic reading that the caller has anyway."""
        if now_s >= self._good_until_s:
            self._renew(now_s)
        signed_lines, string_prefix, authorization, tail = self._parts
        payload = request.payload_hash
        text = b"%b\n%b\n%b\nhost:%b\nx-amz-content-sha256:%b\n%b%b" % (
            request.method,
            request.path,
            request.query,
            self._host,
            payload,
            signed_lines,
            payload,
        )
        signature = hmac.digest(self._key, string_prefix + hash_of_text(text), "sha256").hex()
        target = b"%b?%b" % (request.path, request.query) if request.query else request.path
        length = len(request.body)
        has_length = length or request.method in (b"PUT", b"POST")
        return b"%b %b HTTP/1.1\r\n%b%b%b\r\nx-amz-content-sha256: %b\r\n%b%b\r\n" % (
            request.method,
            target,
            authorization,
            signature.encode(),
            tail,
            payload,
            b"content-length: %d\r\n" % length if has_length else b"",
            request.headers,
        )

    def _renew(self, now_s: float) -> None:
        moment = format_basic(self._clock.now())
        self._good_until_s = now_s + _DATE_GOOD_FOR_S
        credentials = self._credentials
        if moment[:8] != self._day:
            self._day = moment[:8]
            self._key = derive_signing_key(
                credentials.secret_key.reveal(),
                date=self._day.decode(),
                region=credentials.region,
            )
        scope = b"%b/%b/s3/aws4_request" % (self._day, credentials.region.encode())
        token_header = self._token_line.replace(b":", b": ", 1).replace(b"\n", b"\r\n")
        self._parts = (
            b"x-amz-date:%b\n%b\n%b\n" % (moment, self._token_line, self._names),
            b"AWS4-HMAC-SHA256\n%b\n%b\n" % (moment, scope),
            b"host: %b\r\nauthorization: AWS4-HMAC-SHA256 Credential=%b/%b, SignedHeaders=%b, Signature="
            % (self._host, credentials.access_key.encode(), scope, self._names),
            b"\r\nx-amz-date: %b\r\n%buser-agent: objstore-bench" % (moment, token_header),
        )
