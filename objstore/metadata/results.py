"""The op-id results of one partition: what a command that arrives a second time is answered (trap T7).

A row holds the results of one log entry, packed; an index in memory, rebuilt when the partition is first used, says
which entry an op-id is in. Kept are the last `RECENT_COUNT` results, and of older ones those not older than `KEPT_MS`,
at most `KEPT_COUNT` in all: a retry comes within seconds, and the bound keeps a busy partition's index at a few MiB. Age
is measured between command times, so that every replica forgets the same entries.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import apsw

from objstore.metadata import statements as sql
from objstore.metadata.records import RESULTS_CODEC, Outcome
from objstore.model.instant import Instant
from objstore.model.names import PartitionId

__all__ = ["KEPT_COUNT", "KEPT_MS", "RECENT_COUNT", "OpResults"]

RECENT_COUNT: Final = 1_024
KEPT_COUNT: Final = 65_536
KEPT_MS: Final = 30_000


class OpResults:
    """Results by op-id; staged ones count as kept until the transaction ends."""

    def __init__(self, connection: apsw.Connection, partition: PartitionId) -> None:
        self._execute = connection.execute
        self._partition = partition
        self._entry_of: dict[bytes, int] = {}
        self._entries: deque[tuple[int, Instant, tuple[bytes, ...]]] = deque()
        self._staged: dict[bytes, Outcome] = {}
        rows: list[Any] = self._execute(sql.SELECT_RESULTS, (partition,)).fetchall()
        for index, at, record in rows:
            ids = tuple(op_id for op_id, _ in RESULTS_CODEC.decode(record))
            self._remember(index, Instant(at), ids)

    def find(self, op_id: bytes) -> Outcome | None:
        """Return what the command was answered the first time."""
        staged = self._staged.get(op_id)
        if staged is not None:
            return staged
        index = self._entry_of.get(op_id)
        if index is None:
            return None
        record = self._execute(sql.SELECT_RESULT, (self._partition, index)).get
        return dict(RESULTS_CODEC.decode(record))[op_id]

    def stage(self, op_id: bytes, outcome: Outcome) -> None:
        """Note a result of the entry that is being applied."""
        self._staged[op_id] = outcome

    def write(self, index: int, at: Instant) -> bytes:
        """Write the staged results as those of an entry, forget old ones, and return the record."""
        record = RESULTS_CODEC.encode(tuple(self._staged.items()))
        self._execute(sql.ADD_RESULTS, (self._partition, index, at, record))
        self._remember(index, at, tuple(self._staged))
        self._staged.clear()
        self._prune(at)
        return record

    def _remember(self, index: int, at: Instant, ids: tuple[bytes, ...]) -> None:
        self._entries.append((index, at, ids))
        self._entry_of.update(dict.fromkeys(ids, index))

    def _prune(self, now: Instant) -> None:
        entries, entry_of = self._entries, self._entry_of
        oldest = 0
        while len(entries) > 1:
            index, at, ids = entries[0]
            left_count = len(entry_of) - len(ids)
            is_recent = left_count < RECENT_COUNT or now - at <= KEPT_MS
            if is_recent and left_count < KEPT_COUNT:
                break
            entries.popleft()
            for op_id in ids:
                del entry_of[op_id]
            oldest = index
        if oldest:
            self._execute(sql.REMOVE_RESULTS, (self._partition, oldest))
