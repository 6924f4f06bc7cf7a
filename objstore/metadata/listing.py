"""Pages of a listing: pure walk over ordered rows, with common prefixes and skips. Knows no SQL.

A *cursor* is anything with `scan(start, upper, limit)`: rows in order from a position, the key first in each. The walk

    1. starts behind the marker; a marker inside a common prefix stands behind all of that prefix (s3 rule 5.2.1),
    2. takes rows, or their common prefix where the delimiter occurs after the prefix (5.1.2), until the page is full,
    3. skips from a common prefix to the first key that can follow it: within the rows it holds if that is there, else
       by a new scan (5.1.4), in small steps while skips are frequent,
    4. is truncated only when it has seen that something remains (5.1.5).

Order is that of bytes, which for UTF-8 is the order of code points (5.1.1). Keys are valid UTF-8, so that no key is as
large as `KEY_END`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from objstore.model.limits import SLICE_ROWS_MAX

__all__ = [
    "KEY_END",
    "Cursor",
    "Page",
    "Position",
    "Row",
    "Steps",
    "start_after",
    "successor",
    "walk",
]

KEY_END: Final = b"\xff"
"""Larger than every key: UTF-8 has no such byte."""
STEP_FIRST: Final = 64
STEP_MIN: Final = 4

Row: TypeAlias = tuple[Any, ...]
"""A row as the cursor returns it; its first column is the key."""


class Position(NamedTuple):
    """Where to go on: at a key, or inside its rows strictly after `sub`, then at the keys behind it."""

    key: bytes
    sub: Any = None


class Cursor(Protocol):
    """Ordered rows."""

    def scan(self, start: Position, upper: bytes, limit: int) -> Sequence[Row]:
        """Return up to `limit` rows from a position, with keys below `upper`."""
        ...


@dataclass(slots=True)
class Page:
    """What one walk found. `last` is the last row or common prefix of the page."""

    rows: list[Row] = field(default_factory=list)
    common_prefixes: list[bytes] = field(default_factory=list)
    is_truncated: bool = False
    last: Row | bytes | None = None

    def count(self) -> int:
        """Return how many entries the page holds; a common prefix is one (s3 rule 5.1.3)."""
        return len(self.rows) + len(self.common_prefixes)


Steps: TypeAlias = Generator[None, None, Page]
"""A walk: it pauses after every scan, so that the caller can let others run, and returns its page."""


def successor(prefix: bytes) -> bytes:
    """Return the smallest key behind all keys that start with a prefix."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else KEY_END


def start_after(key: bytes, *, prefix: bytes, delimiter: bytes, sub: object = None) -> Position:
    """Return where a page that follows a marker begins. With `sub`, rows of the key itself may follow."""
    if not key or key < prefix:
        return Position(prefix)
    common = _common_prefix(key, prefix, delimiter)
    if common is not None:
        return Position(successor(common))
    # The immediate successor of a key in byte order is the key with a zero byte.
    return Position(key, sub) if sub is not None else Position(key + b"\x00")


def walk(cursor: Cursor, start: Position, *, prefix: bytes, delimiter: bytes, limit: int) -> Steps:
    """Walk one page of at most `limit` entries."""
    page = Page()
    upper = successor(prefix) if prefix else KEY_END
    if limit <= 0 or start.key >= upper:
        return page
    if not delimiter:
        rows = list(cursor.scan(start, upper, limit + 1))
        page.is_truncated = len(rows) > limit
        page.rows = rows[:limit]
        page.last = page.rows[-1] if page.rows else None
        return page
    return (
        yield from _walk_grouped(cursor, start, upper, _Grouping(page, prefix, delimiter, limit))
    )


@dataclass(slots=True)
class _Grouping:
    """A page under way, with what decides about each row."""

    page: Page
    prefix: bytes
    delimiter: bytes
    limit: int

    def take(self, rows: Sequence[Row]) -> bytes | None:
        """Take rows until the page is full; return where to scan on if a skip leads out of them."""
        page = self.page
        index = 0
        while index < len(rows):
            if page.count() == self.limit:
                page.is_truncated = True
                return None
            row = rows[index]
            common = _common_prefix(row[0], self.prefix, self.delimiter)
            if common is None:
                page.rows.append(row)
                page.last = row
                index += 1
                continue
            page.common_prefixes.append(common)
            page.last = common
            behind = successor(common)
            index = bisect_left(rows, behind, lo=index + 1, key=_key)
            if index == len(rows):
                return behind
        return None


def _walk_grouped(cursor: Cursor, start: Position, upper: bytes, grouping: _Grouping) -> Steps:
    page = grouping.page
    step = STEP_FIRST
    while True:
        step = min(step, grouping.limit - page.count() + 1, SLICE_ROWS_MAX)
        rows = cursor.scan(start, upper, step)
        behind = grouping.take(rows)
        if page.is_truncated or len(rows) < step:
            return page
        if behind is None:
            start = _after(rows[-1])
            step *= 4
        elif behind >= upper:
            return page
        else:
            start = Position(behind)
            step = max(STEP_MIN, step // 4)
        yield


def _after(row: Row) -> Position:
    """Return the position behind a row; its last column orders the rows of one key, if there are several."""
    return Position(row[0], row[-1])


def _common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    if not delimiter or not key.startswith(prefix):
        return None
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]


def _key(row: Row) -> bytes:
    return row[0]  # type: ignore[no-any-return]
