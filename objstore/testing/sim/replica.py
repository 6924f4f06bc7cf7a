"""The driver of one simulated replica: the same contract as the real one (persist, send, apply, advance), with faults.

A process that crashes comes back from its disk. What can go wrong between any two steps of the contract does: a
Ready is lost before it is persisted, persisted and never sent, sent and never applied, applied and lost again.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from objstore.consensus import (
    Entry,
    Epoch,
    LogConfig,
    Membership,
    MembershipChange,
    Message,
    PartitionLog,
    Ready,
    ReplicaId,
    Snapshot,
    decode_membership,
)
from objstore.consensus.describe import describe_message, describe_ready
from objstore.consensus.messages import COMMAND, MEMBERSHIP, AppendRequest
from objstore.consensus.ready import LEADER
from objstore.model.errors import CorruptRecord, InvariantError
from objstore.model.instant import Instant
from objstore.testing.sim.checkers import Violation
from objstore.testing.sim.disk import Applied, Disk
from objstore.testing.sim.machine import Answer

if TYPE_CHECKING:
    from objstore.testing.sim.clients import Attempt
    from objstore.testing.sim.cluster import Cluster

__all__ = ["CrashPoint", "SimReplica"]

READIES_MAX = 500
"""In one event; more is a loop."""


class CrashPoint(Enum):
    """Where in the contract a planned crash strikes."""

    AT_ONCE = "at once"
    BEFORE_SEND = "persisted, not sent"
    BEFORE_APPLY = "sent, not applied"
    BEFORE_ADVANCE = "applied, not advanced"


class SimReplica:
    """One life after another of one store."""

    __slots__ = (
        "_batching_ms",
        "_hash_every",
        "_network",
        "_reads",
        "_ready",
        "_sends_early",
        "_sent_early",
        "_trace",
        "_waiting",
        "applied",
        "checkers",
        "clock_offset_ms",
        "cluster",
        "config",
        "crash_point",
        "disk",
        "drives_at",
        "is_up",
        "latest",
        "life",
        "log",
        "loop",
        "machine",
        "membership",
        "name",
        "paused_until",
        "timer_at",
    )

    log: PartitionLog

    def __init__(self, cluster: Cluster, config: LogConfig, disk: Disk) -> None:
        self.cluster, self.config, self.disk = cluster, config, disk
        self.name: ReplicaId = config.replica
        self.loop, self.checkers = cluster.loop, cluster.checkers
        self._network, self._trace = cluster.network, cluster.trace
        self._batching_ms, self._sends_early = cluster.plan.batching_ms, cluster.plan.sends_early
        self._hash_every = config.state_hash_every
        self.life = 0
        self.is_up = False
        self.clock_offset_ms = 0
        self.latest = Instant(0)
        self.paused_until = 0
        self.crash_point: CrashPoint | None = None

    # --- life and death -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process from its disk; a store that cannot be read is lost."""
        if self.is_up or self.disk.is_lost:
            return
        try:
            state = self.disk.load()
        except CorruptRecord:
            self.cluster.lose(self)
            return
        self.checkers.written(self.disk.entries, self.disk.compacted[1])
        self.log = self.cluster.parts.log(self.config, state)
        self.machine = self.disk.machine.copy()
        self.applied = state.applied
        self.membership: Membership = state.membership
        self.is_up = True
        self.life += 1
        self._ready: Ready | None = None
        self._waiting: dict[int, tuple[int, Attempt]] = {}
        self._reads: list[tuple[int, Attempt]] = []
        self._sent_early = False
        self.timer_at = 0
        self.drives_at = -1
        self.crash_point = None
        self._note("starts")
        self._drive()

    def crash(self, *, may_keep: bool) -> None:
        """End the process; what its disk did not sync is lost, or torn."""
        if self.is_up:
            self._note("crashes")
            self.is_up = False
            self.life += 1
            self.disk.crash(self.cluster.disk_random, may_keep=may_keep)

    def now(self) -> Instant:
        """Read the local clock: it is off and it jumps, but the driver never hands in less than before."""
        time = self.loop.now + self.clock_offset_ms
        if time > self.latest:
            self.latest = Instant(time)
        return self.latest

    @property
    def is_leading(self) -> bool:
        """Tell whether the process is up and believes that it leads."""
        return self.is_up and self.log.role is LEADER

    # --- in -------------------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Take a message from the network."""
        if not self.is_up:
            return
        loop = self.loop
        if self.paused_until > loop.now:
            loop.at(self.paused_until, self.receive, message)
            return
        if self._trace is not None:
            self._trace.note(loop.now, describe_message(message))
        time = loop.now + self.clock_offset_ms
        if time > self.latest:
            self.latest = Instant(time)
        self.log.receive(message, self.latest)
        self._wake()

    def name_leader(self, epoch: Epoch) -> None:
        """Hear from the control store that this replica was named; in the quiet, namings are not doubled any more."""
        control = self.cluster.control
        if self.cluster.is_quiet and (control.epoch, control.leader) != (epoch, self.name):
            return
        if self._is_awake(self.name_leader, epoch):
            self._note(f"is named leader of epoch {epoch}")
            self.log.become_leader(epoch, self.now())
            self._wake()

    def hear_of_leader(self, epoch: Epoch, leader: ReplicaId) -> None:
        """Hear from the control store that another replica was named; in the quiet, only of who is named now."""
        control = self.cluster.control
        if self.cluster.is_quiet and (control.epoch, control.leader) != (epoch, leader):
            return
        if self._is_awake(self.hear_of_leader, epoch, leader):
            self.log.observe_leader(epoch, leader)
            self._wake()

    def submit(self, payload: bytes, attempt: Attempt | None) -> bool:
        """Propose a command; tell whether it was taken."""
        if not self.is_up or self.paused_until > self.loop.now:
            return False
        index = self.log.propose([payload], self.now())
        if not isinstance(index, int):
            return False
        if attempt is not None:
            self._waiting[index] = (self.log.epoch, attempt)
        self._wake()
        return True

    def ask(self, attempt: Attempt) -> bool:
        """Ask for a read; tell whether it was taken."""
        if not self.is_up or self.paused_until > self.loop.now:
            return False
        if self.log.request_read(attempt, self.now()) is not None:
            return False
        self._wake()
        return True

    def change(self, change: MembershipChange) -> None:
        """Propose a change of the membership."""
        if self.is_up and self.paused_until <= self.loop.now:
            self.log.propose_change(change, self.now())
            self._wake()

    def hand_over_to(self, target: ReplicaId) -> None:
        """Plan a hand-over."""
        if self.is_up and self.paused_until <= self.loop.now:
            self.log.hand_over(target, self.now())
            self._wake()

    def _is_awake(self, action: object, *arguments: object) -> bool:
        """Tell whether something may happen here now; a paused process does it later."""
        if self.is_up and self.paused_until > self.loop.now:
            self.loop.at(self.paused_until, action, *arguments)  # type: ignore[arg-type]
            return False
        return self.is_up

    # --- the contract ---------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Drive now, or a little later together with what else comes."""
        if not self._batching_ms:
            if self._ready is None:
                self._drive()
        elif self.drives_at < self.loop.now:
            self.drives_at = self.loop.now + self._batching_ms
            self.loop.at(self.drives_at, self._drive_later, self.life)

    def _drive_later(self, life: int) -> None:
        if life != self.life:
            return
        if self.paused_until > self.loop.now:
            self.loop.at(self.paused_until, self._drive_later, life)
            return
        self.drives_at = -1
        if self._ready is None:
            self._drive()

    def _drive(self) -> None:
        """Take Readies until there is nothing to do, or until one waits for its sync."""
        log = self.log
        readies = 0
        while self._ready is None and log.has_ready:
            readies += 1
            if readies > READIES_MAX:
                raise Violation("liveness", f"{self.name} never stops asking for a Ready")
            ready = self._ready = log.take_ready()
            if self._trace is not None:
                text = f"{self.name} ready\n{describe_ready(ready)}"
                self._trace.note(self.loop.now, text)
            if ready.soft_state is not None:
                self._role_changed()
            if ready.must_persist:
                self.persist(ready)
                return
            self._finish(ready)
        if self._ready is None and self.is_up:
            self.arm_timer()

    def _role_changed(self) -> None:
        if self.log.role is LEADER:
            self.checkers.leading(self.log)
        else:
            self._drop_waiting()

    def persist(self, ready: Ready) -> None:
        """Step 1: one transaction, and its sync."""
        disk, now = self.disk, self.loop.now
        if (
            self._sends_early
            and ready.messages
            and not self._sent_early
            and ready.may_send_appends_early
        ):
            early = [message for message in ready.messages if isinstance(message, AppendRequest)]
            if early:
                if ready.entries:
                    self._check_written(ready)
                self._network.send(early)
                self._sent_early = True
        if disk.full_until > now:
            self._note("has no space")
            self.loop.at(disk.full_until, self._persist_again, self.life)
            return
        disk.write(ready)
        begins = max(now, disk.slow_until)
        self.loop.at(begins + self.cluster.sync_latency_ms(), self._synced, self.life)

    def _check_written(self, ready: Ready) -> None:
        """Entries are there for others to see: durable, or on their way."""
        self.checkers.written(ready.entries, self.disk.epoch_before(ready))

    def _persist_again(self, life: int) -> None:
        if life == self.life and self._ready is not None:
            self.persist(self._ready)

    def _synced(self, life: int) -> None:
        """The sync is over: go on, unless it failed."""
        ready, disk = self._ready, self.disk
        if life != self.life or ready is None:
            return
        if self.paused_until > self.loop.now:
            self.loop.at(self.paused_until, self._synced, life)
            return
        if disk.fails_next_sync:
            self.sync_failed()
            return
        if ready.entries:
            self._check_written(ready)
        disk.sync()
        if self.crash_point is not None and self._crashes_at(CrashPoint.BEFORE_SEND):
            return
        self._finish(ready)
        if self.is_up:
            self._drive()

    def sync_failed(self) -> None:
        """A failed sync ends the process: what was written may be there or not, and nobody is answered."""
        self.disk.fails_next_sync = False
        self._note("gets an I/O error")
        self.crash(may_keep=True)
        self.cluster.restart_later(self)

    def _crashes_at(self, point: CrashPoint) -> bool:
        if self.crash_point is not point:
            return False
        self.crash(may_keep=self.cluster.plan.tears_batches)
        self.cluster.restart_later(self)
        return True

    def _finish(self, ready: Ready) -> None:
        """Steps 2 to 4."""
        if self._sent_early:
            self._sent_early = False
            self._network.send([m for m in ready.messages if not isinstance(m, AppendRequest)])
        elif ready.messages:
            self._network.send(ready.messages)
        if self.crash_point is not None and self._crashes_at(CrashPoint.BEFORE_APPLY):
            return
        if ready.snapshot is not None:
            self._install(ready.snapshot)
        if ready.committed or ready.compact_to:
            self.apply(ready)
        if self.crash_point is not None and self._crashes_at(CrashPoint.BEFORE_ADVANCE):
            return
        self._ready = None
        self.log.advance(ready)
        if self.log.is_diverged:
            raise Violation("state hash", f"{self.name} was told of another digest")
        if self._reads or ready.reads or ready.reads_dropped:
            self._answer_reads(ready)
        if ready.hand_over_to or ready.snapshots_wanted:
            self._serve(ready)

    def _install(self, snapshot: Snapshot) -> None:
        self.machine = snapshot.data.copy()  # type: ignore[attr-defined]
        self.applied, self.membership = snapshot.index, snapshot.membership
        self.checkers.hashed(self.name, snapshot.index, self.machine.digest)

    # --- applying and answering -----------------------------------------------------------------------

    def apply(self, ready: Ready) -> None:
        """Step 3: state, cursor and answers in one transaction, in order."""
        for entry in ready.committed:
            self.applied += 1
            if entry.index != self.applied:
                text = f"{self.name} applies {entry.index} instead of {self.applied}"
                raise Violation("committed", text)
            self.apply_entry(entry)
        if ready.committed:
            self.checkers.last_commit_at = self.loop.now
        state = Applied(self.applied, self.membership, self.machine.copy(), ready.compact_to)
        self.disk.write(state)

    def apply_entry(self, entry: Entry) -> None:
        """Apply one entry and answer whoever waits for it."""
        checkers = self.checkers
        checkers.applied(entry, self.log, self.membership)
        payload, answer = entry.payload, None
        if not isinstance(payload, bytes):
            raise InvariantError("a payload of a replicated log is bytes")
        if entry.kind is COMMAND:
            answer = self.machine.apply(payload)
            if self.machine.fresh_op_id:
                checkers.done(self.name, self.machine.fresh_op_id, entry.index)
        elif entry.kind is MEMBERSHIP:
            self.membership = decode_membership(payload)
        digest = self.machine.roll(entry.index, entry.epoch, payload, answer)
        checkers.hashed(self.name, entry.index, digest)
        if not entry.index % self._hash_every:
            self.log.report_state_hash(entry.index, digest.to_bytes(8, "big"))
        if self._waiting and answer is not None:
            self._answer(entry, answer)

    def _answer(self, entry: Entry, answer: Answer) -> None:
        waiting = self._waiting.pop(entry.index, None)
        if waiting is None:
            return
        epoch, attempt = waiting
        if epoch == entry.epoch:
            self.checkers.acknowledged = max(self.checkers.acknowledged, entry.index)
            attempt.client.answered(attempt, answer)
        else:
            attempt.client.failed(attempt)

    def _drop_waiting(self) -> None:
        """Leadership is lost: every outcome that waits is unknown."""
        waiting, self._waiting = self._waiting, {}
        for _, attempt in waiting.values():
            attempt.client.failed(attempt)

    def _answer_reads(self, ready: Ready) -> None:
        for read in ready.reads:
            self._reads.append((read.index, read.context))  # type: ignore[arg-type]
        for context in ready.reads_dropped:
            context.client.failed(context)  # type: ignore[attr-defined]
        if not self._reads:
            return
        applied = self.applied
        due = [attempt for index, attempt in self._reads if index <= applied]
        if due:
            self._reads = [read for read in self._reads if read[0] > applied]
        for attempt in due:
            self.checkers.read(attempt.asked_after, applied)
            attempt.client.answered(attempt, self.machine.get(attempt.command.key))

    def _serve(self, ready: Ready) -> None:
        if ready.hand_over_to:
            self.cluster.control.hand_over(ready.hand_over_to)
        for target in ready.snapshots_wanted:
            snapshot = self.log.snapshot_point(self.machine.copy())
            if snapshot.index == self.applied:
                self.log.send_snapshot(target, snapshot, self.now())

    # --- time -----------------------------------------------------------------------------------------

    def arm_timer(self) -> None:
        """Have the core's timer handled when it is due by the local clock."""
        deadline = self.log.next_deadline()
        if deadline is None:
            return
        now = self.loop.now
        time = deadline - self.clock_offset_ms
        if time <= now:
            time = now + 1
        if self.timer_at <= now or time < self.timer_at:
            self.timer_at = time
            self.loop.at(time, self._ring, self.life)

    def _ring(self, life: int) -> None:
        if life == self.life and self._is_awake(self._ring, life):
            if self.timer_at <= self.loop.now:
                self.timer_at = 0
            self.log.handle_timer(self.now())
            if self._ready is None:
                self._drive()
            self.arm_timer()

    def _note(self, text: str) -> None:
        if self._trace is not None:
            self._trace.note(self.loop.now, f"{self.name} {text}")
