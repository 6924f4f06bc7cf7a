"""Watches the directories of a node: open files go on working in a directory that was wiped, so somebody has to look.

Each site is looked at twice a second, on a thread of its own, because a drive that hangs must not keep others from being
seen. What is wrong takes the drive out of service at once, as a whole: shards, catalogue, copy of the control store.

    identity and files there, writable        in service; one that was only away comes back as the drive that it was
    the same directory, but blank             wiped: formatted as a new drive in the same slot; the replicas copy what
                                              the ring gives them, and what the slot should hold is rebuilt
    identity there, catalogue gone, damaged   renewed: the catalogue is set aside, the rest as after a wipe; what a
                                              look-up could not read counts as damaged
    an operation of its filesystem failed     out of service until it is mounted again, or the process starts anew
    anything else (missing, another directory, half empty, read-only)     out of service until it changes

A drive that hangs stays, but is suspended: nobody waits for it, and it goes on when what hangs has ended. Where many hang
at once it is not the drives, and nobody would be left to turn to: then they are waited for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import anyio
import anyio.to_thread
import apsw
import structlog

from objstore.cluster.replicated_control_store import ReplicatedControlStore
from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME
from objstore.consensus import ReplicaId
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.metadata.replica_trust import is_damage
from objstore.model.errors import DriveUnavailable, ObjstoreError
from objstore.model.names import DriveId
from objstore.server.drive_sites import DriveSites, Site, mount_of, same_directory
from objstore.server.replicas import NodeReplicas
from objstore.service.rebuild import mark_for_rebuild
from objstore.storage.headroom import usage_of
from objstore.storage.layout import TMP_NAME, read_identity
from objstore.storage.posix_drive import PosixDrive
from objstore.storage.publish import replace_file

__all__ = ["DriveState", "DriveWatch", "guard_drives", "look_at", "prove"]

T = TypeVar("T")
_Step: TypeAlias = Callable[[Site], Awaitable[None]]

LOOK_EVERY_S: Final = 0.5
SETTLED_LOOKS: Final = 2
"""So often in a row a directory must be found blank, or without its catalogue: emptying it takes a while."""
STALLED_S: Final = 1.0
"""A drive of which nothing has come to its end for so long hangs."""
GUARD_EVERY_S: Final = 0.2
PROBE_NAME: Final = "objstore-probe"
_log = structlog.get_logger("objstore.drives")


class DriveState(Enum):
    """What a look at a directory finds."""

    FINE = "in order"
    BLANK = "wiped: empty, but the same directory"
    MISSING = "not there"
    ANOTHER = "another directory: is it mounted?"
    DAMAGED = "identity is gone or foreign"
    NO_CATALOGUE = "files of its catalogue are gone"
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
            group.start_soon(guard_drives, self._in_service, len(self._sites.sites))
            for site in self._sites.sites:
                group.start_soon(self._watch, site)

    async def _watch(self, site: Site) -> None:
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"watch {site.directory.name}")
        previous, count = DriveState.FINE, 0
        try:
            while True:
                state, lacks_room = await _in_thread(thread, partial(self._look, site))
                self._replicas.keeper.limit(ReplicaId(site.drive_id), lacks_room=lacks_room)
                previous, count = state, count + 1 if state is previous else 1
                if site.drive is not None:
                    await self._watch_in_service(site, state)
                elif (step := self._way_back(site, state, count)) is not None:
                    await self._try(site, step)
                await anyio.sleep(LOOK_EVERY_S)
        finally:
            thread.shutdown(wait=False)

    def _look(self, site: Site) -> tuple[DriveState, bool]:
        """Return the state of a directory, and whether it has no more room than its reserve; blocks."""
        state = look_at(site)
        if state is not DriveState.FINE:
            return state, False
        try:
            return state, not usage_of(site.directory, self._sites.reserve_bytes).takes(0)
        except OSError:
            return DriveState.DAMAGED, False

    async def _watch_in_service(self, site: Site, state: DriveState) -> None:
        fault = self._replicas.fault_of(site.drive_id)
        retired = site.drive.failure if site.drive is not None else ""
        if state is not DriveState.FINE:
            self._take_out(site, state.value)
        elif fault is not None and is_damage(fault):
            if self._replicas.keeper.can_spare(ReplicaId(site.drive_id)):
                site.is_to_be_renewed = True
                self._take_out(site, f"its catalogue is damaged: {fault}")
        elif fault is not None or retired:
            site.failed_mount = await anyio.to_thread.run_sync(_mount_of, site.directory)
            self._take_out(site, retired or f"an operation failed: {fault}")
        elif self._control.was_full(site.drive_id):
            await self._try(site, self._catch_up)

    def _way_back(self, site: Site, state: DriveState, looks: int) -> _Step | None:
        """Return what brings a site back that is out of service, if anything does by now."""
        if not self._replicas.has_let_go(site.drive_id):
            return None
        if state is DriveState.BLANK:
            return self._start_anew if looks >= SETTLED_LOOKS else None
        if state is DriveState.NO_CATALOGUE:
            return self._renew if looks >= SETTLED_LOOKS else None
        if state is DriveState.FINE:
            return self._renew if site.is_to_be_renewed else self._take_back
        return None

    def _in_service(self) -> list[PosixDrive]:
        return [site.drive for site in self._sites.sites if site.drive is not None]

    def _take_out(self, site: Site, cause: str) -> None:
        failure = DriveUnavailable(cause, drive=site.path)
        _log.error("drive_lost", directory=site.path, drive=site.drive_id, cause=cause)
        self._sites.take_out(site, cause)
        self._replicas.leave(site.drive_id, failure)
        self._control.lose(site.drive_id)

    async def _try(self, site: Site, step: _Step) -> None:
        try:
            async with self._returning:
                await step(site)
        except (ObjstoreError, apsw.Error, OSError) as error:
            if site.cause != str(error):
                site.cause = str(error)
                _log.warning("drive_return_failed", directory=site.path, cause=site.cause)

    async def _start_anew(self, site: Site) -> None:
        site.replaces = site.replaces or site.drive_id
        await anyio.to_thread.run_sync(self._sites.format, site)
        await self._return(site, instead_of=site.replaces)

    async def _renew(self, site: Site) -> None:
        site.replaces = site.replaces or site.drive_id
        await anyio.to_thread.run_sync(self._prove_and, self._sites.renew, site)
        await self._return(site, instead_of=site.replaces)

    def _prove_and(self, step: Callable[[Site], None], site: Site) -> None:
        prove(site)
        step(site)

    async def _take_back(self, site: Site) -> None:
        await anyio.to_thread.run_sync(self._prove_and, self._sites.reopen, site)
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


async def guard_drives(in_service: Callable[[], Sequence[PosixDrive]], sites_count: int) -> None:
    """Suspend drives that hang, let those go on that do no longer; until cancelled."""
    while True:
        drives = in_service()
        hanging = [drive for drive in drives if drive.stalled_s > STALLED_S]
        are_many = len(hanging) > max(1, sites_count // 3)
        for drive in drives:
            if drive.is_suspended:
                if drive.resume(waits=are_many):
                    _log.info("drive_goes_on", drive=drive.drive_id)
            elif drive in hanging and not are_many:
                _log.warning("drive_hangs", drive=drive.drive_id)
                drive.suspend("drive hangs")
        await anyio.sleep(GUARD_EVERY_S)


def look_at(site: Site) -> DriveState:
    """Return the state of a site's directory; blocks as long as the drive does."""
    directory = site.directory
    if not directory.is_dir():
        return DriveState.MISSING
    is_same = same_directory(directory, site.device, site.inode)
    try:
        identity = read_identity(directory)
        if not is_same and (site.drive is not None or identity is None):
            # Without an identity a missing mount looks like this; with it, a drive may come back in another place.
            return DriveState.ANOTHER
        if identity is None:
            return DriveState.BLANK
        if identity.drive_id != site.drive_id:
            return DriveState.DAMAGED if is_same else DriveState.ANOTHER
        has_files = all(
            (directory / name).exists() for name in (CATALOG_FILE_NAME, CONTROL_FILE_NAME)
        )
        if not (has_files or site.replaces):
            return DriveState.NO_CATALOGUE
        is_read_only = bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except (DriveUnavailable, OSError):
        return DriveState.DAMAGED
    return DriveState.READ_ONLY if is_read_only else DriveState.FINE


def prove(site: Site) -> None:
    """Write something durably, before a directory is believed again; blocks. Raises `DriveUnavailable`.

    A filesystem that an error made read-only does not always say so, and after an error only a new mount forgets what was
    in memory and may never have reached the drive.
    """
    if site.failed_mount is not None and site.failed_mount == _mount_of(site.directory):
        raise DriveUnavailable(
            "its filesystem failed and was not mounted again since", drive=site.path
        )
    probe = site.directory / TMP_NAME / PROBE_NAME
    try:
        replace_file(probe, b"")
        probe.unlink()
    except OSError as error:
        raise DriveUnavailable(
            "directory cannot be written", drive=site.path, reason=str(error)
        ) from error


def _mount_of(directory: Path) -> str:
    try:
        return mount_of(directory)
    except OSError:
        return ""


async def _in_thread(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
