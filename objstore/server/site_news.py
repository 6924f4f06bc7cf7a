"""Which drives are in service, on its way from the owner to its workers.

The owner watches the directories (`drive_watch`); a worker that went on using a drive that was taken out would count shards as
stored that are in a wiped directory. So every change is told to all workers at once, and a worker that does not take it
in time is ended: another one begins with what is true. The other way, a drive that fails under a worker is taken out of service
by the owner, for all. Drives that hang are suspended by each process for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from objstore.cluster.remote_control_store import Peer
from objstore.model.errors import DriveUnavailable, Unavailable
from objstore.model.instant import Clock
from objstore.model.names import DriveId
from objstore.server.drive_sites import DriveSites, Site
from objstore.server.drive_watch import guard_drives
from objstore.server.worker_link import DRIVE_FAILED, FailedDrive
from objstore.storage.drive import Drive
from objstore.storage.offline_drive import OfflineDrive
from objstore.storage.posix_drive import DriveSettings, PosixDrive

__all__ = ["FollowedSites", "SharedSite", "SiteEndpoint", "encode_sites"]

_OFFLINE: Final = "offline"
CALL_S: Final = 10.0
REPORT_EVERY_S: Final = 0.2


class SharedSite(msgspec.Struct, frozen=True, array_like=True):
    """A slot of the data rings and the drive in it, as the owner has them."""

    slot: DriveId
    drive_id: DriveId
    directory: str
    cause: str
    """Why it is offline; empty for a drive in service."""


def encode_sites(sites: DriveSites) -> bytes:
    """Return the news as they are at the moment."""
    return msgspec.msgpack.encode([_shared(sites.drives[site.slot], site) for site in sites.sites])


def _shared(drive: Drive, site: Site) -> SharedSite:
    if isinstance(drive, PosixDrive):
        return SharedSite(site.slot, drive.drive_id, site.path, "")
    return SharedSite(site.slot, site.drive_id, site.path, site.cause or _OFFLINE)


class SiteEndpoint:
    """Takes what workers report of drives."""

    def __init__(self, sites: DriveSites) -> None:
        self._sites = sites
        self.methods: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = {
            DRIVE_FAILED: self._retire
        }

    async def _retire(self, body: bytes) -> bytes:
        failed = msgspec.msgpack.decode(body, type=FailedDrive)
        for site in self._sites.sites:
            if site.drive is not None and site.drive.drive_id == failed.drive_id:
                site.drive.retire(failed.cause)
        return b""


class FollowedSites:
    """The drives as a worker has them; `drives` follows what becomes of them."""

    def __init__(self, *, cluster_id: str, clock: Clock, settings: DriveSettings) -> None:
        self.drives: dict[DriveId, Drive] = {}
        self._join = partial(PosixDrive.join, cluster_id=cluster_id, clock=clock, settings=settings)
        self._known: dict[DriveId, SharedSite] = {}
        self._taking = asyncio.Lock()

    async def take(self, body: bytes) -> bool:
        """Take news; tell whether every drive that is in service could be opened, which may be tried again."""
        async with self._taking:
            sites: Sequence[SharedSite] = msgspec.msgpack.decode(body, type=list[SharedSite])
            changed = [site for site in sites if self._known.get(site.slot) != site]
            # First what must not be used any more: opening another drive may take a while.
            for site in changed:
                self._put(site, OfflineDrive(site.slot, site.cause or _OFFLINE))
            for site in changed:
                if not site.cause:
                    await self._open(site)
            return all(site.slot in self._known for site in sites)

    def in_service(self) -> list[PosixDrive]:
        """Return the drives that can be used."""
        return [drive for drive in self.drives.values() if isinstance(drive, PosixDrive)]

    async def watch(self, owner: Peer) -> None:
        """Suspend drives that hang, tell the owner of those that fail; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(guard_drives(self.in_service, len(self.drives)))
            group.create_task(self._report_failures(owner))

    async def _report_failures(self, owner: Peer) -> None:
        while True:
            for drive in self.in_service():
                if drive.failure:
                    report = msgspec.msgpack.encode(FailedDrive(drive.drive_id, drive.failure))
                    with suppress(Unavailable):
                        await owner.call(DRIVE_FAILED, report, deadline_s=CALL_S)
            await asyncio.sleep(REPORT_EVERY_S)

    def close(self) -> None:
        """Give all drives up."""
        for drive in self.drives.values():
            if isinstance(drive, PosixDrive):
                drive.close()

    async def _open(self, site: SharedSite) -> None:
        try:
            drive = await asyncio.to_thread(self._join, Path(site.directory))
        except DriveUnavailable as error:
            self._put(site, OfflineDrive(site.slot, str(error)))
            del self._known[site.slot]
            return
        if drive.drive_id == site.drive_id:
            self._put(site, drive)
        else:
            drive.close()
            del self._known[site.slot]

    def _put(self, site: SharedSite, drive: Drive) -> None:
        before = self.drives.get(site.slot)
        self.drives[site.slot] = drive
        self._known[site.slot] = site
        if isinstance(before, PosixDrive):
            before.close(cancels=False)
