"""One process's share of a measurement: a value that can be sent to a worker, and what the worker does with it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.pool import Pool
from time import perf_counter
from typing import Final

import msgspec
import uvloop

from objstore.server.bench.bodies import Bodies
from objstore.server.bench.cases import CASES, PART_BYTES, Workload
from objstore.server.bench.load import Limits, LoadResult, Progress, run_load
from objstore.server.bench.refusal import BenchRefused
from objstore.server.bench.request import Script
from objstore.server.bench.target import Target
from objstore.server.clock import SystemClock

__all__ = ["Share", "close_workers", "open_workers", "run_share", "run_shares", "split"]

_POLL_S: Final = 0.1
_GRACE_S: Final = 120.0
"""For operations under way at the end, each of which has its own limits."""


class Share(msgspec.Struct, frozen=True):
    """What one process has to do. `limits` are those of this share alone."""

    target: Target
    case: str
    prefix: bytes
    size_bytes: int
    objects_count: int
    clients_count: int
    limits: Limits
    is_signed: bool = True
    share: int = 0
    shares: int = 1
    start_at_s: float = 0.0


def split(share: Share, processes: int) -> list[Share]:
    """Divide clients and limits over at most as many processes as there are clients."""
    shares = min(processes, share.clients_count)
    return [
        msgspec.structs.replace(
            share,
            clients_count=_part(share.clients_count, index, shares),
            limits=Limits(
                share.limits.duration_s,
                _optional_part(share.limits.operations_max, index, shares),
                _optional_part(share.limits.bytes_max, index, shares),
            ),
            share=index,
            shares=shares,
        )
        for index in range(shares)
    ]


async def run_share(share: Share, progress: Progress | None = None) -> LoadResult:
    """Run the clients of a share in this process."""
    case = CASES[share.case]
    bodies = Bodies(share.size_bytes, is_signed=share.is_signed)
    if case.writes or case.name == "mixed":
        bodies.warm(PART_BYTES if case.name == "multipart" else None)
    load = Workload(
        share.prefix,
        bodies,
        objects_count=share.objects_count,
        share=share.share,
        shares=share.shares,
    )
    return await run_load(
        share.target,
        _maker(share, load),
        clients_count=share.clients_count,
        limits=share.limits,
        clock=SystemClock(),
        progress=progress,
        start_at_s=share.start_at_s,
    )


async def run_shares(
    shares: list[Share], workers: Pool, *, start_at_s: float, progress: Progress | None = None
) -> LoadResult:
    """Run shares in worker processes at the same time and add up what they measured. Raises `BenchRefused`."""
    pending = workers.map_async(_run_in_worker, shares, 1)
    give_up_s = start_at_s + shares[0].limits.duration_s + _GRACE_S
    while not pending.ready():
        await asyncio.sleep(_POLL_S)
        now_s = perf_counter()
        if now_s > give_up_s:
            raise BenchRefused("a worker process of the bench does not answer")
        if progress is not None:
            progress(max(0.0, now_s - start_at_s), 0, 0)
    results = pending.get()
    whole: LoadResult = results[0]
    for other in results[1:]:
        whole.add(other)
    return whole


def open_workers(processes: int) -> Pool:
    """Start worker processes; each is a fresh interpreter, so that no state of this one leaks into a measurement."""
    return get_context("spawn").Pool(processes, initializer=_leave_interrupts_to_the_parent)


def close_workers(workers: Pool) -> None:
    """End the workers."""
    workers.terminate()
    workers.join()


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_in_worker(share: Share) -> LoadResult:
    return uvloop.run(run_share(share))


def _maker(share: Share, load: Workload) -> Callable[[], Script | None]:
    case = CASES[share.case]
    if not case.needs.is_used_up:
        return lambda: case.script(load)
    mine = range(share.share, share.objects_count, share.shares)
    left = len(mine)

    def make() -> Script | None:
        nonlocal left
        if not left:
            return None
        left -= 1
        return case.script(load)

    return make


def _part(whole: int, index: int, parts: int) -> int:
    return whole // parts + (index < whole % parts)


def _optional_part(whole: int | None, index: int, parts: int) -> int | None:
    return None if whole is None else _part(whole, index, parts)
