"""Reading the control store's file: from the process that owns it, or from any other of the machine.

Every read is one statement, sees what is durable, and verifies the checksums of what it returns. A look-up takes a few
microseconds, so that nobody needs a cache of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import xxhash

from objstore.cluster.control_store import Change, Item
from objstore.cluster.sqlite_file import open_reader
from objstore.model.errors import CorruptRecord, HistoryForgotten

__all__ = ["CACHE_KIB", "ControlReader", "digest_of"]

CACHE_KIB: Final = 2 * 1024
WATCH_ROWS_MAX: Final = 1_000
_KEY_END: Final = "\x7f"
"""Larger than every key: keys are printable ASCII."""


class ControlReader:
    """One reading connection. Not to be used by two threads at once."""

    def __init__(self, path: Path) -> None:
        self._connection = open_reader(path, cache_kib=CACHE_KIB)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def revision(self) -> int:
        """Return the revision of the last change, 0 before the first."""
        last: int = self._connection.execute("SELECT coalesce(max(revision), 0) FROM changes").get
        return last

    def get(self, key: str) -> Item | None:
        """Return the item, or None."""
        row: Any = self._connection.execute(
            "SELECT key, value, revision, digest FROM items WHERE key=?", (key,)
        ).fetchone()
        return None if row is None else _item(*row)

    def list(self, prefix: str, *, after: str, limit: int) -> Sequence[Item]:
        """Return items in order of key, strictly after `after`; limit 0 = all."""
        rows: Iterable[Any] = self._connection.execute(
            "SELECT key, value, revision, digest FROM items "
            "WHERE key>=? AND key>? AND key<? ORDER BY key LIMIT ?",
            (prefix, after, prefix + _KEY_END, limit or -1),
        ).fetchall()
        return [_item(*row) for row in rows]

    def changes(self, prefix: str, *, after_revision: int) -> Sequence[Change]:
        """Return the next changes below a prefix; raise `HistoryForgotten` where some are not kept any more."""
        oldest = self._connection.execute("SELECT min(revision) FROM changes").get
        if oldest is not None and after_revision + 1 < oldest:
            raise HistoryForgotten(revision=after_revision)
        rows: Iterable[Any] = self._connection.execute(
            "SELECT revision, key, value, digest FROM changes "
            "WHERE revision>? AND key>=? AND key<? ORDER BY revision LIMIT ?",
            (after_revision, prefix, prefix + _KEY_END, WATCH_ROWS_MAX),
        ).fetchall()
        return [_change(*row) for row in rows]


def digest_of(key: str, value: bytes | None) -> bytes:
    """Return the checksum of an item or a change; None stands for a removal."""
    marked = b"-" if value is None else b"+" + value
    return xxhash.xxh3_64_digest(key.encode("ascii") + b"\x00" + marked)


def _item(key: str, value: bytes, revision: int, digest: bytes) -> Item:
    _verify(key, value, digest)
    return Item(key, value, revision)


def _change(revision: int, key: str, value: bytes | None, digest: bytes) -> Change:
    _verify(key, value, digest)
    return Change(key, value, revision)


def _verify(key: str, value: bytes | None, digest: bytes) -> None:
    if digest_of(key, value) != digest:
        raise CorruptRecord("an item of the control store does not match its checksum", key=key)
