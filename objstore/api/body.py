"""The body of a request, from ASGI messages to verified bytes.

    receive() -> [aws-chunked framing] -> pieces -> caller, digests beside

`RequestBody` is the `BodySource` of the services. It promises that `finish` returns only if length, framing, chunk signatures and
every digest that the client stated are right; until then the caller must not commit. It never holds more than the caller asked
for plus what the server hands over at once. That a client falls silent is the server's to notice (`stalled`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final, Protocol

from objstore.model.checksum import Checksum, ChecksumAlgorithm
from objstore.model.digests import DigestSet, encode_digest
from objstore.model.errors import (
    BadDigest,
    ClientDisconnected,
    EntityTooLarge,
    IncompleteBody,
    ObjstoreError,
    PayloadHashMismatch,
    RequestTimeout,
)
from objstore.model.limits import KIB
from objstore.s3.checksums import BodyExpectations
from objstore.service.hashing import HASH_BATCH_BYTES, RunningDigests
from objstore.service.ports import BodyDigests, Buffer

__all__ = ["ChunkDecoder", "Receive", "RequestBody"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_ENDS: Final[Mapping[str, type[ObjstoreError]]] = {
    "broken": IncompleteBody,
    "stalled": RequestTimeout,
}
"""What an early end of a body means, by the cause that the server gives; without one the client is gone."""


_CRUMB_BYTES: Final = 4 * KIB
"""Pieces below this size are copied together: kept as they come, each costs an object, and a client that sends chunks of
one byte would fill the memory with two hundred times what it sends."""


class ChunkDecoder(Protocol):
    """What takes the aws-chunked framing off (`objstore.s3.bodies.aws_chunked`)."""

    def feed(self, data: Buffer) -> Sequence[Buffer]:
        """Return the payload pieces that this data completes."""
        ...

    def finish(self) -> Checksum | None:
        """Judge the end of the stream; return the checksum of the trailer."""
        ...


class RequestBody:
    """A body that is read once, front to back."""

    def __init__(
        self,
        receive: Receive,
        expectations: BodyExpectations,
        *,
        pool: Executor,
        payload_sha256: bytes | None,
        decoder: ChunkDecoder | None,
        size_bytes_max: int,
    ) -> None:
        self._receive = receive
        self._expected = expectations
        self._pool = pool
        self._payload_sha256 = payload_sha256
        self._decoder = decoder
        self._size_bytes_max = size_bytes_max
        self._algorithms: list[ChecksumAlgorithm] = []
        if expectations.algorithm is not None:
            self._algorithms.append(expectations.algorithm)
        self._pieces: deque[Buffer] = deque()
        self._waiting_bytes = 0
        self._crumbs = bytearray()
        self._size = 0
        self._wire_bytes = 0
        self._is_ended = False
        self._running: RunningDigests | None = None
        self._result: BodyDigests | None = None

    @property
    def size(self) -> int | None:
        """Announced number of payload bytes."""
        return self._expected.size_bytes

    @property
    def claimed(self) -> ChecksumAlgorithm | None:
        """Algorithm of the checksum in a header or to come in the trailer."""
        return self._expected.algorithm

    @property
    def wire_bytes(self) -> int:
        """Bytes received so far, framing included."""
        return self._wire_bytes

    def require(self, algorithm: ChecksumAlgorithm) -> None:
        """Ask for one more digest; only before the first read."""
        if algorithm not in self._algorithms:
            self._algorithms.append(algorithm)

    async def read(self, size: int) -> Buffer:
        """Return exactly `size` bytes, fewer at the end of the body, none after it."""
        while self._waiting_bytes < size and not self._is_ended:
            await self._pump()
        data = self._gathered() if self._waiting_bytes <= size else self._cut(size)
        if data:
            await self._digests().add(data)
        return data

    async def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer and return how many bytes came, fewer than fit only at the end of the body.

        Digests are computed from the buffer, while the next bytes arrive.
        """
        digests = self._digests()
        filled = hashed = 0
        while True:
            filled += self._move_into(buffer[filled:])
            is_over = filled == len(buffer) or (self._is_ended and not self._waiting_bytes)
            if is_over or filled - hashed >= HASH_BATCH_BYTES:
                await digests.add(buffer[hashed:filled])
                hashed = filled
            if is_over:
                break
            await self._pump()
        if self._is_ended:
            await digests.start()
        return filled

    async def finish(self) -> BodyDigests:
        """Verify everything that the client stated; return the digests. May be called again."""
        if self._result is not None:
            return self._result
        while self._waiting_bytes or not self._is_ended:
            if not self._is_ended:
                await self._pump()
            await self._digests().add(self._gathered())
        announced = self._expected.size_bytes
        if announced is not None and announced != self._size:
            raise IncompleteBody(
                "You did not provide the number of bytes specified by the Content-Length HTTP header."
            )
        trailer = None if self._decoder is None else self._decoder.finish()
        digests = await self._digests().end()
        self._compare(digests, trailer)
        values = {algorithm: digests.digest(algorithm) for algorithm in self._algorithms}
        self._result = BodyDigests(self._size, digests.md5_digest(), values)
        return self._result

    async def _pump(self) -> None:
        """Take one message from the server, which also ends the wait for a client that is silent."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _ENDS.get(message.get("cause", ""), ClientDisconnected)
        data = message.get("body", b"")
        if data:
            self._wire_bytes += len(data)
            if self._decoder is None:
                self._take(data)
            else:
                for piece in self._decoder.feed(data):
                    self._take(piece)
        if not message.get("more_body", False):
            self._is_ended = True

    def _take(self, piece: Buffer) -> None:
        self._size += len(piece)
        announced = self._expected.size_bytes
        if announced is not None and self._size > announced:
            raise IncompleteBody("the body is longer than announced")
        if self._size > self._size_bytes_max:
            raise EntityTooLarge(proposed_size=self._size, max_size_allowed=self._size_bytes_max)
        self._waiting_bytes += len(piece)
        if len(piece) < _CRUMB_BYTES and (self._crumbs or self._pieces):
            self._crumbs += piece
            return
        self._keep_crumbs()
        self._pieces.append(piece)

    def _keep_crumbs(self) -> None:
        """Keep the small pieces since the last large one, as one."""
        if self._crumbs:
            self._pieces.append(self._crumbs)
            self._crumbs = bytearray()

    def _move_into(self, buffer: memoryview) -> int:
        """Copy what has arrived into a buffer, as much as fits, and return how much that was."""
        self._keep_crumbs()
        moved = 0
        while self._pieces and moved < len(buffer):
            piece = self._pieces[0]
            room = len(buffer) - moved
            if len(piece) <= room:
                self._pieces.popleft()
            else:
                view = memoryview(piece)
                piece, self._pieces[0] = view[:room], view[room:]
            buffer[moved : moved + len(piece)] = piece
            moved += len(piece)
        self._waiting_bytes -= moved
        return moved

    def _gathered(self) -> Buffer:
        """Hand out all that has arrived."""
        self._keep_crumbs()
        pieces = self._pieces
        self._pieces, self._waiting_bytes = deque(), 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _cut(self, size: int) -> Buffer:
        """Hand out the first `size` bytes of what has arrived."""
        whole = memoryview(self._gathered())
        self._pieces.append(whole[size:])
        self._waiting_bytes = len(whole) - size
        return whole[:size]

    def _digests(self) -> RunningDigests:
        if self._running is None:
            digests = DigestSet(
                md5=True,
                algorithms=tuple(self._algorithms),
                sha256_payload=self._payload_sha256 is not None,
            )
            self._running = RunningDigests(digests, self._pool)
        return self._running

    def _compare(self, digests: DigestSet, trailer: Checksum | None) -> None:
        """Hold every stated digest against the computed one (s3 rules 2.2.10, 3.1.1, 3.3.2)."""
        if self._payload_sha256 is not None:
            computed = digests.sha256_payload_digest()
            if computed != self._payload_sha256:
                raise PayloadHashMismatch(
                    client_computed_content_sha256=self._payload_sha256.hex(),
                    s3_computed_content_sha256=computed.hex(),
                )
        expected_md5 = self._expected.content_md5
        if expected_md5 is not None and expected_md5 != digests.md5_digest():
            raise BadDigest(
                "The Content-MD5 you specified did not match what we received.",
                expected_digest=encode_digest(expected_md5),
                calculated_digest=encode_digest(digests.md5_digest()),
            )
        stated = self._expected.checksum or trailer
        if stated is not None and digests.digest(stated.algorithm) != stated.digest:
            raise BadDigest(
                f"The {stated.algorithm.name} you specified did not match the calculated checksum."
            )
