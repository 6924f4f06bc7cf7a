"""Runs clients against a target for a while and says what happened.

Each client owns one connection and does one operation after the other, driven by callbacks. A run ends when its time, its
number of operations or its bytes are used up; operations under way are finished and counted. Every wait has an end: an answer
that makes no progress for half a minute is an error, and a client that cannot connect five times in a row gives up.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import Final

import msgspec

from objstore.model.instant import Clock
from objstore.server.bench.connection import Connection, open_connection
from objstore.server.bench.request import Answer, OperationFailed, Script
from objstore.server.bench.signer import Signer
from objstore.server.bench.target import Target

__all__ = ["Limits", "LoadResult", "run_load"]

_STALL_S: Final = 30.0
_TICK_S: Final = 0.2
_CONNECT_ATTEMPTS_MAX: Final = 5
_BACK_OFF_S: Final = 0.05
_ERROR_KINDS_MAX: Final = 100


class Limits(msgspec.Struct, frozen=True):
    """When a run ends: whichever comes first."""

    duration_s: float
    operations_max: int | None = None
    bytes_max: int | None = None
    """Bytes of object data that may be moved, counted when an operation ends."""


class LoadResult(msgspec.Struct):
    """What a run measured; those of several processes add up."""

    latencies_s: array[float]
    """Of operations that succeeded, in order of their end."""
    moved_bytes: int = 0
    elapsed_s: float = 0.0
    errors: Counter[str] = msgspec.field(default_factory=Counter)
    reconnects: int = 0

    def add(self, other: LoadResult) -> None:
        """Take in what another process measured at the same time."""
        self.latencies_s.extend(other.latencies_s)
        self.moved_bytes += other.moved_bytes
        self.elapsed_s = max(self.elapsed_s, other.elapsed_s)
        self.errors.update(other.errors)
        self.reconnects += other.reconnects


Progress = Callable[[float, int, int], None]
"""Called a few times a second with elapsed seconds, operations done, errors."""


async def run_load(  # noqa: PLR0913 - all but two by name, two of them optional
    target: Target,
    make_script: Callable[[], Script | None],
    *,
    clients_count: int,
    limits: Limits,
    clock: Clock,
    progress: Progress | None = None,
    start_at_s: float = 0.0,
) -> LoadResult:
    """Run the clients; `make_script` gives the next operation, or nothing when there is no more to do.

    Clients connect first and begin together, not before `start_at_s` (a reading of `perf_counter`, the same in all processes).
    """
    run = _Run(target, make_script, limits, clock)
    async with asyncio.TaskGroup() as group:
        run.group = group
        clients = [_Client(run) for _ in range(clients_count)]
        await asyncio.gather(*(client.connect() for client in clients))
        await asyncio.sleep(max(0.0, start_at_s - perf_counter()))
        run.begin(clients)
        await run.watch(clients, progress)
    for client in clients:
        client.close()
    if run.fault is not None:
        raise run.fault
    return run.result


class _Run:
    """What the clients of a run share."""

    def __init__(
        self,
        target: Target,
        make_script: Callable[[], Script | None],
        limits: Limits,
        clock: Clock,
    ) -> None:
        self.target = target
        self.signer = Signer(target.credentials, target.host_header, clock)
        self.result = LoadResult(array("d"))
        self.group: asyncio.TaskGroup
        self.fault: Exception | None = None
        self._make_script = make_script
        self._limits = limits
        self._issued = 0
        self._active = 0
        self._began_s = self.deadline_s = 0.0
        self._ended = asyncio.Event()

    def begin(self, clients: list[_Client]) -> None:
        """Start the clock and every client."""
        self._began_s = perf_counter()
        self.deadline_s = self._began_s + self._limits.duration_s
        self._active = len(clients)
        for client in clients:
            client.begin(self._began_s)

    def next_script(self, now_s: float) -> Script | None:
        """Return the next operation, or nothing when the run is over."""
        limits = self._limits
        if now_s >= self.deadline_s or self.fault is not None:
            return None
        if limits.operations_max is not None and self._issued >= limits.operations_max:
            return None
        if limits.bytes_max is not None and self.result.moved_bytes >= limits.bytes_max:
            return None
        self._issued += 1
        return self._make_script()

    def count_error(self, text: str) -> None:
        """Count a failed operation under its text; rare texts beyond a hundred kinds are counted together."""
        errors = self.result.errors
        errors[text if text in errors or len(errors) < _ERROR_KINDS_MAX else "others"] += 1

    def client_ended(self) -> None:
        """Note that a client has no more to do; the last one ends the run."""
        self._active -= 1
        if not self._active:
            self.result.elapsed_s = perf_counter() - self._began_s
            self._ended.set()

    async def watch(self, clients: list[_Client], progress: Progress | None) -> None:
        """Wait for the end; meanwhile tell the progress and end what stalls."""
        while not self._ended.is_set():
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._ended.wait()
            except TimeoutError:
                now_s = perf_counter()
                for client in clients:
                    client.end_stalled(now_s)
            if progress is not None:
                done = len(self.result.latencies_s)
                progress(perf_counter() - self._began_s, done, self.result.errors.total())


class _Client:
    """One connection, one operation at a time."""

    __slots__ = ("_began_s", "_connection", "_fruitless", "_run", "_script")

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._connection: Connection | None = None
        self._script: Script | None = None
        self._began_s = 0.0
        self._fruitless = 0
        """Connections in a row that brought no answer."""

    async def connect(self) -> bool:
        """Connect, with back-off; return whether it came about. Failures are counted as errors."""
        run = self._run
        for attempt in range(_CONNECT_ATTEMPTS_MAX):
            if attempt:
                await asyncio.sleep(_BACK_OFF_S * 2**attempt)
            try:
                self._connection = await open_connection(
                    run.target, run.signer, on_answer=self._answered, on_lost=self._lost
                )
            except OSError as error:
                run.count_error(f"cannot connect: {str(error) or type(error).__name__}")
            else:
                return True
        return False

    def begin(self, now_s: float) -> None:
        """Begin the next operation; or end, when there is none or the client never came to connect."""
        connection = self._connection
        if connection is None:
            self._run.client_ended()
            return
        if not connection.is_usable:
            self._run.group.create_task(self._begin_again())
            return
        script = self._run.next_script(now_s)
        if script is None:
            self._run.client_ended()
            return
        self._script = script
        self._began_s = now_s
        self._step(None)

    def end_stalled(self, now_s: float) -> None:
        """Give up an answer that has made no progress for too long."""
        connection = self._connection
        if connection is None or not connection.is_waiting:
            return
        if now_s - connection.moved_s > _STALL_S:
            connection.close(f"no progress for {_STALL_S:.0f} s")

    def close(self) -> None:
        """End the connection; the client is done."""
        if self._connection is not None:
            self._connection.close()

    async def _begin_again(self) -> None:
        run = self._run
        run.result.reconnects += 1
        self._fruitless += 1
        if self._fruitless > _CONNECT_ATTEMPTS_MAX:
            run.client_ended()
            return
        if self._fruitless > 1:
            await asyncio.sleep(_BACK_OFF_S * 2**self._fruitless)
        if perf_counter() < run.deadline_s and await self.connect():
            self.begin(perf_counter())
        else:
            run.client_ended()

    def _answered(self, answer: Answer) -> None:
        self._fruitless = 0
        self._step(answer)

    def _step(self, answer: Answer | None) -> None:
        script, connection = self._script, self._connection
        if script is None or connection is None:
            return
        try:
            request = next(script) if answer is None else script.send(answer)
        except StopIteration as end:
            now_s = perf_counter()
            result = self._run.result
            result.latencies_s.append(now_s - self._began_s)
            result.moved_bytes += end.value
            self.begin(now_s)
        except OperationFailed as failure:
            self._run.count_error(str(failure))
            self.begin(perf_counter())
        except Exception as error:  # noqa: BLE001 - our own fault: it ends the run and is raised there
            self._run.fault = error
            self._run.client_ended()
        else:
            if connection.is_usable:
                connection.send(request)
            else:
                self._lost("connection closed within an operation")

    def _lost(self, reason: str) -> None:
        self._script = None
        self._run.count_error(reason)
        self.begin(perf_counter())
