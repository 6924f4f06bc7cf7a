"""Rows of `objects` and `inline` that the open transaction changes: read ahead and written behind, many in a statement.

The writer gives the interpreter lock back around every step of SQLite and has to win it again from a busy event loop. A
statement for each row makes that the largest part of a small write's cost; one for sixty-four rows makes it vanish.

Promises
    * Whoever reads through the buffer sees what was changed through it.
    * `write` leaves in the file exactly what statements at once would have left. Until then the file has the rows of
      before: whatever reads these two tables by another way has to call `write` first.
    * It is empty after `write` and after `forget`, so that a transaction that is rolled back leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import apsw
import xxhash

from objstore.metadata import statements as sql
from objstore.metadata.records import VersionRow

__all__ = ["RowBuffer"]

_Place = tuple[int, bytes]
"""Number of the shard, key."""
_UNREAD: Final = object()
_T = TypeVar("_T")


class RowBuffer:
    """The changed rows of one partition in one transaction."""

    __slots__ = ("_added", "_changed", "_execute", "_known", "_removed")

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.execute
        self._known: dict[_Place, VersionRow | None] = {}
        self._changed: dict[_Place, VersionRow | None] = {}
        self._added: dict[int, bytes] = {}
        self._removed: list[int] = []

    def forget(self) -> None:
        """Drop everything; what was not written is lost."""
        self._known.clear()
        self._changed.clear()
        self._added.clear()
        self._removed.clear()

    # --- `objects`

    def read_ahead(self, shard: int, keys: Iterable[bytes]) -> None:
        """Read the rows of many keys that will be asked for, with few statements."""
        known = self._known
        wanted = [key for key in dict.fromkeys(keys) if (shard, key) not in known]
        for chunk in _chunks(wanted, sql.ROWS_AT_ONCE):
            for key in chunk:
                known[shard, key] = None
            for row in self._execute(sql.SELECT_CURRENT_ROWS[len(chunk)], (shard, *chunk)):
                known[shard, row[0]] = VersionRow._make(row)

    def current(self, shard: int, key: bytes) -> VersionRow | None:
        """Return the row of a key, None without one."""
        place = (shard, key)
        known: Any = self._known.get(place, _UNREAD)
        if known is not _UNREAD:
            row: VersionRow | None = known
            return row
        found = self._execute(sql.SELECT_CURRENT, place).get
        row = self._known[place] = None if found is None else VersionRow._make(found)
        return row

    def put_current(self, shard: int, row: VersionRow) -> None:
        """Set the row of a key."""
        self._known[shard, row.key] = self._changed[shard, row.key] = row

    def remove_current(self, shard: int, key: bytes) -> None:
        """Remove the row of a key."""
        self._known[shard, key] = self._changed[shard, key] = None

    # --- `inline`

    def add_inline(self, inline_id: int, data: bytes) -> None:
        """Keep bytes under a fresh id."""
        self._added[inline_id] = data

    def remove_inline(self, inline_id: int) -> None:
        """Remove bytes, which may have been added in the same transaction."""
        if self._added.pop(inline_id, None) is None:
            self._removed.append(inline_id)

    # --- to the file

    def write(self) -> None:
        """Write what changed, and forget it; raises `apsw.Error`."""
        if self._removed:
            self._run(sql.REMOVE_INLINE_ROWS, (), [(each,) for each in self._removed])
        if self._added:
            digest = xxhash.xxh3_64_digest
            rows = [(each, digest(data), data) for each, data in self._added.items()]
            self._run(sql.ADD_INLINE_ROWS, (), rows)
        if self._changed:
            self._write_current(self._changed)
        self.forget()

    def _write_current(self, changed: Mapping[_Place, VersionRow | None]) -> None:
        removed: dict[int, list[tuple[bytes]]] = {}
        rows = []
        for (shard, key), row in changed.items():
            if row is None:
                removed.setdefault(shard, []).append((key,))
            else:
                rows.append((shard, *row))
        for shard, keys in removed.items():
            self._run(sql.REMOVE_CURRENT_ROWS, (shard,), keys)
        self._run(sql.PUT_CURRENT_ROWS, (), rows)

    def _run(
        self, texts: Mapping[int, str], first: tuple[int, ...], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        for chunk in _chunks(rows, sql.ROWS_AT_ONCE):
            values = [*first]
            for row in chunk:
                values += row
            self._execute(texts[len(chunk)], values)


def _chunks(items: Sequence[_T], sizes: Sequence[int]) -> Iterator[Sequence[_T]]:
    """Cut into pieces of the given sizes, largest first; the smallest is one."""
    start = 0
    left = len(items)
    for size in sizes:
        while left >= size:
            yield items[start : start + size]
            start += size
            left -= size
