"""Hashing beside the event loop: pieces of a body are digested in order, in threads, while the next ones arrive.

Digests of small bodies are computed where they are: a thread hop costs more than hashing 64 KiB. At most one batch is in
the threads and four are waiting. A body of several batches has its MD5 computed in one thread and its other digests in
another one, because one after the other they would take longer than the bytes take to arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from objstore.model.digests import DigestSet
from objstore.service.ports import Buffer

__all__ = ["HASH_BATCH_BYTES", "RunningDigests"]

_THREAD_BYTES_MIN: Final = 64 * 1024
"""Below this a hop to a thread and back costs more than the hash."""
HASH_BATCH_BYTES: Final = 1024 * 1024
"""Large enough to make the hop cheap, small enough that the last batch does not delay the answer."""
_WAITING_BYTES_MAX: Final = 4 * HASH_BATCH_BYTES


class RunningDigests:
    """Feeds a `DigestSet` with everything that passes by. The bytes must not change until `end` returns."""

    __slots__ = ("_digests", "_pool", "_running", "_waiting", "_waiting_bytes")

    def __init__(self, digests: DigestSet, pool: Executor) -> None:
        self._digests = digests
        self._pool = pool
        self._waiting: list[Buffer] = []
        self._waiting_bytes = 0
        self._running: list[asyncio.Future[None]] = []

    async def add(self, piece: Buffer) -> None:
        """Take the next piece; waits only when hashing falls behind."""
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes < HASH_BATCH_BYTES:
            return
        if self._is_busy() and self._waiting_bytes < _WAITING_BYTES_MAX:
            return
        await self._settle()
        self._start()

    async def start(self) -> None:
        """Begin with what is waiting, because there will be no more: the caller has other work to do meanwhile."""
        if self._waiting_bytes >= _THREAD_BYTES_MIN and not self._is_busy():
            await self._settle()
            self._start()

    async def end(self) -> DigestSet:
        """Hash what is waiting and return the finished digests."""
        await self._settle()
        if self._waiting_bytes >= _THREAD_BYTES_MIN:
            self._start()
            await self._settle()
        else:
            for piece in self._waiting:
                self._digests.update(piece)
            self._waiting = []
            self._waiting_bytes = 0
        return self._digests

    def _is_busy(self) -> bool:
        return not all(job.done() for job in self._running)

    async def _settle(self) -> None:
        """Wait for the batch in the threads; raises its error."""
        while self._running:
            await self._running[-1]
            self._running.pop()

    def _start(self) -> None:
        batch, self._waiting = self._waiting, []
        batch_bytes, self._waiting_bytes = self._waiting_bytes, 0
        jobs: list[Callable[[], None]]
        if batch_bytes + self._digests.size_bytes > HASH_BATCH_BYTES:
            jobs = self._digests.jobs(batch)
        else:
            jobs = [_all_at_once(self._digests, batch)]
        loop = asyncio.get_running_loop()
        self._running = [loop.run_in_executor(self._pool, job) for job in jobs]


def _all_at_once(digests: DigestSet, pieces: list[Buffer]) -> Callable[[], None]:
    def update() -> None:
        for piece in pieces:
            digests.update(piece)

    return update
