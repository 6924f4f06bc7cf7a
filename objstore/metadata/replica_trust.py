"""Which replicas may lead: what look-ups and appliers found damaged. Pure; asked by `replica_keeper`.

    damaged       the replica met a damaged row while it applied, or another history: it takes part no longer
    unreadable    a look-up met a damaged row or page: the replica goes on voting with its log, and leads only where nobody
                  better is left
    hopeless      a look-up met damage at every replica that there is: asking another one, or copying anew, would not help

A replica is unreadable until its store is replaced. That has to wait until look-ups had time to ask all others: where the same
row is damaged everywhere, a store that was thrown away could not be filled again. A hopeless partition is served as it is, so
that everything else in it can be had, and is doubted again after a while.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import apsw

from objstore.consensus import ReplicaId
from objstore.model.errors import Corrupt, CorruptRecord, UnknownFormat
from objstore.model.names import PartitionId

__all__ = ["ReplicaTrust", "is_damage", "is_unreadable"]

HOPELESS_S: Final = 600.0
SETTLED_S: Final = 3.0
"""After so long a look-up has asked every replica: with each it waits for another one to lead."""
_DAMAGE: Final = (Corrupt, apsw.CorruptError, apsw.NotADBError)


def is_damage(fault: Exception) -> bool:
    """Tell whether a catalogue is not what was written; everything else is the drive's fault, or nobody's."""
    return isinstance(fault, _DAMAGE) and not isinstance(fault, UnknownFormat)


def is_unreadable(fault: Exception) -> bool:
    """Tell whether a look-up failed for what is in the file, or for a part of it that the drive does not give back."""
    return is_damage(fault) or isinstance(fault, apsw.IOError)


class ReplicaTrust:
    """What is known against replicas."""

    def __init__(self) -> None:
        self._damaged: set[tuple[ReplicaId, PartitionId]] = set()
        self._unreadable: dict[tuple[ReplicaId, PartitionId], tuple[float, Exception]] = {}
        """Since when, and why."""
        self._hopeless_until: dict[PartitionId, float] = {}

    @property
    def has_doubts(self) -> bool:
        """Tell whether any replica is unreadable."""
        return bool(self._unreadable)

    @property
    def unreadable_count(self) -> int:
        """Return how many replicas are."""
        return len(self._unreadable)

    def note_damaged(self, replica: ReplicaId, partition: PartitionId) -> None:
        """Take note that a replica takes part no longer."""
        self._damaged.add((replica, partition))

    def note_unreadable(
        self,
        replica: ReplicaId,
        partition: PartitionId,
        cause: Exception,
        *,
        others: Collection[ReplicaId],
        now: float,
    ) -> bool:
        """Take note of what a look-up met; tell whether one of the other voters that answer may be better."""
        if now < self._hopeless_until.get(partition, 0.0):
            return False
        self._unreadable.setdefault((replica, partition), (now, cause))
        able = [other for other in others if self.votes(other, partition)]
        if any((other, partition) not in self._unreadable for other in able):
            return True
        if able:
            self._hopeless_until[partition] = now + HOPELESS_S
            self._unreadable = {k: v for k, v in self._unreadable.items() if k[1] != partition}
        return False

    def forget(self, replica: ReplicaId) -> None:
        """Forget what look-ups found in a store that is gone."""
        self._unreadable = {k: v for k, v in self._unreadable.items() if k[0] != replica}

    def votes(self, replica: ReplicaId, partition: PartitionId) -> bool:
        """Tell whether a replica takes part."""
        return (replica, partition) not in self._damaged

    def eligible(
        self, partition: PartitionId, voters: Collection[ReplicaId], *groups: Collection[ReplicaId]
    ) -> set[ReplicaId]:
        """Return who of the voters may lead: of the first group that has a readable one, else of the first that has any."""
        able = {voter for voter in voters if self.votes(voter, partition)}
        readable = {voter for voter in able if (voter, partition) not in self._unreadable}
        for candidates in (readable, able):
            for group in groups:
                if found := candidates.intersection(group):
                    return found
        return set()

    def damaged_of(self, replica: ReplicaId) -> Iterator[PartitionId]:
        """Yield the partitions that a replica takes part in no longer."""
        return (partition for holder, partition in self._damaged if holder == replica)

    def unreadable_of(
        self, replica: ReplicaId, now: float
    ) -> Iterator[tuple[PartitionId, Exception]]:
        """Yield what look-ups met in a store and not in all others, as damage: only a copy gives back what a drive does not."""
        for (holder, partition), (since, cause) in self._unreadable.items():
            if holder == replica and since + SETTLED_S <= now:
                found = cause if is_damage(cause) else CorruptRecord(f"cannot be read: {cause}")
                yield partition, found
