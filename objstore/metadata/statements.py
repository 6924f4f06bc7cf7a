"""The SQL of the hot paths, as text: prepared once per connection by the driver's statement cache."""

# ruff: noqa: S608 - text is put together from constants of this module only

from __future__ import annotations

from typing import Final

_VERSION: Final = (
    "key, sequence, version_id, is_delete_marker, last_modified, size, etag, storage_class, "
    "checksum_algorithm, checksum_type, owner, inline_id, record"
)
_VERSION_MARKS: Final = ",".join("?" * 14)
_USAGE: Final = "objects, versions, delete_markers, size_bytes, uploads, part_bytes"

# --- partitions, shards

SELECT_PARTITION: Final = (
    "SELECT epoch, applied, next_sequence, fence, state_hash FROM partitions WHERE partition=?"
)
SELECT_PARTITIONS: Final = "SELECT partition, applied FROM partitions ORDER BY partition"
PUT_PARTITION: Final = "INSERT OR REPLACE INTO partitions VALUES (?,?,?,?,?,?)"
SELECT_SHARD: Final = (
    f"SELECT number, is_open, versioning, {_USAGE} FROM shards WHERE bucket_id=? AND partition=?"
)
ADD_SHARD: Final = (
    "INSERT INTO shards (bucket_id, partition, is_open, versioning, objects, versions, "
    "delete_markers, size_bytes, uploads, part_bytes) VALUES (?,?,1,'',0,0,0,0,0,0)"
)
SAVE_SHARD: Final = (
    "UPDATE shards SET is_open=?, versioning=?, objects=?, versions=?, delete_markers=?, "
    "size_bytes=?, uploads=?, part_bytes=? WHERE number=?"
)
DROP_SHARD: Final = "DELETE FROM shards WHERE number=?"
DROP_FINISHED: Final = "DELETE FROM finished WHERE shard=?"

# --- versions

ROWS_AT_ONCE: Final = (64, 16, 4, 1)
"""For how many rows there are statements; more are done in several, the largest first."""


def _marks(rows: int, each: str) -> str:
    return ",".join([each] * rows)


SELECT_CURRENT: Final = f"SELECT {_VERSION} FROM objects WHERE shard=? AND key=?"
SELECT_CURRENT_ROWS: Final = {
    rows: f"SELECT {_VERSION} FROM objects WHERE shard=? AND key IN ({_marks(rows, '?')})"
    for rows in ROWS_AT_ONCE
}
SELECT_NEWEST: Final = (
    f"SELECT {_VERSION} FROM versions WHERE shard=? AND key=? ORDER BY sequence DESC LIMIT 1"
)
SELECT_NONCURRENT: Final = (
    f"SELECT {_VERSION} FROM versions WHERE shard=? AND key=? AND version_id=?"
)
PUT_CURRENT_ROWS: Final = {
    rows: f"INSERT OR REPLACE INTO objects VALUES {_marks(rows, f'({_VERSION_MARKS})')}"
    for rows in ROWS_AT_ONCE
}
PUT_NONCURRENT: Final = f"INSERT OR REPLACE INTO versions VALUES ({_VERSION_MARKS})"
REMOVE_CURRENT_ROWS: Final = {
    rows: f"DELETE FROM objects WHERE shard=? AND key IN ({_marks(rows, '?')})"
    for rows in ROWS_AT_ONCE
}
REMOVE_NONCURRENT: Final = "DELETE FROM versions WHERE shard=? AND key=? AND sequence=?"
MAX_INLINE: Final = "SELECT coalesce(max(id), 0) FROM inline"
ADD_INLINE_ROWS: Final = {
    rows: f"INSERT INTO inline VALUES {_marks(rows, '(?,?,?)')}" for rows in ROWS_AT_ONCE
}
REMOVE_INLINE_ROWS: Final = {
    rows: f"DELETE FROM inline WHERE id IN ({_marks(rows, '?')})" for rows in ROWS_AT_ONCE
}

# --- uploads, parts

SELECT_UPLOAD: Final = (
    "SELECT record, is_touched FROM uploads WHERE shard=? AND key=? AND upload_id=?"
)
ADD_UPLOAD: Final = "INSERT INTO uploads VALUES (?,?,?,0,?)"
TOUCH_UPLOADS: Final = "UPDATE uploads SET is_touched=1 WHERE shard=? AND key=? AND is_touched=0"
REMOVE_UPLOAD: Final = "DELETE FROM uploads WHERE shard=? AND key=? AND upload_id=?"
SELECT_SHARD_UPLOADS: Final = (
    "SELECT key, upload_id FROM uploads WHERE shard=? ORDER BY key, upload_id"
)
_PART: Final = "number, size, etag, checksum, crc64nvme, inline_id, record"
SELECT_PART: Final = f"SELECT {_PART} FROM parts WHERE shard=? AND upload_id=? AND number=?"
PUT_PART: Final = "INSERT OR REPLACE INTO parts VALUES (?,?,?,?,?,?,?,?,?)"
SELECT_PART_HEADS: Final = (
    "SELECT number, size, etag, checksum, crc64nvme FROM parts "
    "WHERE shard=? AND upload_id=? ORDER BY number"
)
# An extent has its own sequence in the queue: the parts are numbered on from the first.
GARBAGE_OF_PARTS: Final = (
    "INSERT INTO gc SELECT ?, ? + row_number() OVER (ORDER BY number), ?, 1, record FROM parts "
    "WHERE shard=? AND upload_id=? AND number BETWEEN ? AND ? AND inline_id IS NULL AND size>0"
)
INLINE_OF_PARTS: Final = (
    "DELETE FROM inline WHERE id IN "
    "(SELECT inline_id FROM parts WHERE shard=? AND upload_id=? AND number BETWEEN ? AND ? "
    "AND inline_id IS NOT NULL)"
)
REMOVE_PARTS: Final = "DELETE FROM parts WHERE shard=? AND upload_id=? AND number BETWEEN ? AND ?"
SELECT_FINISHED: Final = "SELECT record FROM finished WHERE shard=? AND upload_id=?"
ADD_FINISHED: Final = "INSERT INTO finished VALUES (?,?,?,?,?)"
FORGET_FINISHED: Final = (
    "DELETE FROM finished WHERE (shard, upload_id) IN "
    "(SELECT shard, upload_id FROM finished WHERE partition=? AND at<? ORDER BY at, upload_id LIMIT ?)"
)

# --- queues

ADD_GARBAGE: Final = "INSERT INTO gc VALUES (?,?,?,0,?)"
REMOVE_GARBAGE: Final = "DELETE FROM gc WHERE partition=? AND sequence=?"
PUT_REPAIR: Final = "INSERT OR REPLACE INTO repair VALUES (?,?,?,?,?,?,?,?,?)"
REMOVE_REPAIR: Final = "DELETE FROM repair WHERE partition=? AND data_id=? AND part=?"
REMOVE_REPAIR_OF_PARTS: Final = (
    "DELETE FROM repair WHERE partition=? AND upload_id=? AND part BETWEEN ? AND ?"
)

# --- results

ADD_RESULTS: Final = "INSERT INTO results VALUES (?,?,?,?)"
REMOVE_RESULTS: Final = 'DELETE FROM results WHERE partition=? AND "index"<=?'
SELECT_RESULT: Final = 'SELECT record FROM results WHERE partition=? AND "index"=?'
SELECT_RESULTS: Final = 'SELECT "index", at, record FROM results WHERE partition=? ORDER BY "index"'

# --- reads; the shard is in each, so that one statement is one snapshot

_SHARD_JOIN: Final = "FROM shards s LEFT JOIN"
FIND_CURRENT: Final = (
    "SELECT s.is_open, s.versioning, o.sequence, o.version_id, o.record, o.inline_id, i.digest, i.data "
    f"{_SHARD_JOIN} objects o ON o.shard=s.number AND o.key=? "
    "LEFT JOIN inline i ON i.id=o.inline_id WHERE s.bucket_id=? AND s.partition=?"
)
FIND_NEWEST: Final = (
    "SELECT record FROM versions WHERE shard="
    "(SELECT number FROM shards WHERE bucket_id=? AND partition=?) AND key=? "
    "ORDER BY sequence DESC LIMIT 1"
)
FIND_VERSION: Final = FIND_CURRENT.replace(
    "objects o ON o.shard=s.number AND o.key=?",
    "versions o ON o.shard=s.number AND o.key=? AND o.version_id=?",
)
READ_SHARD: Final = (
    f"SELECT number, is_open, versioning, {_USAGE} FROM shards WHERE bucket_id=? AND partition=?"
)
_LIST: Final = (
    "key, last_modified, etag, size, storage_class, checksum_algorithm, checksum_type, owner"
)
LIST_CURRENT: Final = (
    f"SELECT {_LIST} FROM objects WHERE shard=? AND key>=? AND key<? ORDER BY key LIMIT ?"
)
_LIST_VERSION: Final = f"{_LIST}, version_id, is_delete_marker, sequence"
LIST_VERSIONS: Final = (
    f"SELECT * FROM (SELECT {_LIST_VERSION} FROM objects "
    "WHERE shard=?1 AND key>=?2 AND key<?3 ORDER BY key LIMIT ?4) "
    f"UNION ALL SELECT * FROM (SELECT {_LIST_VERSION} FROM versions "
    "WHERE shard=?1 AND key>=?2 AND key<?3 ORDER BY key, sequence DESC LIMIT ?4) "
    "ORDER BY key, sequence DESC LIMIT ?4"
)
LIST_VERSIONS_OF_KEY: Final = (
    f"SELECT * FROM (SELECT {_LIST_VERSION} FROM objects "
    "WHERE shard=?1 AND key=?2 AND sequence<?3) "
    f"UNION ALL SELECT * FROM (SELECT {_LIST_VERSION} FROM versions "
    "WHERE shard=?1 AND key=?2 AND sequence<?3 ORDER BY sequence DESC LIMIT ?4) "
    "ORDER BY sequence DESC LIMIT ?4"
)
SEQUENCE_OF: Final = (
    "SELECT sequence FROM objects WHERE shard=?1 AND key=?2 AND version_id=?3 UNION ALL "
    "SELECT sequence FROM versions WHERE shard=?1 AND key=?2 AND version_id=?3"
)
LIST_UPLOADS: Final = (
    "SELECT key, record, upload_id FROM uploads WHERE shard=? AND (key, upload_id)>(?,?) AND key<? "
    "ORDER BY key, upload_id LIMIT ?"
)
READ_UPLOAD: Final = "SELECT record FROM uploads WHERE shard=? AND key=? AND upload_id=?"
_READ_PART: Final = (
    "SELECT p.record, p.inline_id, i.digest, i.data FROM parts p "
    "LEFT JOIN inline i ON i.id=p.inline_id WHERE p.shard=? AND p.upload_id=? "
)
READ_PARTS: Final = (
    "SELECT record FROM parts WHERE shard=? AND upload_id=? AND number>? ORDER BY number LIMIT ?"
)
READ_PART: Final = f"{_READ_PART} AND p.number=?"
READ_GARBAGE: Final = (
    "SELECT sequence, since, is_part, record FROM gc WHERE partition=? AND since<? AND sequence>? "
    "ORDER BY sequence LIMIT ?"
)
READ_REPAIRS: Final = (
    "SELECT since, bucket_id, key, version_id, upload_id, record FROM repair "
    "WHERE partition=? AND (since, data_id, part)>(?,?,?) ORDER BY since, data_id, part LIMIT ?"
)

# --- a walk over all extents of a partition; each begins behind a position of (shard, two columns of its key)

_WALK: Final = (
    "JOIN shards s ON s.number=t.shard WHERE s.partition=?1 AND t.size>0 AND t.inline_id IS NULL"
)
WALK_OBJECTS: Final = (
    f"SELECT t.shard, t.key, 0, t.record FROM objects t {_WALK} "
    "AND (t.shard, t.key)>(?2,?3) AND ?4 IS NOT NULL ORDER BY t.shard, t.key LIMIT ?5"
)
WALK_VERSIONS: Final = (
    f"SELECT t.shard, t.key, -t.sequence, t.record FROM versions t {_WALK} "
    "AND ((t.shard, t.key)>(?2,?3) OR (t.shard=?2 AND t.key=?3 AND -t.sequence>?4)) "
    "ORDER BY t.shard, t.key, t.sequence DESC LIMIT ?5"
)
WALK_PARTS: Final = (
    f"SELECT t.shard, t.upload_id, t.number, t.record FROM parts t {_WALK} "
    "AND (t.shard, t.upload_id, t.number)>(?2,?3,?4) ORDER BY t.shard, t.upload_id, t.number LIMIT ?5"
)

# --- a walk over everything that refers to bytes on drives (`objstore.metadata.reference_walk`)

_WALK_RECORD: Final = "CASE WHEN inline_id IS NULL THEN record END"
WALK_NEXT_SHARD: Final = (
    "SELECT number, bucket_id FROM shards WHERE partition=? AND bucket_id>=? "
    "ORDER BY bucket_id LIMIT 1"
)
WALK_CURRENT_FROM: Final = (
    f"SELECT key, sequence, {_WALK_RECORD} FROM objects WHERE shard=? AND key>=? "
    "ORDER BY key LIMIT ?"
)
WALK_VERSIONS_OF_KEY: Final = (
    f"SELECT key, sequence, {_WALK_RECORD} FROM versions WHERE shard=? AND key=? AND sequence<? "
    "ORDER BY sequence DESC LIMIT ?"
)
WALK_VERSIONS_BETWEEN: Final = (
    f"SELECT key, sequence, {_WALK_RECORD} FROM versions WHERE shard=? AND key>? AND key<=? "
    "ORDER BY key, sequence DESC LIMIT ?"
)
WALK_PARTS_OF_SHARD: Final = (
    f"SELECT upload_id, number, {_WALK_RECORD} FROM parts "
    "WHERE shard=(SELECT number FROM shards WHERE bucket_id=? AND partition=?) "
    "AND (upload_id, number)>(?,?) ORDER BY upload_id, number LIMIT ?"
)
