"""The integrity checker of one drive: reads and verifies every shard, and tells what it found as
data.

It works through the drive port, so that it checks drives of other nodes too, one shard at a time
and in the order of names, so that a scrub can go on where it stopped. It changes nothing. Shards
that are not there are not its subject: what should be there is known to the catalogue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import Enum

import msgspec

from objstore.model.errors import Corrupt, ShardMissing, UnknownFormat
from objstore.storage.drive import Drive
from objstore.storage.format import DIRECTORIES_COUNT, ShardHeader, directory_name, parse_name

__all__ = ["CheckedShard", "Finding", "FindingKind", "check_drive"]


class FindingKind(Enum):
    """What is wrong with a file."""

    DAMAGED = "damaged"
    """Its bytes do not match its checksums, its ids or its length."""
    NEWER = "newer"
    """A newer version wrote it; it is left alone."""
    FOREIGN = "foreign"
    """Its name is no shard's."""
    STRAYED = "strayed"
    """It lies in another directory than its name belongs to, where no read finds it."""


class Finding(msgspec.Struct, frozen=True):
    """Something wrong."""

    kind: FindingKind
    directory: int
    name: str
    reason: str = ""


class CheckedShard(msgspec.Struct, frozen=True):
    """A shard that is as it was written."""

    directory: int
    header: ShardHeader


async def check_drive(
    drive: Drive, *, first_directory: int = 0
) -> AsyncIterator[CheckedShard | Finding]:
    """Yield every file of a drive as a good shard or a finding.

    A shard that is deleted meanwhile is passed over. Raises `DriveUnavailable`.
    """
    for directory in range(first_directory, DIRECTORIES_COUNT):
        for name in await drive.list_names(directory):
            result = await _check_file(drive, directory, name)
            if result is not None:
                yield result


async def _check_file(drive: Drive, directory: int, name: str) -> CheckedShard | Finding | None:
    shard_id = parse_name(name)
    if shard_id is None:
        return Finding(FindingKind.FOREIGN, directory, name)
    if directory_name(shard_id) != f"{directory:02x}":
        return Finding(FindingKind.STRAYED, directory, name)
    try:
        return CheckedShard(directory, await drive.verify(shard_id))
    except ShardMissing:
        return None
    except UnknownFormat as error:
        return Finding(FindingKind.NEWER, directory, name, str(error))
    except Corrupt as error:
        return Finding(FindingKind.DAMAGED, directory, name, str(error))
