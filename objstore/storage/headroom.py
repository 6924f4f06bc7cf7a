"""How much of a drive stays free for what must always work: deletes, the catalogue, repairs.

A store that fills a filesystem to the last byte can no longer record a delete. So new shards are
refused while there is still room: 2 % of the bytes or 1 GiB, whichever is more, yet never more than
a tenth of a small filesystem; and 1 % of the files, because many small objects use those up first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from objstore.model.limits import GIB
from objstore.storage.drive import DriveUsage

__all__ = ["default_reserve_bytes", "usage_of"]

_RESERVE_BYTES_MIN: Final = 1 * GIB
_FILES_PER_RESERVED_FILE: Final = 100


def default_reserve_bytes(total_bytes: int) -> int:
    """Return the bytes kept free on a filesystem of that size."""
    return min(max(total_bytes // 50, _RESERVE_BYTES_MIN), total_bytes // 10)


def usage_of(directory: Path, reserve_bytes: int | None) -> DriveUsage:
    """Return the room on the filesystem of a directory; raises `OSError`."""
    status = os.statvfs(directory)
    total_bytes = status.f_blocks * status.f_frsize
    return DriveUsage(
        total_bytes=total_bytes,
        free_bytes=status.f_bavail * status.f_frsize,
        reserve_bytes=default_reserve_bytes(total_bytes)
        if reserve_bytes is None
        else reserve_bytes,
        total_files=status.f_files,
        free_files=status.f_favail,
        reserve_files=status.f_files // _FILES_PER_RESERVED_FILE,
    )
