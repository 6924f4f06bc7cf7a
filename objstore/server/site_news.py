"""Which drives are in service, on its way from the owner to its workers.

The owner watches the directories (`drive_watch`); a worker that went on using a drive that was taken out would count shards as
stored that are in a wiped directory. So every change is told to all workers at once, and a worker that does not take it
in time is ended: another one begins with what is true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from objstore.model.errors import DriveUnavailable
from objstore.model.instant import Clock
from objstore.model.names import DriveId
from objstore.server.drive_sites import DriveSites, Site
from objstore.storage.drive import Drive
from objstore.storage.offline_drive import OfflineDrive
from objstore.storage.posix_drive import DriveSettings, PosixDrive

__all__ = ["FollowedSites", "SharedSite", "encode_sites"]

_OFFLINE: Final = "offline"


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
