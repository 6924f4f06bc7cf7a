"""The body of a request, from ASGI messages to verified bytes.

    receive() -> [aws-chunked framing] -> pieces -> caller, digests beside

`RequestBody` is the `BodySource` of the services. It promises that `finish` returns only if length, framing, chunk signatures and
every digest that the client stated are right; until then the caller must not commit. It never holds more than the caller asked
for plus two hashing batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
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
from objstore.service.hashing import RunningDigests
from objstore.service.ports import BodyDigests, Buffer

__all__ = ["BodyLimits", "ChunkDecoder", "Receive", "RequestBody"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_ENDS: Final[Mapping[str, type[ObjstoreError]]] = {
    "broken": IncompleteBody,
    "stalled": RequestTimeout,
}
"""What an early end of a body means, by the cause that the server gives; without one the client is gone."""


_CRUMB_BYTES: Final = 4 * KIB
"""Pieces below this size are copied together: kept as they come, each costs an object, and a client that sends chunks of
one byte would fill the memory with two hundred times what it sends."""
_CRUMBS_BYTES_MAX: Final = 64 * KIB


class ChunkDecoder(Protocol):
    """What takes the aws-chunked framing off (`objstore.s3.bodies.aws_chunked`)."""

    def feed(self, data: Buffer) -> Sequence[Buffer]:
        """Return the payload pieces that this data completes."""
        ...

    def finish(self) -> Checksum | None:
        """Judge the end of the stream; return the checksum of the trailer."""
        ...


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What bounds the reading of one body."""

    size_bytes_max: int
    idle_timeout_s: float
    """How long the client may send nothing at all."""


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
        limits: BodyLimits,
    ) -> None:
        self._receive = receive
        self._expected = expectations
        self._pool = pool
        self._payload_sha256 = payload_sha256
        self._decoder = decoder
        self._limits = limits
        self._algorithms: list[ChecksumAlgorithm] = []
        if expectations.algorithm is not None:
            self._algorithms.append(expectations.algorithm)
        self._pieces: list[Buffer] = []
        self._pieces_bytes = 0
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
        while self._pieces_bytes < size and not self._is_ended:
            await self._pump()
        pieces = self._pieces
        if self._pieces_bytes <= size:
            self._pieces, self._pieces_bytes = [], 0
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self._cut(size)

    async def finish(self) -> BodyDigests:
        """Verify everything that the client stated; return the digests. May be called again."""
        if self._result is not None:
            return self._result
        while not self._is_ended:
            await self._pump()
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
        """Take one message from the server."""
        try:
            async with asyncio.timeout(self._limits.idle_timeout_s):
                message = await self._receive()
        except TimeoutError as error:
            raise RequestTimeout from error
        if message["type"] == "http.disconnect":
            raise _ENDS.get(message.get("cause", ""), ClientDisconnected)
        data = message.get("body", b"")
        if data:
            self._wire_bytes += len(data)
            for piece in (data,) if self._decoder is None else self._decoder.feed(data):
                await self._take(piece)
        if not message.get("more_body", False):
            self._is_ended = True
            await self._keep_crumbs()

    async def _take(self, piece: Buffer) -> None:
        self._size += len(piece)
        announced = self._expected.size_bytes
        if announced is not None and self._size > announced:
            raise IncompleteBody("the body is longer than announced")
        size_bytes_max = self._limits.size_bytes_max
        if self._size > size_bytes_max:
            raise EntityTooLarge(proposed_size=self._size, max_size_allowed=size_bytes_max)
        if len(piece) >= _CRUMB_BYTES or not (self._crumbs or self._pieces):
            await self._keep_crumbs()
            await self._keep(piece)
            return
        self._crumbs += piece
        if len(self._crumbs) >= _CRUMBS_BYTES_MAX:
            await self._keep_crumbs()

    async def _keep(self, piece: Buffer) -> None:
        self._pieces.append(piece)
        self._pieces_bytes += len(piece)
        await self._digests().add(piece)

    async def _keep_crumbs(self) -> None:
        """Keep the small pieces since the last large one, as one."""
        if self._crumbs:
            crumbs, self._crumbs = self._crumbs, bytearray()
            await self._keep(crumbs)

    def _cut(self, size: int) -> Buffer:
        """Split the gathered pieces after `size` bytes."""
        whole = b"".join(self._pieces)
        rest = memoryview(whole)[size:]
        self._pieces, self._pieces_bytes = [rest], len(rest)
        return memoryview(whole)[:size]

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
