"""One run of the bench: from a plan to figures, with preparation before and tidying after.

Order: make the place, then for each case, size and number of clients prepare what it needs, measure, and take away what it
wrote when that is much. At the end, also after a fault or an interrupt, everything is taken away unless the plan keeps it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import product
from multiprocessing.pool import Pool
from time import perf_counter
from typing import Final, NamedTuple

import msgspec

from objstore.model.limits import GIB, KIB, MIB
from objstore.server.bench.amounts import render_size
from objstore.server.bench.bucket import Place, Store
from objstore.server.bench.cases import CASES, Case
from objstore.server.bench.figures import Figures, figures_of
from objstore.server.bench.load import Limits, LoadResult, Progress
from objstore.server.bench.refusal import BenchRefused
from objstore.server.bench.share import (
    Share,
    close_workers,
    open_workers,
    run_share,
    run_shares,
    split,
)
from objstore.server.bench.target import Target
from objstore.server.clock import SystemClock

__all__ = ["Measurement", "Plan", "Screen", "measurements", "run_plan"]

WRITTEN_BYTES_MAX: Final = 4 * GIB
"""A case that writes ends here, so that a fast server does not fill its drive."""
_TIDY_BYTES: Final = 256 * MIB
_READ_BYTES: Final = 256 * MIB
_READ_OBJECTS_MIN: Final = 4
_READ_OBJECTS_MAX: Final = 1_000
_LIST_OBJECTS: Final = 10_000
_LIST_OBJECT_BYTES: Final = 16
_FILL_CLIENTS: Final = 16
_FILL_CLIENTS_LARGE: Final = 4
_FILL_DEADLINE_S: Final = 600.0
_START_DELAY_S: Final = 0.5
_HASHED_BYTES_PER_S: Final = 100 * MIB
"""A careful guess: processes that start together allow for the making of bodies."""


class Plan(msgspec.Struct, frozen=True):
    """What is to be measured."""

    target: Target
    cases: tuple[str, ...]
    sizes: tuple[int, ...]
    concurrencies: tuple[int, ...]
    duration_s: float
    run_id: str
    requests_max: int | None = None
    bucket: str | None = None
    processes: int = 1
    keys_count: int | None = None
    """Objects that reading cases work on; by default as many as make a quarter of a GiB, 10,000 for LIST."""
    keeps: bool = False
    is_signed: bool = True


class Measurement(NamedTuple):
    """One row of the report to be."""

    case: Case
    size_bytes: int
    clients_count: int

    @property
    def title(self) -> str:
        """Name it for a person."""
        size = f" {render_size(self.size_bytes)}" if self.case.is_sized else ""
        clients = "client" if self.clients_count == 1 else "clients"
        return f"{self.case.name}{size}, {self.clients_count} {clients}"


class Screen:
    """Where progress goes; this one shows nothing."""

    def progress(self, title: str, duration_s: float) -> Progress | None:  # noqa: ARG002
        """Return what is called while something runs."""
        return None

    def finished(self, figures: Figures) -> None:
        """Take the figures of a measurement that ended."""


def measurements(plan: Plan) -> Iterator[Measurement]:
    """Yield what a plan measures, in order: sizes where they matter, else the smallest alone."""
    smallest = min(plan.sizes)
    for case in CASES.values():
        if case.name not in plan.cases:
            continue
        sizes = [size for size in plan.sizes if size >= case.size_bytes_min]
        if not case.is_sized:
            sizes = [_LIST_OBJECT_BYTES if case.name == "list" else smallest]
        for size, clients_count in product(sizes, plan.concurrencies):
            yield Measurement(case, size, clients_count)


async def run_plan(plan: Plan, screen: Screen) -> list[Figures]:
    """Measure everything; return the figures in order. Raises `BenchRefused`."""
    store = Store(plan.target, SystemClock())
    figures = []
    with _workers(plan.processes) as workers:
        async with _place(store, plan) as place:
            session = _Session(plan, store, place, screen, workers)
            for measurement in measurements(plan):
                found = await session.measure(measurement)
                screen.finished(found)
                figures.append(found)
    return figures


@contextlib.contextmanager
def _workers(processes: int) -> Iterator[Pool | None]:
    if processes == 1:
        yield None
        return
    workers = open_workers(processes)
    try:
        yield workers
    finally:
        close_workers(workers)


@contextlib.asynccontextmanager
async def _place(store: Store, plan: Plan) -> AsyncIterator[Place]:
    place = await store.make_place(plan.bucket, plan.run_id)
    try:
        yield place
    finally:
        if not plan.keeps:
            await _tidy(store, place)


async def _tidy(store: Store, place: Place) -> None:
    try:
        await store.remove_place(place)
    except BenchRefused as refusal:
        raise BenchRefused(
            f"{refusal.cause}\nLeft behind: what lies below {place.prefix} in bucket {place.bucket}",
            next_step=refusal.next_step,
        ) from refusal


class _Session:
    """A place in a store and what has been prepared in it."""

    def __init__(
        self, plan: Plan, store: Store, place: Place, screen: Screen, workers: Pool | None
    ) -> None:
        self._plan = plan
        self._store = store
        self._place = place
        self._screen = screen
        self._workers = workers
        self._prepared: dict[str, int] = {}

    async def measure(self, measurement: Measurement) -> Figures:
        """Prepare, measure and tidy one row."""
        case, size, clients_count = measurement
        group, objects_count = await self._prepare(measurement)
        plan = self._plan
        share = Share(
            plan.target,
            case.name,
            self._place.path(group),
            size,
            objects_count,
            clients_count,
            Limits(
                plan.duration_s,
                plan.requests_max,
                WRITTEN_BYTES_MAX if case.writes else None,
            ),
            plan.is_signed,
        )
        result = await self._run(share, measurement.title)
        if case.writes and result.moved_bytes > _TIDY_BYTES and not plan.keeps:
            await self._store.clear(self._place, group)
        return figures_of(
            result,
            case=case.name,
            size_bytes=size,
            concurrency=clients_count,
            processes=min(plan.processes, clients_count),
        )

    async def _run(self, share: Share, title: str) -> LoadResult:
        progress = self._screen.progress(title, share.limits.duration_s)
        workers = self._workers
        if workers is None:
            return await run_share(share, progress)
        start_at_s = perf_counter() + _START_DELAY_S + share.size_bytes / _HASHED_BYTES_PER_S
        shares = split(msgspec.structs.replace(share, start_at_s=start_at_s), self._plan.processes)
        return await run_shares(shares, workers, start_at_s=start_at_s, progress=progress)

    async def _prepare(self, measurement: Measurement) -> tuple[str, int]:
        """Return the group of keys that a measurement works in, and how many prepared objects it has."""
        case, size, clients_count = measurement
        group = f"{case.needs.group or case.name}-{size}"
        if not case.needs.group:
            return f"{group}-{clients_count}", 0
        if case.needs.is_used_up:
            group = f"{group}-{clients_count}"
            return group, await self._fill(
                group, size, clients_count=clients_count, objects_count=None
            )
        if group not in self._prepared:
            wanted = self._plan.keys_count or default_keys(case, size)
            self._prepared[group] = await self._fill(
                group,
                size,
                clients_count=_FILL_CLIENTS if size < 8 * MIB else _FILL_CLIENTS_LARGE,
                objects_count=wanted,
            )
        return group, self._prepared[group]

    async def _fill(
        self, group: str, size: int, *, clients_count: int, objects_count: int | None
    ) -> int:
        """Put objects, a number of them or as many as one measurement takes time; return how many."""
        plan = self._plan
        limits = (
            Limits(plan.duration_s, plan.requests_max, WRITTEN_BYTES_MAX)
            if objects_count is None
            else Limits(_FILL_DEADLINE_S, objects_count)
        )
        share = Share(
            plan.target,
            "put",
            self._place.path(group),
            size,
            0,
            clients_count,
            limits,
            plan.is_signed,
        )
        what = "objects" if objects_count is None else f"{objects_count:,} x {render_size(size)}"
        result = await run_share(
            share, self._screen.progress(f"preparing {what}", limits.duration_s)
        )
        done = len(result.latencies_s)
        if result.errors or done < (objects_count or 1):
            kind = next(iter(result.errors), "it took too long")
            raise BenchRefused(f"cannot prepare objects to read: {kind}")
        return done


def default_keys(case: Case, size_bytes: int) -> int:
    """Return how many objects a reading case works on unless told."""
    if case.name == "list":
        return _LIST_OBJECTS
    fitting = _READ_BYTES // max(size_bytes, KIB)
    return max(_READ_OBJECTS_MIN, min(_READ_OBJECTS_MAX, fitting))
