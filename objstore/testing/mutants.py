"""Named mutants: each switches one rule off, and the simulation must find it. A search that cannot fail proves nothing.

A mutant is a subclass of one part of the simulated cluster: the core (rules 1 to 7 of `objstore/consensus/DESIGN.md`),
the driver, the disk or the machine. `budget` is how many schedules, from seed 0 on, may be needed to catch it. Where a
mutant is too rare for random schedules (budget 0), `directed` names the dialogue under `tests/scripts/consensus` that
catches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from objstore.consensus import (
    Entry,
    EntryKind,
    HardState,
    LogState,
    Membership,
    MembershipChange,
    PartitionLog,
    ReadState,
    Ready,
    ReplicaId,
    Role,
    Snapshot,
)
from objstore.consensus.messages import Addressed, AppendRequest, Epoch, FetchReply
from objstore.consensus.quorum import majority_size
from objstore.model.errors import NotLeader, SlowDown
from objstore.model.instant import Instant
from objstore.testing.sim.clients import Attempt, Client
from objstore.testing.sim.cluster import Parts
from objstore.testing.sim.disk import Applied, Disk
from objstore.testing.sim.machine import Answer, KeyValueMachine
from objstore.testing.sim.replica import SimReplica

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule switched off."""

    name: str
    rule: str
    """Which rule or trap it breaks."""
    parts: Parts
    budget: int
    directed: str = ""


MUTANTS: dict[str, Mutant] = {}
"""All mutants by name."""

Part = type[PartitionLog] | type[SimReplica] | type[Disk] | type[KeyValueMachine] | type[Client]


def _mutant(rule: str, *, budget: int, directed: str = ""):  # type: ignore[no-untyped-def]  # noqa: ANN202
    def register(part: Part) -> Part:
        name = "".join(f"-{c.lower()}" if c.isupper() else c for c in part.__name__)[1:]
        MUTANTS[name] = Mutant(name, rule, _parts_with(part), budget, directed)
        return part

    return register


def _parts_with(part: Part) -> Parts:
    if issubclass(part, PartitionLog):
        return Parts(log=part)
    if issubclass(part, SimReplica):
        return Parts(replica=part)
    if issubclass(part, Disk):
        return Parts(disk=part)
    if issubclass(part, KeyValueMachine):
        return Parts(machine=part)
    return Parts(client=part)


# --- rule 1: promises ---------------------------------------------------------------------------------------


@_mutant("rule 1", budget=500)
class LeadsWithoutPromises(PartitionLog):
    """A leader serves because it was named."""

    def _has_promises(self) -> bool:
        return True


@_mutant("rule 1", budget=500)
class ServesLowerEpochs(PartitionLog):
    """Promises are made and not kept."""

    def _refuses_epoch(self, epoch: int) -> bool:  # noqa: ARG002 the rule that is off
        return False


@_mutant("rule 1", budget=2_000)
class ObeysTwoLeaders(PartitionLog):
    """An epoch is promised to everybody who asks for it."""

    def _obey(self, message: Addressed) -> bool:
        if message.epoch == self._epoch:
            self._leader = message.source
            return True
        return super()._obey(message)


@_mutant("rule 1", budget=5_000)
class ForgetsPromises(Disk):
    """The promise is not in the transaction that it leaves with."""

    def load(self) -> LogState:
        state = super().load()
        epoch = self.entries[-1].epoch if self.entries else self.compacted[1]
        return LogState(
            hard_state=HardState(Epoch(epoch)),
            applied=state.applied,
            compacted_index=state.compacted_index,
            compacted_epoch=state.compacted_epoch,
            membership=state.membership,
            entries=state.entries,
        )


@_mutant("rule 1", budget=5_000)
class LeadsSpentEpochs(PartitionLog):
    """After a restart, a late naming makes a leader of an epoch that an earlier life has led."""

    def become_leader(self, epoch: Epoch, now: Instant) -> NotLeader | None:
        if epoch == self._epoch and self._leader == self.replica and self._role is Role.FOLLOWER:
            self._epoch = Epoch(epoch - 1)
        return super().become_leader(epoch, now)


# --- rule 2: the best log -----------------------------------------------------------------------------------


@_mutant("rule 2", budget=500)
class KeepsItsOwnLog(PartitionLog):
    """A new leader keeps its own log, whatever the others hold."""

    def _best_source(self) -> ReplicaId:
        return self.replica


@_mutant("rule 2", budget=500)
class TakesShortestLog(PartitionLog):
    """The worst log of a majority is taken for the best."""

    def _rank(self, last_epoch: int, last_index: int) -> tuple[int, int]:
        return -last_epoch, -last_index


@_mutant("rule 2", budget=2000, directed="takeover_highest_epoch")
class TakesLongestLog(PartitionLog):
    """Length comes before epoch."""

    def _rank(self, last_epoch: int, last_index: int) -> tuple[int, int]:
        return last_index, last_epoch


@_mutant("rule 2", budget=2_000)
class FetchesOnePiece(PartitionLog):
    """A takeover is content with the first piece of the best log."""

    def _continue_fetch(self, now: Instant) -> None:
        self._source = ReplicaId("")
        self._promises = dict.fromkeys(self._promises, (self._log.last_epoch, self._log.last_index))
        self._try_open(now)


@_mutant("rule 2", budget=2_000)
class RenumbersFetchedEntries(PartitionLog):
    """Fetched entries get the epoch of the new leader."""

    def _accept_fetched(self, message: FetchReply, now: Instant) -> None:
        entries = [
            Entry(self._epoch, entry.index, entry.payload, entry.kind)
            for entry in message.entries
            if entry.index > self._commit
        ]
        self._accept_entries(entries)
        if entries:
            self._promises[self._source] = (self._log.last_epoch, self._log.last_index)
        self._continue_fetch(now)


# --- rule 3: the own first entry ----------------------------------------------------------------------------


@_mutant("rule 3", budget=1_000)
class ReadsBeforeItsNoOp(PartitionLog):
    """A new leader believes that its commit index is everybody's."""

    def _read_index(self) -> int:
        return self._commit


# --- rule 4: append -----------------------------------------------------------------------------------------


@_mutant("rule 4", budget=500)
class AppendsAnywhere(PartitionLog):
    """Nobody looks at the entry before."""

    def _joins(self, index: int, epoch: int) -> bool:  # noqa: ARG002 the rule that is off
        return index <= self._log.last_index


@_mutant("rule 4", budget=500)
class KeepsDivergentTails(PartitionLog):
    """An index that is taken is taken."""

    def _holds(self, entry: Entry) -> bool:
        return entry.index <= self._log.last_index


@_mutant("rule 4", budget=2_000)
class AcknowledgesItsWholeLog(PartitionLog):
    """A follower confirms what it holds instead of what agrees."""

    def _acknowledge(self, message: AppendRequest, index: int) -> None:
        super()._acknowledge(message, max(index, self._log.last_index))


@_mutant("rule 4", budget=500)
class SendsBeforePersisting(SimReplica):
    """Answers leave before what they say is durable."""

    def persist(self, ready: Ready) -> None:
        self.cluster.network.send(ready.messages)
        super().persist(ready)


@_mutant("rule 4", budget=1_000)
class GoesOnAfterFailedSync(SimReplica):
    """A failed sync is taken for a slow one; the pages are gone."""

    def sync_failed(self) -> None:
        self.disk.fails_next_sync = False
        self.disk.pending.clear()
        self._synced(self.life)


@_mutant("rule 4", budget=2_000)
class KeepsTornBatches(Disk):
    """Recovery takes what it finds of a batch whose beginning was never written."""

    def _tear(self, torn: Sequence[Ready | Applied]) -> None:
        for transaction in torn[:1]:
            if isinstance(transaction, Ready):
                self._fold(Ready(entries=transaction.entries[1:]))


@_mutant("rule 4", budget=2_000)
class CutsOffDamage(Disk):
    """A damaged record is taken for the end of the log."""

    def load(self) -> LogState:
        if self.is_corrupt:
            self.is_corrupt = False
            keep = max(0, self.applied - self.compacted[0])
            del self.entries[keep:]
        return super().load()


# --- rule 5: commit -----------------------------------------------------------------------------------------


@_mutant("rule 5", budget=500)
class CommitsByItself(PartitionLog):
    """One vote less than a majority is enough."""

    def _try_commit(self) -> None:
        voters = self.membership.voters
        reached = sorted(map(self._match_of, voters), reverse=True)
        index = reached[max(0, majority_size(len(voters)) - 2)]
        if index > self._commit and self._may_commit(index):
            self._commit_to(index)


@_mutant("rule 5", budget=0, directed="older_epochs_are_not_counted")
class CommitsOlderEpochs(PartitionLog):
    """Entries of older epochs are committed by counting them."""

    def _may_commit(self, index: int) -> bool:  # noqa: ARG002 the rule that is off
        return True


@_mutant("rule 5", budget=2_000)
class CommitsWhatDiffers(PartitionLog):
    """A follower commits up to the leader's index, whether or not its log agrees so far."""

    def _learn_commit(self, commit: int, *, agreed: int) -> None:  # noqa: ARG002 the rule that is off
        self._commit_to(min(commit, self._log.last_index))


@_mutant("rule 5", budget=500)
class AppliesWhatIsNotCommitted(PartitionLog):
    """Everything that is in the log is applied."""

    def _take_committed(self, entries: Sequence[Entry]) -> Sequence[Entry]:  # noqa: ARG002 the rule that is off
        after, self._applying = self._applying, self._log.last_index
        return self._log.between(after, self._applying)


@_mutant("rule 5", budget=500)
class CountsLearners(PartitionLog):
    """Learners count in majorities."""

    def _try_commit(self) -> None:
        members = self.membership.members
        reached = sorted(map(self._match_of, members), reverse=True)
        index = reached[majority_size(len(self.membership.voters)) - 1]
        if index > self._commit and self._may_commit(index):
            self._commit_to(index)


# --- rule 6: reads ------------------------------------------------------------------------------------------


@_mutant("rule 6", budget=0, directed="stale_leader")
class ReadsWithoutAsking(PartitionLog):
    """A leader answers reads because it believes that it leads."""

    def request_read(self, context: object, now: Instant) -> NotLeader | SlowDown | None:
        if self._role is Role.LEADER:
            self._reads.append(ReadState(context, self._read_index()))
            return None
        return super().request_read(context, now)


@_mutant("rule 6", budget=0, directed="old_rounds_confirm_nothing")
class OldAnswersConfirmReads(PartitionLog):
    """Answers to the round before count for this one."""

    def _is_confirmed(self, round_number: int) -> bool:
        return super()._is_confirmed(round_number - 1)


@_mutant("rule 6", budget=500)
class FollowersAnswerReads(PartitionLog):
    """Whoever is asked answers."""

    def request_read(self, context: object, now: Instant) -> NotLeader | SlowDown | None:
        if self._role is not Role.LEADER:
            self._reads.append(ReadState(context, self._commit))
            return None
        return super().request_read(context, now)


@_mutant("rule 6", budget=2_000)
class AnswersReadsBeforeApplying(PartitionLog):
    """A confirmed read does not wait until its index is applied."""

    def _confirm_reads(self) -> None:
        before = len(self._reads)
        super()._confirm_reads()
        self._reads[before:] = [ReadState(read.context, 0) for read in self._reads[before:]]


@_mutant("rule 6", budget=5_000)
class ReadsWaitForNobody(PartitionLog):
    """Reads that wait when the last other replica is removed are never confirmed."""

    def _confirm_reads_alone(self) -> None:
        """Do nothing; the log then asks for a Ready for ever."""


# --- rule 7: membership and snapshots -----------------------------------------------------------------------


@_mutant("rule 7", budget=5_000)
class ChangesTwiceAtOnce(PartitionLog):
    """A change does not wait for the one before, nor for the own no-op."""

    def _change_refusal(self, change: MembershipChange) -> str:
        return "" if change.replica != self.replica else super()._change_refusal(change)


@_mutant("rule 7", budget=0, directed="membership_that_was_cut_off")
class KeepsTruncatedMemberships(PartitionLog):
    """A membership that was cut off stays in force."""

    def _forget_memberships_from(self, index: int) -> None:
        """Forget nothing."""


@_mutant("rule 7", budget=5_000)
class IgnoresFetchedMemberships(PartitionLog):
    """A takeover counts promises by the membership of its own log, not of the fetched one."""

    def _has_promises(self) -> bool:
        before = self._memberships[0][1]
        agreed = sum(1 for voter in before.voters if voter in self._promises)
        return agreed >= majority_size(len(before.voters))


@_mutant("rule 7", budget=2_000)
class SnapshotsLackMembership(PartitionLog):
    """A snapshot carries the first membership that the replica knows."""

    def snapshot_point(self, data: object = None) -> Snapshot:
        point = super().snapshot_point(data)
        kept = Membership(point.membership.voters[:1] or point.membership.voters)
        return Snapshot(point.index, point.epoch, kept, data)


@_mutant("rule 7", budget=2_000)
class SnapshotsKeepTheTail(PartitionLog):
    """A snapshot is not compared with the log: state jumps, whatever was committed before."""

    def _restore(self, snapshot: Snapshot) -> None:
        super()._restore(Snapshot(snapshot.index, self._epoch, snapshot.membership, snapshot.data))


@_mutant("trap T2", budget=2_000)
class WipedStoreKeepsItsName(SimReplica):
    """A store that lost everything comes back as a founding member under its old id."""

    def start(self) -> None:
        if self.life == 0 or self.is_up or self.disk.is_lost or not self._is_damaged:
            super().start()
            return
        twin = type(self.disk)(self.disk.membership)
        self.disk = self.checkers.disks[self.name] = twin
        super().start()

    @property
    def _is_damaged(self) -> bool:
        return self.disk.is_corrupt


# --- one transaction, op-ids, unknown outcomes --------------------------------------------------------------


@_mutant("one transaction", budget=1_000)
class CursorApartFromState(Disk):
    """The apply cursor is durable before the state that it speaks of."""

    def _tear(self, torn: Sequence[Ready | Applied]) -> None:
        for transaction in torn:
            if isinstance(transaction, Applied):
                self.applied = min(transaction.upto, self.compacted[0] + len(self.entries))
                self.membership = transaction.membership


@_mutant("trap T7", budget=500)
class ForgetsOpIds(KeyValueMachine):
    """A retry is done again."""

    def apply(self, payload: bytes) -> Answer:
        self.results.clear()
        return super().apply(payload)


@_mutant("trap T7", budget=2_000)
class SnapshotsLackOpIds(KeyValueMachine):
    """The answers of op-ids are not part of what is copied."""

    def copy(self) -> KeyValueMachine:
        twin = super().copy()
        twin.results = {}
        return twin


@_mutant("trap T7", budget=500)
class UnknownMeansNo(Client):
    """A client that loses its leader is told that its condition failed."""

    def failed(self, attempt: Attempt) -> None:
        self.answered(attempt, (False, 0))


@_mutant("rule 5", budget=500)
class AnswersWhenProposed(SimReplica):
    """A write is acknowledged when it is in the leader's log."""

    def submit(self, payload: bytes, attempt: Attempt | None) -> bool:
        taken = super().submit(payload, attempt)
        if taken and attempt is not None:
            answer = self.machine.copy().apply(payload)
            attempt.client.answered(attempt, answer)
        return taken


@_mutant("trap T7", budget=5_000)
class AnswersByIndexAlone(SimReplica):
    """Whoever waits for an index is told of whatever was committed there."""

    def _drop_waiting(self) -> None:
        """Let them wait."""

    def _answer(self, entry: Entry, answer: Answer) -> None:
        waiting = self._waiting.pop(entry.index, None)
        if waiting is not None:
            self._waiting[entry.index] = (entry.epoch, waiting[1])
        super()._answer(entry, answer)


@_mutant("determinism", budget=500)
class AppliesByItsOwnClock(SimReplica):
    """What is applied depends on who applies it."""

    def apply_entry(self, entry: Entry) -> None:
        if entry.kind is EntryKind.NO_OP:
            self.machine.digest ^= self.now()
        super().apply_entry(entry)
