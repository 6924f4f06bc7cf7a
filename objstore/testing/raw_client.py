"""A client with nothing hidden: it signs exactly what it is told to, and shows exactly what came back.

SDKs repair, retry and interpret. A test of the wire must be able to send a wrong signature, a header that is not signed, or a
body of another length than announced. The signer is written from the specification of Signature Version 4 and shares no code with
the server.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from objstore.testing.server import S3Server

if TYPE_CHECKING:
    from _typeshed import SupportsRead

__all__ = ["EMPTY_SHA256", "RawAnswer", "RawCall", "RawClient", "shifted"]

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_UNRESERVED = "-._~"
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """Status, headers (lower-case names) and body as received."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The S3 error code of an error document, or an empty text."""
        text = self.body.decode("utf-8", "replace")
        return text.partition("<Code>")[2].partition("</Code>")[0]


@dataclass(frozen=True, slots=True)
class RawCall:
    """A request before it is signed. `path` is sent as it is; query names and values are encoded."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def with_headers(self, *more: tuple[str, str]) -> Self:
        """Return the call with further headers."""
        return replace(self, headers=(*self.headers, *more))

    @property
    def query_string(self) -> str:
        """The encoded query, in the order given."""
        return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in self.query)


@dataclass
class RawClient:
    """Sends calls to one server over one kept connection at a time."""

    host: str
    port: int
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    authority: str | None = None
    """Path of the certificate authority; None = plain http."""
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    @classmethod
    def of(cls, server: S3Server) -> RawClient:
        """Return a client with the server's root keys."""
        authority = None if server.tls is None else str(server.tls.authority)
        return cls(
            "127.0.0.1", server.port, server.access_key, server.secret_key, authority=authority
        )

    @property
    def netloc(self) -> str:
        """Value of the Host header."""
        return f"{self.host}:{self.port}"

    def signed(
        self,
        call: RawCall,
        *,
        payload: str | None = None,
        at: datetime | None = None,
        host: str | None = None,
        unsigned: Iterable[tuple[str, str]] = (),
    ) -> RawCall:
        """Sign in the Authorization header; `unsigned` headers are added afterwards."""
        moment = (at or _now()).strftime("%Y%m%dT%H%M%SZ")
        line = hashlib.sha256(call.body).hexdigest() if payload is None else payload
        base = call.with_headers(
            ("host", host or self.netloc), ("x-amz-date", moment), ("x-amz-content-sha256", line)
        )
        names, signature = self._signature(base, base.query, line, moment)
        scope = self._scope(moment)
        value = (
            f"{_ALGORITHM} Credential={self.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return base.with_headers(("authorization", value), *unsigned)

    def presigned(
        self, call: RawCall, *, expires_s: int = 300, at: datetime | None = None
    ) -> RawCall:
        """Sign in the query."""
        moment = (at or _now()).strftime("%Y%m%dT%H%M%SZ")
        base = call.with_headers(("host", self.netloc))
        names = ";".join(sorted({name.lower() for name, _ in base.headers}))
        query = (
            *call.query,
            ("X-Amz-Algorithm", _ALGORITHM),
            ("X-Amz-Credential", f"{self.access_key}/{self._scope(moment)}"),
            ("X-Amz-Date", moment),
            ("X-Amz-Expires", str(expires_s)),
            ("X-Amz-SignedHeaders", names),
        )
        _, signature = self._signature(base, query, "UNSIGNED-PAYLOAD", moment)
        return replace(base, query=(*query, ("X-Amz-Signature", signature)))

    def send_stream(self, call: RawCall, body: SupportsRead[bytes]) -> RawAnswer:
        """Send a call whose body is read piece by piece; its headers must say how long it is."""
        return self._send(call, body)

    def send(self, call: RawCall) -> RawAnswer:
        """Send a call exactly as it is and return the answer; reconnects when the server closed."""
        return self._send(call, call.body or None)

    def _send(self, call: RawCall, body: bytes | SupportsRead[bytes] | None) -> RawAnswer:
        connection = self._open()
        target = call.path + (f"?{call.query_string}" if call.query else "")
        connection.putrequest(call.method, target, skip_host=True, skip_accept_encoding=True)
        names = {name.lower() for name, _ in call.headers}
        if "host" not in names:
            connection.putheader("host", self.netloc)
        for name, value in call.headers:
            connection.putheader(name, value)
        if not names & {"content-length", "transfer-encoding"} and (
            call.body or call.method in ("PUT", "POST")
        ):
            connection.putheader("content-length", str(len(call.body)))
        try:
            connection.endheaders()
            if body is not None:
                connection.send(body)
            response = connection.getresponse()
            content = response.read()
        except (http.client.HTTPException, OSError):
            self.close()
            raise
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close:
            self.close()
        return RawAnswer(response.status, headers, content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self.authority is None:
                self._connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
            else:
                context = ssl.create_default_context(cafile=self.authority)
                self._connection = http.client.HTTPSConnection(
                    self.host, self.port, timeout=30, context=context
                )
        return self._connection

    def _scope(self, moment: str) -> str:
        return f"{moment[:8]}/{self.region}/s3/aws4_request"

    def _signature(
        self, call: RawCall, query: tuple[tuple[str, str], ...], payload: str, moment: str
    ) -> tuple[str, str]:
        joined: dict[str, str] = {}
        for name, value in call.headers:
            folded = " ".join(value.split())
            lower = name.lower()
            joined[lower] = f"{joined[lower]},{folded}" if lower in joined else folded
        names = ";".join(sorted(joined))
        lines = "".join(f"{name}:{joined[name]}\n" for name in sorted(joined))
        pairs = sorted((_encode(name), _encode(value)) for name, value in query)
        text = "&".join(f"{name}={value}" for name, value in pairs)
        request = f"{call.method}\n{call.path}\n{text}\n{lines}\n{names}\n{payload}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        to_sign = "\n".join((_ALGORITHM, moment, self._scope(moment), digest))
        key = _signing_key(self.secret_key, self._scope(moment))
        return names, hmac.new(key, to_sign.encode(), "sha256").hexdigest()


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, scope: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _encode(text: str) -> str:
    return quote(text, safe=_UNRESERVED)


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a client has the wall clock of its machine


def shifted(seconds: float) -> datetime:
    """Return a moment away from now, for requests that are too late or too early."""
    return _now() + timedelta(seconds=seconds)
