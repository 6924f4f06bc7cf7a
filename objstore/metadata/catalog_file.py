"""The file `catalog.sqlite`: creating, migrating, and opening it for its writer or for readers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import apsw

from objstore.cluster.sqlite_file import open_reader, open_writer
from objstore.model.errors import UnknownFormat

__all__ = [
    "CATALOG_FILE_NAME",
    "FORMAT_VERSION",
    "FileIdentity",
    "identity_of",
    "open_catalog_reader",
    "open_catalog_writer",
]

FileIdentity = tuple[tuple[int, int], ...]
"""Device and inode of a database, its WAL and its index."""

CATALOG_FILE_NAME: Final = "catalog.sqlite"
APPLICATION_ID: Final = 0x6F626A63
"""`objc`, shown by file(1) and checked at every start."""
FORMAT_VERSION: Final = 1
"""Kept in `user_version`; a file of a newer format is refused."""
WRITER_CACHE_KIB: Final = 32 * 1024
READER_CACHE_KIB: Final = 32 * 1024


def open_catalog_writer(path: Path, *, vfs: str | None = None) -> apsw.Connection:
    """Open the catalogue for its one writer, created or migrated if need be; raise `UnknownFormat`."""
    connection = open_writer(
        path, application_id=APPLICATION_ID, cache_kib=WRITER_CACHE_KIB, vfs=vfs
    )
    found = connection.pragma("user_version")
    if found != FORMAT_VERSION:
        _bring_up(connection, found)
    return connection


def open_catalog_reader(path: Path) -> apsw.Connection:
    """Open the catalogue for reading, from any process of this machine; the file must be there."""
    connection = open_reader(path, cache_kib=READER_CACHE_KIB)
    found = connection.pragma("user_version")
    if found != FORMAT_VERSION:
        connection.close()
        raise UnknownFormat("the catalogue has another format", version=int(found))
    return connection


def identity_of(path: Path) -> FileIdentity:
    """Return which files the name of an open catalogue leads to; raise `OSError` where one of them is missing.

    In a directory that was wiped a name may lead to other files than those that are open, or to some of them: a database
    without its WAL looks like an older state.
    """
    names = (f"{path}{suffix}" for suffix in ("", "-wal", "-shm"))
    return tuple((status.st_dev, status.st_ino) for status in map(os.stat, names))


def _bring_up(connection: apsw.Connection, found: int) -> None:
    if found > FORMAT_VERSION:
        connection.close()
        raise UnknownFormat("the catalogue was written by a newer version", version=found)
    # Not at the top: SQLAlchemy takes half a second to import, and only a new or old file needs it.
    from objstore.metadata.schema import ddl, migrations  # noqa: PLC0415 - see above

    statements = migrations(found, FORMAT_VERSION) if found else ddl()
    connection.execute("BEGIN IMMEDIATE")
    for statement in statements:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
    connection.execute("COMMIT")
