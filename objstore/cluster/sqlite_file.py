"""Opening SQLite files the one safe way. Every SQLite file of the store is opened here and nowhere else.

Rules (facts about SQLite, each of which has cost somebody data)
    * Only the library bundled with APSW: two SQLite libraries in one process drop each other's POSIX locks.
    * Versions before 3.51.3, except 3.44.6 and 3.50.7, can lose commits when a checkpoint meets a WAL reset; they are
      refused.
    * One connection per file writes and checkpoints; all others are `query_only` and never checkpoint.
    * WAL with `synchronous=FULL`: a commit is visible to others, and answered, only after its fsync.
    * No mmap: an I/O error would become a signal, and stray writes could reach the file.
    * `busy_timeout` is 0 on the writer: somebody else writing the file is a bug that must not be waited for.
    * The index of a WAL is shared memory, and its blocks are there before it is used: SQLite writes one byte in 4 KiB of it, so
      that on a filesystem of smaller blocks, once that is full, the next page written would end the process (SIGBUS).
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from objstore.model.errors import InvariantError, UnknownFormat

__all__ = ["check_library", "lacks_room", "open_reader", "open_writer"]

_FIXED_IN: Final = (3, 51, 3)
_BACK_PORTS: Final = ((3, 44, 6), (3, 50, 7))
PAGE_BYTES: Final = 4096
INDEX_BYTES: Final = 64 * 1024
"""Of a WAL of 32 MiB: further than it grows while no reader is in the way."""
READER_BUSY_MS: Final = 2_000
"""Readers wait this long only while the WAL is being recovered or set up."""


def check_library(version: str | None = None) -> None:
    """Raise `InvariantError` unless the linked SQLite is free of the WAL-reset bug."""
    text = apsw.sqlite_lib_version() if version is None else version
    numbers = tuple(int(number) for number in text.split(".")[:3])
    is_back_port = any(numbers[:2] == fixed[:2] and numbers >= fixed for fixed in _BACK_PORTS)
    if numbers < _FIXED_IN and not is_back_port:
        raise InvariantError("this SQLite can lose commits; install a newer apsw", version=text)


def open_writer(
    path: Path, *, application_id: int, cache_kib: int, vfs: str | None = None
) -> apsw.Connection:
    """Open, or create, the file for its one writer; raise `UnknownFormat` for somebody else's file.

    Raises `apsw.FullError` where the drive has no room for the index of the WAL.
    """
    check_library()
    _check_room(path)
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    is_new = not path.exists()
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    _keep_plans(connection)
    _set(
        connection,
        page_size=PAGE_BYTES,
        mmap_size=0,
        cache_size=-cache_kib,
        temp_store="MEMORY",
        busy_timeout=0,
    )
    found = connection.pragma("application_id")
    if found not in {0, application_id}:
        connection.close()
        raise UnknownFormat("the file belongs to another application", file=str(path))
    _set(
        connection,
        journal_mode="WAL",
        synchronous="FULL",
        wal_autocheckpoint=0,
        foreign_keys="OFF",
        trusted_schema="OFF",
    )
    if found == 0:
        connection.execute(f"PRAGMA application_id={application_id}")
    try:
        _allocate_index(path)
    except apsw.FullError:
        connection.close()
        raise
    if is_new:
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        _sync_directory(path.parent)
    return connection


def open_reader(path: Path, *, cache_kib: int) -> apsw.Connection:
    """Open the file for reading beside its writer, from any process of this machine.

    The file is opened for writing all the same: a reader takes its place in the WAL's index, which is shared memory.
    """
    check_library()
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    _keep_plans(connection)
    _set(
        connection,
        busy_timeout=READER_BUSY_MS,
        query_only="ON",
        wal_autocheckpoint=0,
        mmap_size=0,
        cache_size=-cache_kib,
        temp_store="MEMORY",
    )
    # A reader may be the last to leave the file, when the owner's process was killed.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return connection


def lacks_room(error: BaseException) -> bool:
    """Tell whether an operation failed because its drive is full: nothing of it happened, and it may be tried again."""
    is_of_index = getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    return isinstance(error, apsw.FullError) or is_of_index


def _check_room(path: Path) -> None:
    """Raise `apsw.FullError` where the index would find no room; what is left of an old one makes some."""
    try:
        status = os.statvfs(path.parent)
        room_bytes = status.f_bavail * status.f_frsize
        with suppress(FileNotFoundError):
            room_bytes += Path(f"{path}-shm").stat().st_blocks * 512
    except OSError:
        return  # that will show when it is opened
    if room_bytes < INDEX_BYTES:
        raise apsw.FullError("no room to open a database")


def _allocate_index(path: Path) -> None:
    """Give the index of the WAL its blocks, through the descriptor of SQLite: closing one of our own would drop all locks."""
    index = os.path.realpath(f"{path}-shm")
    for descriptor in _descriptors():
        with suppress(OSError):
            if str(Path(f"/proc/self/fd/{descriptor}").readlink()) == index:
                _allocate(descriptor)
                return


def _descriptors() -> list[int]:
    try:
        return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    except OSError:
        return []  # nowhere but on Linux; there SQLite's own byte in 4 KiB has to do


def _allocate(descriptor: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, INDEX_BYTES)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise apsw.FullError("no room for the index of a WAL") from error


def _keep_plans(connection: apsw.Connection) -> None:
    """Plan a statement once, whatever is bound to it later.

    Otherwise SQLite plans joins anew for each value, in case statistics made another plan better: there are none, and it
    costs four times the look-up itself.
    """
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def _set(connection: apsw.Connection, **settings: int | str) -> None:
    """Set pragmas one by one: several in one string would stop at the first that returns a row."""
    for name, value in settings.items():
        connection.execute(f"PRAGMA {name}={value}").fetchall()


def _sync_directory(directory: Path) -> None:
    """Make the name of a new file durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
