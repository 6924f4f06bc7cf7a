"""A drive that is a directory of a local filesystem.

Each drive has a few worker threads of its own, so that a drive that hangs holds up nobody else, and
never more threads than these. One operation is one hop into a thread; what happens there is
`ShardDirectory`. A drive that hangs can be suspended: whoever waits for it is told that it is away,
and so is everybody else until what hangs has ended. A lock on the identity file keeps two nodes from serving one directory. Other
processes of the node that holds it `join` the drive: shards are published whole under unique names
and never change, so that processes need no agreement about them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

import msgspec

from objstore.model.errors import DriveUnavailable
from objstore.model.instant import Clock, Instant
from objstore.model.names import DriveId
from objstore.storage.drive import DriveIdentity, DriveUsage, TrashReport
from objstore.storage.flow import Flow
from objstore.storage.format import Buffer, NewShard, ShardHeader, ShardId
from objstore.storage.layout import IDENTITY_NAME, read_identity
from objstore.storage.shard_directory import ShardDirectory
from objstore.storage.system import SYSTEM, System

__all__ = ["DriveSettings", "PosixDrive"]

T = TypeVar("T")

_THREADS_DEFAULT: Final = 8
_IDLE_S: Final = 5.0
"""Files that were read stay open for one to two times so long."""


class DriveSettings(msgspec.Struct, frozen=True):
    """What an operator may tune of a drive."""

    threads: int = _THREADS_DEFAULT
    """Operations at work at one time; more only help drives that answer many at once."""
    reserve_bytes: int | None = None
    """Room kept free; None takes the rule of `objstore.storage.headroom`. Too little, and a full
    drive can no longer record deletes."""


class PosixDrive:
    """Serves one formatted directory. Open with `PosixDrive.open`, end with `close`."""

    def __init__(
        self,
        identity: DriveIdentity,
        shards: ShardDirectory,
        *,
        clock: Clock,
        lock_fd: int,
        threads: int,
    ) -> None:
        self._identity = identity
        self._shards = shards
        self._clock = clock
        self._lock_fd = lock_fd
        name = f"drive-{identity.drive_id}"
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._is_closed = False
        self._suspension = ""
        self._reads, self._writes = Flow(), Flow()
        self._waiting: dict[asyncio.Future[Any], Future[Any]] = {}
        self._idle_timer: asyncio.TimerHandle | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        cluster_id: str,
        clock: Clock,
        settings: DriveSettings,
        system: System = SYSTEM,
    ) -> PosixDrive:
        """Take a formatted directory into service; blocks for a moment.

        Raises `DriveUnavailable` when it has no identity, another cluster's, or another process
        serves it.
        """
        directory = directory.absolute()
        identity = _identity_within(directory, cluster_id)
        lock_fd = _lock(directory)
        try:
            shards = ShardDirectory(
                directory, identity.drive_id, reserve_bytes=settings.reserve_bytes, system=system
            )
            shards.empty_work_directory()
        except BaseException:
            os.close(lock_fd)
            raise
        return cls(identity, shards, clock=clock, lock_fd=lock_fd, threads=settings.threads)

    @classmethod
    def join(
        cls, directory: Path, *, cluster_id: str, clock: Clock, settings: DriveSettings
    ) -> PosixDrive:
        """Use a directory that another process of this node has in service; blocks for a moment.

        Raises `DriveUnavailable` when it has no identity, another cluster's, or nobody serves it.
        """
        directory = directory.absolute()
        identity = _identity_within(directory, cluster_id)
        if not _is_locked(directory):
            raise DriveUnavailable("drive is served by nobody", drive=str(directory))
        shards = ShardDirectory(
            directory, identity.drive_id, reserve_bytes=settings.reserve_bytes, system=SYSTEM
        )
        return cls(identity, shards, clock=clock, lock_fd=-1, threads=settings.threads)

    def close(self, *, cancels: bool = True) -> None:
        """Give the directory up, once. Work that hangs in a thread is left to itself.

        Without `cancels` what is queued still runs: those who wait for it are told, not cancelled.
        """
        self._is_closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._shards.close_files()
        self._threads.shutdown(wait=False, cancel_futures=cancels)
        lock_fd, self._lock_fd = self._lock_fd, -1
        if lock_fd >= 0:
            os.close(lock_fd)

    @property
    def failure(self) -> str:
        """What the drive failed at when it wrote; empty for one that did not."""
        return self._shards.failure

    def retire(self, cause: str) -> None:
        """Take it out of service here, because it failed in another process."""
        self._shards.give_up(cause)

    @property
    def stalled_s(self) -> float:
        """For how long reads, or writes, have been under way without a single one coming to its end."""
        now = monotonic()
        return max(self._reads.stalled_s(now), self._writes.stalled_s(now))

    @property
    def is_suspended(self) -> bool:
        """Tell whether it answers nobody because it hangs."""
        return bool(self._suspension)

    def suspend(self, cause: str) -> None:
        """Answer nobody, and tell those who wait, that the drive is away; what hangs is left to itself."""
        self._suspension = cause
        for waiter, work in list(self._waiting.items()):
            work.cancel()
            if not waiter.done():
                waiter.set_exception(DriveUnavailable(cause, drive=self.drive_id))

    def resume(self, *, waits: bool = False) -> bool:
        """Answer again if nothing hangs any more, or in any case where it is to be waited for; tell whether it does."""
        if waits or (not self._reads.pending and not self._writes.pending):
            self._suspension = ""
        return not self._suspension

    @property
    def drive_id(self) -> DriveId:
        """The id that rings and extents name it by."""
        return self._identity.drive_id

    @property
    def identity(self) -> DriveIdentity:
        """Whose drive it is."""
        return self._identity

    async def ping(self) -> None:
        """See `Drive.ping`."""
        await self._run(self._shards.check_in_service)

    async def usage(self) -> DriveUsage:
        """See `Drive.usage`."""
        return await self._run(self._shards.usage)

    async def write(self, shards: Sequence[NewShard]) -> None:
        """See `Drive.write`."""
        await self._follow(self._writes, partial(self._shards.write, shards))

    async def read(self, shard_id: ShardId, *, start: int, length: int) -> Buffer:
        """See `Drive.read`."""
        self._close_idle_later()
        work = partial(self._shards.read, shard_id, start=start, length=length)
        return await self._follow(self._reads, work)

    def read_cached(self, shard_id: ShardId, *, start: int, length: int) -> Buffer | None:
        """See `Drive.read_cached`."""
        if self._is_closed or self._suspension:
            return None
        return self._shards.read_cached(shard_id, start=start, length=length)

    async def stat(self, shard_id: ShardId) -> ShardHeader:
        """See `Drive.stat`."""
        return await self._follow(self._reads, partial(self._shards.stat, shard_id))

    async def verify(self, shard_id: ShardId) -> ShardHeader:
        """See `Drive.verify`."""
        return await self._run(partial(self._shards.verify, shard_id))

    async def delete(self, shard_ids: Sequence[ShardId], *, at_once: bool = False) -> int:
        """See `Drive.delete`."""
        now = self._clock.now()
        return await self._run(partial(self._shards.delete, shard_ids, at_once=at_once, now=now))

    async def purge_trash(self, deleted_before: Instant) -> TrashReport:
        """See `Drive.purge_trash`."""
        return await self._run(partial(self._shards.purge_trash, deleted_before))

    async def list_names(self, directory: int) -> tuple[str, ...]:
        """See `Drive.list_names`."""
        return await self._run(partial(self._shards.list_names, directory))

    async def _run(self, work: Callable[[], T]) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _follow(self, flow: Flow, work: Callable[[], T]) -> T:
        """Run an operation that is quick on a drive in order."""
        self._check_open()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        future = self._threads.submit(work)
        flow.begin(monotonic())
        self._waiting[waiter] = future

        def pass_on(done: Future[T]) -> None:
            # Not `future`: a circle of references would keep the bytes of every read until the collector runs.
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(self._settle, flow, waiter, done)

        future.add_done_callback(pass_on)
        try:
            return await waiter
        except asyncio.CancelledError:
            future.cancel()
            raise

    def _close_idle_later(self) -> None:
        """See to it that files which stay open after reads are closed when reads end."""
        if self._idle_timer is None:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(_IDLE_S, self._close_idle)

    def _close_idle(self) -> None:
        self._idle_timer = None
        if not self._is_closed:
            self._threads.submit(self._shards.close_idle)
            if self._shards.open_files_count:
                self._close_idle_later()

    def _settle(self, flow: Flow, waiter: asyncio.Future[T], future: Future[T]) -> None:
        flow.end(monotonic())
        self._waiting.pop(waiter, None)
        if waiter.done():
            return
        if future.cancelled():
            waiter.cancel()
        elif (error := future.exception()) is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(future.result())

    def _check_open(self) -> None:
        if self._is_closed:
            raise DriveUnavailable("drive was taken out of service", drive=self.drive_id)
        if self._suspension:
            raise DriveUnavailable(self._suspension, drive=self.drive_id)


def _identity_within(directory: Path, cluster_id: str) -> DriveIdentity:
    identity = read_identity(directory)
    if identity is None:
        raise DriveUnavailable("directory is not formatted as a drive", drive=str(directory))
    if identity.cluster_id != cluster_id:
        raise DriveUnavailable(
            "drive belongs to another cluster",
            drive=str(directory),
            cluster=identity.cluster_id,
        )
    return identity


def _is_locked(directory: Path) -> bool:
    try:
        os.close(_lock(directory))
    except DriveUnavailable:
        return True
    return False


def _lock(directory: Path) -> int:
    fd = os.open(directory / IDENTITY_NAME, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise DriveUnavailable(
            "drive is served by another process", drive=str(directory)
        ) from error
    except OSError:
        os.close(fd)
        raise
    return fd
