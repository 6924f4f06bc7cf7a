"""The checkers: what must be true after every event, and what must be true in the end.

All but the last two are incremental: their cost is that of the event. Each raises `Violation` with its name.

    one leader     an epoch has one leader at most
    log matching   (epoch, index) names one payload and one predecessor, on every disk and for ever
    committed      an index has one committed entry, which every later leader holds
    durable        what is committed is durable on a majority of the voters, dead stores included
    state hash     equal indexes have equal state
    exactly once   an op-id takes effect once
    fresh reads    a read sees at least what was acknowledged before it was asked
    linearizable   the history of each key has an order that explains all answers
    liveness       after all faults are gone, a write succeeds, all members agree, and nothing is open
"""

from __future__ import annotations

from collections.abc import Sequence

from objstore.consensus import Entry, EntryKind, Membership, PartitionLog, ReplicaId
from objstore.consensus.ready import LEADER
from objstore.testing.linearizability import Operation, find_order
from objstore.testing.sim.disk import Disk
from objstore.testing.sim.machine import is_read, specification

__all__ = ["Checkers", "Violation"]


class Violation(AssertionError):
    """What must never happen has happened; `rule` is the checker's name."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule


class Checkers:
    """What the whole cluster has promised so far; dead stores keep counting."""

    __slots__ = (
        "_commit_epochs",
        "_contents",
        "_digests",
        "_done",
        "_leaders",
        "acknowledged",
        "committed",
        "disks",
        "epochs",
        "histories",
        "last_commit_at",
    )

    def __init__(self) -> None:
        self.disks: dict[ReplicaId, Disk] = {}
        """Every store there ever was."""
        self.committed: dict[int, Entry] = {}
        self.histories: dict[int, list[Operation]] = {}
        """Finished operations of each key; those of unknown outcome are among them."""
        self.acknowledged = 0
        """Highest index that a client was told of."""
        self.last_commit_at = 0
        self.epochs = 0
        """How many epochs were led."""
        self._commit_epochs: dict[int, int] = {}
        """Epoch of who applied first, which may be above that of the commit: a late leader of an old epoch need not know it."""
        self._leaders: dict[int, ReplicaId] = {}
        self._contents: dict[tuple[int, int], tuple[object, int]] = {}
        self._digests: dict[int, int] = {}
        self._done: dict[int, int] = {}

    # --- while it runs --------------------------------------------------------------------------------

    def leading(self, log: PartitionLog) -> None:
        """A replica says that it leads."""
        first = self._leaders.setdefault(log.epoch, log.replica)
        if first != log.replica:
            raise Violation("one leader", f"epoch {log.epoch} is led by {first} and {log.replica}")
        self.epochs = len(self._leaders)
        held = log.held_entries()
        compacted = log.last_index - len(held)
        for index, entry in self.committed.items():
            if index <= compacted or self._commit_epochs[index] >= log.epoch:
                continue
            if index > log.last_index or held[index - compacted - 1].epoch != entry.epoch:
                text = f"leader {log.replica} of epoch {log.epoch} lacks {entry.epoch}/{index}"
                raise Violation("committed", text)

    def written(self, entries: Sequence[Entry], epoch_before: int) -> None:
        """A replica writes entries behind one of that epoch."""
        contents = self._contents
        for entry in entries:
            content = (entry.payload, epoch_before)
            epoch_before = entry.epoch
            if contents.setdefault((epoch_before, entry.index), content) != content:
                raise Violation("log matching", f"two entries are {entry.epoch}/{entry.index}")

    def applied(self, entry: Entry, log: PartitionLog, membership: Membership) -> None:
        """A replica applies an entry; `membership` is the one that it has applied before."""
        known = self.committed.get(entry.index)
        if known is None:
            self.committed[entry.index] = entry
            self._commit_epochs[entry.index] = log.epoch
            if log.role is LEADER:
                self._check_durable(entry, log.membership, membership)
        elif known is not entry and (known.epoch != entry.epoch or known.payload != entry.payload):
            text = (
                f"{log.replica} applies {entry.epoch}/{entry.index},"
                f" committed is {known.epoch}/{entry.index}"
            )
            raise Violation("committed", text)

    def _check_durable(self, entry: Entry, *memberships: Membership) -> None:
        """Committed under the membership in force, or under the one before if that was since changed."""
        disks = self.disks
        for membership in memberships:
            voters = membership.voters
            held = 0
            for voter in voters:
                if disks[voter].holds(entry):
                    held += 1
            if held * 2 > len(voters):
                return
        text = f"{entry.epoch}/{entry.index} is committed and not durable on a majority"
        raise Violation("durable", text)

    def hashed(self, replica: ReplicaId, index: int, digest: int) -> None:
        """A replica has this digest after that index."""
        if self._digests.setdefault(index, digest) != digest:
            raise Violation("state hash", f"{replica} differs after entry {index}")

    def done(self, replica: ReplicaId, op_id: int, index: int) -> None:
        """An op-id has taken effect by that entry."""
        if self._done.setdefault(op_id, index) != index:
            first = self._done[op_id]
            text = f"operation {op_id} took effect at {first} and, on {replica}, at {index}"
            raise Violation("exactly once", text)

    def read(self, asked_after: int, answered_at: int) -> None:
        """A read that was asked after that acknowledged index is answered from this applied one."""
        if answered_at < asked_after:
            text = f"answered at {answered_at}, acknowledged was {asked_after}"
            raise Violation("fresh reads", text)

    # --- in the end -----------------------------------------------------------------------------------

    def check_histories(self) -> None:
        """Search an order for the history of each key."""
        for key, operations in sorted(self.histories.items()):
            if find_order(operations, specification, 0, is_read) is None:
                told = "\n".join(
                    f"  {called}..{'?' if returned is None else returned} {action} -> {answer}"
                    for called, returned, action, answer in sorted(
                        operations, key=lambda operation: operation.called
                    )
                )
                raise Violation("linearizable", f"no order explains key {key}\n{told}")

    def check_agreement(self, members: list[tuple[PartitionLog, int]]) -> None:
        """All members have applied everything, have that digest, and nothing is open."""
        last = max(self.committed)
        for log, digest in members:
            if log.applied_index != last or log.last_index != last:
                text = f"{log.replica} has applied {log.applied_index} of {last} in the end"
                raise Violation("liveness", text)
            if log.next_deadline() is not None or log.has_ready:
                raise Violation("liveness", f"{log.replica} has something open in the end")
            if digest != self._digests[last]:
                raise Violation("state hash", f"{log.replica} differs in the end")

    @property
    def commands_count(self) -> int:
        """How many commands were committed."""
        return sum(entry.kind is EntryKind.COMMAND for entry in self.committed.values())
