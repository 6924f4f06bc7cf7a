"""Watches the directories of a node: open files go on working in a directory that was wiped, so somebody has to look.

Each site is looked at twice a second, on a thread of its own, because a drive that hangs must not keep others from being
seen. What is wrong takes the drive out of service at once, as a whole: shards, catalogue, copy of the control store.

    identity and files there, writable        in service; one that was only away comes back as the drive that it was
    the same directory, but blank             wiped: formatted as a new drive in the same slot; the replicas copy what
                                              the ring gives them, and what the slot should hold is rebuilt
    anything else (missing, another directory, half empty, read-only)     out of service until it changes
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import apsw
import structlog

from objstore.cluster.replicated_control_store import ReplicatedControlStore
from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.model.errors import DriveUnavailable, ObjstoreError
from objstore.model.names import DriveId
from objstore.server.drive_sites import DriveSites, Site, same_directory
from objstore.server.replicas import NodeReplicas
from objstore.service.rebuild import mark_for_rebuild
from objstore.storage.layout import read_identity

__all__ = ["DriveState", "DriveWatch", "look_at"]

T = TypeVar("T")

LOOK_EVERY_S: Final = 0.5
BLANK_LOOKS: Final = 2
"""A directory must be blank this often in a row before it is formatted: emptying it takes a while."""
_log = structlog.get_logger("objstore.drives")


class DriveState(Enum):
    """What a look at a directory finds."""

    FINE = "in order"
    BLANK = "wiped: empty, but the same directory"
    MISSING = "not there"
    ANOTHER = "another directory: is it mounted?"
    DAMAGED = "identity or files are gone"
    READ_ONLY = "read-only"


class DriveWatch:
    """Looks after all sites until it is cancelled."""

    def __init__(
        self,
        sites: DriveSites,
        control: ReplicatedControlStore,
        replicas: NodeReplicas,
        *,
        on_return: Callable[[Site], None],
    ) -> None:
        self._sites = sites
        self._control = control
        self._replicas = replicas
        self._on_return = on_return
        self._returning = anyio.Lock()

    async def run(self) -> None:
        """Watch every site."""
        async with anyio.create_task_group() as group:
            for site in self._sites.sites:
                group.start_soon(self._watch, site)

    async def _watch(self, site: Site) -> None:
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"watch {site.directory.name}")
        blank_looks = 0
        try:
            while True:
                state = await _in_thread(thread, partial(look_at, site))
                blank_looks = blank_looks + 1 if state is DriveState.BLANK else 0
                if site.drive is not None and state is not DriveState.FINE:
                    self._take_out(site, state)
                elif site.drive is None and blank_looks >= BLANK_LOOKS:
                    await self._try(site, self._start_anew)
                elif site.drive is None and state is DriveState.FINE:
                    await self._try(site, self._take_back)
                elif self._control.was_full(site.drive_id):
                    await self._try(site, self._catch_up)
                await anyio.sleep(LOOK_EVERY_S)
        finally:
            thread.shutdown(wait=False)

    def _take_out(self, site: Site, state: DriveState) -> None:
        cause = DriveUnavailable(state.value, drive=site.path)
        _log.error("drive_lost", directory=site.path, drive=site.drive_id, cause=state.value)
        self._sites.take_out(site, state.value)
        self._replicas.leave(site.drive_id, cause)
        self._control.lose(site.drive_id)

    async def _try(self, site: Site, step: Callable[[Site], object]) -> None:
        try:
            async with self._returning:
                await step(site)  # type: ignore[misc]  # both are coroutines
        except (ObjstoreError, apsw.Error, OSError) as error:
            _log.warning("drive_return_failed", directory=site.path, cause=str(error))

    async def _start_anew(self, site: Site) -> None:
        site.replaces = site.replaces or site.drive_id
        await anyio.to_thread.run_sync(self._sites.format, site)
        await self._return(site, instead_of=site.replaces)

    async def _take_back(self, site: Site) -> None:
        await anyio.to_thread.run_sync(self._sites.reopen, site)
        await self._return(site, instead_of=site.replaces or site.drive_id)

    async def _catch_up(self, site: Site) -> None:
        """Give a copy of the control store again what it missed, for example while its drive was full."""
        path = site.directory / CONTROL_FILE_NAME
        await self._control.adopt(site.drive_id, path, instead_of=site.drive_id)

    async def _return(self, site: Site, *, instead_of: DriveId) -> None:
        """Control store first: it must know the new drive before anything is put on it."""
        control, replicas = self._control, self._replicas
        await control.adopt(
            site.drive_id, site.directory / CONTROL_FILE_NAME, instead_of=instead_of
        )
        if instead_of != site.drive_id:
            await mark_for_rebuild(control, site.slot)
        await self._sites.remember(control, site, instead_of=instead_of)
        await replicas.place([other.drive_id for other in self._sites.sites])
        replicas.join(site, is_new=instead_of != site.drive_id)
        site.replaces = DriveId("")
        self._sites.put_into_service(site)
        self._on_return(site)
        _log.info("drive_returned", directory=site.path, drive=site.drive_id, was=instead_of)


def look_at(site: Site) -> DriveState:
    """Return the state of a site's directory; blocks as long as the drive does."""
    directory = site.directory
    if not directory.is_dir():
        return DriveState.MISSING
    if not same_directory(directory, site.device, site.inode):
        return DriveState.ANOTHER
    try:
        identity = read_identity(directory)
        if identity is None:
            return DriveState.BLANK
        has_files = all(
            (directory / name).exists() for name in (CATALOG_FILE_NAME, CONTROL_FILE_NAME)
        )
        if identity.drive_id != site.drive_id or not (has_files or site.replaces):
            return DriveState.DAMAGED
        is_read_only = bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except (DriveUnavailable, OSError):
        return DriveState.DAMAGED
    return DriveState.READ_ONLY if is_read_only else DriveState.FINE


async def _in_thread(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
