"""HTTP/1.1 on one connection: uvicorn's protocol on httptools, hardened for an object store.

What it adds to its parent:
- Malformed HTTP, heads beyond their bounds and too many connections are answered with S3 error documents.
- A body that the application did not read is never taken for the next request: a short rest is read and dropped,
  anything else ends the connection after a bounded linger, so that the client can still read the refusal (s3 rule 9.2).
- Time limits: for the head as a whole (not for a single byte of it), between requests, and for a transfer that stands
  still.
- Raw bytes above 0x7F in a request target arrive percent-encoded, which names the same key and is what clients sign.
- `Transfer-Encoding` together with `Content-Length`, and a repeated `Content-Length`, are refused by the parser (s3
  rule 9.5).

What it does not do: HTTP/2, WebSockets, or anything that depends on what the request asks for.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from time import monotonic
from typing import Any
from urllib.parse import quote_from_bytes, unquote

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from objstore.model.limits import KIB, MIB
from objstore.server.http_exchange import BODY_BUFFER_BYTES, BodyEnd, Exchange
from objstore.server.http_head import HeadDate, render_error
from objstore.server.settings import ListenSettings

__all__ = ["ConnectionLimits", "HttpProtocol"]

HEAD_BYTES_MAX = 64 * KIB
"""Bound of a request head in memory. The S3 limit (8 KiB, rule 1.6.6) is the application's, with S3's own answer.

It bounds every run of bytes that are no body, so also chunk extensions and trailers.
"""
TARGET_BYTES_MAX = 16 * KIB
"""A key of 1,024 bytes, percent-encoded, plus a presigned query with a session token fits several times."""
DRAIN_BYTES_MAX = 64 * KIB
"""Rest of an unread body that is cheaper to read than a new connection."""
LINGER_BYTES_MAX = 64 * MIB
LINGER_S = 5.0
REFUSALS_MAX = 64
"""Connections beyond the limit that are told so at the same time; the next ones are just closed."""
WRITE_HIGH_BYTES = 1 * MIB
"""Answer bytes queued before the application has to wait: one block piece, so that reading and sending overlap."""

_KEPT_IN_LINE = "".join(map(chr, range(0x80)))
"""Whatever is ASCII is left to the parser, which refuses what may not stand in a request line."""

_ASGI = {"version": "3.0", "spec_version": "2.3"}

_log = structlog.get_logger("objstore.http")


class ConnectionLimits:
    """What all connections of a listener share: their bounds, the rendered date and the time of the last sweep."""

    __slots__ = ("connections_max", "date", "head_s", "idle_s", "now_s", "stall_s")

    def __init__(self, settings: ListenSettings) -> None:
        self.connections_max = settings.connections_max
        self.idle_s = settings.idle_timeout_s
        self.head_s = settings.head_timeout_s
        self.stall_s = settings.stall_timeout_s
        self.date = HeadDate()
        self.now_s = monotonic()

    def tick(self) -> float:
        """Take the time for the coming second; deadlines are that exact."""
        self.date.refresh()
        self.now_s = monotonic()
        return self.now_s


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    # Our exchange takes the place of uvicorn's; transport and cycle are missing before the first connection and request.
    cycle: Exchange | None  # type: ignore[assignment]
    pipeline: deque[Exchange]  # type: ignore[assignment]
    scope: dict[str, Any]  # type: ignore[assignment]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        limits: ConnectionLimits,
    ) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self.limits = limits
        self._deadline_s = math.inf
        self._moved_s = limits.now_s
        self._moved_mark = 0
        self._bare_bytes = 0
        self._fed_bytes = 0
        self._is_at_end = False
        self._is_in_head = True
        self._is_in_message = False
        self._line_is_open = True
        self._is_lingering = False
        self._linger_bytes = 0
        self._is_deaf = False
        self._unread_after: int | None = None
        self._framing_of_body = b""
        self._is_reframing = False
        self._answering: asyncio.Task[None] | None = None
        self._following: Exchange | None = None
        self._idle: asyncio.Future[Exchange | None] | None = None

    # --- connection ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or answer 503 where there are too many."""
        self.transport = transport
        self.flow = FlowControl(transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        surplus = len(self.connections) - self.limits.connections_max
        self.connections.add(self)
        if surplus >= 0:
            self._refuse_connection(surplus)
            return
        self.server = get_local_addr(transport)
        self.client = get_remote_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        connected = transport.get_extra_info("socket")
        if connected is not None and connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deadline_s = self.limits.now_s + self.limits.head_s

    def _refuse_connection(self, surplus: int) -> None:
        if surplus >= REFUSALS_MAX:
            self.transport.abort()
        else:
            self._refuse(503, "SlowDown", "Please reduce your request rate: too many connections.")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature of asyncio
        """Tell everybody who waits that the client is gone."""
        self.connections.discard(self)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnect()
        for waiting in self.pipeline:
            waiting.disconnect()
        self.pipeline.clear()
        self.flow.resume_writing()
        self._is_deaf = True
        if self._idle is not None:
            self._leave_idle(None)
        self.parser = None  # type: ignore[assignment]  # breaks the cycle of references between parser and protocol

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's meaning, which uvicorn leaves out
        """Answer what was asked, and let that be the last; return whether the transport stays open for it.

        A body that ends early still gets its answer. Half a head gets none, and TLS cannot be closed by halves.
        """
        self._is_at_end = self._is_deaf = True
        exchange = self.cycle
        if exchange is None or exchange.response_complete or self.scheme == "https":
            return False
        exchange.keep_alive = False
        if not exchange.body_complete:
            exchange.end_body(BodyEnd.BROKEN)
        return True

    def expire(self, now_s: float) -> None:
        """Enforce the time limits; called about once a second."""
        if now_s > self._deadline_s:
            if self.transport.is_closing():
                self.transport.abort()
            else:
                self._close_now()
            return
        exchange = self.cycle
        if exchange is None or exchange.response_complete:
            return
        is_sending = self.flow.write_paused
        if not is_sending and not exchange.is_waiting_for_body:
            self._moved_s = now_s
            return
        mark = self.transport.get_write_buffer_size() if is_sending else self._fed_bytes
        if mark != self._moved_mark:
            self._moved_mark = mark
            self._moved_s = now_s
        elif now_s - self._moved_s > self.limits.stall_s:
            self._stall(exchange, is_sending=is_sending)

    def _stall(self, exchange: Exchange, *, is_sending: bool) -> None:
        if is_sending:
            self.transport.abort()
            return
        self._moved_s = self.limits.now_s
        exchange.keep_alive = False
        exchange.end_body(BodyEnd.STALLED)

    def shutdown(self) -> None:
        """Close when idle; otherwise let the request in flight be the last one."""
        if self.cycle is None or self.cycle.response_complete:
            self._close_now()
        else:
            self.cycle.keep_alive = False

    @property
    def date(self) -> HeadDate:
        """The rendered date of this second."""
        return self.limits.date

    def resume_reading(self) -> None:
        """Read from the socket again; called when the application asks for more of the body."""
        if not self.pipeline or self._is_lingering:
            self.flow.resume_reading()

    # --- bytes in -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse what came; a fault of the peer ends in an S3 error document or in silence, never in an exception."""
        if self._is_deaf:
            self._drop(len(data))
            return
        self._fed_bytes += len(data)
        if self._line_is_open and not data.isascii():
            data = self._escape_target(data)
        if not self._is_in_message:
            self._is_in_message = True
            self._deadline_s = self.limits.now_s + self.limits.head_s
        self._bare_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self._malformed(error)
            return
        if self._is_in_message:
            if self._is_in_head:
                self._line_is_open = self._line_is_open and b"\n" not in data
            if self._bare_bytes > HEAD_BYTES_MAX:
                self._refuse_head()

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It ends where a head offers to upgrade; that is declined (RFC 9110, section 7.8).

        Then a new parser, shown the framing of the body alone, reads on behind that head.
        """
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                if not self._framing_of_body:
                    self._end_after_this()
                    return
                rest = rest[offer.args[0] :]
                framing, self._framing_of_body = self._framing_of_body, b""
                self.parser = httptools.HttpRequestParser(self)
                self._is_reframing = True
                self.parser.feed_data(b"PUT / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
                self._is_reframing = False
            else:
                return

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_reframing:
            return
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {}
        self._is_in_message = self._is_in_head = self._line_is_open = True

    def on_url(self, url: bytes) -> None:
        """Gather the target."""
        if not self._is_reframing:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Gather a header. Those after a chunked body are dropped: the head was judged without them."""
        if not self._is_in_head or self._is_reframing:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the request to the application, or queue it behind the one that is being answered."""
        if self._is_reframing:
            return
        self._line_is_open = self._is_in_head = False
        self._deadline_s = math.inf
        self._bare_bytes = 0
        parser = self.parser
        version = parser.get_http_version()
        method = parser.get_method().decode("ascii")
        if version not in {"1.1", "1.0"} or method == "CONNECT":
            raise _RefusedError(505 if method != "CONNECT" else 405)
        if parser.should_upgrade():
            self._note_body_of_upgrade()
        self.scope = scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": method,
            "scheme": self.scheme,
            "headers": self.headers,
            "server": self.server,
            "client": self.client,
            "root_path": "",
        }
        self._split_target(scope)
        previous = self.cycle
        exchange = Exchange(
            self,
            scope,
            expects_continue=self.expect_100_continue and version != "1.0",
            keep_alive=version != "1.0" and parser.should_keep_alive(),
        )
        self.cycle = exchange
        if previous is None or previous.response_complete:
            self._begin(exchange)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft(exchange)

    def _split_target(self, scope: dict[str, Any]) -> None:
        """Cut the target into path and query without interpreting either (s3 rules 1.2.1 to 1.2.4)."""
        raw_path, _, query = self.url.partition(b"?")
        if not raw_path.startswith(b"/") and b"://" in raw_path:
            raw_path = self._origin_form(raw_path)
        path = raw_path.decode("ascii")
        scope["raw_path"] = raw_path
        scope["path"] = unquote(path) if "%" in path else path
        scope["query_string"] = query
        if len(self.url) > TARGET_BYTES_MAX:
            raise _RefusedError(414)

    def _note_body_of_upgrade(self) -> None:
        """Remember how the body is framed that comes with an offer to upgrade: the parser ends at the head.

        It takes the body for bytes of the other protocol. Served as if it had none, a write would store an empty object.
        """
        headers = dict(self.headers)
        if coding := headers.get(b"transfer-encoding"):
            if coding.lower() != b"chunked":
                raise _RefusedError(501)
            self._framing_of_body = b"Transfer-Encoding: chunked"
        elif int(length := headers.get(b"content-length", b"0")):
            self._framing_of_body = b"Content-Length: " + length

    def _origin_form(self, target: bytes) -> bytes:
        """Return the path of an absolute target, whose authority must be the one that the Host header names."""
        _, _, rest = target.partition(b"://")
        authority, slash, path = rest.partition(b"/")
        if authority.lower() != dict(self.headers).get(b"host", authority).lower():
            raise _RefusedError(400)
        return slash + path or b"/"

    def _begin(self, exchange: Exchange) -> None:
        """Have a request answered, by the task of this connection; it is made with the first one."""
        if self._idle is not None:
            self._leave_idle(exchange)
        elif self._answering is not None:
            self._following = exchange
        else:
            self._answering = self.loop.create_task(self._answer_all(exchange))
            self._answering.add_done_callback(self.tasks.discard)
            self.tasks.add(self._answering)

    async def _answer_all(self, exchange: Exchange | None) -> None:
        """Answer one request after the other until the connection is lost.

        A task for each request would cost as much as a look-up. Between requests it is none of the tasks in flight.
        """
        while exchange is not None:
            await exchange.run(self.app)
            exchange, self._following = self._following, None
            if exchange is None and self.parser is not None:
                self.tasks.discard(self._answering)
                self._idle = self.loop.create_future()
                exchange = await self._idle

    def _leave_idle(self, exchange: Exchange | None) -> None:
        """Hand the next request to the task that waits for it, or None to end it."""
        idle, self._idle = self._idle, None
        if idle is None or idle.done():
            return
        if exchange is not None and self._answering is not None:
            self.tasks.add(self._answering)
        idle.set_result(exchange)

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of the body, or count it where nobody wants it."""
        self._bare_bytes = 0
        exchange = self.cycle
        if exchange is None:
            return
        if self._unread_after is not None:
            self._unread_after += len(body)
            if self._unread_after > DRAIN_BYTES_MAX:
                self._linger()
            return
        exchange.feed(body)
        if exchange.body_bytes_buffered >= BODY_BUFFER_BYTES:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """Note the end of the request."""
        if self._framing_of_body:
            return
        self._is_in_message = False
        self._is_in_head = self._line_is_open = True
        self._bare_bytes = 0
        if self._unread_after is not None:
            self._unread_after = None
            self._rest()
        elif self.cycle is not None:
            self.cycle.complete_body()

    def _escape_target(self, data: bytes) -> bytes:
        """Percent-encode raw bytes above 0x7F in the request line."""
        line, separator, rest = data.partition(b"\n")
        if line.isascii():
            return data
        return quote_from_bytes(line, safe=_KEPT_IN_LINE).encode("ascii") + separator + rest

    # --- answers out --------------------------------------------------------------------------------------

    def may_keep_alive(self, exchange: Exchange) -> bool:
        """Tell, when an answer begins, whether the connection can carry another request after it.

        Not when the client still waits for `100 Continue` (it may send the body or not, and nobody could tell which
        bytes come next; with an empty body, older botocore misreads the next answer), and not when a long body is
        left unread.
        """
        if exchange.body_complete and (
            exchange.body_bytes_buffered or not exchange.expects_continue
        ):
            return True
        if exchange.expects_continue or exchange.body_end is not None:
            return False
        length = dict(exchange.scope["headers"]).get(b"content-length")
        return length is not None and int(length) <= DRAIN_BYTES_MAX

    def answer_complete(self, exchange: Exchange) -> None:
        """Go on after a complete answer: next request, rest, or the end."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if not exchange.keep_alive:
            self._finish(is_body_read=exchange.body_complete)
            return
        if self.pipeline:
            self._begin(self.pipeline.pop())
        elif exchange.body_complete:
            self._rest()
        else:
            self._unread_after = 0
            self._deadline_s = self.limits.now_s + LINGER_S
        # Not while requests wait: each answer would let in a read full of further ones, and the queue would grow.
        self.resume_reading()

    def _rest(self) -> None:
        """Wait for the next request."""
        self._deadline_s = self.limits.now_s + self.limits.idle_s

    def _finish(self, *, is_body_read: bool) -> None:
        if is_body_read and not self._is_in_message:
            self._close_now()
        else:
            self._linger()

    def _linger(self) -> None:
        """Send nothing more, read a bounded while, then close: closing at once would destroy the answer on its way."""
        if self._is_lingering:
            return
        if self._is_at_end:
            self._close_now()
            return
        self._is_lingering = self._is_deaf = True
        self._deadline_s = self.limits.now_s + LINGER_S
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    def _drop(self, count: int) -> None:
        self._linger_bytes += count
        if self._linger_bytes > LINGER_BYTES_MAX:
            self._close_now()

    def _close_now(self) -> None:
        """Close once what was written is sent, or at the latest after the stall limit."""
        self._is_deaf = True
        self._deadline_s = self.limits.now_s + self.limits.stall_s
        if not self.transport.is_closing():
            self.transport.close()

    # --- faults of the peer ---------------------------------------------------------------------------------

    def _end_after_this(self) -> None:
        """Take no further request: the client asked for another protocol, which it does not get."""
        self._is_deaf = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def _malformed(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        if isinstance(cause, _RefusedError):
            is_head = self.scope.get("method") == "HEAD"
            self._refuse_or_cut(*_REFUSALS[cause.status], is_head_request=is_head)
        elif isinstance(error, httptools.HttpParserCallbackError):
            _log.error("protocol_failed", exc_info=cause)
            self._refuse_or_cut(
                500, "InternalError", "We encountered an internal error. Please try again."
            )
        else:
            self._refuse_or_cut(
                400, "BadRequest", "An error occurred when parsing the HTTP request."
            )

    def _refuse_head(self) -> None:
        text = "Your request header section exceeds the maximum allowed size."
        self._refuse_or_cut(400, "RequestHeaderSectionTooLarge", text)

    def _refuse_or_cut(
        self, status: int, code: str, message: str, *, is_head_request: bool = False
    ) -> None:
        """Answer a fault by itself where no answer is under way; otherwise let that one be the last."""
        exchange = self.cycle
        if exchange is not None and not exchange.response_complete:
            self._is_deaf = True
            exchange.keep_alive = False
            exchange.end_body(BodyEnd.BROKEN)
            return
        self._refuse(status, code, message, is_head_request=is_head_request)

    def _refuse(
        self, status: int, code: str, message: str, *, is_head_request: bool = False
    ) -> None:
        self.transport.write(
            render_error(status, code, message, self.limits.date, is_head_request=is_head_request)
        )
        self._linger()


class _RefusedError(Exception):
    """A request that parses and is refused all the same (raised through the parser)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


_REFUSALS = {
    400: (400, "BadRequest", "The Host header does not match the request target."),
    405: (405, "MethodNotAllowed", "The specified method is not allowed against this resource."),
    414: (414, "RequestURITooLong", "The request target is longer than this server accepts."),
    501: (
        501,
        "NotImplemented",
        "This transfer coding cannot be sent together with an offer to upgrade the protocol.",
    ),
    505: (505, "HttpVersionNotSupported", "The HTTP version specified is not supported."),
}
