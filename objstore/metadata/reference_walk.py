"""Everything that refers to bytes on drives, in slices: what the sweep may not touch (reliability rule T9).

    for each bucket shard, in order of bucket id:   objects and versions by key, then parts of open and finished uploads
    then the GC queue

A walk is many short reads while writers go on, so a reference could move from where the walk has not been to where it has
been. It cannot here: a version moves only between `objects` and `versions` *of its own key*, and one slice reads both tables
over the same span of keys in one snapshot; parts stay where they are; whatever leaves these tables goes to the GC queue,
which comes last. So each reference that is there during the whole walk is returned at least once; some are returned twice.

Positions hold ids and keys and no row numbers: they mean the same in every replica's file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from objstore.metadata import statements as sql
from objstore.metadata.records import EXTENT_CODEC, PART_CODEC, VERSION_CODEC
from objstore.model.names import PartitionId
from objstore.model.objects import Extent, ExtentBody, ObjectVersion, Part

__all__ = ["ReferencePosition", "read_references"]

_LAST: Final = 2**62
"""Larger than every sequence and every time."""
_KEYS_END: Final = b"\xff"
"""Behind every key, because keys are UTF-8."""
_VERSIONS, _PARTS, _GARBAGE = range(3)

_Execute = Callable[..., Any]


class ReferencePosition(NamedTuple):
    """Where a walk stands: everything before it was returned."""

    table: int = _VERSIONS
    bucket_id: bytes = b""
    key: bytes | str = b""
    sub: int = _LAST


_Step = tuple[list[Extent], int, ReferencePosition | None]
"""Extents, number of rows looked at, where to go on."""


def read_references(
    execute: _Execute, partition: PartitionId, after: ReferencePosition | None, limit: int
) -> tuple[list[Extent], ReferencePosition | None]:
    """Return the extents of a slice of at most `limit` rows a table, and where to go on; None at the end."""
    position: ReferencePosition | None = after or ReferencePosition()
    found: list[Extent] = []
    left = limit
    execute("BEGIN")
    try:
        while left > 0 and position is not None:
            extents, rows_count, position = _STEPS[position.table](
                execute, partition, position, left
            )
            found += extents
            # Shards without rows cost a little, too.
            left -= max(1, rows_count)
    finally:
        execute("COMMIT")
    return found, position


def _of_versions(
    execute: _Execute, partition: PartitionId, position: ReferencePosition, limit: int
) -> _Step:
    """Read objects and versions of one span of keys.

    Behind version `sub` of a key the object of that key is read again: a version behind it may have become the object.
    """
    row = execute(sql.WALK_NEXT_SHARD, (partition, position.bucket_id)).fetchone()
    if row is None:
        return [], 0, ReferencePosition(_GARBAGE, sub=-1)
    shard, bucket_id = row
    key, sub = (position.key, position.sub) if bucket_id == position.bucket_id else (b"", _LAST)
    objects = execute(sql.WALK_CURRENT_FROM, (shard, key, limit)).fetchall()
    is_cut = len(objects) == limit
    last_key = objects[-1][0] if is_cut else _KEYS_END
    versions = execute(sql.WALK_VERSIONS_OF_KEY, (shard, key, sub, limit)).fetchall()
    if len(versions) < limit:
        rest = (shard, key, last_key, limit - len(versions))
        versions += execute(sql.WALK_VERSIONS_BETWEEN, rest).fetchall()
    extents = _extents(VERSION_CODEC.decode(row[2]) for row in objects + versions if row[2])
    if len(versions) == limit:
        following = ReferencePosition(_VERSIONS, bucket_id, *versions[-1][:2])
    elif is_cut:
        following = ReferencePosition(_VERSIONS, bucket_id, last_key + b"\x00", _LAST)
    else:
        following = ReferencePosition(_PARTS, bucket_id, "", -1)
    return extents, len(objects) + len(versions), following


def _of_parts(
    execute: _Execute, partition: PartitionId, position: ReferencePosition, limit: int
) -> _Step:
    _, bucket_id, upload_id, number = position
    terms = (bucket_id, partition, upload_id, number, limit)
    rows = execute(sql.WALK_PARTS_OF_SHARD, terms).fetchall()
    extents = _extents(PART_CODEC.decode(row[2]) for row in rows if row[2])
    if len(rows) == limit:
        return extents, limit, ReferencePosition(_PARTS, bucket_id, *rows[-1][:2])
    return extents, len(rows), ReferencePosition(_VERSIONS, bucket_id + b"\x00")


def _of_garbage(
    execute: _Execute, partition: PartitionId, position: ReferencePosition, limit: int
) -> _Step:
    rows = execute(sql.READ_GARBAGE, (partition, _LAST, position.sub, limit)).fetchall()
    extents = _extents(PART_CODEC.decode(row[3]) for row in rows if row[2])
    extents += [EXTENT_CODEC.decode(row[3]) for row in rows if not row[2]]
    if len(rows) == limit:
        return extents, limit, ReferencePosition(_GARBAGE, sub=rows[-1][0])
    return extents, len(rows), None


_STEPS: Final[tuple[Callable[[_Execute, PartitionId, ReferencePosition, int], _Step], ...]] = (
    _of_versions,
    _of_parts,
    _of_garbage,
)


def _extents(records: Iterable[ObjectVersion | Part]) -> list[Extent]:
    bodies = (record.body for record in records)
    return [body.extent for body in bodies if type(body) is ExtentBody]
