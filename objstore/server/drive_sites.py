"""The directories of a node that keeps everything on several of them, none of which is special.

A directory is a *site*: the place of a drive. Its *slot* is the name that the data rings know it by, for ever; its drive id
changes whenever the directory was wiped and formatted again, so that a new life is never taken for the old one (trap T2).

    no identity, path unknown                            new: formatted, takes part
    no identity, path known, the very same directory     wiped: formatted as a new drive in the same slot
    no identity, path known, another directory           a missing mount: offline, never formatted
    identity of this cluster                             takes part
    identity, but the catalogue is gone or damaged       renewed: what is left of the catalogue is set aside, never used
                                                         again; the shards stay, the drive gets a new id in its slot

After an error of its filesystem nothing of a directory is believed until it is mounted again, or the process starts anew:
what the kernel holds in memory may never have reached the drive.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from objstore.cluster.control_store import ControlStore
from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.model.errors import DriveUnavailable
from objstore.model.instant import Clock
from objstore.model.names import DriveId
from objstore.server.refusal import StartRefused
from objstore.storage.drive import Drive, DriveIdentity
from objstore.storage.layout import format_drive, read_identity, renew_identity, set_aside
from objstore.storage.offline_drive import OfflineDrive
from objstore.storage.posix_drive import DriveSettings, PosixDrive
from objstore.storage.system import System

__all__ = ["DriveSites", "Site", "mount_of", "same_directory"]

_DRIVES = "drives/"
_NO_DRIVE = DriveId("")
_KEPT_IN_DATABASES = (CATALOG_FILE_NAME, CONTROL_FILE_NAME)
_ENDINGS_OF_DATABASES = ("", "-wal", "-shm", "-journal")
_log = structlog.get_logger("objstore.drives")


class DriveRecord(msgspec.Struct, frozen=True):
    """What the control store remembers of a drive."""

    drive_id: DriveId
    path: str
    slot: str = ""
    """Name in the data rings, where it is not the drive's id."""
    device: int = 0
    inode: int = 0
    """Of the directory when it was last opened."""


@dataclass(slots=True)
class Site:
    """One directory, and the drive in it if it is in service."""

    directory: Path
    drive_id: DriveId = _NO_DRIVE
    slot: DriveId = _NO_DRIVE
    drive: PosixDrive | None = None
    cause: str = ""
    """Why it is offline."""
    device: int = 0
    inode: int = 0
    replaces: DriveId = _NO_DRIVE
    """The drive whose place this one is about to take; empty when that is done."""
    failed_mount: str | None = None
    """The mount that an operation failed on; while that is the one there is, the directory is not believed."""
    is_to_be_renewed: bool = False
    """Its catalogue is gone or damaged."""

    @property
    def path(self) -> str:
        """The directory, as the control store writes it."""
        return str(self.directory.absolute())


class DriveSites:
    """All sites of a node. `drives` is what the data plane works on: it follows what becomes of the sites."""

    def __init__(
        self, directories: Sequence[Path], clock: Clock, settings: DriveSettings, system: System
    ) -> None:
        self.sites = [Site(directory) for directory in directories]
        self.drives: dict[DriveId, Drive] = {}
        self.cluster_id = ""
        self._clock = clock
        self._settings = settings
        self._system = system

    @property
    def reserve_bytes(self) -> int | None:
        """Room that each drive keeps; None for the rule of `objstore.storage.headroom`."""
        return self._settings.reserve_bytes

    # --- start

    def open_formatted(self) -> None:
        """Open what is formatted; format everything if nothing is. Raises `StartRefused`."""
        identities = {site.path: self._identity(site) for site in self.sites}
        clusters = sorted({i.cluster_id for i in identities.values() if i is not None})
        if len(clusters) > 1:
            raise StartRefused(
                "the directories belong to different stores",
                next_step="name the directories of one store",
            )
        blank = [s for s in self.sites if identities[s.path] is None and not s.cause]
        self.cluster_id = clusters[0] if clusters else os.urandom(16).hex()
        if not clusters:
            if len(blank) < len(self.sites):
                bad = next(site for site in self.sites if site.cause)
                raise StartRefused(f"{bad.directory} cannot be used: {bad.cause}")
            for site in blank:
                self.format(site)
        for site in self.sites:
            if site.drive is None and identities[site.path] is not None:
                self._open(site)

    def has_catalogue(self) -> bool:
        """Tell whether any directory holds a catalogue."""
        return any((site.directory / CATALOG_FILE_NAME).exists() for site in self.sites)

    async def settle(self, control: ControlStore) -> dict[DriveId, DriveId]:
        """Bring sites and control store together; return new drive ids with the ids that they come instead of.

        An id that replaces nothing comes instead of itself. Raises `StartRefused`.
        """
        records = await self.records(control)
        present = {site.drive_id for site in self.sites if site.drive is not None}
        by_path = {record.path: record for record in records.values()}
        fresh: dict[DriveId, DriveId] = {}
        for site in self.sites:
            known = records.get(site.drive_id) or by_path.get(site.path)
            if known is not None and known.drive_id in present and known.drive_id != site.drive_id:
                known = None
            self._reopen(site, known)
            if site.drive is None:
                if known is None:
                    raise StartRefused(f"{site.directory} cannot be used: {site.cause}")
                site.drive_id, site.slot = known.drive_id, _slot(known)
                self.drives[site.slot] = OfflineDrive(site.slot, site.cause)
                _log.error("drive_offline", directory=site.path, cause=site.cause)
                continue
            site.slot = site.drive_id if known is None else _slot(known)
            self.drives[site.slot] = site.drive
            if site.drive_id not in records:
                fresh[site.drive_id] = site.drive_id if known is None else known.drive_id
        return fresh

    async def records(self, control: ControlStore) -> dict[DriveId, DriveRecord]:
        """Return what the control store remembers, by drive."""
        items = await control.list(_DRIVES)
        records = [msgspec.json.decode(item.value, type=DriveRecord) for item in items]
        return {record.drive_id: record for record in records}

    async def remember(self, control: ControlStore, site: Site, *, instead_of: DriveId) -> None:
        """Record a drive that is in service; the one that it replaces is forgotten afterwards."""
        record = DriveRecord(site.drive_id, site.path, site.slot, site.device, site.inode)
        data = msgspec.json.encode(record)
        item = await control.get(_DRIVES + site.drive_id)
        if item is None or item.value != data:
            await control.put(_DRIVES + site.drive_id, data)
        if instead_of != site.drive_id:
            await control.delete(_DRIVES + instead_of)

    def close(self) -> None:
        """Give all directories up."""
        for site in self.sites:
            if site.drive is not None:
                site.drive.close()

    # --- while running

    def take_out(self, site: Site, cause: str) -> None:
        """Take the drive of a site out of service."""
        drive, site.drive, site.cause = site.drive, None, cause
        self.drives[site.slot] = OfflineDrive(site.slot, cause)
        if drive is not None:
            drive.close(cancels=False)

    def format(self, site: Site) -> None:
        """Make a blank directory a new drive and open it; blocks. Raises `StartRefused` or `DriveUnavailable`."""
        identity = DriveIdentity(self.cluster_id, DriveId(os.urandom(8).hex()), self._clock.now())
        format_drive(site.directory, identity)
        self._open(site)
        if site.drive is None:
            raise DriveUnavailable(site.cause, drive=site.path)

    def renew(self, site: Site) -> None:
        """Set the catalogue of a drive aside and make it a new drive with the old shards; blocks.

        A crash in the middle leaves a drive without a catalogue, which is renewed, or one that the control store does not
        know, which is taken for what it is. Raises `DriveUnavailable`.
        """
        identity = DriveIdentity(self.cluster_id, DriveId(os.urandom(8).hex()), self._clock.now())
        # A database before its log: without the file nobody takes the log for anything.
        names = [name + end for name in _KEPT_IN_DATABASES for end in _ENDINGS_OF_DATABASES]
        set_aside(site.directory, names, mark=site.drive_id)
        renew_identity(site.directory, identity)
        self._open(site)
        if site.drive is None:
            raise DriveUnavailable(site.cause, drive=site.path)
        site.is_to_be_renewed = False

    def reopen(self, site: Site) -> None:
        """Open a drive again that was out of service; blocks. Raises `DriveUnavailable`."""
        expected = site.drive_id
        self._open(site)
        if site.drive is None or site.drive_id != expected:
            raise DriveUnavailable(site.cause or "another drive", drive=site.path)

    def put_into_service(self, site: Site) -> None:
        """Let the data plane use the drive of a site."""
        if site.drive is not None:
            self.drives[site.slot] = site.drive

    def _identity(self, site: Site) -> DriveIdentity | None:
        try:
            return read_identity(site.directory)
        except DriveUnavailable as error:
            site.cause = str(error)
            return None

    def _open(self, site: Site) -> None:
        try:
            site.drive = PosixDrive.open(
                site.directory,
                cluster_id=self.cluster_id,
                clock=self._clock,
                settings=self._settings,
                system=self._system,
            )
            status = site.directory.stat()
        except (DriveUnavailable, OSError) as error:
            site.cause = str(error)
            return
        site.drive_id, site.cause, site.failed_mount = site.drive.drive_id, "", None
        site.device, site.inode = status.st_dev, status.st_ino

    def _reopen(self, site: Site, known: DriveRecord | None) -> None:
        """Format what is blank, if it is new or the very directory that was served before."""
        if site.drive is not None or site.cause:
            return
        if known is not None and not same_directory(site.directory, known.device, known.inode):
            site.cause = "directory lost its identity: is it mounted?"
            return
        try:
            self.format(site)
        except DriveUnavailable as error:
            site.cause = str(error)


def mount_of(directory: Path) -> str:
    """Return which mount a directory lies on, as the kernel numbers them; blocks. Raises `OSError`."""
    device = directory.stat().st_dev
    numbers = f"{os.major(device)}:{os.minor(device)}"
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    return "|".join(sorted(line for line in lines if line.split()[2] == numbers))


def same_directory(directory: Path, device: int, inode: int) -> bool:
    """Tell whether a path still leads to the directory that was opened."""
    try:
        status = directory.stat()
    except OSError:
        return False
    return inode != 0 and (status.st_dev, status.st_ino) == (device, inode)


def _slot(record: DriveRecord) -> DriveId:
    return DriveId(record.slot or record.drive_id)
