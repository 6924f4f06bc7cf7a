"""What the owner and its workers say to each other: names of requests and their bodies.

Both are the same build, started together: nothing here has to be understood by another version.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from objstore.model.names import DriveId
from objstore.model.objects import Extent
from objstore.server.keys import RootKeys
from objstore.server.settings import Secret, Settings

__all__ = [
    "ASSIGNMENT",
    "COUNTS",
    "DAMAGE",
    "DRAIN",
    "DRIVE_FAILED",
    "PAGE",
    "RELOAD",
    "SERVING",
    "SITES",
    "AskedPage",
    "Assignment",
    "Damage",
    "FailedDrive",
    "ShownPage",
    "decode_assignment",
    "encode_assignment",
]

ASSIGNMENT: Final = "worker.assignment"
"""Worker to owner: what shall I do? -> `Assignment`."""
SERVING: Final = "worker.serving"
"""Worker to owner: I listen."""
DAMAGE: Final = "worker.damage"
"""Worker to owner: a shard is damaged (`Damage`)."""
SITES: Final = "worker.sites"
"""Worker to owner: which drives are in service? Owner to worker: these are, from now on -> whether all could be opened.
See `objstore.server.site_news`."""
DRIVE_FAILED: Final = "worker.drive-failed"
"""Worker to owner: a drive failed here (`FailedDrive`)."""
PAGE: Final = "worker.page"
"""Worker to owner: one of the node's own pages (`AskedPage` -> `ShownPage`)."""
DRAIN: Final = "owner.drain"
"""Owner to worker: finish within so many seconds and end -> number of requests cut."""
RELOAD: Final = "owner.reload"
"""Owner to worker: read the certificate again."""
COUNTS: Final = "owner.counts"
"""Owner to worker -> `ProcessCounts`."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Everything that a worker must know; its keys make it secret."""

    settings: Settings
    root_keys: RootKeys
    host_id: bytes


class Damage(msgspec.Struct, frozen=True, array_like=True):
    """A damaged shard; the error as its parts (`ObjstoreError.to_parts`)."""

    extent: Extent
    block: int
    shard: int
    error: tuple[str, str, dict[str, str | int]]


class FailedDrive(msgspec.Struct, frozen=True, array_like=True):
    """A drive that failed under a worker."""

    drive_id: DriveId
    cause: str


class AskedPage(msgspec.Struct, frozen=True, array_like=True):
    """A request for a page below `/_/`."""

    method: str
    path: str


class ShownPage(msgspec.Struct, frozen=True, array_like=True):
    """The answer to show."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def encode_assignment(assignment: Assignment) -> bytes:
    """Return the bytes of an assignment."""
    return msgspec.msgpack.encode(assignment, enc_hook=_plain)


def decode_assignment(data: bytes) -> Assignment:
    """Return the assignment that was encoded."""
    return msgspec.msgpack.decode(data, type=Assignment, dec_hook=_rich)


def _plain(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _rich(kind: type, value: Any) -> Any:
    return kind(value)
