"""One request and its answer on a connection: the ASGI side of the protocol.

Promises:
- Head and first body bytes leave in one write: a small answer is one segment (and one TLS record), never two that
  wait for each other.
- `100 Continue` is sent at the first `receive()` and only then, so that every refusal that needs no body comes before
  the body (s3 rule 1.6.1).
- Bodies of answers may be `bytes`, `bytearray` or `memoryview` and are not copied before the transport.
- An answer that ends before its announced length cuts the connection: a client sees a short read, never a short
  success.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import structlog
from uvicorn.protocols.http.flow_control import FlowControl

from objstore.model.errors import ClientDisconnected, check
from objstore.server.http_head import HeadDate, render_error, render_head

__all__ = ["BODY_BUFFER_BYTES", "BodyEnd", "Exchange"]

BODY_BUFFER_BYTES = 256 * 1024
"""Request body held for an application that does not read; beyond it the socket is not read."""

_JOIN_BYTES_MAX = 64 * 1024
"""Up to this size head and body are joined by copying; above, they are handed over as two buffers."""

_HANDED_ALONE_BYTES_MIN = 16 * 1024
"""Pieces of a body below this size are joined for the application; a copy of larger ones costs more than one call more."""

_log = structlog.get_logger("objstore.http")


class BodyEnd:
    """Why `receive` says `http.disconnect` (key `cause` of the message)."""

    GONE = "gone"
    """The client closed the connection."""
    BROKEN = "broken"
    """The framing of the body is malformed; an answer still reaches the client."""
    STALLED = "stalled"
    """The client stopped sending; an answer may still reach it."""
    ANSWERED = "answered"
    """The answer is complete."""


class Connection(Protocol):
    """What an exchange needs of the connection that it happens on."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    flow: FlowControl

    @property
    def date(self) -> HeadDate:
        """The rendered date of this second."""
        ...

    def resume_reading(self) -> None:
        """Read from the client again."""
        ...

    def may_keep_alive(self, exchange: Exchange) -> bool:
        """Tell whether another request may follow on the connection."""
        ...

    def answer_complete(self, exchange: Exchange) -> None:
        """Take note that the answer is complete."""
        ...


class Exchange:
    """The state of one request and its answer; `receive` and `send` are what the application gets."""

    __slots__ = (
        "_body_left",
        "_body_told",
        "_chunks",
        "_connection",
        "_head",
        "_is_chunked",
        "_waiter",
        "body_bytes_buffered",
        "body_complete",
        "body_end",
        "expects_continue",
        "is_disconnected",
        "keep_alive",
        "response_complete",
        "response_started",
        "scope",
        "transport",
    )

    def __init__(
        self,
        connection: Connection,
        scope: MutableMapping[str, Any],
        *,
        expects_continue: bool,
        keep_alive: bool,
    ) -> None:
        self._connection = connection
        self.scope = scope
        self.transport = connection.transport
        self.keep_alive = keep_alive
        self.expects_continue = expects_continue
        self.is_disconnected = False
        self.body_end: str | None = None
        self._chunks: list[bytes] = []
        self.body_bytes_buffered = 0
        self.body_complete = False
        self._body_told = False
        self._waiter: asyncio.Future[None] | None = None
        self.response_started = False
        self.response_complete = False
        self._head = b""
        self._is_chunked = False
        self._body_left: int | None = 0

    @property
    def is_waiting_for_body(self) -> bool:
        """Whether the application waits for bytes that the client has not sent."""
        return self._waiter is not None and not self.body_complete

    # --- from the connection ------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take body bytes off the wire."""
        self._chunks.append(data)
        self.body_bytes_buffered += len(data)
        self._wake()

    def complete_body(self) -> None:
        """Note that the body has ended as its framing says."""
        self.body_complete = True
        self._wake()

    def end_body(self, cause: str) -> None:
        """Note that no more of the body will come."""
        self.body_end = self.body_end or cause
        self._wake()

    def disconnect(self) -> None:
        """Note that the client is gone: nothing that is sent from now on arrives."""
        self.is_disconnected = True
        self.end_body(BodyEnd.GONE)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    # --- for the application --------------------------------------------------------------------------------

    async def run(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        """Run the application for this request; whatever it does, the connection ends in a known state."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        except Exception as error:  # noqa: BLE001 - the last edge: a request must not take others with it
            self._report(error)
            self._fail()
        else:
            if not self.response_complete and not self.is_disconnected:
                _log.error("application_left_answer_open", path=self.scope["path"])
                self._fail()

    def _report(self, error: Exception) -> None:
        method, path = self.scope["method"], self.scope["path"]
        if self.is_disconnected:
            _log.debug("client_gone", method=method, path=path)
        elif self.response_started:
            _log.error("answer_cut", method=method, path=path, exc_info=error)
        else:
            _log.error("application_failed", method=method, path=path, exc_info=error)

    def _fail(self) -> None:
        """End an answer that cannot be completed: a 500 while that is possible, else cut."""
        if self.is_disconnected:
            return
        if self.response_started and not self._head:
            self.transport.abort()
            return
        message = "We encountered an internal error. Please try again."
        self.transport.write(render_error(500, "InternalError", message, self._connection.date))
        self._head = b""
        self.keep_alive = False
        self._complete()

    async def receive(self) -> dict[str, Any]:
        """Return the next piece of the body, or `http.disconnect` with its cause."""
        if self.expects_continue and not self.response_started:
            self.expects_continue = False
            # An empty body is waited for, too: botocore takes the next answer on the connection for headers if it gets
            # a final status where it waits for this one.
            if not (self.body_complete and self._chunks) and not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while True:
            if self.response_complete:
                return {"type": "http.disconnect", "cause": BodyEnd.ANSWERED}
            if self._chunks or (self.body_complete and not self._body_told):
                return self._take_body()
            if self.body_end is not None:
                return {"type": "http.disconnect", "cause": self.body_end}
            await self._wait()

    async def _wait(self) -> None:
        check(self._waiter is None, "two tasks receive the body of one request")
        self._connection.resume_reading()
        waiter = self._connection.loop.create_future()
        self._waiter = waiter
        try:
            await waiter
        finally:
            self._waiter = None

    def _take_body(self) -> dict[str, Any]:
        chunks = self._chunks
        if chunks and len(chunks[0]) >= _HANDED_ALONE_BYTES_MIN:
            body = chunks.pop(0)
        else:
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self._chunks = []
        self.body_bytes_buffered -= len(body)
        if body and not self._chunks:
            self._connection.resume_reading()
        is_last = self.body_complete and not self._chunks
        self._body_told = is_last
        return {"type": "http.request", "body": body, "more_body": not is_last}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take a message of the answer; returns when the transport can take more.

        Raises `ClientDisconnected` in the middle of an answer that nobody reads any more; its last message is
        dropped in silence instead, because then there is nothing left to stop.
        """
        if self.is_disconnected:
            if message.get("more_body", False):
                raise ClientDisconnected("client went away in the middle of the answer")
            return
        kind = message["type"]
        if not self.response_started:
            check(kind == "http.response.start", "the answer does not begin with its head")
            self._start(message)
            return
        check(kind == "http.response.body", "the body of the answer expected")
        check(not self.response_complete, "the answer is complete already")
        self._write(message.get("body", b""), more=message.get("more_body", False))
        if self._connection.flow.write_paused:
            await self._connection.flow.drain()

    def _start(self, message: MutableMapping[str, Any]) -> None:
        status = message["status"]
        is_head_request = self.scope["method"] == "HEAD"
        rendered = render_head(
            status,
            message.get("headers", ()),
            self._connection.date,
            is_head_request=is_head_request,
            keep_alive=self.keep_alive and self._connection.may_keep_alive(self),
            may_chunk=self.scope["http_version"] != "1.0",
        )
        self.response_started = True
        self._head = rendered.head
        self._is_chunked = rendered.is_chunked
        self._body_left = rendered.body_bytes
        self.keep_alive = not rendered.is_last

    def _write(self, body: bytes | bytearray | memoryview, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        if self._is_chunked:
            body = _framed(body, more=more)
        elif self._body_left is not None:
            self._body_left -= len(body)
            check(self._body_left >= 0, "the answer is longer than announced")
            check(more or not self._body_left, "the answer is shorter than announced")
        head, self._head = self._head, b""
        transport = self.transport
        if not head:
            if body:
                transport.write(body)
        elif len(body) <= _JOIN_BYTES_MAX:
            transport.write(b"".join((head, body)) if body else head)
        else:
            transport.writelines((head, body))
        if not more:
            self._complete()

    def _complete(self) -> None:
        self.response_started = self.response_complete = True
        self._chunks = []
        self._wake()
        self._connection.answer_complete(self)


def _framed(body: bytes | bytearray | memoryview, *, more: bool) -> bytes:
    """Return one chunk of the chunked transfer coding, and the last one where the answer ends."""
    parts = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
    if not more:
        parts.append(b"0\r\n\r\n")
    return b"".join(parts)
