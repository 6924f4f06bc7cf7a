"""The directory of a drive: what is where, who it belongs to, and how it is formatted.

    objstore-drive.json    identity; written last, so that its presence says that the rest is there
    shards/00 .. ff/       shard files under their names
    tmp/                   unnamed work of filesystems without O_TMPFILE; emptied at start
    trash/                 deleted shards, their modification time is the time of the delete
    quarantine/            damaged shards that were replaced, catalogues set aside; kept for an operator

A directory is formatted only when it is empty or holds nothing but an interrupted formatting: a
mount that is missing shows as an empty directory of another filesystem, and whether an empty
directory may be formatted is for the caller to know (`read_identity` returns None for it). A
directory with foreign content is never formatted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import xxhash

from objstore.model.errors import DriveUnavailable
from objstore.model.instant import Instant
from objstore.model.names import DriveId
from objstore.storage.drive import DriveIdentity
from objstore.storage.format import DIRECTORIES_COUNT
from objstore.storage.publish import create_directory, create_file, replace_file, sync_directory
from objstore.storage.system import SYSTEM, System

__all__ = [
    "IDENTITY_NAME",
    "QUARANTINE_NAME",
    "SHARDS_NAME",
    "TMP_NAME",
    "TRASH_NAME",
    "format_drive",
    "read_identity",
    "renew_identity",
    "set_aside",
]

IDENTITY_NAME: Final = "objstore-drive.json"
SHARDS_NAME: Final = "shards"
TMP_NAME: Final = "tmp"
TRASH_NAME: Final = "trash"
QUARANTINE_NAME: Final = "quarantine"

_FORMAT_VERSION: Final = 1
_OWN_DIRECTORIES: Final = (SHARDS_NAME, TMP_NAME, TRASH_NAME, QUARANTINE_NAME)
_IGNORED_NAMES: Final = ("lost+found", f".{IDENTITY_NAME}.tmp")


class _IdentityFile(msgspec.Struct, frozen=True):
    format_version: int
    cluster_id: str
    drive_id: str
    created: int
    checksum: str
    """xxh3-64, in hex, of the four values before, each on a line."""


def read_identity(directory: Path) -> DriveIdentity | None:
    """Return whose drive a directory is, or None when it is empty, absent or half formatted.

    Raises `DriveUnavailable` when it holds anything else, or an identity that is damaged or of a
    newer version.
    """
    try:
        data = (directory / IDENTITY_NAME).read_bytes()
    except FileNotFoundError:
        _check_blank(directory)
        return None
    except OSError as error:
        raise _unavailable("identity of a drive cannot be read", directory, error) from error
    return _decode_identity(data, directory)


def format_drive(directory: Path, identity: DriveIdentity, system: System = SYSTEM) -> None:
    """Make a blank directory a drive, durably; creates it where it is absent.

    Raises `DriveUnavailable` when the directory is not blank or cannot be written.
    """
    directory = directory.absolute()
    try:
        for path in (*reversed(directory.parents), directory):
            create_directory(path, system)
        _check_blank(directory)
        for name in _OWN_DIRECTORIES:
            create_directory(directory / name, system)
        _create_fan_out(directory / SHARDS_NAME, system)
        create_file(directory / IDENTITY_NAME, _encode_identity(identity), system)
    except OSError as error:
        raise _unavailable("drive cannot be formatted", directory, error) from error


def set_aside(directory: Path, names: Iterable[str], *, mark: str, system: System = SYSTEM) -> None:
    """Move files of a drive into its quarantine in this order, durably; what is not there is left out.

    `mark` tells them from what was set aside before. Raises `DriveUnavailable`.
    """
    quarantine = directory / QUARANTINE_NAME
    try:
        create_directory(quarantine, system)
        for name in names:
            if (directory / name).exists():
                system.rename(directory / name, quarantine / f"{mark}-{name}")
        sync_directory(quarantine, system)
        sync_directory(directory, system)
    except OSError as error:
        raise _unavailable("files cannot be set aside", directory, error) from error


def renew_identity(directory: Path, identity: DriveIdentity, system: System = SYSTEM) -> None:
    """Make a formatted drive another one that holds the same shards, durably. Raises `DriveUnavailable`."""
    try:
        replace_file(directory / IDENTITY_NAME, _encode_identity(identity), system)
    except OSError as error:
        raise _unavailable("drive cannot be renewed", directory, error) from error


def _create_fan_out(shards: Path, system: System) -> None:
    for number in range(DIRECTORIES_COUNT):
        path = shards / f"{number:02x}"
        if not path.is_dir():
            system.make_directory(path)
    sync_directory(shards, system)


def _check_blank(directory: Path) -> None:
    try:
        foreign = sorted(_foreign_names(directory))
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unavailable("drive directory cannot be read", directory, error) from error
    if foreign:
        raise DriveUnavailable(
            "directory has content but no identity of a drive; it is not formatted",
            drive=str(directory),
            found=", ".join(foreign[:3]),
        )


def _foreign_names(directory: Path) -> Iterable[str]:
    """Everything that an interrupted formatting cannot have left."""
    for entry in directory.iterdir():
        if entry.name in _IGNORED_NAMES:
            continue
        if entry.name not in _OWN_DIRECTORIES or not entry.is_dir():
            yield entry.name
            continue
        yield from (f"{entry.name}/{path.name}" for path in entry.rglob("*") if not path.is_dir())


def _encode_identity(identity: DriveIdentity) -> bytes:
    record = _IdentityFile(
        _FORMAT_VERSION,
        identity.cluster_id,
        identity.drive_id,
        identity.created,
        _checksum(_FORMAT_VERSION, identity),
    )
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _decode_identity(data: bytes, directory: Path) -> DriveIdentity:
    try:
        record = msgspec.json.decode(data, type=_IdentityFile)
    except msgspec.DecodeError as error:
        raise _unavailable("identity of a drive is damaged", directory, error) from error
    if record.format_version != _FORMAT_VERSION:
        raise DriveUnavailable(
            "drive was formatted by another version",
            drive=str(directory),
            version=record.format_version,
        )
    identity = DriveIdentity(record.cluster_id, DriveId(record.drive_id), Instant(record.created))
    if _checksum(record.format_version, identity) != record.checksum:
        raise DriveUnavailable("identity of a drive is damaged", drive=str(directory))
    return identity


def _checksum(version: int, identity: DriveIdentity) -> str:
    lines = f"{version}\n{identity.cluster_id}\n{identity.drive_id}\n{identity.created}\n"
    return xxhash.xxh3_64_hexdigest(lines.encode())


def _unavailable(text: str, directory: Path, error: Exception) -> DriveUnavailable:
    return DriveUnavailable(text, drive=str(directory), reason=str(error))
