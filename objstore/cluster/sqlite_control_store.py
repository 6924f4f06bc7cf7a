"""The control store of one machine: a SQLite file. See `objstore.cluster.control_store` for the port.

Promises
    * A change is answered after its fsync; an error of the drive takes the store out of service for good (`on_fatal`),
      because its outcome is unknown until a restart.
    * A watch sees every change of its prefix, in order, from any of the last `HISTORY_COUNT` revisions on; from an older
      one it raises `HistoryForgotten`, and the caller reads the items again. It is woken by this process's changes: one
      process owns the file.
    * Items carry a checksum that every read verifies.

All writes run on one thread of its own, in order; reads are a few microseconds and run where they are called.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import apsw

from objstore.cluster.control_reader import CACHE_KIB, ControlReader, digest_of
from objstore.cluster.control_store import Change, Item, check_value
from objstore.cluster.sqlite_file import open_writer
from objstore.model.errors import (
    DriveUnavailable,
    StorageFull,
    UnknownFormat,
)
from objstore.model.limits import MIB

__all__ = ["CONTROL_FILE_NAME", "SqliteControlStore", "open_control_writer"]

T = TypeVar("T")

CONTROL_FILE_NAME: Final = "control.sqlite"
APPLICATION_ID: Final = 0x6F626A74
FORMAT_VERSION: Final = 1
HISTORY_COUNT: Final = 100_000
"""Changes that a watch can still be given."""
PRUNE_EVERY: Final = 1_000
CHECKPOINT_BYTES: Final = MIB

_SCHEMA: Final = """
CREATE TABLE items (
    key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, digest BLOB NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE changes (
    revision INTEGER NOT NULL PRIMARY KEY, key TEXT NOT NULL, value BLOB, digest BLOB NOT NULL
) STRICT;
"""


class SqliteControlStore:
    """`ControlStore` on a file; an async context manager that owns it."""

    @classmethod
    def open(
        cls, path: Path, *, on_fatal: Callable[[Exception], None] | None = None
    ) -> SqliteControlStore:
        """Open, or create, the file; enter the result to own it."""
        return cls(path, on_fatal=on_fatal or _ignore)

    def __init__(self, path: Path, *, on_fatal: Callable[[Exception], None]) -> None:
        self._path = path
        self._on_fatal = on_fatal
        self._failure: Exception | None = None
        self._writer = open_control_writer(path)
        self._wal_bytes = 0
        self._page_bytes: int = self._writer.pragma("page_size")
        self._writer.set_wal_hook(self._on_wal)
        self._reader = ControlReader(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="control-writer")
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish the changes under way and close the file."""
        await asyncio.to_thread(self._thread.shutdown)
        self._reader.close()
        if self._failure is None:
            self._checkpoint()
            self._writer.close()

    # --- port

    async def revision(self) -> int:
        """See `ControlStore`."""
        self._check_service()
        return self._reader.revision()

    async def get(self, key: str) -> Item | None:
        """See `ControlStore`."""
        self._check_service()
        return self._reader.get(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Sequence[Item]:
        """See `ControlStore`."""
        self._check_service()
        return self._reader.list(prefix, after=after, limit=limit)

    async def put(
        self, key: str, value: bytes, *, expected_revision: int | None = None
    ) -> int | None:
        """See `ControlStore`."""
        check_value(value)
        return await self._write(lambda: self._put(key, value, expected_revision))

    async def delete(self, key: str, *, expected_revision: int | None = None) -> bool:
        """See `ControlStore`."""
        return await self._write(lambda: self._delete(key, expected_revision))

    async def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Change]:
        """See `ControlStore`; raise `HistoryForgotten` where changes after the revision are gone."""
        revision = after_revision
        while True:
            self._check_service()
            # Taken before the look: a change between look and wait sets this very event.
            changed = self._changed
            for change in self._reader.changes(prefix, after_revision=revision):
                revision = change.revision
                yield change
            if changed is self._changed:
                await changed.wait()

    def _check_service(self) -> None:
        if self._failure is not None:
            raise DriveUnavailable(
                "the control store is out of service", drive=str(self._path.parent)
            )

    # --- writing, on the thread

    async def _write(self, change: Callable[[], T]) -> T:
        self._check_service()
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._transact, change)
        # Not after the await: a caller that is cancelled must not keep watches from waking.
        future.add_done_callback(self._wake)
        return await asyncio.shield(future)

    def _wake(self, future: asyncio.Future[T]) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if not future.cancelled() and future.exception() is not None and self._failure is not None:
            on_fatal, self._on_fatal = self._on_fatal, _ignore
            on_fatal(self._failure)

    def _transact(self, change: Callable[[], T]) -> T:
        self._check_service()
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            result = change()
            self._writer.execute("COMMIT")
        except apsw.FullError as error:
            self._roll_back()
            raise StorageFull("the control store's drive is full") from error
        except Exception as error:
            self._failure = error
            raise DriveUnavailable(
                "the outcome is unknown", drive=str(self._path.parent)
            ) from error
        if self._wal_bytes > CHECKPOINT_BYTES:
            self._checkpoint()
        return result

    def _put(self, key: str, value: bytes, expected_revision: int | None) -> int | None:
        if not self._is_expected(key, expected_revision):
            return None
        revision = self._record_change(key, value)
        self._writer.execute(
            "INSERT OR REPLACE INTO items VALUES (?,?,?,?)",
            (key, value, revision, digest_of(key, value)),
        )
        return revision

    def _delete(self, key: str, expected_revision: int | None) -> bool:
        if self._revision_of(key) == 0 or not self._is_expected(key, expected_revision):
            return False
        self._record_change(key, None)
        self._writer.execute("DELETE FROM items WHERE key=?", (key,))
        return True

    def _is_expected(self, key: str, expected_revision: int | None) -> bool:
        return expected_revision is None or self._revision_of(key) == expected_revision

    def _revision_of(self, key: str) -> int:
        revision: int | None = self._writer.execute(
            "SELECT revision FROM items WHERE key=?", (key,)
        ).get
        return revision or 0

    def _record_change(self, key: str, value: bytes | None) -> int:
        """Add to the history, of which the newest row always stays: it holds the store's revision."""
        last: int = self._writer.execute("SELECT coalesce(max(revision), 0) FROM changes").get
        revision = last + 1
        self._writer.execute(
            "INSERT INTO changes VALUES (?,?,?,?)", (revision, key, value, digest_of(key, value))
        )
        if revision % PRUNE_EVERY == 0:
            self._writer.execute(
                "DELETE FROM changes WHERE revision<=?", (revision - HISTORY_COUNT,)
            )
        return revision

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _checkpoint(self) -> None:
        try:
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.FullError):
            return
        self._wal_bytes = 0

    def _on_wal(self, _connection: apsw.Connection, _database: str, pages_count: int) -> int:
        self._wal_bytes = pages_count * self._page_bytes
        return apsw.SQLITE_OK


def open_control_writer(path: Path) -> apsw.Connection:
    """Open, or create, a control store's file for its one writer; raise `UnknownFormat` for another format."""
    connection = open_writer(path, application_id=APPLICATION_ID, cache_kib=CACHE_KIB)
    _bring_up(connection)
    return connection


def _bring_up(connection: apsw.Connection) -> None:
    found = connection.pragma("user_version")
    if found == FORMAT_VERSION:
        return
    if found:
        raise UnknownFormat("the control store was written by another version", version=found)
    script = f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={FORMAT_VERSION}; COMMIT"
    connection.execute(script).fetchall()


def _ignore(_failure: Exception) -> None:
    """Stand in for `on_fatal` after its one call."""
