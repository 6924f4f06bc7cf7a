"""A connection with nothing between a test and the bytes: it sends what it is given and reads whole answers.

HTTP libraries refuse to send what a hostile client sends: two lengths, half a body, bytes that are no HTTP. `Wire` sends
it. It reads answers by their own framing, so that a stray body or a missing one shows as a broken next answer.
`ChunkSigner` writes aws-chunked bodies, right or wrong, from the specification and without code of the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import socket
import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from objstore.testing.raw_client import EMPTY_SHA256, RawAnswer, RawCall, RawClient
from objstore.testing.server import S3Server

__all__ = ["ChunkSigner", "Wire", "check_refusal", "rendered"]

_BODILESS = frozenset({204, 304})
_READ_BYTES = 65_536


def rendered(call: RawCall, *, version: str = "HTTP/1.1", length: bool = True) -> bytes:
    """Return the call as it stands on the wire; adds a Content-Length where a body needs one unless told not to."""
    target = call.path + (f"?{call.query_string}" if call.query else "")
    lines = [f"{call.method} {target} {version}", *(f"{n}: {v}" for n, v in call.headers)]
    names = {name.lower() for name, _ in call.headers}
    needs = length and (call.body or call.method in ("PUT", "POST"))
    if needs and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"content-length: {len(call.body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + call.body


class Wire:
    """One connection to a server."""

    def __init__(self, server: S3Server, *, timeout_s: float = 20.0, plain: bool = False) -> None:
        opened = socket.create_connection(("127.0.0.1", server.port), timeout=timeout_s)
        if server.tls is not None and not plain:
            context = ssl.create_default_context(cafile=str(server.tls.authority))
            opened = context.wrap_socket(opened, server_hostname="127.0.0.1")
        self._socket = opened
        self._buffer = b""

    def send(self, data: bytes) -> Self:
        """Send bytes as they are."""
        self._socket.sendall(data)
        return self

    def half_close(self) -> Self:
        """Say that nothing more will be sent, and stay able to read (plain connections only)."""
        self._socket.shutdown(socket.SHUT_WR)
        return self

    def answer(self, method: str = "GET") -> RawAnswer:
        """Read one answer to a request of that method, interim answers skipped. Raises `EOFError` where none comes."""
        while True:
            status, headers = self._head()
            if status >= 200:  # interim answers are 1xx
                break
        if method == "HEAD" or status in _BODILESS:
            return RawAnswer(status, headers, b"")
        return RawAnswer(status, headers, self._take(int(headers["content-length"])))

    def interim(self) -> int:
        """Read the next head, of an interim answer or a final one, and return its status."""
        return self._head()[0]

    def is_closed(self) -> bool:
        """Wait for the end of the connection; True if it comes without a further byte. A reset raises."""
        return not self._buffer and self._socket.recv(1) == b""

    def rest(self) -> bytes:
        """Return every byte until the end of the connection.

        Over TLS the client closes its own half first, because there the server waits for that before it closes.
        """
        if isinstance(self._socket, ssl.SSLSocket):
            with contextlib.suppress(ssl.SSLError, OSError):
                self._socket = self._socket.unwrap()
                return self._buffer
        while data := self._socket.recv(_READ_BYTES):
            self._buffer += data
        return self._buffer

    def close(self) -> None:
        """Close at once."""
        self._socket.close()

    def reset(self) -> None:
        """Close so that the server sees a reset instead of an orderly end."""
        linger = b"\x01\0\0\0\0\0\0\0"
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        if not first.startswith("HTTP/1.1 "):
            raise ValueError(f"not the head of an answer: {first[:200]!r}")
        pairs = (line.partition(":") for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._receive()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _receive(self) -> None:
        data = self._socket.recv(_READ_BYTES)
        if not data:
            raise EOFError(f"the connection ended after {self._buffer[:200]!r}")
        self._buffer += data


class ChunkSigner:
    """Writes the chunks of one signed aws-chunked body (s3 rules 2.4.2 and 2.4.5)."""

    def __init__(self, client: RawClient, call: RawCall) -> None:
        headers = {name.lower(): value for name, value in call.headers}
        self._moment = headers["x-amz-date"]
        self._previous = headers["authorization"].rpartition("Signature=")[2]
        self._scope = f"{self._moment[:8]}/{client.region}/s3/aws4_request"
        key = f"AWS4{client.secret_key}".encode()
        for part in self._scope.split("/"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        self._key = key

    def chunk(self, data: bytes) -> bytes:
        """Return a chunk with its signature; no data makes the last one, still without the end of the body."""
        digest = hashlib.sha256(data).hexdigest()
        signature = self._sign("AWS4-HMAC-SHA256-PAYLOAD", EMPTY_SHA256, digest)
        line = f"{len(data):x};chunk-signature={signature}\r\n".encode()
        return line + data + b"\r\n" if data else line

    def trailer(self, lines: Iterable[str]) -> bytes:
        """Return trailers, their signature and the end of the body."""
        text = "".join(f"{line}\n" for line in lines)
        signature = self._sign(
            "AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(text.encode()).hexdigest()
        )
        sent = text.replace("\n", "\r\n")
        return f"{sent}x-amz-trailer-signature:{signature}\r\n\r\n".encode()

    def _sign(self, kind: str, *digests: str) -> str:
        text = "\n".join((kind, self._moment, self._scope, self._previous, *digests))
        self._previous = hmac.new(self._key, text.encode(), "sha256").hexdigest()
        return self._previous


_LEAKS = (b"Traceback", b'File "', b"/tmp", b"site-packages", b"objstore.", b"sqlite", b"Error(")


def check_refusal(answer: RawAnswer, status: int, code: str, *, label: object = "") -> None:
    """Assert that an answer is exactly this S3 error, names its request, and shows nothing of the inside.

    An answer to HEAD is checked with the code left empty: it has no body.
    """
    shown = f"{label} {answer.status} {answer.code} {answer.body[:500]!r}"
    request_id, host_id = answer.headers["x-amz-request-id"], answer.headers["x-amz-id-2"]
    expectations = [
        answer.status == status,
        answer.code == code,
        not any(leak in answer.body for leak in _LEAKS),
    ]
    if code:
        expectations += [
            answer.headers["content-type"] == "application/xml",
            f"<RequestId>{request_id}</RequestId>".encode() in answer.body,
            f"<HostId>{host_id}</HostId>".encode() in answer.body,
        ]
    else:
        expectations.append(answer.body == b"")
    if not all(expectations):
        raise AssertionError(f"not the refusal {status} {code}: {shown}")
