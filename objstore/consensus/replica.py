"""The state that every role of a replica shares: promised epoch, log, cursors, membership, outbox.

The rules are small methods, one each, so that a simulation can switch a single one off in a subclass and must then
find the violation. They are collected in this chain of classes, lowest first:

    ReplicaState   promises (rule 1), membership in force (rule 7), commit and apply cursors
    Following      append, truncate, snapshot, promise, serve fetches (rules 1, 4, 5)
    Leading        propose, replicate, commit, confirm reads, change membership, hand over (rules 5, 6, 7)
    TakingOver     collect promises and the best log, open the epoch (rules 1, 2, 3)
    PartitionLog   the surface: receive, timers, Ready

They have slots, because instances of a class share the keys of at most 30 attributes; beyond that, which is where this
chain is, each look-up is one in a dictionary of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from objstore.consensus.log import ReplicaLog
from objstore.consensus.membership import (
    NO_REPLICA,
    Membership,
    ReplicaId,
    decode_membership,
)
from objstore.consensus.messages import MEMBERSHIP, Entry, Epoch, Message, Snapshot
from objstore.consensus.ready import (
    FOLLOWER,
    LogConfig,
    LogState,
    ReadState,
    Role,
    SoftState,
    Trace,
)
from objstore.model.errors import InvariantError, check

__all__ = ["ReplicaState"]


class ReplicaState:
    """What a replica is; nothing in here decides anything beyond its own invariants."""

    __slots__ = (
        "_applied",
        "_applying",
        "_commit",
        "_epoch",
        "_hard_state_changed",
        "_hint",
        "_is_alone",
        "_is_replicated",
        "_leader",
        "_log",
        "_membership",
        "_memberships",
        "_messages",
        "_reads",
        "_reads_dropped",
        "_role",
        "_snapshot",
        "_snapshots_wanted",
        "_soft_state",
        "_soft_state_touched",
        "_traces",
        "config",
        "replica",
    )

    def __init__(self, config: LogConfig, state: LogState) -> None:
        check(state.compacted_index <= state.applied, "the log begins after the apply cursor")
        self.config = config
        self.replica = config.replica
        self._log = ReplicaLog(
            compacted_index=state.compacted_index,
            compacted_epoch=state.compacted_epoch,
            entries=state.entries,
        )
        check(
            state.applied <= self._log.last_index, "the apply cursor is beyond the end of the log"
        )
        self._epoch = state.hard_state.epoch
        self._leader = state.hard_state.leader
        self._hint = (Epoch(0), NO_REPLICA)
        self._role = FOLLOWER
        self._applied = state.applied
        self._applying = state.applied
        self._commit = min(max(state.hard_state.commit, state.applied), self._log.last_index)
        self._memberships: list[tuple[int, Membership]] = [(state.applied, state.membership)]
        self._note_membership()
        self._learn_memberships(self._log.between(state.applied, self._log.last_index))
        self._hard_state_changed = False
        self._soft_state = self._current_soft_state()
        self._soft_state_touched = False
        """Whether role, epoch or leader were set since the last Ready, perhaps to what they were."""
        self._snapshot: Snapshot | None = None
        self._messages: list[Message] = []
        self._reads: list[ReadState] = []
        self._reads_dropped: list[object] = []
        self._snapshots_wanted: list[ReplicaId] = []
        self._traces: list[Trace] = []

    # --- what may be asked from outside ---------------------------------------------------------------

    @property
    def epoch(self) -> Epoch:
        """The highest epoch promised."""
        return self._epoch

    @property
    def leader(self) -> ReplicaId:
        """Who is believed to lead; a hint for callers."""
        hinted_epoch, hinted = self._hint
        return hinted if hinted_epoch > self._epoch else self._leader

    @property
    def role(self) -> Role:
        """What this replica does at the moment."""
        return self._role

    @property
    def commit_index(self) -> int:
        """Everything up to here is committed, as far as this replica knows."""
        return self._commit

    @property
    def applied_index(self) -> int:
        """Everything up to here was applied and advanced over."""
        return self._applied

    @property
    def last_index(self) -> int:
        """Index of the newest entry, committed or not."""
        return self._log.last_index

    @property
    def last_epoch(self) -> int:
        """Epoch of the newest entry."""
        return self._log.last_epoch

    @property
    def membership(self) -> Membership:
        """The membership in force: that of the newest membership entry, committed or not (rule 7)."""
        return self._membership

    @property
    def is_replicated(self) -> bool:
        """Tell whether there is anybody to replicate to: payloads must then be bytes."""
        return self._is_replicated

    def held_entries(self) -> Sequence[Entry]:
        """Return the entries in memory, oldest first; for tests, drawings and checkers."""
        return self._log.between(self._log.compacted_index, self._log.last_index)

    def snapshot_point(self, data: object = None) -> Snapshot:
        """Return what describes a snapshot of the state as it is applied now."""
        epoch = self._log.epoch_at(self._applied)
        check(epoch is not None, "the applied entry is not in the log")
        return Snapshot(self._applied, epoch or 0, self._membership_at(self._applied), data)

    # --- rule 1: epochs -------------------------------------------------------------------------------

    def _refuses_epoch(self, epoch: int) -> bool:
        """Rule 1: a replica serves no epoch below the one that it has promised."""
        return epoch < self._epoch

    def _promise(self, epoch: Epoch, leader: ReplicaId) -> None:
        """Take the promise; it leaves with the next Ready, before every message that speaks of it."""
        check(epoch > self._epoch, "promises only rise")
        self._epoch, self._leader = epoch, leader
        self._hard_state_changed = self._soft_state_touched = True

    def _take_role(self, role: Role) -> None:
        self._role = role
        self._soft_state_touched = True

    def _has_new_soft_state(self) -> bool:
        return self._soft_state_touched and self._soft_state != self._current_soft_state()

    def _current_soft_state(self) -> SoftState:
        return SoftState(self._role, self.leader, self._epoch)

    # --- rule 7: membership in force ------------------------------------------------------------------

    def _learn_memberships(self, entries: Sequence[Entry]) -> None:
        """Put memberships in force as their entries are appended."""
        for entry in entries:
            if entry.kind is MEMBERSHIP:
                self._memberships.append((entry.index, decode_membership(entry.payload)))
        self._note_membership()

    def _forget_memberships_from(self, index: int) -> None:
        """Fall back to the membership before a truncated one."""
        while len(self._memberships) > 1 and self._memberships[-1][0] >= index:
            self._memberships.pop()
        self._note_membership()

    def _note_membership(self) -> None:
        """Keep what the hot path asks for: alone means that the own disk is the majority."""
        self._membership = self._memberships[-1][1]
        self._is_replicated = len(self._membership.members) > 1
        self._is_alone = self._membership.voters == (self.replica,)

    def _membership_at(self, index: int) -> Membership:
        return [membership for since, membership in self._memberships if since <= index][-1]

    # --- cursors --------------------------------------------------------------------------------------

    def _commit_to(self, index: int) -> None:
        """Move the commit index; it never falls."""
        if index > self._commit:
            if index > self._log.last_index:
                raise InvariantError("an entry cannot be committed that is not in the log")
            self._commit = index

    def _append(self, entries: Sequence[Entry]) -> None:
        self._log.append(entries)
        for entry in entries:
            if entry.kind is MEMBERSHIP:
                self._learn_memberships((entry,))

    def _truncate_from(self, index: int) -> None:
        check(index > self._commit, "a committed entry must not be truncated")
        self._trace("log_truncated", first=index, last=self._log.last_index)
        self._log.truncate_from(index)
        self._forget_memberships_from(index)

    def _restore(self, snapshot: Snapshot) -> None:
        """Begin anew behind a snapshot of committed state."""
        check(snapshot.index > self._commit, "a snapshot must not take anything back")
        self._log.restore(snapshot)
        self._memberships = [(snapshot.index, snapshot.membership)]
        self._note_membership()
        self._commit = self._applying = self._applied = snapshot.index
        self._snapshot = snapshot
        self._trace("snapshot_installed", index=snapshot.index, epoch=snapshot.epoch)

    # --- outbox ---------------------------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        self._messages.append(message)

    def _trace(self, event: str, **detail: str | int) -> None:
        self._traces.append(Trace(event, detail))

    def _become_follower(self, reason: str) -> None:
        """Lead no longer; what waits here has an unknown outcome (trap T7)."""
        if self._role is not FOLLOWER:
            self._trace("stepped_down", epoch=self._epoch, reason=reason)
        self._take_role(FOLLOWER)
        self._left_leadership()

    def _left_leadership(self) -> None:
        """Let the upper classes drop what belongs to their role."""
