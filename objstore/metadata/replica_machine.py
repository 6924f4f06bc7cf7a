"""All replicas of one catalogue file as one machine: events in; one transaction; messages, answers and reports out.

It drives the partition logs by the contract of `objstore.consensus.ready`: persist, send, apply, advance. A round takes
the Readies of all logs of the file that have one, and carries out persisting and applying in one transaction. The
machine has no thread and no clock of its own, so that tests can interleave several as they like.

Three things are faster than the contract, and safe:

* A leader's appends leave before its own COMMIT, unless the Ready carries a promise, a truncation or a snapshot. What
  the leader itself holds counts only after `advance`; a leader that dies before its COMMIT comes back as a replica that
  lacks the entry, and cannot propose in that epoch again.
* A follower promises that an entry is durable, not that it is applied. What is committed waits in `behind` until there is
  enough for one larger transaction, or a quiet moment, so that rows which every entry changes are written once. Whoever
  leads, or is about to, and whoever hands out a snapshot, has applied everything first.
* A transaction that only applies is committed without an fsync of its own. The entries are durable in this very file,
  earlier in the same WAL; the apply cursor moves with the state. After a power failure WAL recovery keeps a prefix, so
  that a lost transaction is applied again from the log. Nothing durable can be behind a lost one: the fsync that made
  it durable covers everything before it.

A command that fails for a reason of its own is answered `InvariantError`, on every replica alike. A damaged row is this
file's fault alone: the replica stops, the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from zlib import crc32

import apsw

from objstore.cluster.sqlite_file import lacks_room
from objstore.consensus import (
    Entry,
    EntryKind,
    Epoch,
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
from objstore.metadata.partition_replica import (
    DamagedError,
    PartitionReplica,
    Pending,
    PoisonError,
    Refused,
    commands_of,
    encode_commands,
    log_config,
)
from objstore.metadata.replica_events import (
    Align,
    Aligned,
    Damaged,
    Deliver,
    Event,
    Found,
    HandOver,
    HandOverReady,
    Lead,
    NotLed,
    Outlet,
    Proposal,
    Rejoined,
    Serving,
    SnapshotRead,
    Stage,
    SteppedDown,
    Told,
    Unreadable,
)
from objstore.metadata.replica_log import ReplicaLog
from objstore.metadata.replica_plan import next_change
from objstore.metadata.snapshot import SnapshotStage, doomed, staged
from objstore.metadata.sql_state import InlineIds
from objstore.model.errors import Corrupt, DriveUnavailable, InvariantError, ObjstoreError, check
from objstore.model.instant import Instant
from objstore.model.names import PartitionId

__all__ = ["ReplicaMachine"]

BEHIND_BYTES_MAX: Final = 8 * 1024 * 1024
BEHIND_PARTITIONS: Final = 64
"""Of all partitions of a file; bounds memory, and how long a takeover lasts."""


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
        self._replicas: dict[PartitionId, PartitionReplica] = {}
        self._damaged: dict[PartitionId, str] = {}
        self._dirty: dict[PartitionId, None] = {}
        self._deadlines: dict[PartitionId, Instant] = {}
        self._proposals: dict[PartitionId, list[Proposal]] = {}
        self._founding: list[Found] = []
        self._staging: list[Stage] = []
        self._held: list[tuple[PartitionReplica, Ready]] = []
        self._lagging: dict[PartitionId, PartitionReplica] = {}
        self._behind_bytes = 0
        self._applying: dict[PartitionId, PartitionReplica] = {}
        """Those that the transaction brings up to what is committed."""
        self._hashes: list[tuple[PartitionReplica, int, bytes]] = []
        self._patience = 1.0 + crc32(replica.encode()) % 64 / 64
        """Followers that apply at different times do not hold up a leader, who waits for one of them."""
        self._poisoned: set[Refused] = set()
        self._answers: list[tuple[object, Answer]] = []
        self._is_full_sync = True
        self.applied_count = 0
        self._handlers: dict[type[object], Callable[..., None]] = {
            Proposal: self._on_proposal,
            Deliver: self._on_deliver,
            Lead: self._on_lead,
            Told: self._on_told,
            Align: self._on_align,
            HandOver: self._on_hand_over,
            Rejoined: self._on_rejoined,
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
        """Return what describes the state of a partition as it is in the file now; None while it has to `catch_up`."""
        replica = self._replicas.get(partition)
        return None if replica is None or replica.behind else replica.log.snapshot_point()

    @property
    def has_chores(self) -> bool:
        """Tell whether rows are left that a quiet moment may remove."""
        return bool(self._leftovers)

    @property
    def is_behind(self) -> bool:
        """Tell whether there are committed entries that a quiet moment may apply."""
        return bool(self._lagging)

    # --- one round

    def work(self, now: Instant) -> bool:
        """Carry out one round; False when there was nothing to do.

        Raises `apsw.FullError` when the drive is full: nothing happened, and the same round is tried again by the next
        call. Any other `apsw.Error` leaves the outcome unknown: the file must not be touched again.
        """
        if not self._held:
            self._propose(now)
            self._collect()
        self._choose_to_apply()
        if not (self._held or self._founding or self._staging or self._applying):
            return False
        self._commit()
        self._finish(now)
        return True

    def catch_up(self, partition: PartitionId | None = None) -> None:
        """Have the next round apply what waits in a partition, or in one of those that wait."""
        if partition is None:
            partition = next(iter(self._lagging), None)
        if partition in self._lagging:
            self._applying[partition] = self._lagging[partition]

    def do_chore(self) -> None:
        """Remove a slice of rows that belong to nobody, if `has_chores`; raises as `work`."""
        self._begin(is_synced=False)
        try:
            more = self._stage.purge(self._leftovers[-1])
            self._connection.execute("COMMIT")
        except apsw.FullError:
            self._roll_back()
            raise
        if not more:
            self._leftovers.pop()

    def _propose(self, now: Instant) -> None:
        proposals, self._proposals = self._proposals, {}
        for partition, batch in proposals.items():
            replica = self._replica(partition)
            if replica is None:
                cause = DriveUnavailable("this replica is out of service", partition=partition)
                self._turn_away(batch, cause)
                continue
            commands: Any = tuple(item.command for item in batch)
            index = replica.log.propose([encode_commands(commands)], now)
            if isinstance(index, int):
                replica.pending[index] = Pending(replica.log.epoch, batch)
                self._touch(replica)
            else:
                self._turn_away(batch, index)

    def _collect(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for partition in dirty:
            replica = self._replicas.get(partition)
            if replica is not None and replica.log.has_ready:
                ready = replica.log.take_ready()
                self._note(replica, ready)
                self._held.append((replica, ready))
                if ready.may_send_appends_early:
                    for message in ready.messages:
                        if isinstance(message, AppendRequest):
                            self._outlet.send(partition, message)

    def _choose_to_apply(self) -> None:
        """Whoever does not follow applies at once, and who has to show its state; others when enough has come together."""
        if self._behind_bytes > BEHIND_BYTES_MAX or len(self._lagging) > BEHIND_PARTITIONS:
            self._applying.update(self._lagging)
            return
        for replica, ready in self._held:
            if replica.behind and (
                replica.log.role is not Role.FOLLOWER
                or ready.snapshots_wanted
                or replica.is_far_behind(self._patience)
            ):
                self._applying[replica.partition] = replica

    def _commit(self) -> None:
        """One transaction for everything that is held; done again without what cannot be applied."""
        while True:
            self._answers, self._hashes = [], []
            try:
                self._attempt()
            except PoisonError as poison:
                self._roll_back()
                self._poisoned.add(poison.at)
            except DamagedError as damage:
                self._roll_back()
                self._give_up(damage.partition, str(damage))
            except apsw.Error as error:
                if not lacks_room(error):
                    raise
                self._roll_back()
                raise apsw.FullError("no room for a round") from error
            else:
                self._poisoned.clear()
                return

    def _attempt(self) -> None:
        is_synced = bool(self._founding) or any(ready.must_persist for _, ready in self._held)
        if not (is_synced or self._staging or self._applying):
            return
        self._begin(is_synced=is_synced)
        for found in self._founding:
            self._log.found(found.memberships)
        for replica, ready in self._held:
            if ready.snapshot is not None:
                self._install(replica, ready.snapshot)
            self._log.persist(replica.partition, ready)
        for replica in self._applying.values():
            self._apply(replica, replica.behind)
            if replica.is_compaction_due:
                self._log.compact(replica.partition, replica.compact_to)
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
        applied, self._applying = self._applying, {}
        founding, self._founding = self._founding, []
        staging, self._staging = self._staging, []
        answers, self._answers = self._answers, []
        for ticket, answer in answers:
            self._outlet.answer(ticket, answer)
        for replica in applied.values():
            self._note_applied(replica)
        for found in founding:
            found.done()
        for stage in staging:
            stage.done(self._stage.hears(stage.partition, stage.copy))
        for replica, ready in held:
            self._finish_ready(replica, ready, now)
        self._compare_hashes()
        for replica, _ in held:
            if replica.log.is_diverged:
                self._give_up(replica.partition, "its state differs from that of another replica")

    def _note(self, replica: PartitionReplica, ready: Ready) -> None:
        before_bytes = replica.behind_bytes
        replica.note(ready)
        self._behind_bytes += replica.behind_bytes - before_bytes
        if replica.behind:
            self._lagging[replica.partition] = replica
        else:
            self._lagging.pop(replica.partition, None)

    def _note_applied(self, replica: PartitionReplica) -> None:
        self._behind_bytes -= replica.behind_bytes
        replica.note_applied()
        self._lagging.pop(replica.partition, None)

    def _finish_ready(self, replica: PartitionReplica, ready: Ready, now: Instant) -> None:
        partition, log = replica.partition, replica.log
        is_sent = ready.may_send_appends_early
        for message in ready.messages:
            if not (is_sent and isinstance(message, AppendRequest)):
                self._outlet.send(partition, message)
        log.advance(ready)
        if ready.soft_state is not None:
            self._on_role(replica, now)
        self._on_reads(replica, ready)
        if ready.hand_over_to:
            self._outlet.report(HandOverReady(partition, log.epoch, ready.hand_over_to))
        for target in ready.snapshots_wanted:
            self._outlet.copy(partition, target, log.snapshot_point())
        self._touch(replica)

    def _compare_hashes(self) -> None:
        """Tell the logs what their states are; a difference shows when the other side's digest is there, too."""
        hashes, self._hashes = self._hashes, []
        for replica, index, digest in hashes:
            replica.log.report_state_hash(index, digest)
            if replica.log.is_diverged:
                self._give_up(replica.partition, "its state differs from that of another replica")
            else:
                self._touch(replica)

    def _on_role(self, replica: PartitionReplica, now: Instant) -> None:
        log = replica.log
        if log.role is Role.LEADER:
            log.request_read(int(log.epoch), now)
            return
        replica.opening = None
        if log.role is Role.FOLLOWER:
            self._drop_pending(replica)
            self._outlet.report(SteppedDown(replica.partition, log.epoch))

    def _on_reads(self, replica: PartitionReplica, ready: Ready) -> None:
        """The one read of an epoch tells when its leader has all that was acknowledged before it (rules 3 and 6)."""
        for read in ready.reads:
            if isinstance(read.context, int):
                replica.opening = (Epoch(read.context), read.index)
        if replica.opening is not None and replica.log.applied_index >= replica.opening[1]:
            epoch, _ = replica.opening
            replica.opening = None
            self._outlet.report(Serving(replica.partition, epoch, replica.log.membership))

    def _drop_pending(self, replica: PartitionReplica) -> None:
        """What was proposed may be committed by the next leader: its outcome is unknown (trap T7)."""
        for pending in replica.pending.values():
            for ticket in pending.tickets:
                self._outlet.answer(ticket, DriveUnavailable("the outcome is unknown"))
        replica.pending.clear()

    # --- applying

    def _apply(self, replica: PartitionReplica, entries: Sequence[Entry]) -> None:
        try:
            applier = self._applier(replica)
            for entry in entries:
                if entry.kind is EntryKind.COMMAND:
                    self._apply_commands(replica, applier, entry)
                elif entry.kind is EntryKind.MEMBERSHIP:
                    check(isinstance(entry.payload, bytes), "a membership is not encoded")
                    self._log.set_membership(replica.partition, bytes(entry.payload))  # type: ignore[call-overload]  # checked
                applier.state.applied = entry.index
                if replica.log.config.is_hash_point(entry.index):
                    self._hashes.append((replica, entry.index, applier.state.state_hash))
            applier.state.epoch = max(applier.state.epoch, entries[-1].epoch)
            applier.state.flush()
        except Corrupt as error:
            raise DamagedError(replica.partition, error) from error
        self.applied_count += len(entries)

    def _apply_commands(self, replica: PartitionReplica, applier: Applier, entry: Entry) -> None:
        pending = replica.pending.get(entry.index)
        is_own = pending is not None and pending.epoch == entry.epoch
        commands = pending.commands if pending and is_own else commands_of(entry)
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

    def _apply_command(self, applier: Applier, command: Command, at: Refused) -> Answer:
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
                raise PoisonError(at) from error
            raise
        except Exception as error:
            raise PoisonError(at) from error

    def _applier(self, replica: PartitionReplica) -> Applier:
        if replica.applier is None:
            replica.applier = Applier(self._connection, replica.partition, self._inline_ids)
        return replica.applier

    # --- snapshots

    def _carry_out(self, stage: Stage) -> None:
        if stage.piece is not None:
            self._stage.add(stage.partition, stage.copy, stage.piece)
            return
        self._stage.begin(stage.partition, stage.copy)
        # Rows of this number were left by an earlier run of the process; from now on they are the copy's.
        self._leftovers = [n for n in self._leftovers if n != staged(stage.partition)]

    def _install(self, replica: PartitionReplica, snapshot: Snapshot) -> None:
        if not self._stage.has_staged(replica.partition, snapshot.index):
            error = InvariantError("a snapshot is to be installed that is not there")
            raise DamagedError(replica.partition, error)
        if self._stage.cursor_of(replica.partition) >= snapshot.index:
            error = InvariantError("a snapshot is to be installed that the rows have passed")
            raise DamagedError(replica.partition, error)
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

    def _on_hand_over(self, event: HandOver, now: Instant) -> None:
        replica = self._replicas.get(event.partition)
        if replica is not None and replica.log.hand_over(event.target, now) is None:
            self._touch(replica)

    def _on_rejoined(self, event: Rejoined, now: Instant) -> None:
        """Tell followers what is committed: one that began anew may have forgotten what it said to know of that."""
        replica = self._replicas.get(event.partition)
        if replica is not None and replica.log.request_read(None, now) is None:  # its round says so
            self._touch(replica)

    def _on_found(self, event: Found, _now: Instant) -> None:
        self._founding.append(event)

    def _on_stage(self, event: Stage, _now: Instant) -> None:
        self._staging.append(event)

    def _on_snapshot_read(self, event: SnapshotRead, now: Instant) -> None:
        if event.damage is not None:
            self._outlet.report(Unreadable(event.partition, event.damage))
        replica = self._replicas.get(event.partition)
        if replica is None:
            return
        if event.snapshot is None:
            replica.log.report_snapshot_failed(event.target, now)
        else:
            replica.log.send_snapshot(event.target, event.snapshot, now)
        self._touch(replica)

    # --- replicas

    def _replica(self, partition: PartitionId) -> PartitionReplica | None:
        """Return a replica, opened if need be; None for one that is damaged."""
        replica = self._replicas.get(partition)
        if replica is not None or partition in self._damaged:
            return replica
        try:
            log = PartitionLog(log_config(self.replica), self._log.load(partition))
        except ObjstoreError as error:
            self._give_up(partition, str(error))
            return None
        replica = self._replicas[partition] = PartitionReplica(partition, log)
        return replica

    def _give_up(self, partition: PartitionId, cause: str) -> None:
        self._damaged[partition] = cause
        self._deadlines.pop(partition, None)
        replica = self._replicas.pop(partition, None)
        self._held = [item for item in self._held if item[0].partition != partition]
        lagging = self._lagging.pop(partition, None)
        self._behind_bytes -= 0 if lagging is None else lagging.behind_bytes
        self._applying.pop(partition, None)
        if replica is not None:
            self._drop_pending(replica)
        self._outlet.report(Damaged(partition, cause))

    def _touch(self, replica: PartitionReplica) -> None:
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
