"""The directories of a node: whose they are, which ring they form, and which of them is missing.

A directory is formatted once, when its path is new to the store. A path that the store knows and that has lost its identity is
*offline*: it is never formatted again by itself, because an empty directory is far more often a missing mount than a new
drive. Objects are then read from the other drives.

The first directory also holds the catalogue. It decides which cluster the others belong to.
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
from objstore.model.errors import DriveUnavailable, ObjstoreError
from objstore.model.instant import Clock, Instant
from objstore.model.names import DriveId, NodeId, Zone
from objstore.model.objects import Scheme
from objstore.placement import DATA_PARTITIONS, Member, Ring, assign
from objstore.replication.scheme import scheme_for
from objstore.server.refusal import StartRefused
from objstore.storage.drive import Drive, DriveIdentity
from objstore.storage.layout import IDENTITY_NAME, SHARDS_NAME, format_drive, read_identity
from objstore.storage.offline_drive import OfflineDrive
from objstore.storage.posix_drive import DriveSettings, PosixDrive
from objstore.storage.system import SYSTEM, System

__all__ = [
    "DataRings",
    "OpenDrives",
    "cluster_of",
    "join_drives",
    "open_drives",
    "open_rings",
    "read_rings",
]

_DRIVES = "drives/"
_RINGS = "rings/data/"
_THIS_NODE = NodeId("node-1")
_ONE_ZONE = Zone("zone-1")

_log = structlog.get_logger("objstore.drives")


class _KnownDrive(msgspec.Struct, frozen=True):
    """What the control store remembers of a drive."""

    drive_id: DriveId
    path: str


@dataclass(frozen=True, slots=True)
class OpenDrives:
    """The drives of this node in the order of the command line, and what is wrong with the ones that are offline."""

    drives: tuple[Drive, ...]
    offline: dict[Path, str]

    def close(self) -> None:
        """Give all directories up."""
        for drive in self.drives:
            if isinstance(drive, PosixDrive):
                drive.close()


def cluster_of(directories: Sequence[Path], clock: Clock) -> str:
    """Return the id of the cluster that the first directory belongs to, formatting it if everything is new.

    Raises `StartRefused` when it is blank but others are not, or is a later directory of a store: then the catalogue is
    missing, and a new one would make everything look lost.
    """
    first, *others = directories
    identity = _identity(first)
    if identity is not None:
        _require_catalogue(first, others)
        return identity.cluster_id
    for other in others:
        try:
            found = read_identity(other)
        except DriveUnavailable:
            continue
        if found is not None:
            raise StartRefused(
                f"{first} is empty, but {other} holds data of an existing store",
                next_step="name the directories in the same order as before, or mount the first one: "
                "it holds the catalogue",
            )
    cluster_id = os.urandom(16).hex()
    _format(first, cluster_id, clock.now())
    return cluster_id


def _require_catalogue(first: Path, others: Sequence[Path]) -> None:
    """Refuse a first directory that has data or company but no control store.

    The control store is made before any other directory is formatted, so only a first start that was cut off, and that is
    finished now, has neither.
    """
    if (first / CONTROL_FILE_NAME).exists():
        return
    for other in others:
        if (other / CONTROL_FILE_NAME).exists():
            raise StartRefused(
                f"{first} is not the first directory of its store: {other} holds the catalogue",
                next_step=f"name {other} first",
            )
    has_company = any((other / IDENTITY_NAME).exists() for other in others)
    has_data = next((first / SHARDS_NAME).glob("*/*"), None) is not None
    if has_company or has_data:
        raise StartRefused(
            f"{first} belongs to a store but does not hold its catalogue",
            next_step="name the directory with the catalogue first, or put its catalogue back from a backup",
        )


def _identity(directory: Path) -> DriveIdentity | None:
    try:
        return read_identity(directory)
    except DriveUnavailable as error:
        raise StartRefused(
            f"{directory} cannot be used: {error}",
            next_step="give an empty directory, or one that an earlier start made",
        ) from error


def _format(directory: Path, cluster_id: str, now: Instant) -> None:
    identity = DriveIdentity(cluster_id, DriveId(os.urandom(8).hex()), now)
    try:
        format_drive(directory, identity)
    except DriveUnavailable as error:
        raise StartRefused(f"{directory} cannot be prepared: {error}") from error


async def open_drives(
    directories: Sequence[Path],
    control: ControlStore,
    *,
    cluster_id: str,
    clock: Clock,
    settings: DriveSettings,
    system: System = SYSTEM,
) -> OpenDrives:
    """Open every directory; format the ones whose path is new. Raises `StartRefused`."""
    known = await _known_drives(control)
    drives: list[Drive] = []
    offline: dict[Path, str] = {}
    for directory in directories:
        path = str(directory.absolute())
        try:
            drive = _open(
                directory,
                known.get(path),
                cluster_id=cluster_id,
                clock=clock,
                settings=settings,
                system=system,
            )
        except DriveUnavailable as error:
            if path not in known or directory == directories[0]:
                # The first directory cannot be missed: another node that has it would write the same catalogue.
                OpenDrives(tuple(drives), offline).close()
                raise StartRefused(
                    f"{directory} cannot be used: {error}",
                    next_step="give an empty directory, or one of this store that no other node uses",
                ) from error
            offline[directory] = str(error)
            _log.error("drive_offline", directory=path, cause=str(error))
            drives.append(OfflineDrive(known[path], str(error)))
            continue
        drives.append(drive)
        if known.get(path) != drive.drive_id:
            record = _KnownDrive(drive.drive_id, path)
            await control.put(_DRIVES + drive.drive_id, msgspec.json.encode(record))
    return OpenDrives(tuple(drives), offline)


def _open(
    directory: Path,
    known: DriveId | None,
    *,
    cluster_id: str,
    clock: Clock,
    settings: DriveSettings,
    system: System,
) -> PosixDrive:
    identity = read_identity(directory)
    if identity is None:
        if known is not None:
            raise DriveUnavailable(
                "directory lost its identity: is it mounted?", drive=str(directory)
            )
        _format(directory, cluster_id, clock.now())
    return PosixDrive.open(
        directory, cluster_id=cluster_id, clock=clock, settings=settings, system=system
    )


class DataRings:
    """All versions of the data ring: old extents name the one they were placed by."""

    def __init__(self, rings: dict[int, Ring]) -> None:
        self._rings = rings
        self.current = rings[max(rings)]

    @property
    def version(self) -> int:
        """Version that new blocks are placed by."""
        return self.current.version

    def homes(self, block_id: bytes, ring_version: int) -> Sequence[DriveId]:
        """Return the drives of a block in shard order."""
        ring = self._rings[ring_version]
        return ring.homes(ring.partition_for(block_id))


async def join_drives(
    directories: Sequence[Path],
    control: ControlStore,
    *,
    cluster_id: str,
    clock: Clock,
    settings: DriveSettings,
) -> OpenDrives:
    """Use the drives that another process of this node has opened; what it could not open is offline here, too."""
    known = await _known_drives(control)
    drives: list[Drive] = []
    offline: dict[Path, str] = {}
    for directory in directories:
        try:
            drive: Drive = PosixDrive.join(
                directory, cluster_id=cluster_id, clock=clock, settings=settings
            )
        except DriveUnavailable as error:
            offline[directory] = str(error)
            drive = OfflineDrive(known[str(directory.absolute())], str(error))
        drives.append(drive)
    return OpenDrives(tuple(drives), offline)


async def _known_drives(control: ControlStore) -> dict[str, DriveId]:
    """Return the drives that the store remembers, by path."""
    records = [
        msgspec.json.decode(item.value, type=_KnownDrive) for item in await control.list(_DRIVES)
    ]
    return {record.path: record.drive_id for record in records}


async def read_rings(control: ControlStore) -> DataRings:
    """Return the data rings that the control store holds; there must be one."""
    return DataRings(await _stored_rings(control))


async def _stored_rings(control: ControlStore) -> dict[int, Ring]:
    rings = [Ring.decode(item.value) for item in await control.list(_RINGS)]
    return {ring.version: ring for ring in rings}


async def open_rings(control: ControlStore, drives: Sequence[Drive]) -> tuple[DataRings, Scheme]:
    """Return the data rings, adding a version when drives were added since the last start.

    A drive that is not named any more stays in the rings: what it holds is read from the others.
    """
    rings = await _stored_rings(control)
    newest = rings[max(rings)] if rings else None
    members = _members(newest, drives)
    scheme = scheme_for(len(members))
    if newest is None or newest.members != members or newest.width != scheme.width:
        ring = _next_ring(newest, members, scheme)
        rings[ring.version] = ring
        await control.put(f"{_RINGS}{ring.version:08d}", ring.encode(), expected_revision=0)
        _log.info("ring_published", version=ring.version, drives=len(members), width=ring.width)
    return DataRings(rings), scheme


def _members(newest: Ring | None, drives: Sequence[Drive]) -> tuple[Member, ...]:
    """Keep known members, add new drives. Each directory of one machine counts as a node of its own."""
    members = {} if newest is None else {member.drive: member for member in newest.members}
    for drive in drives:
        if drive.drive_id not in members:
            node = NodeId(f"{_THIS_NODE}/{drive.drive_id}")
            members[drive.drive_id] = Member(drive.drive_id, node, _ONE_ZONE)
    return tuple(sorted(members.values(), key=lambda member: member.drive))


def _next_ring(newest: Ring | None, members: tuple[Member, ...], scheme: Scheme) -> Ring:
    try:
        return assign(
            members,
            newest,
            partitions_count=DATA_PARTITIONS,
            width=scheme.width,
            version=1 if newest is None else newest.version + 1,
        )
    except ObjstoreError as error:
        raise StartRefused(f"the directories form no ring: {error}") from error
