"""Hashing beside the event loop: pieces of a body are digested in order, in a thread, while the next ones arrive.

Digests of small bodies are computed where they are: a thread hop costs more than hashing 64 KiB. At most one batch is in
the thread and one is waiting, so memory is bounded by two batches a body.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import Final

from objstore.model.digests import DigestSet
from objstore.service.ports import Buffer

__all__ = ["RunningDigests"]

_THREAD_BYTES_MIN: Final = 64 * 1024
"""Below this a hop to a thread and back costs more than the hash."""
_BATCH_BYTES: Final = 1024 * 1024
"""Large enough to make the hop cheap, small enough that the last batch does not delay the answer."""
_WAITING_BYTES_MAX: Final = 4 * _BATCH_BYTES


class RunningDigests:
    """Feeds a `DigestSet` with everything that passes by."""

    __slots__ = ("_digests", "_pool", "_running", "_waiting", "_waiting_bytes")

    def __init__(self, digests: DigestSet, pool: Executor) -> None:
        self._digests = digests
        self._pool = pool
        self._waiting: list[Buffer] = []
        self._waiting_bytes = 0
        self._running: asyncio.Future[None] | None = None

    async def add(self, piece: Buffer) -> None:
        """Take the next piece; waits only when hashing falls behind."""
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes < _BATCH_BYTES:
            return
        running = self._running
        if running is not None:
            if not running.done() and self._waiting_bytes < _WAITING_BYTES_MAX:
                return
            await running
        self._start()

    async def end(self) -> DigestSet:
        """Hash what is waiting and return the finished digests."""
        if self._running is not None:
            await self._running
            self._running = None
        if self._waiting_bytes >= _THREAD_BYTES_MIN:
            await self._start()
        else:
            _update(self._digests, self._waiting)
        self._waiting = []
        self._waiting_bytes = 0
        return self._digests

    def _start(self) -> asyncio.Future[None]:
        batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
        loop = asyncio.get_running_loop()
        self._running = loop.run_in_executor(self._pool, _update, self._digests, batch)
        return self._running


def _update(digests: DigestSet, pieces: list[Buffer]) -> None:
    for piece in pieces:
        digests.update(piece)
