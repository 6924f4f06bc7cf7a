"""The entries that one replica holds, in memory, and what of them was handed out for persisting.

The log in memory equals the log on disk once every Ready was persisted: one run of entries behind a
compaction point. Invariants:

    compacted <= applied <= commit <= last      (commit and applied are kept by the core)
    entries[i].index == compacted + 1 + i
    handed <= last: entries after it are in no Ready yet

`truncate_from` remembers the lowest index cut off since the last Ready: rows from there on must be deleted before
the entries of the next Ready are written.
"""

from __future__ import annotations

from collections.abc import Sequence

from objstore.consensus.messages import Entry, Snapshot, entries_size, payload_size
from objstore.model.errors import InvariantError, check

__all__ = ["ReplicaLog"]


class ReplicaLog:
    """A run of entries behind a compaction point."""

    __slots__ = (
        "_compacted_epoch",
        "_entries",
        "_handed",
        "_truncated",
        "compacted_index",
        "has_unhanded",
        "last_index",
        "size_bytes",
    )

    def __init__(
        self, *, compacted_index: int, compacted_epoch: int, entries: Sequence[Entry]
    ) -> None:
        self.compacted_index = compacted_index
        """Index of the last entry that is gone; the log begins after it. Moved by the methods below only."""
        self.last_index = compacted_index
        """Index of the newest entry. Moved by the methods below only."""
        self.size_bytes = 0
        """Weight of all payloads that are held."""
        self.has_unhanded = False
        """Whether a Ready would carry entries or a truncation. Moved by the methods below only."""
        self._compacted_epoch = compacted_epoch
        self._entries: list[Entry] = []
        self._truncated = 0
        if entries:
            self.append(entries)
        self._handed = self.last_index
        self.has_unhanded = False

    @property
    def last_epoch(self) -> int:
        """Epoch of the newest entry."""
        return self._entries[-1].epoch if self._entries else self._compacted_epoch

    def epoch_at(self, index: int) -> int | None:
        """Return the epoch of the entry at the index, or nothing if the log does not know it."""
        offset = index - self.compacted_index
        if offset > 0:
            return self._entries[offset - 1].epoch if index <= self.last_index else None
        return None if offset else self._compacted_epoch

    def between(self, after: int, upto: int) -> list[Entry]:
        """Return the entries with after < index <= upto; all of them must be held."""
        compacted = self.compacted_index
        if not compacted <= after <= upto <= self.last_index:
            check(compacted <= after, "entries were asked for that are compacted")
            check(upto <= self.last_index, "entries were asked for beyond the end")
        return self._entries[after - compacted : upto - compacted]

    def batch_after(self, after: int, *, entries_max: int, bytes_max: int) -> tuple[Entry, ...]:
        """Return what follows `after` within the bounds, at least one entry if there is one."""
        if entries_max <= 0 or after == self.last_index:
            return ()
        candidates = self.between(after, min(self.last_index, after + entries_max))
        if self.size_bytes <= bytes_max:
            return tuple(candidates)
        total = 0
        for count, entry in enumerate(candidates):
            total += payload_size(entry.payload)
            if total > bytes_max and count:
                return tuple(candidates[:count])
        return tuple(candidates)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow the last one without a gap (rule 4)."""
        if entries[0].index != self.last_index + 1:
            raise InvariantError("entries must be contiguous")
        self._entries.extend(entries)
        self.last_index += len(entries)
        self.has_unhanded = True
        self.size_bytes += entries_size(entries)

    def truncate_from(self, index: int) -> None:
        """Cut off the entry at the index and all after it."""
        check(index > self.compacted_index, "compacted entries cannot be truncated")
        removed = self._entries[index - self.compacted_index - 1 :]
        del self._entries[index - self.compacted_index - 1 :]
        self.last_index = self.compacted_index + len(self._entries)
        self.size_bytes -= entries_size(removed)
        if index <= self._handed:
            self._handed = index - 1
            self._truncated = min(self._truncated or index, index)
        self.has_unhanded = self._handed < self.last_index or self._truncated > 0

    def restore(self, snapshot: Snapshot) -> None:
        """Forget all entries: the log begins behind the snapshot."""
        self._entries.clear()
        self.size_bytes = 0
        self._truncated = 0
        self.has_unhanded = False
        self.compacted_index = self.last_index = self._handed = snapshot.index
        self._compacted_epoch = snapshot.epoch

    def compact_to(self, index: int) -> None:
        """Forget the entries up to the index, all of which were handed out before."""
        count = index - self.compacted_index
        if count == 0:
            return
        epoch = self.epoch_at(index)
        if epoch is None:
            raise InvariantError("compaction point is not in the log")
        check(index <= self._handed, "entries cannot be compacted before they were handed out")
        if count == len(self._entries):
            self.size_bytes = 0
        else:
            self.size_bytes -= entries_size(self._entries[:count])
        del self._entries[:count]
        self.compacted_index, self._compacted_epoch = index, epoch

    def hand_out(self) -> tuple[int, list[Entry]]:
        """Return the pending truncation (0 = none) and the entries to persist, and count them as handed out."""
        truncated, self._truncated = self._truncated, 0
        self.has_unhanded = False
        entries = self._entries[self._handed - self.compacted_index :]
        self._handed = self.last_index
        return truncated, entries

    def retention_point(self, *, upto: int, entries_max: int, bytes_max: int) -> int:
        """Return up to where to compact, at most `upto`, so that the rest is within the bounds."""
        point = max(self.compacted_index, min(upto, upto - entries_max))
        size_bytes = self.size_bytes
        if size_bytes <= bytes_max:
            return point
        for entry in self.between(self.compacted_index, upto):
            if entry.index > point:
                if size_bytes <= bytes_max:
                    break
                point = entry.index
            size_bytes -= payload_size(entry.payload)
        return point

    def find_conflict(self, *, index: int, epoch: int) -> tuple[int, int] | None:
        """Return the last (index, epoch) at or before `index` whose epoch is not above `epoch`, if it is held.

        Both sides use it to skip a whole epoch of divergent entries in one exchange instead of one entry each.
        """
        index = min(index, self.last_index)
        while index >= self.compacted_index:
            here = self.epoch_at(index) or 0
            if here <= epoch:
                return index, here
            index -= 1
        return None
