"""The log of replicas on disk: entries, promises and compaction points, in the file of the state that they lead to.

    replicas      one row for each partition that this file has a replica of: promised epoch and to whom, commit index,
                  compaction point, membership at the apply cursor
    replica_log   the entries behind the compaction point

The tables are made when a file first holds replicas; the file of a log of one replica has none. A partition without a
row is a replica that knows nothing: it makes no promises (trap T2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import apsw

from objstore.consensus import (
    Entry,
    EntryKind,
    Epoch,
    HardState,
    LogState,
    Membership,
    Ready,
    ReplicaId,
    decode_membership,
    encode_membership,
)
from objstore.metadata import statements as sql
from objstore.model.errors import check
from objstore.model.names import PartitionId

__all__ = ["ReplicaLog"]

_TABLES: Final = (
    (
        "CREATE TABLE IF NOT EXISTS replicas (partition INTEGER NOT NULL, epoch INTEGER NOT NULL, "
        "leader TEXT NOT NULL, committed INTEGER NOT NULL, compacted_index INTEGER NOT NULL, "
        "compacted_epoch INTEGER NOT NULL, membership BLOB NOT NULL, PRIMARY KEY (partition)) "
        "WITHOUT ROWID, STRICT"
    ),
    (
        "CREATE TABLE IF NOT EXISTS replica_log (partition INTEGER NOT NULL, entry INTEGER NOT NULL, "
        "epoch INTEGER NOT NULL, kind INTEGER NOT NULL, payload BLOB NOT NULL, "
        "PRIMARY KEY (partition, entry)) WITHOUT ROWID, STRICT"
    ),
)
_SELECT: Final = (
    "SELECT epoch, leader, committed, compacted_index, compacted_epoch, membership "
    "FROM replicas WHERE partition=?"
)
_SELECT_ALL: Final = "SELECT partition, membership FROM replicas WHERE partition>=0"
_PUT: Final = "INSERT OR REPLACE INTO replicas VALUES (?,?,?,?,?,?,?)"
_FOUND: Final = "INSERT OR IGNORE INTO replicas VALUES (?,?,'',?,?,?,?)"
_SET_HARD: Final = "UPDATE replicas SET epoch=?, leader=?, committed=? WHERE partition=?"
_SET_MEMBERSHIP: Final = "UPDATE replicas SET membership=? WHERE partition=?"
_SET_COMPACTED: Final = "UPDATE replicas SET compacted_index=?, compacted_epoch=? WHERE partition=?"
_EPOCH_AT: Final = "SELECT epoch FROM replica_log WHERE partition=? AND entry=?"
_ADD: Final = "INSERT INTO replica_log VALUES (?,?,?,?,?)"
_CUT: Final = "DELETE FROM replica_log WHERE partition=? AND entry>=?"
_COMPACT: Final = "DELETE FROM replica_log WHERE partition=? AND entry<=?"
_ENTRIES: Final = (
    "SELECT entry, epoch, kind, payload FROM replica_log WHERE partition=? ORDER BY entry"
)


class ReplicaLog:
    """The tables of all replicas of one file; every write belongs to the transaction that is open."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.execute
        self._many = connection.executemany

    def create(self) -> None:
        """Make the tables where they are not there yet."""
        for statement in _TABLES:
            self._execute(statement)

    def found(self, memberships: Mapping[PartitionId, Membership]) -> None:
        """Make the replicas that are there when their partitions are created; those that exist stay as they are.

        State that a log of one replica left in this file is the beginning of the log.
        """
        for partition, membership in memberships.items():
            applied, epoch = self._cursor(partition)
            payload = encode_membership(membership)
            self._execute(_FOUND, (partition, epoch, applied, applied, epoch, payload))

    def memberships(self) -> dict[PartitionId, Membership]:
        """Return the membership of each replica as far as it has applied it."""
        rows: Iterable[Any] = self._execute(_SELECT_ALL).fetchall()
        return {partition: decode_membership(payload) for partition, payload in rows}

    def load(self, partition: PartitionId) -> LogState:
        """Return what a restart begins with; an empty state for a replica that is not there yet."""
        row = self._execute(_SELECT, (partition,)).fetchone()
        if row is None:
            return LogState()
        epoch, leader, committed, compacted_index, compacted_epoch, membership = row
        applied, _ = self._cursor(partition)
        entries = [
            Entry(entry_epoch, index, payload, EntryKind(kind))
            for index, entry_epoch, kind, payload in self._execute(_ENTRIES, (partition,))
        ]
        return LogState(
            hard_state=HardState(Epoch(epoch), ReplicaId(leader), committed),
            applied=applied,
            compacted_index=compacted_index,
            compacted_epoch=compacted_epoch,
            membership=decode_membership(membership),
            entries=entries,
        )

    def persist(self, partition: PartitionId, ready: Ready) -> None:
        """Write what step 1 of a Ready asks for; a snapshot was installed before."""
        snapshot = ready.snapshot
        if snapshot is not None:
            payload = encode_membership(snapshot.membership)
            row = (partition, 0, "", snapshot.index, snapshot.index, snapshot.epoch, payload)
            hard = self._execute(_SELECT, (partition,)).fetchone()
            if hard is not None:
                row = (partition, *hard[:2], snapshot.index, *row[4:])
            self._execute(_PUT, row)
            self._execute(_CUT, (partition, 0))
        elif ready.truncate_from:
            self._execute(_CUT, (partition, ready.truncate_from))
        if ready.entries:
            self._many(
                _ADD,
                [(partition, e.index, e.epoch, int(e.kind), e.payload) for e in ready.entries],
            )
        if ready.hard_state is not None:
            self._set_hard_state(partition, ready.hard_state)

    def set_membership(self, partition: PartitionId, membership: bytes) -> None:
        """Note the membership in force at the apply cursor."""
        self._execute(_SET_MEMBERSHIP, (membership, partition))

    def _set_hard_state(self, partition: PartitionId, hard: HardState) -> None:
        self._execute(_SET_HARD, (hard.epoch, hard.leader, hard.commit, partition))
        if not self._execute("SELECT changes()").get:
            row = (partition, hard.epoch, hard.leader, hard.commit, 0, 0)
            self._execute(_PUT, (*row, encode_membership(Membership())))

    def compact(self, partition: PartitionId, index: int) -> None:
        """Forget the entries up to an index, all of which are applied."""
        epoch = self._execute(_EPOCH_AT, (partition, index)).get
        check(epoch is not None, "a compaction point must be an entry of the log")
        self._execute(_SET_COMPACTED, (index, epoch, partition))
        self._execute(_COMPACT, (partition, index))

    def _cursor(self, partition: PartitionId) -> tuple[int, int]:
        row: Any = self._execute(sql.SELECT_PARTITION, (partition,)).fetchone()
        return (0, 0) if row is None else (row[1], row[0])
