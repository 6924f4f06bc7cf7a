"""Requests and answers between two processes over one persistent stream.

Promises
    * Both sides may ask; any number of requests share the stream, and answers come in any order.
    * `call` returns the answer, raises the error that the other side raised, or raises `Unavailable` when the stream is
      lost or the deadline passes: then it is unknown whether the request was carried out, and it is never sent again.
    * A caller that is cancelled, or whose deadline passed, leaves the stream as it was: the other side stops working on the
      request, and an answer that crosses with that is dropped.
    * Memory is bounded. Beyond `requests_max` waiting callers `call` raises `SlowDown`; beyond as many requests under way the
      receiver stops reading, so that the sender's buffer fills and its callers wait.
    * When a stream ends, everybody who waits on it is told and the requests it brought are cancelled.

What methods and bodies mean is the handlers' business. Handlers of both sides may call back on the connection, but must not
wait without a deadline: answers are read in order with requests.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from objstore.cluster.frames import (
    PROTOCOL_VERSION,
    Answer,
    Cancel,
    Failure,
    Frame,
    FrameDecoder,
    Hello,
    Request,
    encode_frame,
)
from objstore.model.errors import (
    CorruptRecord,
    InvariantError,
    ObjstoreError,
    SlowDown,
    Unavailable,
    UnknownFormat,
)

__all__ = ["FramedConnection", "FramedServer", "Handler", "TransportLimits", "connect"]

_READ_BYTES: Final = 256 * 1024
_CONGESTED_BYTES: Final = 64 * 1024
"""As many bytes wait for the other side before callers wait, too: asyncio's own high-water mark."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """What bounds one connection."""

    requests_max: int = 4_096
    """Callers that may wait on this side, and requests of the other side that are under way at the same time."""
    handshake_s: float = 10.0


Handler = Callable[["FramedConnection", str, bytes], Awaitable[bytes]]
"""Carries out one request of the other side: connection, method, body -> body of the answer."""


class FramedConnection:
    """One stream after its handshake. Use from one event loop."""

    def __init__(
        self,
        stream: _Stream,
        peer: str,
        handle: Handler,
        limits: TransportLimits,
        early: Sequence[Frame] = (),
    ) -> None:
        self.peer = peer
        """The name that the other side gave itself."""
        self.closed = asyncio.Event()
        """Set when the stream has ended."""
        self._stream = stream
        self._handle = handle
        self._limits = limits
        self._early = early
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(limits.requests_max)

    async def call(self, method: str, body: bytes = b"", *, deadline_s: float) -> bytes:
        """Ask the other side and return its answer; see the module's promises for errors."""
        if self.closed.is_set():
            raise _lost(self.peer)
        if len(self._waiting) >= self._limits.requests_max:
            raise SlowDown
        self._last_id += 1
        request_id = self._last_id
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        self._waiting[request_id] = answer
        # A timer of its own: asyncio.timeout costs a call several times as much.
        timer = loop.call_later(deadline_s, self._expire, request_id)
        try:
            if self._stream.is_congested:
                await self._enter(deadline_s)
            self._stream.send(Request(request_id, method, body))
            return await answer
        except asyncio.CancelledError:
            self._stream.send(Cancel(request_id))
            raise
        finally:
            timer.cancel()
            del self._waiting[request_id]

    async def _enter(self, deadline_s: float) -> None:
        """Wait until the other side takes more."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._stream.room()
        except TimeoutError:
            raise Unavailable("the other side takes no requests", peer=self.peer) from None

    def _expire(self, request_id: int) -> None:
        answer = self._open_answer(request_id)
        if answer is not None:
            self._stream.send(Cancel(request_id))
            answer.set_exception(
                Unavailable("no answer in time: the outcome is unknown", peer=self.peer)
            )

    def close(self) -> None:
        """End the stream after what is already on its way out."""
        self._stream.close()

    async def run(self) -> None:
        """Serve the stream until it ends, whoever ends it; raises nothing but cancellation."""
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._read(group)
                finally:
                    self._end()
        finally:
            self._stream.close()

    async def _read(self, group: asyncio.TaskGroup) -> None:
        try:
            frames = self._early or await self._stream.receive()
            while frames:
                for frame in frames:
                    await self._take(frame, group)
                frames = await self._stream.receive()
        except (OSError, CorruptRecord):
            # A stream that cannot be understood is as lost as one that broke: all who wait are told so.
            return

    def _end(self) -> None:
        self.closed.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_lost(self.peer))
        for task in self._serving.values():
            task.cancel()

    async def _take(self, frame: Frame, group: asyncio.TaskGroup) -> None:
        match frame:
            case Answer(request_id, body):
                if (answer := self._open_answer(request_id)) is not None:
                    answer.set_result(body)
            case Failure(request_id):
                if (answer := self._open_answer(request_id)) is not None:
                    answer.set_exception(frame.error())
            case Request():
                await self._slots.acquire()
                task = group.create_task(self._serve(frame))
                self._serving[frame.request_id] = task
                task.add_done_callback(partial(self._served, frame.request_id))
            case Cancel(request_id):
                if (work := self._serving.get(request_id)) is not None:
                    work.cancel()
            case Hello():
                raise CorruptRecord("a second hello")

    def _open_answer(self, request_id: int) -> asyncio.Future[bytes] | None:
        answer = self._waiting.get(request_id)
        return None if answer is None or answer.done() else answer

    async def _serve(self, request: Request) -> None:
        reply: Frame
        try:
            reply = Answer(
                request.request_id, await self._handle(self, request.method, request.body)
            )
        except ObjstoreError as error:
            reply = Failure.of(request.request_id, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
            reply = Failure.of(request.request_id, InvariantError(f"{request.method}: {error!r}"))
        if self._stream.is_congested:
            await self._stream.room()
        self._stream.send(reply)

    def _served(self, request_id: int, _task: asyncio.Task[None]) -> None:
        # Not in the task itself: one that is cancelled before its first step never runs.
        self._slots.release()
        del self._serving[request_id]


class _Stream:
    """Frames on a pair of asyncio streams.

    Frames that are sent in one turn of the event loop leave together: answers to a group commit come in groups, and so do
    the requests that they set off.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder()
        self._loop = asyncio.get_running_loop()
        self._sending: list[bytes | bytearray] = []

    @property
    def is_congested(self) -> bool:
        """Tell whether the other side is behind with reading: wait for `room` before sending more."""
        return self._writer.transport.get_write_buffer_size() > _CONGESTED_BYTES

    async def receive(self) -> list[Frame]:
        """Return the next whole frames, none at the end of the stream; raise `OSError` or `CorruptRecord`."""
        while data := await self._reader.read(_READ_BYTES):
            if frames := self._decoder.feed(data):
                return frames
        return []

    def send(self, frame: Frame) -> None:
        """Put a frame on its way; dropped where the stream is closed."""
        if self._writer.is_closing():
            return
        if not self._sending:
            self._loop.call_soon(self._flush)
        self._sending.append(encode_frame(frame))

    def _flush(self) -> None:
        sending, self._sending = self._sending, []
        if sending and not self._writer.is_closing():
            self._writer.write(sending[0] if len(sending) == 1 else b"".join(sending))

    async def room(self) -> None:
        """Wait until the other side takes what was sent before; return at once where it does."""
        with suppress(ConnectionError):  # whoever reads the stream finds out and tells
            await self._writer.drain()

    def close(self) -> None:
        """End the stream after what was sent."""
        self._flush()
        self._writer.close()

    async def end(self) -> None:
        """End the stream after what was sent, and wait until it is closed."""
        self.close()
        with suppress(OSError):
            await self._writer.wait_closed()


async def _shake_hands(
    stream: _Stream, own: Hello, handle: Handler, limits: TransportLimits
) -> FramedConnection:
    """Exchange hellos; raise `UnknownFormat` or `Unavailable` when these two must not talk."""
    stream.send(own)
    try:
        async with asyncio.timeout(limits.handshake_s):
            frames = await stream.receive()
    except (TimeoutError, OSError) as error:
        raise Unavailable("the other side does not answer") from error
    match frames:
        case [Hello(version, cluster_id, name), *early]:
            if version != own.version:
                raise UnknownFormat("the other side speaks another protocol", version=version)
            if cluster_id != own.cluster_id:
                raise Unavailable("the other side belongs to another cluster", cluster=cluster_id)
            return FramedConnection(stream, name, handle, limits, early)
        case []:
            raise Unavailable("the other side closed the stream")
        case _:
            raise CorruptRecord("the stream does not open with a hello")


class FramedServer:
    """Accepts streams on a listening socket; an async context manager that owns them all."""

    def __init__(
        self,
        listening: socket.socket,
        handle: Handler,
        *,
        cluster_id: str,
        name: str,
        limits: TransportLimits = TransportLimits(),
    ) -> None:
        self._socket = listening
        self._handle = handle
        self._hello = Hello(PROTOCOL_VERSION, cluster_id, name)
        self._limits = limits
        self._streams: dict[asyncio.Task[None], _Stream] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, sock=self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task, stream in self._streams.items():
            stream.close()
            task.cancel()
        if self._streams:
            await asyncio.wait([*self._streams])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain callback: the task that asyncio would make of a coroutine must not be cancelled.
        stream = _Stream(reader, writer)
        task = asyncio.get_running_loop().create_task(self._serve(stream))
        self._streams[task] = stream
        task.add_done_callback(self._streams.pop)

    async def _serve(self, stream: _Stream) -> None:
        try:
            connection = await _shake_hands(stream, self._hello, self._handle, self._limits)
            await connection.run()
        except ObjstoreError as refusal:
            stream.send(Failure.of(0, refusal))
        finally:
            await stream.end()


@asynccontextmanager
async def connect(
    connected: socket.socket,
    handle: Handler,
    *,
    cluster_id: str,
    name: str,
    limits: TransportLimits = TransportLimits(),
) -> AsyncIterator[FramedConnection]:
    """Open the stream of a connected socket for the length of the block; raise `Unavailable` or `UnknownFormat`."""
    stream = _Stream(*await asyncio.open_unix_connection(sock=connected))
    try:
        own = Hello(PROTOCOL_VERSION, cluster_id, name)
        connection = await _shake_hands(stream, own, handle, limits)
        serving = asyncio.get_running_loop().create_task(connection.run())
        try:
            yield connection
        finally:
            connection.close()
            await serving
    finally:
        await stream.end()


def _lost(peer: str) -> Unavailable:
    return Unavailable("the connection is lost: the outcome is unknown", peer=peer)
