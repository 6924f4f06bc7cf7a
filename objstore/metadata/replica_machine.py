"""All replicas of one catalogue file as one machine: events in; one transaction; messages, answers and reports out.

It drives the partition logs by the contract of `objstore.consensus.ready`: persist, send, apply, advance. A round takes
the Readies of all logs of the file that have one, and carries out persisting and applying in one transaction. The
machine has no thread and no clock of its own, so that tests can interleave several as they like.

Two things are faster than the contract, and safe:

* A leader's appends leave before its own COMMIT, unless the Ready carries a promise, a truncation or a snapshot. What
  the leader itself holds counts only after `advance`; a leader that dies before its COMMIT comes back as a replica that
  lacks the entry, and cannot propose in that epoch again.
* A transaction that only applies is committed without an fsync of its own. The entries are durable in this very file,
  earlier in the same WAL; the apply cursor moves with the state. After a power failure WAL recovery keeps a prefix, so
  that a lost transaction is applied again from the log. Nothing durable can be behind a lost one: the fsync that made
  it durable covers everything before it.

A command that fails for a reason of its own is answered `InvariantError`, on every replica alike. A damaged row is this
file's fault alone: the replica stops, the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import apsw

from objstore.consensus import (
    Entry,
    EntryKind,
    Epoch,
    LogConfig,
    Message,
    PartitionLog,
    Ready,
    ReplicaId,
    Role,
    Snapshot,
)
from objstore.consensus.messages import AppendRequest, InstallSnapshot
from objstore.metadata.applier import FAULTS_OF_COMMAND, Answer, Applier
from objstore.metadata.commands import Command
from objstore.metadata.remote_writer import AnyCommand
from objstore.metadata.replica_events import (
    Align,
    Aligned,
    Damaged,
    Deliver,
    Event,
    Found,
    Lead,
    NotLed,
    Proposal,
    Report,
    Serving,
    SnapshotRead,
    Stage,
    SteppedDown,
    Told,
)
from objstore.metadata.replica_log import ReplicaLog
from objstore.metadata.replica_plan import next_change
from objstore.metadata.snapshot import SnapshotStage, doomed, staged
from objstore.metadata.sql_state import InlineIds
from objstore.model.errors import (
    Corrupt,
    DriveUnavailable,
    InvariantError,
    ObjstoreError,
    check,
)
from objstore.model.instant import Instant
from objstore.model.names import PartitionId
from objstore.model.versioned import RecordCodec

__all__ = ["Outlet", "ReplicaMachine"]

_PAYLOAD: Final[RecordCodec[tuple[AnyCommand, ...]]] = RecordCodec(
    tuple[AnyCommand, ...], version=1
)
"""An entry of the log: the commands of one partition that came together."""
SNAPSHOT_MS: Final = 15_000
"""After so long without a sign of a follower its snapshot is made again, unless it is still being copied."""
_Refused = tuple[PartitionId, int, int]
"""A command by partition, index of its entry and position in it."""


class Outlet(Protocol):
    """Where effects go. Called on the machine's thread; none of them may block."""

    def send(self, partition: PartitionId, message: Message) -> None:
        """Pass a message to its target."""
        ...

    def answer(self, ticket: object, answer: Answer) -> None:
        """Tell what became of a command."""
        ...

    def report(self, report: Report) -> None:
        """Tell the keeper."""
        ...

    def copy(self, partition: PartitionId, target: ReplicaId, point: Snapshot) -> None:
        """Begin to copy the state as it is in the file now; `SnapshotRead` tells the end."""
        ...


class _PoisonError(Exception):
    """A command that cannot be applied, on any replica."""

    def __init__(self, at: _Refused) -> None:
        super().__init__("a command cannot be applied")
        self.at = at


class _DamagedError(Exception):
    """This replica cannot go on."""

    def __init__(self, partition: PartitionId, cause: Exception) -> None:
        super().__init__(str(cause))
        self.partition = partition


class _Pending:
    """An entry that this replica proposed: who waits for it."""

    __slots__ = ("commands", "epoch", "tickets")

    def __init__(self, epoch: Epoch, proposals: Sequence[Proposal]) -> None:
        self.epoch = epoch
        self.commands: tuple[Command, ...] = tuple(item.command for item in proposals)
        self.tickets = [item.ticket for item in proposals]


class _Replica:
    """One partition's log, and who waits for what in it."""

    __slots__ = ("applier", "log", "opening", "partition", "pending", "wanted")

    def __init__(self, partition: PartitionId, log: PartitionLog) -> None:
        self.partition = partition
        self.log = log
        self.applier: Applier | None = None
        self.pending: dict[int, _Pending] = {}
        self.opening: tuple[Epoch, int] | None = None
        """The epoch that will serve when that index is applied."""
        self.wanted: tuple[ReplicaId, ...] = ()


class ReplicaMachine:
    """The replicas of one file. Not to be used by two threads at once."""

    def __init__(self, connection: apsw.Connection, replica: ReplicaId, outlet: Outlet) -> None:
        self.replica = replica
        self._connection = connection
        self._outlet = outlet
        self._log = ReplicaLog(connection)
        self._log.create()
        self._inline_ids = InlineIds(connection)
        self._stage = SnapshotStage(connection, self._inline_ids)
        self._leftovers = self._stage.leftovers()
        self._replicas: dict[PartitionId, _Replica] = {}
        self._damaged: dict[PartitionId, str] = {}
        self._dirty: dict[PartitionId, None] = {}
        self._deadlines: dict[PartitionId, Instant] = {}
        self._proposals: dict[PartitionId, list[Proposal]] = {}
        self._founding: list[Found] = []
        self._staging: list[Stage] = []
        self._held: list[tuple[_Replica, Ready]] = []
        self._poisoned: set[_Refused] = set()
        self._answers: list[tuple[object, Answer]] = []
        self._is_full_sync = True
        self.applied_count = 0
        self._handlers: dict[type[object], Callable[..., None]] = {
            Proposal: self._on_proposal,
            Deliver: self._on_deliver,
            Lead: self._on_lead,
            Told: self._on_told,
            Align: self._on_align,
            Found: self._on_found,
            Stage: self._on_stage,
            SnapshotRead: self._on_snapshot_read,
        }

    # --- in

    def take(self, event: Event, now: Instant) -> None:
        """Take an event; its effects come with the next rounds."""
        self._handlers[type(event)](event, now)

    def next_deadline(self) -> Instant | None:
        """Return when `handle_timers` is due."""
        return min(self._deadlines.values(), default=None)

    def handle_timers(self, now: Instant) -> None:
        """Let logs send again what nobody answered."""
        for partition, deadline in list(self._deadlines.items()):
            if now >= deadline:
                self._replicas[partition].log.handle_timer(now)
                self._touch(self._replicas[partition])

    def replicas(self) -> dict[PartitionId, PartitionLog]:
        """Return the logs that are open; for tests and metrics."""
        return {partition: replica.log for partition, replica in self._replicas.items()}

    def snapshot_point(self, partition: PartitionId) -> Snapshot | None:
        """Return what describes the state of a partition as it is in the file now."""
        replica = self._replicas.get(partition)
        return None if replica is None else replica.log.snapshot_point()

    @property
    def has_chores(self) -> bool:
        """Tell whether rows are left that a quiet moment may remove."""
        return bool(self._leftovers)

    # --- one round

    def work(self, now: Instant) -> bool:
        """Carry out one round; False when there was nothing to do.

        Raises `apsw.FullError` when the drive is full: nothing happened, and the same round is tried again by the next
        call. Any other `apsw.Error` leaves the outcome unknown: the file must not be touched again.
        """
        if not self._held:
            self._propose(now)
            self._collect()
        if not (self._held or self._founding or self._staging):
            return False
        self._commit()
        self._finish(now)
        return True

    def do_chore(self) -> None:
        """Remove a slice of rows that belong to nobody; raises as `work`."""
        if not self._leftovers:
            return
        self._begin(is_synced=False)
        more = self._stage.purge(self._leftovers[-1])
        self._connection.execute("COMMIT")
        if not more:
            self._leftovers.pop()

    def _propose(self, now: Instant) -> None:
        proposals, self._proposals = self._proposals, {}
        for partition, batch in proposals.items():
            replica = self._replica(partition)
            if replica is None:
                self._turn_away(batch, self._out_of_service(partition))
                continue
            commands: Any = tuple(item.command for item in batch)
            payload = _PAYLOAD.encode(commands)
            index = replica.log.propose([payload], now)
            if isinstance(index, int):
                replica.pending[index] = _Pending(replica.log.epoch, batch)
                self._touch(replica)
            else:
                self._turn_away(batch, index)

    def _collect(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for partition in dirty:
            replica = self._replicas.get(partition)
            if replica is not None and replica.log.has_ready:
                ready = replica.log.take_ready()
                self._held.append((replica, ready))
                if _may_send_early(ready):
                    for message in ready.messages:
                        if isinstance(message, AppendRequest):
                            self._outlet.send(partition, message)

    def _commit(self) -> None:
        """One transaction for everything that is held; done again without what cannot be applied."""
        while True:
            self._answers = []
            try:
                self._attempt()
            except _PoisonError as poison:
                self._roll_back()
                self._poisoned.add(poison.at)
            except _DamagedError as damage:
                self._roll_back()
                self._give_up(damage.partition, str(damage))
            except apsw.FullError:
                self._roll_back()
                raise
            else:
                self._poisoned.clear()
                return

    def _attempt(self) -> None:
        is_synced = bool(self._founding) or any(ready.must_persist for _, ready in self._held)
        has_work = (
            is_synced
            or self._staging
            or any(ready.committed or ready.compact_to for _, ready in self._held)
        )
        if not has_work:
            return
        self._begin(is_synced=is_synced)
        for found in self._founding:
            self._log.found(found.memberships)
        for replica, ready in self._held:
            if ready.snapshot is not None:
                self._install(replica, ready.snapshot)
            self._log.persist(replica.partition, ready)
            if ready.committed:
                self._apply(replica, ready.committed)
        # After installations: the next copy must not disturb one that is about to take effect.
        for stage in self._staging:
            self._carry_out(stage)
        self._connection.execute("COMMIT")

    def _begin(self, *, is_synced: bool) -> None:
        if is_synced is not self._is_full_sync:
            level = "FULL" if is_synced else "NORMAL"
            # Takes effect when it is compiled, so that a cached statement would change nothing.
            self._connection.execute(f"PRAGMA synchronous={level}", can_cache=False)
            self._is_full_sync = is_synced
        self._connection.execute("BEGIN IMMEDIATE")

    def _roll_back(self) -> None:
        for replica in self._replicas.values():
            replica.applier = None
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _finish(self, now: Instant) -> None:
        """What follows COMMIT: send, answer, advance."""
        held, self._held = self._held, []
        founding, self._founding = self._founding, []
        staging, self._staging = self._staging, []
        for ticket, answer in self._answers:
            self._outlet.answer(ticket, answer)
        for callback in (*(f.done for f in founding), *(s.done for s in staging)):
            callback()
        for replica, ready in held:
            self._finish_ready(replica, ready, now)

    def _finish_ready(self, replica: _Replica, ready: Ready, now: Instant) -> None:
        partition, log = replica.partition, replica.log
        is_sent = _may_send_early(ready)
        for message in ready.messages:
            if not (is_sent and isinstance(message, AppendRequest)):
                self._outlet.send(partition, message)
        log.advance(ready)
        if ready.soft_state is not None:
            self._on_role(replica, now)
        self._on_reads(replica, ready)
        for target in ready.snapshots_wanted:
            self._outlet.copy(partition, target, log.snapshot_point())
        for entry in ready.committed:
            if log.config.is_hash_point(entry.index) and replica.applier is not None:
                log.report_state_hash(entry.index, replica.applier.state.state_hash)
        if log.is_diverged:
            self._give_up(partition, "its state differs from that of another replica")
            return
        self._touch(replica)

    def _on_role(self, replica: _Replica, now: Instant) -> None:
        log = replica.log
        if log.role is Role.LEADER:
            log.request_read(int(log.epoch), now)
            return
        replica.opening = None
        if log.role is Role.FOLLOWER:
            self._drop_pending(replica)
            self._outlet.report(SteppedDown(replica.partition, log.epoch))

    def _on_reads(self, replica: _Replica, ready: Ready) -> None:
        """The one read of an epoch tells when its leader has all that was acknowledged before it (rules 3 and 6)."""
        for read in ready.reads:
            if isinstance(read.context, int):
                replica.opening = (Epoch(read.context), read.index)
        if replica.opening is not None and replica.log.applied_index >= replica.opening[1]:
            epoch, _ = replica.opening
            replica.opening = None
            self._outlet.report(Serving(replica.partition, epoch, replica.log.membership))

    def _drop_pending(self, replica: _Replica) -> None:
        """What was proposed may be committed by the next leader: its outcome is unknown (trap T7)."""
        for pending in replica.pending.values():
            for ticket in pending.tickets:
                self._outlet.answer(ticket, DriveUnavailable("the outcome is unknown"))
        replica.pending.clear()

    # --- applying

    def _apply(self, replica: _Replica, entries: Sequence[Entry]) -> None:
        try:
            applier = self._applier(replica)
            for entry in entries:
                if entry.kind is EntryKind.COMMAND:
                    self._apply_commands(replica, applier, entry)
                elif entry.kind is EntryKind.MEMBERSHIP:
                    check(isinstance(entry.payload, bytes), "a membership is not encoded")
                    self._log.set_membership(replica.partition, bytes(entry.payload))  # type: ignore[call-overload]  # checked
                applier.state.applied = entry.index
            applier.state.epoch = max(applier.state.epoch, entries[-1].epoch)
            applier.state.flush()
        except Corrupt as error:
            raise _DamagedError(replica.partition, error) from error
        self.applied_count += len(entries)

    def _apply_commands(self, replica: _Replica, applier: Applier, entry: Entry) -> None:
        pending = replica.pending.get(entry.index)
        is_own = pending is not None and pending.epoch == entry.epoch
        commands = pending.commands if pending and is_own else _commands_of(entry)
        answers = [
            self._apply_command(applier, command, (replica.partition, entry.index, position))
            for position, command in enumerate(commands)
        ]
        applier.finish_entry(entry.index, max(command.at for command in commands))
        if pending is None:
            return
        if not is_own:
            answers = [DriveUnavailable("the outcome is unknown")] * len(pending.tickets)
        self._answers.extend(zip(pending.tickets, answers, strict=True))

    def _apply_command(self, applier: Applier, command: Command, at: _Refused) -> Answer:
        if at in self._poisoned:
            error = InvariantError("a command could not be applied")
            applier.refuse(command, error)
            return error
        try:
            return applier.answer(command)
        except Corrupt:
            raise
        except apsw.Error as error:
            if isinstance(error, FAULTS_OF_COMMAND):
                raise _PoisonError(at) from error
            raise
        except Exception as error:
            raise _PoisonError(at) from error

    def _applier(self, replica: _Replica) -> Applier:
        if replica.applier is None:
            replica.applier = Applier(self._connection, replica.partition, self._inline_ids)
        return replica.applier

    # --- snapshots

    def _carry_out(self, stage: Stage) -> None:
        if stage.piece is None:
            while self._stage.purge(staged(stage.partition)):
                pass
        else:
            self._stage.add(stage.partition, stage.piece)

    def _install(self, replica: _Replica, snapshot: Snapshot) -> None:
        if not self._stage.has_staged(replica.partition, snapshot.index):
            error = InvariantError("a snapshot is to be installed that is not there")
            raise _DamagedError(replica.partition, error)
        if self._stage.cursor_of(replica.partition) >= snapshot.index:
            error = InvariantError("a snapshot is to be installed that the rows have passed")
            raise _DamagedError(replica.partition, error)
        self._stage.install(replica.partition)
        self._leftovers.append(doomed(replica.partition))
        replica.applier = None

    # --- events

    def _on_proposal(self, event: Proposal, _now: Instant) -> None:
        self._proposals.setdefault(event.partition, []).append(event)

    def _on_deliver(self, event: Deliver, now: Instant) -> None:
        for partition, message in event.messages:
            replica = self._replica(partition)
            if replica is None or self._has_come_too_late(partition, message):
                continue
            try:
                replica.log.receive(message, now)
            except InvariantError as error:
                self._give_up(partition, str(error))
                continue
            self._touch(replica)

    def _has_come_too_late(self, partition: PartitionId, message: Message) -> bool:
        """Tell whether a message speaks of a copy that another one has displaced: it counts as lost."""
        return isinstance(message, InstallSnapshot) and not self._stage.has_staged(
            partition, message.snapshot.index
        )

    def _on_lead(self, event: Lead, now: Instant) -> None:
        replica = self._replica(event.partition)
        if replica is None:
            self._outlet.report(NotLed(event.partition, event.epoch, Epoch(0)))
            return
        log = replica.log
        if log.become_leader(event.epoch, now) is not None:
            self._outlet.report(NotLed(event.partition, event.epoch, log.epoch))
        self._touch(replica)

    def _on_told(self, event: Told, _now: Instant) -> None:
        replica = self._replicas.get(event.partition)
        if replica is not None:
            replica.log.observe_leader(event.epoch, event.leader)
            self._touch(replica)

    def _on_align(self, event: Align, now: Instant) -> None:
        replica = self._replica(event.partition)
        if replica is None or replica.log.role is not Role.LEADER:
            return
        log = replica.log
        change = next_change(
            log.membership,
            event.wanted,
            self.replica,
            has_caught_up=lambda peer: log.known_durable(peer) >= log.commit_index,
        )
        if change is not None:
            log.propose_change(change, now)
            self._touch(replica)
        is_done = change is None and set(log.membership.voters) == set(event.wanted)
        self._outlet.report(
            Aligned(event.partition, log.membership, is_done and not log.membership.learners)
        )

    def _on_found(self, event: Found, _now: Instant) -> None:
        self._founding.append(event)

    def _on_stage(self, event: Stage, _now: Instant) -> None:
        self._staging.append(event)

    def _on_snapshot_read(self, event: SnapshotRead, now: Instant) -> None:
        replica = self._replicas.get(event.partition)
        if replica is None:
            return
        if event.snapshot is None:
            replica.log.report_snapshot_failed(event.target, now)
        else:
            replica.log.send_snapshot(event.target, event.snapshot, now)
        self._touch(replica)

    # --- replicas

    def _replica(self, partition: PartitionId) -> _Replica | None:
        """Return a replica, opened if need be; None for one that is damaged."""
        replica = self._replicas.get(partition)
        if replica is not None or partition in self._damaged:
            return replica
        try:
            log = PartitionLog(
                LogConfig(replica=self.replica, snapshot_ms=SNAPSHOT_MS), self._log.load(partition)
            )
        except ObjstoreError as error:
            self._give_up(partition, str(error))
            return None
        replica = self._replicas[partition] = _Replica(partition, log)
        return replica

    def _give_up(self, partition: PartitionId, cause: str) -> None:
        self._damaged[partition] = cause
        self._deadlines.pop(partition, None)
        replica = self._replicas.pop(partition, None)
        self._held = [item for item in self._held if item[0].partition != partition]
        if replica is not None:
            self._drop_pending(replica)
        self._outlet.report(Damaged(partition, cause))

    def _touch(self, replica: _Replica) -> None:
        partition, log = replica.partition, replica.log
        self._dirty[partition] = None
        deadline = log.next_deadline()
        if deadline is None:
            self._deadlines.pop(partition, None)
        else:
            self._deadlines[partition] = deadline

    def _turn_away(self, batch: Sequence[Proposal], error: ObjstoreError) -> None:
        for item in batch:
            self._outlet.answer(item.ticket, error)

    def _out_of_service(self, partition: PartitionId) -> ObjstoreError:
        return DriveUnavailable("this replica is out of service", partition=partition)


def _may_send_early(ready: Ready) -> bool:
    return ready.hard_state is None and ready.snapshot is None and not ready.truncate_from


def _commands_of(entry: Entry) -> tuple[Command, ...]:
    return _PAYLOAD.decode(entry.payload if isinstance(entry.payload, bytes) else b"")
