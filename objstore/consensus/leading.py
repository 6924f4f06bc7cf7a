"""What the leader of an epoch does: propose, replicate, commit, confirm reads, change membership, hand over.

Entries are put into messages when a Ready is taken, so that all proposals between two Readies travel together, and
a read round is one empty append to everybody that all reads of the moment share. A log in which every follower has
everything and knows it sends nothing and has no timer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from objstore.consensus.following import Following
from objstore.consensus.membership import (
    NO_REPLICA,
    ChangeKind,
    Membership,
    MembershipChange,
    ReplicaId,
    encode_membership,
)
from objstore.consensus.messages import (
    AppendReply,
    AppendRequest,
    Entry,
    EntryKind,
    EpochRefused,
    InstallSnapshot,
    Snapshot,
    StateHash,
)
from objstore.consensus.progress import REPLICATE, SNAPSHOT, Progress
from objstore.consensus.quorum import has_majority, majority_index
from objstore.consensus.ready import CANDIDATE, FOLLOWER, LEADER, LogConfig, LogState, ReadState
from objstore.model.errors import InvariantError, NotLeader, OperationAborted, SlowDown, check
from objstore.model.instant import Instant

__all__ = ["Leading", "Rejection"]

Rejection = NotLeader | SlowDown | OperationAborted
"""Why a proposal was not taken, as a value; nothing of it happened, so it may be raised and retried."""


class Leading(Following):
    """The half of a replica that acts while it leads."""

    __slots__ = (
        "_durable",
        "_handover_deadline",
        "_handover_ready",
        "_handover_target",
        "_handover_told",
        "_inflight_bytes",
        "_now",
        "_opening_index",
        "_progress",
        "_reads_waiting",
        "_resend_at",
        "_round",
        "_rounds",
    )

    def __init__(self, config: LogConfig, state: LogState) -> None:
        super().__init__(config, state)
        self._durable = self._log.last_index
        self._opening_index = 0
        self._progress: dict[ReplicaId, Progress] = {}
        self._inflight_bytes = 0
        self._round = 0
        self._reads_waiting: list[object] = []
        self._rounds: deque[tuple[int, int, list[object]]] = deque()
        self._handover_target = NO_REPLICA
        self._handover_deadline = Instant(0)
        self._handover_ready = NO_REPLICA
        self._handover_told = False
        self._resend_at: Instant | None = None
        self._now = Instant(0)

    def followers(self) -> Iterable[tuple[ReplicaId, Progress]]:
        """Return what a leader believes about the others, in order of name; for drawings and metrics."""
        return sorted(self._progress.items())

    def known_durable(self, replica: ReplicaId) -> int:
        """Return up to where a replica's log is known to be durable and equal to the leader's."""
        return self._match_of(replica)

    # --- proposing ------------------------------------------------------------------------------------

    def propose(self, payloads: Sequence[object], now: Instant) -> int | Rejection:
        """Append payloads to the log and return the index of the first, or tell why not.

        The outcome of entry `index` is known when an entry of this epoch at that index is applied. If leadership
        is lost before, it is unknown (trap T7).
        """
        if self._role is not LEADER or self._handover_target:
            return self._not_leader()
        first = self._log.last_index + 1
        size_bytes = 0
        for payload in payloads:
            if isinstance(payload, bytes):
                size_bytes += len(payload)
        if self._is_overloaded(len(payloads), size_bytes):
            return SlowDown()
        check(payloads, "a proposal needs a payload")
        epoch = self._epoch
        self._log.append(
            [Entry(epoch, index, payload) for index, payload in enumerate(payloads, first)]
        )
        self._inflight_bytes += size_bytes
        self._open_work(now)
        return first

    def _not_leader(self) -> NotLeader:
        if self._handover_target:
            return NotLeader("leadership is being handed over", leader=self._handover_target)
        if self._role is CANDIDATE:
            return NotLeader("the takeover is not finished", leader=self.replica)
        return NotLeader(leader=self.leader)

    def _is_overloaded(self, entries: int, size_bytes: int) -> bool:
        """Trap T17: what waits is bounded in entries and bytes; one batch alone always fits the latter."""
        waiting = self._log.last_index - self._applied
        return waiting + entries > self.config.inflight_entries_max or (
            self._inflight_bytes > 0
            and self._inflight_bytes + size_bytes > self.config.inflight_bytes_max
        )

    # --- rule 5: commit -------------------------------------------------------------------------------

    def _match_of(self, replica: ReplicaId) -> int:
        """Return what is known to be durable on a replica."""
        if replica == self.replica:
            return self._durable
        progress = self._progress.get(replica)
        return 0 if progress is None else progress.match

    def _try_commit(self) -> None:
        index = majority_index(self._membership.voters, self._match_of)
        if index > self._commit and self._may_commit(index):
            self._commit_to(index)

    def _may_commit(self, index: int) -> bool:
        """Rule 5: only an entry of the own epoch is committed by counting; older ones follow with it."""
        return self._log.epoch_at(index) == self._epoch

    @property
    def _has_opened(self) -> bool:
        """Tell whether the no-op of the own epoch is committed (rule 3)."""
        return self._role is LEADER and self._commit >= self._opening_index

    # --- replication ----------------------------------------------------------------------------------

    def _reset_progress(self, *, probe_next: int) -> None:
        """Follow the membership in force: new peers are probed from there, others keep their progress."""
        peers = self.membership.peers_of(self.replica)
        self._progress = {
            peer: self._progress.get(peer) or Progress(next_index=probe_next) for peer in peers
        }

    def _has_something_to_send(self) -> bool:
        if self._reads_waiting and not self._rounds:
            return True
        last, window, current = self._log.last_index, self.config.window_entries, self._round
        for progress in self._progress.values():
            if progress.must_hear or progress.round_sent < current:
                return True
            if progress.next <= last and progress.room(window) > 0:
                return True
        return False

    def _fill_appends(self) -> None:
        """Put everything that may be sent into messages."""
        last, current = self._log.last_index, self._round
        for peer, progress in self._progress.items():
            if progress.next <= last or progress.round_sent < current or progress.must_hear:
                self._fill_append(peer, progress)

    def _needed_after(self) -> int:
        """Return up to where all followers that are up have everything."""
        matches = [
            progress.match for progress in self._progress.values() if progress.state is REPLICATE
        ]
        return min(matches, default=self._applied)

    def _fill_append(self, peer: ReplicaId, progress: Progress) -> None:
        log, window = self._log, self.config.window_entries
        while progress.next <= log.last_index:
            room = progress.room(window)
            if room <= 0:
                break
            if progress.next <= log.compacted_index:
                self._want_snapshot(peer, progress)
                break
            self._send_append(peer, progress, entries_max=room)
        if progress.must_hear or progress.round_sent < self._round:
            self._send_append(peer, progress, entries_max=0)

    def _send_append(self, peer: ReplicaId, progress: Progress, *, entries_max: int) -> None:
        """Send entries, or an empty append where `entries_max` is 0."""
        log, config = self._log, self.config
        previous = max(progress.next - 1, log.compacted_index)
        entries: tuple[Entry, ...] = ()
        if entries_max:
            entries = log.batch_after(
                previous,
                entries_max=min(entries_max, config.message_entries_max),
                bytes_max=config.message_bytes_max,
            )
        epoch = log.epoch_at(previous)
        if epoch is None:
            raise InvariantError("the entry before an append is not in the log")
        self._messages.append(
            AppendRequest(
                self.replica,
                peer,
                self._epoch,
                previous,
                epoch,
                self._commit,
                self._round,
                entries,
            )
        )
        progress.round_sent = self._round
        progress.must_hear = False
        if entries:
            progress.sent(entries[-1].index)

    def _on_append_reply(self, message: AppendReply, now: Instant) -> None:
        progress = self._progress.get(message.source)
        if self._role is not LEADER or message.epoch != self._epoch or progress is None:
            return
        if message.round > progress.round_acked:  # noqa: PLR1730 the hot path
            progress.round_acked = message.round
        if message.commit > progress.commit_known:  # noqa: PLR1730 the hot path
            progress.commit_known = message.commit
        if message.accepted:
            self._on_accepted(message, progress)
        elif message.index >= progress.match:
            self._on_conflict(message, progress)
        if self._rounds:
            self._confirm_reads()
        if self._handover_target:
            self._announce_handover()
        self._wake(now)

    def _on_accepted(self, message: AppendReply, progress: Progress) -> None:
        if message.index > self._log.last_index:
            raise InvariantError("a follower acknowledged what was never sent")
        if progress.accepted(message.index) and progress.match > self._commit:
            self._try_commit()

    def _on_conflict(self, message: AppendReply, progress: Progress) -> None:
        """Probe where the logs may agree; below the first entry held that means a snapshot."""
        found = self._log.find_conflict(index=message.index, epoch=message.hint_epoch)
        probe_next = self._log.compacted_index if found is None else found[0] + 1
        progress.refused(probe_next=probe_next)

    def _on_epoch_refused(self, message: EpochRefused, now: Instant) -> None:  # noqa: ARG002 one shape of handlers
        """Somebody promised a higher epoch: this one is over (rule 1)."""
        if message.epoch > self._epoch and self._role is not FOLLOWER:
            self._hint = (message.epoch, message.leader)
            self._become_follower("a replica has promised a higher epoch")

    # --- timers ---------------------------------------------------------------------------------------

    def _wake(self, now: Instant) -> None:
        """Arm the timer if anything is open, and let it rest otherwise; only a leader keeps progress of others."""
        self._now = now
        if self._progress and self._is_unsettled():
            if self._resend_at is None:
                self._resend_at = Instant(now + self.config.resend_ms)
        else:
            self._resend_at = None

    def _open_work(self, now: Instant) -> None:
        """Arm the timer for what was just opened and needs a follower's answer."""
        self._now = now
        if self._resend_at is None and self._progress:
            self._resend_at = Instant(now + self.config.resend_ms)

    def _is_unsettled(self) -> bool:
        if self._rounds or self._reads_waiting or self._handover_target:
            return True
        last, commit = self._log.last_index, self._commit
        for progress in self._progress.values():  # noqa: SIM110 the hot path
            if progress.match < last or progress.commit_known < commit:
                return True
        return False

    def _resend(self, now: Instant) -> None:
        """Nothing was heard for a while: probe whoever is behind, repeat rounds, end what takes too long."""
        for progress in self._progress.values():
            if progress.state is SNAPSHOT and now >= progress.snapshot_deadline:
                progress.snapshot_over()
            behind = progress.match < self._log.last_index
            if behind:
                progress.silent()
            progress.must_hear = (
                behind or progress.commit_known < self._commit or progress.round_acked < self._round
            )
        self._resend_at = None
        self._end_handover(now)
        self._wake(now)

    # --- rule 6: reads --------------------------------------------------------------------------------

    def request_read(self, context: object, now: Instant) -> NotLeader | SlowDown | None:
        """Ask that a read be confirmed; it comes back in `Ready.reads`, or in `Ready.reads_dropped`."""
        if self._role is not LEADER:
            return self._not_leader()
        if self._is_alone:
            self._reads.append(ReadState(context, self._read_index()))
            return None
        if len(self._reads_waiting) >= self.config.pending_reads_max:
            return SlowDown()
        self._reads_waiting.append(context)
        self._open_work(now)
        return None

    def _read_index(self) -> int:
        """Rules 3 and 6: a read waits for all that was committed, and at least for the no-op of the own epoch."""
        return max(self._commit, self._opening_index)

    def _open_round(self) -> None:
        """Give all reads of the moment to one round; the next one opens when this one is over."""
        if self._reads_waiting and not self._rounds:
            self._round += 1
            self._rounds.append((self._round, self._read_index(), self._reads_waiting))
            self._reads_waiting = []

    def _confirm_reads(self) -> None:
        while self._rounds and self._is_confirmed(self._rounds[0][0]):
            _, index, contexts = self._rounds.popleft()
            self._reads.extend(ReadState(context, index) for context in contexts)

    def _confirm_reads_alone(self) -> None:
        """Rule 6 for the only voter: nobody else's answer counts, so reads that waited for one are confirmed."""
        self._confirm_reads()
        self._open_round()
        self._confirm_reads()

    def _is_confirmed(self, round_number: int) -> bool:
        """Rule 6: a majority still obeyed this epoch after the round had begun."""
        agreed = [self.replica]
        for peer, progress in self._progress.items():
            if progress.round_acked >= round_number:
                agreed.append(peer)
        return has_majority(self._membership.voters, agreed)

    # --- rule 7: membership and snapshots -------------------------------------------------------------

    def propose_change(self, change: MembershipChange, now: Instant) -> int | Rejection:
        """Append a membership entry; it is in force at once, and final when it is committed."""
        if self._role is not LEADER or self._handover_target:
            return self._not_leader()
        refusal = self._change_refusal(change)
        if refusal:
            return OperationAborted(refusal, replica=change.replica)
        membership = change.applied_to(self.membership)
        if membership is None:
            return OperationAborted(
                "the change does not fit the membership", replica=change.replica
            )
        return self._append_membership(membership, now)

    def _append_membership(self, membership: Membership, now: Instant) -> int:
        index = self._log.last_index + 1
        payload = encode_membership(membership)
        self._append((Entry(self._epoch, index, payload, EntryKind.MEMBERSHIP),))
        self._inflight_bytes += len(payload)
        self._trace("membership", index=index, voters=",".join(membership.voters))
        self._reset_progress(probe_next=index)
        self._wake(now)
        return index

    def _change_refusal(self, change: MembershipChange) -> str:
        """Rule 7: one change at a time, after the own no-op, and only learners that caught up may vote."""
        if not self.is_replicated and self._applied < self._log.last_index:
            return "entries that were meant for nobody else are not applied yet"
        if not self._has_opened:
            return "the epoch has not committed its first entry"
        if self._memberships[-1][0] > self._commit:
            return "another change of the membership is not committed yet"
        if change.replica == self.replica:
            return "a leader cannot change its own membership: hand over first"
        if change.kind is ChangeKind.PROMOTE and self._match_of(change.replica) < self._commit:
            return "the learner has not caught up"
        return ""

    def _want_snapshot(self, peer: ReplicaId, progress: Progress) -> None:
        deadline = Instant(self._now + self.config.snapshot_ms)
        progress.needs_snapshot(index=self._log.compacted_index, deadline=deadline)
        self._snapshots_wanted.append(peer)
        self._trace("snapshot_wanted", peer=peer, first_held=self._log.compacted_index + 1)

    def send_snapshot(self, target: ReplicaId, snapshot: Snapshot, now: Instant) -> None:
        """Send a snapshot that the driver took with `snapshot_point`, to whom `Ready.snapshots_wanted` named.

        Dropped if it is wanted no longer: making it took a while, and who does not lead may serve nobody but the
        leader of the promised epoch.
        """
        progress = self._progress.get(target)
        if progress is not None:
            deadline = Instant(now + self.config.snapshot_ms)
            progress.needs_snapshot(index=snapshot.index, deadline=deadline)
        elif target != self._leader or target == self.replica:
            self._trace("snapshot_dropped", target=target, index=snapshot.index)
            return
        self._send(InstallSnapshot(self.replica, target, self._epoch, snapshot))

    def report_snapshot_failed(self, target: ReplicaId, now: Instant) -> None:
        """Tell that a snapshot did not reach its target: it is probed again."""
        progress = self._progress.get(target)
        if progress is not None and progress.state is SNAPSHOT:
            progress.snapshot_over()
            self._wake(now)

    # --- hand-over ------------------------------------------------------------------------------------

    def hand_over(self, target: ReplicaId, now: Instant) -> Rejection | None:
        """Stop taking proposals until `target` holds everything, then ask for its naming in a Ready.

        If nobody takes over in time the leader goes on by itself; it never depended on being replaced.
        """
        if self._role is not LEADER or self._handover_target:
            return self._not_leader()
        if target == self.replica or not self.membership.is_voter(target):
            return OperationAborted("leadership goes to another voter", replica=target)
        self._handover_target = target
        self._handover_deadline = Instant(now + self.config.handover_ms)
        self._handover_told = False
        self._announce_handover()
        self._wake(now)
        return None

    def _announce_handover(self) -> None:
        """Name the target, once, when it holds everything and everything is committed."""
        progress = self._progress.get(self._handover_target)
        if progress is None or self._handover_told:
            return
        if progress.match == self._log.last_index == self._commit:
            self._handover_ready = self._handover_target
            self._handover_told = True

    def _end_handover(self, now: Instant) -> None:
        if self._handover_target and now >= self._handover_deadline:
            self._trace("hand_over_ended", target=self._handover_target)
            self._handover_target = self._handover_ready = NO_REPLICA

    # --- comparing state ------------------------------------------------------------------------------

    def report_state_hash(self, index: int, digest: bytes) -> None:
        """Take the driver's digest of its state right after a hash point; a leader has it compared."""
        self._keep_state_hash(index, digest)
        if self._role is LEADER:
            for peer in self._progress:
                self._send(StateHash(self.replica, peer, self._epoch, index, digest))

    # --- the end --------------------------------------------------------------------------------------

    def _left_leadership(self) -> None:
        self._reads_dropped.extend(self._reads_waiting)
        for _, _, contexts in self._rounds:
            self._reads_dropped.extend(contexts)
        self._reads_waiting = []
        self._rounds.clear()
        self._progress = {}
        self._inflight_bytes = 0
        self._handover_target = self._handover_ready = NO_REPLICA
        self._resend_at = None
