"""The disk of one simulated replica: what is durable, what was written and not synced, and what can go wrong.

A transaction is written, and durable when a later sync is over; syncs make everything durable that was written
before, in order. A crash loses what was not synced, or keeps the first few transactions of it: the rest of the
journal is torn, and recovery drops a torn transaction whole, because its checksum does not match. The store is
lost when a record that was durable is damaged: that is an error when it is opened, never an absence.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from objstore.consensus import (
    NO_MEMBERSHIP,
    Entry,
    EntryKind,
    HardState,
    LogState,
    Membership,
    Ready,
    decode_membership,
)
from objstore.model.errors import CorruptRecord, check
from objstore.testing.sim.machine import KeyValueMachine

__all__ = ["Applied", "Disk"]


class Applied(msgspec.Struct, frozen=True, gc=False):
    """One apply transaction: state, cursor and what may be forgotten move together."""

    upto: int
    membership: Membership
    machine: KeyValueMachine
    compact_to: int


class Disk:
    """One store; everything in here but `pending` survives a crash."""

    __slots__ = (
        "applied",
        "compacted",
        "entries",
        "fails_next_sync",
        "full_until",
        "hard_state",
        "is_corrupt",
        "is_lost",
        "machine",
        "membership",
        "pending",
        "slow_until",
    )

    def __init__(self, membership: Membership = NO_MEMBERSHIP) -> None:
        self.hard_state = HardState()
        self.compacted = (0, 0)
        self.entries: list[Entry] = []
        """The first follows `compacted`."""
        self.applied = 0
        self.membership = membership
        self.machine = KeyValueMachine()
        self.pending: list[Ready | Applied] = []
        self.fails_next_sync = False
        self.full_until = 0
        self.slow_until = 0
        self.is_corrupt = False
        self.is_lost = False
        """Nobody will ever start from it again."""

    # --- writing --------------------------------------------------------------------------------------

    def write(self, transaction: Ready | Applied) -> None:
        """Hand a transaction to the operating system; `sync` makes it durable."""
        self.pending.append(transaction)

    def sync(self) -> None:
        """Make everything durable that was written."""
        pending, self.pending = self.pending, []
        for transaction in pending:
            self._fold(transaction)

    def crash(self, random: Random, *, may_keep: bool) -> None:
        """Lose what was not synced, all of it or from a torn transaction on."""
        if self.pending:
            kept = random.randrange(len(self.pending) + 1) if may_keep else 0
            torn = self.pending[kept:]
            del self.pending[kept:]
            self.sync()
            if may_keep:
                self._tear(torn)

    def _tear(self, torn: Sequence[Ready | Applied]) -> None:
        """Recovery finds that the checksum of the first of these is wrong: none of it has happened."""

    def _fold(self, transaction: Ready | Applied) -> None:
        if not isinstance(transaction, Ready):
            self._fold_applied(transaction)
            return
        ready = transaction
        if ready.snapshot is not None:
            snapshot = ready.snapshot
            self.entries.clear()
            self.compacted = (snapshot.index, snapshot.epoch)
            self.applied, self.membership = snapshot.index, snapshot.membership
            self.machine = snapshot.data  # type: ignore[assignment]
        if ready.truncate_from:
            del self.entries[ready.truncate_from - self.compacted[0] - 1 :]
        if ready.entries:
            self.entries.extend(ready.entries)
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state

    def _fold_applied(self, transaction: Applied) -> None:
        self.applied, self.membership = transaction.upto, transaction.membership
        self.machine, compact_to = transaction.machine, transaction.compact_to
        if compact_to > self.compacted[0]:
            gone = compact_to - self.compacted[0]
            check(gone <= len(self.entries), "the store compacts entries that it does not hold")
            self.compacted = (compact_to, self.entries[gone - 1].epoch)
            del self.entries[:gone]

    # --- reading --------------------------------------------------------------------------------------

    def load(self) -> LogState:
        """Read the store as a restart finds it; raise `CorruptRecord` for a damaged one."""
        if self.is_corrupt:
            raise CorruptRecord("a record of the log does not match its checksum")
        index, epoch = self.compacted
        return LogState(
            hard_state=self.hard_state,
            applied=self.applied,
            compacted_index=index,
            compacted_epoch=epoch,
            membership=self.membership,
            entries=self.entries,
        )

    def memberships(self) -> list[Membership]:
        """Return the memberships that a restart would learn: the applied one, and those in entries."""
        entries = (entry for entry in self.entries if entry.kind is EntryKind.MEMBERSHIP)
        return [self.membership, *(decode_membership(entry.payload) for entry in entries)]

    def epoch_before(self, ready: Ready) -> int:
        """Return the epoch of the durable entry behind which the Ready's entries go."""
        if ready.snapshot is not None:
            return ready.snapshot.epoch
        offset = ready.entries[0].index - 1 - self.compacted[0]
        return self.entries[offset - 1].epoch if offset > 0 else self.compacted[1]

    def holds(self, entry: Entry) -> bool:
        """Tell whether the entry is durable here, as itself or in the state of a snapshot."""
        offset = entry.index - self.compacted[0]
        if offset <= 0:
            return True
        return offset <= len(self.entries) and self.entries[offset - 1].epoch == entry.epoch
