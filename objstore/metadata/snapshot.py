"""The rows of one partition on their way into another file, and their digest.

A snapshot is read in one read transaction, so that it is the state after one entry of the log, and travels in slices.
The target keeps what arrives under a partition number of its own (`staged`), out of everybody's sight, while its replica
goes on voting with the log and the state that it has. Installing is one short transaction that swaps numbers: old rows
become `doomed`, staged ones the partition's. Doomed and forgotten rows are removed in slices. A crash at any point
leaves the old state or the new one, and rows that the next start removes.

Row ids of shards and of inline bytes are local to a file: on the way a shard is its bucket id, inline bytes are values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import apsw
import msgspec
import xxhash

from objstore.consensus import ReplicaId
from objstore.metadata.sql_state import InlineIds
from objstore.model.errors import CorruptRecord
from objstore.model.names import PartitionId
from objstore.model.versioned import verified_payload

__all__ = [
    "CopyId",
    "Slice",
    "SliceDigest",
    "SnapshotStage",
    "digest_of",
    "doomed",
    "read_slices",
    "staged",
    "verify",
]

ROWS_MAX: Final = 250
"""Rows of a slice: with the largest inline bytes 32 MiB, with usual ones far less."""
PURGED_ROWS: Final = 500


class _ShardTable(NamedTuple):
    name: str
    key: str
    columns: str
    """All but `shard` and `inline_id`, in order of the table; `inline_id` follows where there is one."""
    tail: str = ""
    """Columns behind `inline_id`."""


_VERSION: Final = (
    "key, sequence, version_id, is_delete_marker, last_modified, size, etag, storage_class, "
    "checksum_algorithm, checksum_type, owner"
)
_INLINED: Final = (
    _ShardTable("objects", "key", _VERSION, "record"),
    _ShardTable("versions", "key, sequence", _VERSION, "record"),
    _ShardTable(
        "parts", "upload_id, number", "upload_id, number, size, etag, checksum, crc64nvme", "record"
    ),
)
_PLAIN: Final = (
    _ShardTable("uploads", "key, upload_id", "key, upload_id, is_touched, record"),
    _ShardTable("finished", "upload_id", "upload_id, at, record"),
)
_WITH_INLINE: Final = frozenset(table.name for table in _INLINED)
_WITH_RECORD: Final = _WITH_INLINE | {"uploads", "finished", "gc", "repair", "results"}
_SHARD: Final = (
    "is_open, versioning, objects, versions, delete_markers, size_bytes, uploads, part_bytes"
)
_OF_PARTITION: Final = {
    "gc": ("sequence", "sequence, since, is_part, record"),
    "repair": (
        "data_id, part",
        "data_id, part, since, bucket_id, key, version_id, upload_id, record",
    ),
    "results": ('"index"', '"index", at, record'),
}
_CURSOR: Final = "applied, next_sequence, fence, state_hash"
_NUMBERED: Final = ("shards", "finished", "gc", "repair", "results", "partitions")
"""Tables whose rows name their partition."""


CopyId: TypeAlias = tuple[ReplicaId, int]
"""One attempt to copy a partition: who sends, and the how-manieth of its copies it is."""


class Slice(NamedTuple):
    """Rows of one table, of one shard or of the whole partition (an empty bucket id)."""

    table: str
    bucket_id: bytes
    rows: Sequence[tuple[Any, ...]]


def staged(partition: int) -> PartitionId:
    """Return the number under which rows of a partition wait for their installation."""
    return PartitionId(-1 - partition)


def doomed(partition: int) -> PartitionId:
    """Return the number under which rows of a partition wait for their removal."""
    return PartitionId(-1_000_000 - partition)


def read_slices(connection: apsw.Connection, partition: int) -> Iterator[Slice]:
    """Yield all rows of a partition, always in the same order; within one read transaction of the caller."""
    execute = connection.execute
    shards: list[Any] = execute(
        f"SELECT number, bucket_id, {_SHARD} FROM shards WHERE partition=? ORDER BY bucket_id",  # noqa: S608 - constants
        (partition,),
    ).fetchall()
    for number, bucket_id, *rest in shards:
        yield Slice("shards", bucket_id, [tuple(rest)])
        for table in _INLINED:
            query = (
                f"SELECT {_prefixed(table.columns)}, i.digest, i.data, {_prefixed(table.tail)} "  # noqa: S608 - constants
                f"FROM {table.name} t LEFT JOIN inline i ON i.id=t.inline_id "
                f"WHERE t.shard=? ORDER BY {_prefixed(table.key)}"
            )
            yield from _sliced(table.name, bucket_id, execute(query, (number,)))
        for table in _PLAIN:
            query = f"SELECT {table.columns} FROM {table.name} WHERE shard=? ORDER BY {table.key}"  # noqa: S608 - constants
            yield from _sliced(table.name, bucket_id, execute(query, (number,)))
    for name, (key, columns) in _OF_PARTITION.items():
        query = f"SELECT {columns} FROM {name} WHERE partition=? ORDER BY {key}"  # noqa: S608 - constants
        yield from _sliced(name, b"", execute(query, (partition,)))
    cursor = execute(f"SELECT {_CURSOR} FROM partitions WHERE partition=?", (partition,))  # noqa: S608 - constants
    yield from _sliced("partitions", b"", cursor)


def verify(piece: Slice) -> None:
    """Raise `CorruptRecord` if a row of a slice does not carry its own checksum: damage must not travel."""
    if piece.table in _WITH_RECORD:
        for row in piece.rows:
            verified_payload(row[-1])
    if piece.table in _WITH_INLINE:
        for *_, digest, data, _record in piece.rows:
            if data is not None and xxhash.xxh3_64_digest(data) != digest:
                raise CorruptRecord("inline bytes do not match their checksum")


def digest_of(connection: apsw.Connection, partition: int) -> bytes:
    """Return a digest of all rows of a partition: equal for equal state, in whichever file."""
    digest = SliceDigest()
    connection.execute("BEGIN")
    try:
        for piece in read_slices(connection, partition):
            digest.add(piece)
    finally:
        connection.execute("COMMIT")
    return digest.value()


class SliceDigest:
    """The digest of a snapshot while it passes."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()
        self._encode = msgspec.msgpack.Encoder().encode

    def add(self, piece: Slice) -> None:
        """Take the next slice in."""
        for row in piece.rows:
            self._hash.update(self._encode((piece.table, piece.bucket_id, row)))

    def value(self) -> bytes:
        """Return the digest of what was taken in."""
        return self._hash.digest()


class SnapshotStage:
    """The receiving side, on the writer's connection and within its transactions.

    Two replicas may copy the same partition for a while, one that led and one that leads: who began last is heard.
    """

    def __init__(self, connection: apsw.Connection, inline_ids: InlineIds) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._inline_ids = inline_ids
        self._shards: dict[tuple[int, bytes], int] = {}
        self._copies: dict[int, CopyId] = {}
        """Whose rows are under which number."""

    def begin(self, partition: int, copy: CopyId) -> None:
        """Forget what is staged of a partition; from now on this copy is heard and no other."""
        target = staged(partition)
        while self.purge(target):
            pass
        self._copies[target] = copy

    def hears(self, partition: int, copy: CopyId) -> bool:
        """Tell whether slices of a copy are taken: it has begun, and no other one has since."""
        return self._copies.get(staged(partition)) == copy

    def add(self, partition: int, copy: CopyId, piece: Slice) -> None:
        """Keep a slice out of sight; one of a copy that is not heard goes nowhere."""
        if not self.hears(partition, copy):
            return
        target = staged(partition)
        if piece.table == "shards":
            marks = ",".join("?" * 10)
            self._execute(
                f"INSERT INTO shards (bucket_id, partition, {_SHARD}) VALUES ({marks})",  # noqa: S608 - constants
                (piece.bucket_id, target, *piece.rows[0]),
            )
            self._shards[target, piece.bucket_id] = self._connection.last_insert_rowid()
        elif piece.table in _OF_PARTITION or piece.table == "partitions":
            self._add_of_partition(target, piece)
        else:
            self._add_of_shard(target, piece)

    def install(self, partition: int) -> None:
        """Swap what is staged with what is there; in the transaction that replaces the log."""
        while self.purge(doomed(partition)):  # left by the one before, if no moment was quiet since
            pass
        for table in _NUMBERED:
            move = f"UPDATE {table} SET partition=? WHERE partition=?"  # noqa: S608 - constants
            self._execute(move, (doomed(partition), partition))
            self._execute(move, (partition, staged(partition)))
        self._forget(staged(partition))

    def has_staged(self, partition: int, applied: int) -> bool:
        """Tell whether a whole snapshot of that index waits to be installed."""
        found = self._execute(
            "SELECT applied FROM partitions WHERE partition=?", (staged(partition),)
        ).get
        return bool(found == applied)

    def cursor_of(self, partition: int) -> int:
        """Return up to which index the rows of a partition are applied; 0 where there are none."""
        found = self._execute("SELECT applied FROM partitions WHERE partition=?", (partition,)).get
        return int(found or 0)

    def leftovers(self) -> list[PartitionId]:
        """Return the numbers under which rows are left that belong to no partition any more."""
        found: set[int] = set()
        for table in _NUMBERED:
            rows: list[Any] = self._execute(
                f"SELECT DISTINCT partition FROM {table} WHERE partition<0"  # noqa: S608 - constants
            ).fetchall()
            found.update(row[0] for row in rows)
        return sorted(PartitionId(number) for number in found)

    def purge(self, number: int) -> bool:
        """Remove a slice of what is kept under a number; False when nothing is left."""
        shard = self._execute("SELECT number FROM shards WHERE partition=? LIMIT 1", (number,)).get
        if shard is not None:
            return self._purge_shard(shard)
        for name, (key, _) in _OF_PARTITION.items():
            self._execute(
                f"DELETE FROM {name} WHERE partition=?1 AND ({key}) IN "  # noqa: S608 - constants
                f"(SELECT {key} FROM {name} WHERE partition=?1 LIMIT {PURGED_ROWS})",
                (number,),
            )
            if self._connection.changes():
                return True
        self._execute("DELETE FROM partitions WHERE partition=?", (number,))
        self._forget(number)
        return False

    def _forget(self, number: int) -> None:
        self._copies.pop(number, None)
        self._shards = {key: value for key, value in self._shards.items() if key[0] != number}

    def _purge_shard(self, shard: int) -> bool:
        for table in (*_INLINED, *_PLAIN):
            chosen = f"FROM {table.name} WHERE shard=?1 ORDER BY {table.key} LIMIT {PURGED_ROWS}"
            if table.tail:
                self._execute(
                    f"DELETE FROM inline WHERE id IN (SELECT inline_id {chosen})",  # noqa: S608 - constants
                    (shard,),
                )
            self._execute(
                f"DELETE FROM {table.name} WHERE shard=?1 AND ({table.key}) IN "  # noqa: S608 - constants
                f"(SELECT {table.key} {chosen})",
                (shard,),
            )
            if self._connection.changes():
                return True
        self._execute("DELETE FROM shards WHERE number=?", (shard,))
        return True

    def _add_of_partition(self, target: int, piece: Slice) -> None:
        if piece.table == "partitions":
            applied, sequence, fence, state_hash = piece.rows[0]
            row = (target, 0, applied, sequence, fence, state_hash)
            self._execute("INSERT OR REPLACE INTO partitions VALUES (?,?,?,?,?,?)", row)
            return
        marks = ",".join("?" * (1 + len(piece.rows[0])))
        self._connection.executemany(
            f"INSERT INTO {piece.table} VALUES ({marks})",  # noqa: S608 - constants
            [(target, *row) for row in piece.rows],
        )

    def _add_of_shard(self, target: int, piece: Slice) -> None:
        shard = self._shards[target, piece.bucket_id]
        if piece.table == "finished":
            rows = [(shard, row[0], target, *row[1:]) for row in piece.rows]
        elif piece.table == "uploads":
            rows = [(shard, *row) for row in piece.rows]
        else:
            rows = [self._with_inline(shard, row) for row in piece.rows]
        marks = ",".join("?" * len(rows[0]))
        self._connection.executemany(f"INSERT INTO {piece.table} VALUES ({marks})", rows)  # noqa: S608 - constants

    def _with_inline(self, shard: int, row: tuple[Any, ...]) -> tuple[Any, ...]:
        *columns, digest, data, record = row
        inline_id = None
        if data is not None:
            inline_id = self._inline_ids.next()
            self._execute("INSERT INTO inline VALUES (?,?,?)", (inline_id, digest, data))
        return (shard, *columns, inline_id, record)


def _prefixed(columns: str) -> str:
    return ", ".join(f"t.{column}" for column in columns.split(", "))


def _sliced(table: str, bucket_id: bytes, rows: Iterator[Any]) -> Iterator[Slice]:
    while piece := list(islice(rows, ROWS_MAX)):
        yield Slice(table, bucket_id, piece)
