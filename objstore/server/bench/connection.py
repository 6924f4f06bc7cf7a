"""One kept-alive connection: writes a request, hands the answer to a callback. No coroutine on the way.

Bodies of requests are written from where they lie, piece by piece as the socket takes them. Bodies of answers are compared or
counted in the receive buffer and thrown away; only short ones that nobody expects are kept, for error codes and ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Final, cast

from objstore.model.limits import KIB, MIB
from objstore.server.bench.request import Answer, Expected, Request
from objstore.server.bench.response import MalformedAnswer, ResponseParser
from objstore.server.bench.signer import Signer
from objstore.server.bench.target import Target

__all__ = ["Connection", "open_connection"]

_BUFFER_BYTES: Final = 256 * KIB
_PIECE_BYTES: Final = 1 * MIB
_ONE_WRITE_BYTES: Final = 64 * KIB
"""Up to here head and body leave as one copy in one write."""
_KEPT_BYTES_MAX: Final = 4 * MIB
"""Of an answer; a page of a listing has less than one."""
_CONNECT_DEADLINE_S: Final = 10.0


class Connection(asyncio.BufferedProtocol):
    """Sends one request at a time; `on_answer` or `on_lost` follows each `send`."""

    def __init__(
        self,
        signer: Signer,
        *,
        on_answer: Callable[[Answer], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._signer = signer
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._parser = ResponseParser(self._on_body)
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._transport: asyncio.Transport | None = None
        self._expected: Expected | None = None
        self._kept: list[bytes] = []
        self._received = 0
        self._is_intact = True
        self._rest: bytes | memoryview = b""
        self._is_paused = False
        self._is_waiting = False
        self.moved_s = 0.0
        """When bytes last moved, as a reading of `perf_counter`."""

    @property
    def is_usable(self) -> bool:
        """Whether the next request can go over this connection."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is owed."""
        return self._is_waiting

    def send(self, request: Request) -> None:
        """Write a request; the connection must be usable and owe no answer."""
        transport = self._transport
        if transport is None:
            raise RuntimeError("send on a connection that is not open")
        now_s = perf_counter()
        self.moved_s = now_s
        self._parser.expect(is_bodiless=request.method == b"HEAD")
        self._expected = request.expected
        self._kept = []
        self._received = 0
        self._is_intact = True
        self._is_waiting = True
        head = self._signer.head(request, now_s)
        body = request.body
        if len(body) <= _ONE_WRITE_BYTES:
            transport.write(b"".join((head, body)) if body else head)
        else:
            transport.write(head)
            self._rest = memoryview(body)
            self._write_rest()

    def close(self, reason: str = "") -> None:
        """End the connection; a waiting request gets `on_lost` with the reason."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._rest = b""
        if self._is_waiting:
            self._is_waiting = False
            self._on_lost(reason or "connection closed")

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        self._transport.set_write_buffer_limits(high=_PIECE_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Offer the one receive buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read what came."""
        try:
            is_done = self._parser.feed(self._buffer[:nbytes])
        except MalformedAnswer as error:
            self.close(f"malformed answer: {error}")
            return
        if is_done:
            self._finish()
        else:
            self.moved_s = perf_counter()

    def eof_received(self) -> bool:
        """Take the end of the connection as the end of an answer that has no other."""
        if self._is_waiting and self._parser.feed_end():
            self._finish()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._transport = None
        self._rest = b""
        if self._is_waiting:
            self._is_waiting = False
            self._on_lost(f"connection lost: {exc}" if exc else "connection closed by the server")

    def pause_writing(self) -> None:
        """Stop writing until the socket has taken what it holds."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self._is_paused = False
        self.moved_s = perf_counter()
        self._write_rest()

    def _write_rest(self) -> None:
        transport = self._transport
        while self._rest and not self._is_paused and transport is not None:
            piece, self._rest = self._rest[:_PIECE_BYTES], self._rest[_PIECE_BYTES:]
            transport.write(piece)

    def _on_body(self, piece: bytes | memoryview) -> None:
        expected = self._expected
        if expected is not None and self._parser.status < 300:
            # One memcmp over what came: stronger than a hash and many times cheaper.
            if not expected.pool.startswith(piece, expected.offset + self._received):
                self._is_intact = False
        elif self._received < _KEPT_BYTES_MAX:
            self._kept.append(bytes(piece))
        self._received += len(piece)

    def _finish(self) -> None:
        parser = self._parser
        self._is_waiting = False
        expected = self._expected
        if expected is not None and self._received != expected.length:
            self._is_intact = False
        answer = Answer(
            parser.status,
            b"".join(self._kept),
            self._received,
            self._is_intact,
            parser.header(b"etag"),
            parser.header(b"content-length"),
        )
        if not parser.keeps_alive or self._rest:
            self.close()  # after an early refusal the rest of the body would be taken for a request
        self._on_answer(answer)


async def open_connection(
    target: Target,
    signer: Signer,
    *,
    on_answer: Callable[[Answer], None],
    on_lost: Callable[[str], None],
) -> Connection:
    """Connect, within ten seconds. Raises OSError (TimeoutError and ssl.SSLError are such)."""
    loop = asyncio.get_running_loop()
    context = target.tls_context()
    async with asyncio.timeout(_CONNECT_DEADLINE_S):
        _, connection = await loop.create_connection(
            lambda: Connection(signer, on_answer=on_answer, on_lost=on_lost),
            target.host,
            target.port,
            ssl=context,
            server_hostname=target.host if context else None,
        )
    return connection
