"""HTTP/1.1 to one etcd server: a request at a time on a connection, whole answers and streamed ones.

Errors are `OSError` for a connection that could not be made or was lost, and for an answer that is not HTTP or is too large:
whoever waits learns that no answer will come, not whether the request was carried out. Deadlines are the caller's. A
connection whose answer was not read to its end must be closed, not used again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httptools

from objstore.model.limits import MIB

__all__ = ["Endpoint", "HttpAnswer", "HttpConnection", "parse_endpoint"]

ANSWER_BYTES_MAX: Final = 64 * MIB
_READ_BYTES: Final = 64 * 1024
_KEEP_ALIVE_PROBES: Final = (
    (socket.TCP_KEEPIDLE, 10),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 3),
)
"""Seconds and counts: a host that vanished is noticed within half a minute on a quiet watch."""
DEFAULT_PORT: Final = 2379


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one member listens for clients."""

    url: str
    host: str
    port: int
    is_tls: bool


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status and whole body."""

    status: int
    body: bytes


def parse_endpoint(url: str) -> Endpoint:
    """Parse `http://host:port` or `https://host:port`; raise `ValueError` for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError(f"not the URL of an etcd server: {url}")
    port = DEFAULT_PORT if parts.port is None else parts.port
    return Endpoint(url, parts.hostname, port, is_tls=parts.scheme == "https")


class _Arrival:
    """Collects what the parser finds of one answer."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_complete = False
        self.has_head = False

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, data: bytes) -> None:
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.is_complete = True


class HttpConnection:
    """One connection. Not to be used by two tasks at once."""

    def __init__(
        self, endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.endpoint = endpoint
        self._reader = reader
        self._writer = writer
        self._arrival = _Arrival()
        self._parser = httptools.HttpResponseParser(self._arrival)
        self._is_idle = True

    @classmethod
    async def open(cls, endpoint: Endpoint, tls: ssl.SSLContext | None) -> HttpConnection:
        """Connect; raise `OSError`."""
        reader, writer = await asyncio.open_connection(
            endpoint.host, endpoint.port, ssl=tls if endpoint.is_tls else None
        )
        connected: socket.socket = writer.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE_PROBES:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
        return cls(endpoint, reader, writer)

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent: the last answer was read, and the server has not hung up."""
        return self._is_idle and not self._reader.at_eof() and not self._writer.is_closing()

    @property
    def status(self) -> int:
        """Status of the answer that is being read; 0 before its head came."""
        return int(self._parser.get_status_code()) if self._arrival.has_head else 0

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        """Put a POST on its way."""
        self._is_idle = False
        self._arrival = _Arrival()
        self._parser = httptools.HttpResponseParser(self._arrival)
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {self.endpoint.host}:{self.endpoint.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    async def receive(self) -> bytes:
        """Return the next bytes of the answer's body, nothing at its end; raise `OSError` when it is cut off."""
        while not self._arrival.pieces and not self._arrival.is_complete:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise ConnectionResetError("the server hung up")
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError as error:
                raise ConnectionAbortedError(f"the answer is not HTTP: {error}") from error
        if self._arrival.is_complete:
            self._is_idle = bool(self._parser.should_keep_alive())
        pieces, self._arrival.pieces = self._arrival.pieces, []
        return b"".join(pieces)

    async def exchange(self, path: str, body: bytes, headers: dict[str, str]) -> HttpAnswer:
        """Send a request and return its whole answer; raise `OSError`."""
        self.send(path, body, headers)
        await self._writer.drain()
        pieces: list[bytes] = []
        size_bytes = 0
        while not self._is_idle:
            piece = await self.receive()
            pieces.append(piece)
            size_bytes += len(piece)
            if size_bytes > ANSWER_BYTES_MAX:
                raise ConnectionAbortedError("the answer is too large")
            if self._arrival.is_complete:
                break
        return HttpAnswer(self.status, b"".join(pieces))

    def close(self) -> None:
        """Drop the connection with whatever is under way."""
        self._writer.transport.abort()
