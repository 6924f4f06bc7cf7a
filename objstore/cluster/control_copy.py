"""One copy of a control store that is kept on several drives: a file and a thread.

The file has the format of `SqliteControlStore`. Nothing is decided here: changes come with their revision. A copy that
missed a change is out of service until it is given the whole state again. A drive that somebody else filled does not fail a
copy while there is room of its own to give up; when there is none left its failure is an `apsw.FullError`: the file stays open
and good, because a full drive has no room to open it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from objstore.cluster.control_reader import digest_of
from objstore.cluster.control_store import Change, Item
from objstore.cluster.kept_room import KeptRoom, open_with
from objstore.cluster.sqlite_control_store import open_control_writer
from objstore.cluster.sqlite_file import lacks_room
from objstore.model.errors import CorruptRecord, DriveUnavailable
from objstore.model.limits import MIB

__all__ = ["MEMBERS_KEY", "TERM_KEY", "ControlCopy", "ControlState"]

TERM_KEY: Final = "control/term"
"""Counts the starts. Of two copies the one with the later term is right, whatever their revisions are."""
MEMBERS_KEY: Final = "control/members"
"""Which copies count."""
HISTORY_COUNT: Final = 10_000
PRUNE_EVERY: Final = 1_000
PENDING_MAX: Final = 1_000
CHECKPOINT_BYTES: Final = MIB
TRUNCATE_BYTES: Final = 4 * MIB
KEPT_BYTES: Final = MIB


class ControlState(msgspec.Struct):
    """Everything that a control store holds."""

    items: dict[str, Item]
    changes: list[Change]
    """The last ones, in order."""

    @property
    def revision(self) -> int:
        """Revision of the last change."""
        return self.changes[-1].revision if self.changes else 0

    @property
    def rank(self) -> tuple[int, int]:
        """What copies are compared by: the highest is right."""
        term = self.items.get(TERM_KEY)
        return (0 if term is None else int(term.value), self.revision)

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the copies that count; none before there were several."""
        item = self.items.get(MEMBERS_KEY)
        return () if item is None else msgspec.json.decode(item.value, type=tuple[str, ...])

    def apply(self, change: Change) -> None:
        """Carry a change out."""
        if change.value is None:
            self.items.pop(change.key, None)
        else:
            self.items[change.key] = Item(change.key, change.value, change.revision)
        self.changes.append(change)
        if len(self.changes) > HISTORY_COUNT + PRUNE_EVERY:
            del self.changes[:PRUNE_EVERY]


class ControlCopy:
    """A file that follows. Its methods return when what they say is durable."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.failure: Exception | None = None
        self._path = path
        self._pending = 0
        self._kept_room = KeptRoom(path, KEPT_BYTES)
        self._connection = self._open()
        self._wal_pages = 0
        self._connection.set_wal_hook(self._on_wal)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="control-copy")

    @property
    def is_full(self) -> bool:
        """Tell whether it is out of service because its drive has no room: its file is as good as before."""
        return isinstance(self.failure, apsw.FullError)

    def load(self) -> ControlState:
        """Return what the file holds; raises `CorruptRecord`."""
        items: dict[str, Item] = {}
        rows: Sequence[Any] = self._connection.execute(
            "SELECT key, value, revision, digest FROM items"
        ).fetchall()
        for key, value, revision, digest in rows:
            _verify(key, value, digest)
            items[key] = Item(key, value, revision)
        history: Sequence[Any] = self._connection.execute(
            "SELECT revision, key, value, digest FROM "
            "(SELECT * FROM changes ORDER BY revision DESC LIMIT ?) ORDER BY revision",
            (HISTORY_COUNT,),
        ).fetchall()
        changes = []
        for revision, key, value, digest in history:
            _verify(key, value, digest)
            changes.append(Change(key, value, revision))
        return ControlState(items, changes)

    async def append(self, change: Change) -> None:
        """Write one more change; raises `DriveUnavailable`, and then for ever."""
        if self._pending >= PENDING_MAX and self.failure is None:
            self.failure = DriveUnavailable("a copy of the control store hangs", drive=self.name)
        await self._run(lambda: self._append(change))

    async def replace(self, items: Mapping[str, Item], changes: Sequence[Change]) -> None:
        """Write the whole state, whatever the file holds; makes a copy that failed good again."""
        items, changes = dict(items), list(changes)
        self.failure = None
        await self._run(lambda: self._replace(items, changes))

    def close(self) -> None:
        """Give the file up; a thread that hangs is left behind, and closes it when it goes on."""
        if self.failure is None and self._pending == 0:
            self._connection.close()
            self._kept_room.close()
        else:
            self._thread.submit(self._give_up_file)
        self._thread.shutdown(wait=False)

    def _give_up_file(self) -> None:
        """Close as it is, without a checkpoint: after a failure nothing is written to the file."""
        with contextlib.suppress(apsw.Error):
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self._connection.close()
        self._kept_room.close()

    def _open(self) -> apsw.Connection:
        try:
            return open_with(self._kept_room, lambda: open_control_writer(self._path))
        except BaseException:
            self._kept_room.close()
            raise

    async def _run(self, write: Callable[[], None]) -> None:
        self._pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._transact, write)
        future.add_done_callback(self._settled)
        await asyncio.shield(future)

    def _settled(self, future: asyncio.Future[None]) -> None:
        self._pending -= 1
        if not future.cancelled():
            future.exception()

    def _transact(self, write: Callable[[], None]) -> None:
        if self.failure is not None:
            raise DriveUnavailable("a copy of the control store is out of service", drive=self.name)
        try:
            self._write_where_room_is(write)
            self._tend()
        except Exception as error:
            self.failure = apsw.FullError(str(error)) if lacks_room(error) else error
            raise DriveUnavailable(
                "a copy of the control store failed", drive=self.name, reason=str(error)
            ) from error

    def _write_where_room_is(self, write: Callable[[], None]) -> None:
        """Write, if need be with the room that was kept, and with what the WAL takes up for nothing."""
        try:
            self._commit(write)
        except apsw.Error as error:
            if not lacks_room(error) or not (self._kept_room.give_up() or self._wal_pages):
                raise
            self._checkpoint()
            self._commit(write)

    def _commit(self, write: Callable[[], None]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            write()
            self._connection.execute("COMMIT")
        except Exception:
            # Its lock must not stay where the file lives on.
            with contextlib.suppress(apsw.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _tend(self) -> None:
        if self._wal_pages * 4096 > CHECKPOINT_BYTES:
            self._checkpoint()
        self._kept_room.take_if_due()

    def _checkpoint(self) -> None:
        """Bring the WAL in, and keep its blocks if they are few; a reader in the way and a full drive are no errors."""
        is_large = self._wal_pages * 4096 > TRUNCATE_BYTES
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if is_large else apsw.SQLITE_CHECKPOINT_RESTART
        with contextlib.suppress(apsw.BusyError, apsw.FullError):
            self._connection.wal_checkpoint(mode=mode)
            self._wal_pages = 0

    def _append(self, change: Change) -> None:
        self._write(change)
        if change.revision % PRUNE_EVERY == 0:
            self._connection.execute(
                "DELETE FROM changes WHERE revision<=?", (change.revision - HISTORY_COUNT,)
            )

    def _write(self, change: Change) -> None:
        digest = digest_of(change.key, change.value)
        self._connection.execute(
            "INSERT INTO changes VALUES (?,?,?,?)",
            (change.revision, change.key, change.value, digest),
        )
        if change.value is None:
            self._connection.execute("DELETE FROM items WHERE key=?", (change.key,))
        else:
            self._put(Item(change.key, change.value, change.revision))

    def _put(self, item: Item) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO items VALUES (?,?,?,?)",
            (item.key, item.value, item.revision, digest_of(item.key, item.value)),
        )

    def _replace(self, items: Mapping[str, Item], changes: Sequence[Change]) -> None:
        self._connection.execute("DELETE FROM items")
        self._connection.execute("DELETE FROM changes")
        for item in items.values():
            self._put(item)
        self._connection.executemany(
            "INSERT INTO changes VALUES (?,?,?,?)",
            [(c.revision, c.key, c.value, digest_of(c.key, c.value)) for c in changes],
        )

    def _on_wal(self, _connection: apsw.Connection, _database: str, pages_count: int) -> int:
        self._wal_pages = pages_count
        return apsw.SQLITE_OK


def _verify(key: str, value: bytes | None, digest: bytes) -> None:
    if digest_of(key, value) != digest:
        raise CorruptRecord("an item of the control store does not match its checksum", key=key)
