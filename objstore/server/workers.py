"""The owner's side of several processes: starts gateway workers, keeps them running, answers them, ends them.

A worker is a fresh process of the same program, never a fork: open SQLite files do not survive one. It is born with one end of
a socket and a shared page, and asks for everything else. One that ends is started again, at once if it ran for
a while, else after a pause that doubles; only its own connections are lost. One whose owner is gone ends by itself.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Final, Self

import msgspec
import structlog

from objstore.cluster.framed_transport import FramedConnection, TransportLimits, connect
from objstore.cluster.shared_page import SharedPage
from objstore.model.errors import ObjstoreError, Unavailable
from objstore.server.keys import RootKeys
from objstore.server.metrics import Metrics, ProcessCounts
from objstore.server.refusal import StartRefused
from objstore.server.settings import Settings
from objstore.server.worker_link import (
    ASSIGNMENT,
    COUNTS,
    DRAIN,
    RELOAD,
    SERVING,
    SITES,
    Assignment,
    encode_assignment,
)

__all__ = ["Crew", "Methods", "WorkerGroup"]

Methods = Mapping[str, Callable[[bytes], Awaitable[bytes]]]
"""Requests of workers that concern no one worker, by method."""

PROGRAM: Final = "objstore.server.worker_process"
START_S: Final = 30.0
STARTS_MAX: Final = 3
"""A worker that ends so often before it serves would never serve."""
STABLE_S: Final = 10.0
PAUSE_S: Final = 0.2
PAUSE_S_MAX: Final = 10.0
COUNTS_S: Final = 2.0
LOOK_EVERY_S: Final = 0.1
"""How often the drives are looked at for news."""
ANSWER_S: Final = 5.0
"""What a worker may take, beyond the drain deadline, to say that it is done."""

_log = structlog.get_logger("objstore.workers")


class _Slot:
    """One of the workers asked for, through all its lives."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.start = 0
        """Which start of the group this is the life of: no two share one."""
        self.name = ""
        self.short_lives = 0
        self.process: asyncio.subprocess.Process | None = None
        self.connection: FramedConnection | None = None

    @property
    def serving(self) -> FramedConnection | None:
        """The connection of a worker that serves."""
        connection = self.connection
        return None if connection is None or connection.closed.is_set() else connection


@dataclass(frozen=True, slots=True)
class Crew:
    """What the group tells its workers."""

    settings: Settings
    root_keys: RootKeys
    host_id: bytes
    cluster_id: str
    sites: Callable[[], bytes] | None = None
    """What there is to say of the drives at the moment; None where they stay as they are."""


class WorkerGroup:
    """All workers of a node; an async context manager. Entered, all of them serve."""

    def __init__(self, crew: Crew, methods: Methods, metrics: Metrics, page: SharedPage) -> None:
        """Make the group; `methods` may still get more until it is entered."""
        self._crew = crew
        self._page = page
        self._methods = methods
        self._metrics = metrics
        self._slots = [_Slot(number) for number in range(1, crew.settings.workers)]
        self._starts = 0
        self._ending = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        for slot in self._slots:
            self._spawn(self._keep(slot))
        if self._crew.sites is not None:
            self._spawn(self._tell_sites(self._crew.sites))
        try:
            async with asyncio.timeout(START_S):
                await self._wait_until_serving()
        except TimeoutError:
            await self._end()
            raise StartRefused(f"workers: {self.problem()} after {START_S:.0f} s") from None
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._end()

    def problem(self) -> str:
        """Return what stands against being ready: a worker that does not serve."""
        up = 1 + sum(slot.serving is not None for slot in self._slots)
        asked = self._crew.settings.workers
        return "" if up == asked else f"{up} of {asked} processes serve"

    async def gather(self) -> None:
        """Bring the counts of all workers into the metrics; one that does not answer keeps its last ones."""
        await asyncio.gather(*(self._gather(slot) for slot in self._slots))

    def reload_certificates(self) -> None:
        """See `objstore.server.serve.Workers`."""
        for slot in self._slots:
            if slot.serving is not None:
                self._spawn(self._tell(slot.serving, RELOAD))

    async def drain(self, deadline_s: float) -> int:
        """See `objstore.server.serve.Workers`."""
        self._ending.set()
        return sum(await asyncio.gather(*(self._drain(slot, deadline_s) for slot in self._slots)))

    # --- one worker

    async def _keep(self, slot: _Slot) -> None:
        """Keep a worker running until the group ends."""
        while not self._ending.is_set():
            self._starts += 1
            slot.start = self._starts
            slot.name = f"worker-{slot.number}-{slot.start}"
            begun_s = monotonic()
            code = await self._live(slot)
            slot.connection = None
            self._metrics.retire(str(slot.number))
            if self._ending.is_set():
                return
            is_short = monotonic() - begun_s < STABLE_S
            slot.short_lives = slot.short_lives + 1 if is_short else 0
            pause_s = min(PAUSE_S_MAX, PAUSE_S * 2 ** (slot.short_lives - 1)) if is_short else 0.0
            _log.warning("worker_ended", worker=slot.number, code=code, starts_again_s=pause_s)
            self._news.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()

    async def _live(self, slot: _Slot) -> str:
        """Run one process to its end; return its exit code, or why it could not be started."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        descriptors = (theirs.fileno(), self._page.descriptor)
        numbers = map(str, (*descriptors, os.getpid()))
        with ours:
            try:
                with theirs:
                    slot.process = await asyncio.create_subprocess_exec(
                        *(
                            sys.executable,
                            "-m",
                            PROGRAM,
                            *numbers,
                            self._crew.cluster_id,
                            slot.name,
                        ),
                        stdin=asyncio.subprocess.DEVNULL,
                        pass_fds=descriptors,
                    )
            except OSError as error:
                return str(error)
            await self._serve(ours, slot.process)
            return str(await slot.process.wait())

    async def _serve(self, ours: socket.socket, process: asyncio.subprocess.Process) -> None:
        """Answer a process until it ends; one that does not say who it is gets no time to think about it."""
        try:
            async with connect(
                ours,
                self._handle,
                cluster_id=self._crew.cluster_id,
                name="owner",
                limits=TransportLimits(handshake_s=START_S),
            ):
                await process.wait()
        except ObjstoreError:
            if process.returncode is None:
                process.kill()

    async def _gather(self, slot: _Slot) -> None:
        connection = slot.serving
        if connection is None:
            return
        with suppress(Unavailable):
            counts = await connection.call(COUNTS, deadline_s=COUNTS_S)
            if slot.serving is connection:
                decoded = msgspec.msgpack.decode(counts, type=ProcessCounts)
                self._metrics.take(str(slot.number), decoded)

    async def _drain(self, slot: _Slot, deadline_s: float) -> int:
        connection = slot.serving
        if connection is None:
            return 0
        body = msgspec.msgpack.encode(deadline_s)
        try:
            answer = await connection.call(DRAIN, body, deadline_s=deadline_s + ANSWER_S)
        except Unavailable:
            _log.warning("worker_not_drained", worker=slot.number)
            return 0
        return msgspec.msgpack.decode(answer, type=int)

    async def _tell(self, connection: FramedConnection, method: str) -> None:
        with suppress(Unavailable):  # one that is gone reads everything anew when it starts again
            await connection.call(method, deadline_s=ANSWER_S)

    async def _tell_sites(self, sites: Callable[[], bytes]) -> None:
        """Tell every worker what became of the drives; end one that does not take it."""
        told: dict[FramedConnection, bytes] = {}
        while not self._ending.is_set():
            news = sites()
            behind = [
                (slot, slot.serving)
                for slot in self._slots
                if slot.serving is not None and told.get(slot.serving) != news
            ]
            await asyncio.gather(*(self._tell_news(*who, news, told) for who in behind))
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._ending.wait()

    async def _tell_news(
        self,
        slot: _Slot,
        connection: FramedConnection,
        news: bytes,
        told: dict[FramedConnection, bytes],
    ) -> None:
        for gone in [known for known in told if known.closed.is_set()]:
            del told[gone]
        try:
            answer = await connection.call(SITES, news, deadline_s=ANSWER_S)
        except Unavailable:
            if slot.connection is connection and slot.process is not None:
                _log.warning("worker_does_not_follow", worker=slot.number)
                with suppress(ProcessLookupError):
                    slot.process.kill()
            return
        if msgspec.msgpack.decode(answer, type=bool):
            told[connection] = news

    # --- what workers ask

    async def _handle(self, connection: FramedConnection, method: str, body: bytes) -> bytes:
        call = self._methods.get(method)
        if call is not None:
            return await call(body)
        slot = next((slot for slot in self._slots if slot.name == connection.peer), None)
        if slot is None:
            raise Unavailable("this worker is not one of ours", peer=connection.peer)
        if method == SITES and self._crew.sites is not None:
            return self._crew.sites()
        if method == ASSIGNMENT:
            return encode_assignment(self._assignment(slot.start))
        if method == SERVING and not self._ending.is_set():
            slot.connection = connection
            process_id = None if slot.process is None else slot.process.pid
            _log.info("worker_serves", worker=slot.number, pid=process_id)
            self._news.set()
            return b""
        raise Unavailable("this cannot be asked now", method=method)

    def _assignment(self, start: int) -> Assignment:
        """Return what a worker is told. Request ids begin with the first bytes of its host id: no two starts share them."""
        crew = self._crew
        first = (int.from_bytes(crew.host_id[:4], "big") + start) % 2**32
        host_id = first.to_bytes(4, "big") + crew.host_id[4:]
        return Assignment(crew.settings, crew.root_keys, host_id)

    # --- the group

    async def _wait_until_serving(self) -> None:
        while self.problem():
            if any(slot.short_lives >= STARTS_MAX for slot in self._slots):
                raise StartRefused(
                    "a worker process ends as soon as it starts",
                    next_step="look at the messages above, or start with --workers 1",
                )
            self._news.clear()
            await self._news.wait()

    async def _end(self) -> None:
        """End what is left of the workers: one that loses its owner ends by itself."""
        self._ending.set()
        for slot in self._slots:
            if (
                slot.process is not None
                and slot.process.returncode is None
                and slot.serving is None
            ):
                slot.process.kill()
            if slot.connection is not None:
                slot.connection.close()
        _, late = await asyncio.wait(self._tasks, timeout=ANSWER_S) if self._tasks else ((), ())
        for slot in self._slots:
            if slot.process is not None and slot.process.returncode is None:
                slot.process.kill()
        for task in late:
            task.cancel()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """Start work that ends with the group."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
