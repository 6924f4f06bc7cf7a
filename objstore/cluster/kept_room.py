"""Room on a drive that is ours already: a file beside a database, given up when somebody else has filled the drive.

A WAL that holds pages for which the database file has no blocks can neither grow nor be brought in: on a drive without any
room not even a delete could be written. With a few MiB given up the WAL is brought in, and its blocks, which nobody else can
take, are written again and again.

Used by one thread, that of the database's writer. The file is opened once, with the database: in a directory that was wiped
meanwhile nothing is made anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

import apsw

from objstore.model.limits import MIB

__all__ = ["KEPT_BYTES", "KeptRoom", "open_with"]

T = TypeVar("T")

KEPT_BYTES: Final = 8 * MIB

ENDING: Final = "-room"
"""Of the file's name, behind that of the database."""
SMALL_DRIVE_SHARE: Final = 32
"""A small drive gives no more than this part of itself."""
RETAKE_EVERY_S: Final = 5.0


class KeptRoom:
    """The file. Nothing here raises: a drive that fails shows in the database."""

    def __init__(self, database: Path, size_bytes: int) -> None:
        """Open the file and take room; none at all where that is to be nothing."""
        self._file = -1
        self._size_bytes = size_bytes
        self._taken_at = -RETAKE_EVERY_S
        self.is_kept = False
        if not size_bytes:
            return
        try:
            path = f"{database}{ENDING}"
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            status = os.fstatvfs(self._file)
            drive_bytes = status.f_blocks * status.f_frsize
            self._size_bytes = min(size_bytes, drive_bytes // SMALL_DRIVE_SHARE)
            self.is_kept = os.fstat(self._file).st_blocks * 512 >= self._size_bytes
        except OSError:
            return
        self.take_if_due()

    @property
    def wait_s(self) -> float | None:
        """Seconds until it is worth trying to take room again; None if it is kept, or cannot be."""
        if self.is_kept or self._file < 0:
            return None
        return max(0.0, self._taken_at + RETAKE_EVERY_S - monotonic())

    def take_if_due(self) -> None:
        """Take the room again where there is plenty, once in a while."""
        if self.wait_s != 0.0:
            return
        self._taken_at = monotonic()
        try:
            status = os.fstatvfs(self._file)
            if status.f_bavail * status.f_frsize >= 2 * self._size_bytes:
                os.posix_fallocate(self._file, 0, self._size_bytes)
                self.is_kept = True
        except OSError:
            self._let_go()

    def give_up(self) -> bool:
        """Give the room back to the filesystem, durably: only then can it be used. Tell whether there was any."""
        was_kept, self.is_kept = self.is_kept, False
        if was_kept:
            self._taken_at = monotonic()
            self._let_go()
        return was_kept

    def close(self) -> None:
        """Leave the file as it is."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _let_go(self) -> None:
        try:
            os.ftruncate(self._file, 0)
            os.fsync(self._file)
        except OSError:
            return


def open_with(room: KeptRoom, open_database: Callable[[], T]) -> T:
    """Open a database, with the room that was kept for it if there is no other."""
    try:
        return open_database()
    except apsw.FullError:
        if not room.give_up():
            raise
        return open_database()
