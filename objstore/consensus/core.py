"""The partition log: one replica's side of a replicated log, without any I/O.

What it is: a machine. Messages, proposals and timers go in, with the time as an argument; a `Ready` with everything
that is to be persisted, sent and applied comes out. See `objstore.consensus.ready` for the contract, and
`objstore/consensus/DESIGN.md` for the rules and why they hold.

What it promises: an entry that was ever in `Ready.committed` on any replica stays at its index on all of them, as
long as fewer than a majority of the stores are lost and every driver keeps the order of the contract. No promise
depends on a clock: `now` only decides when something is sent again. Hand in a time that only grows.

What it does not do: choose leaders (the control store names them), detect failures, encode, persist.
"""

from __future__ import annotations

from collections.abc import Sequence

from objstore.consensus.membership import NO_REPLICA, ReplicaId
from objstore.consensus.messages import (
    AppendReply,
    AppendRequest,
    Entry,
    Epoch,
    EpochRefused,
    FetchReply,
    FetchRequest,
    InstallSnapshot,
    Message,
    PromiseReply,
    PromiseRequest,
    StateHash,
    entries_size,
)
from objstore.consensus.ready import (
    CANDIDATE,
    LEADER,
    HardState,
    LogConfig,
    LogState,
    Ready,
    SoftState,
)
from objstore.consensus.takeover import TakingOver
from objstore.model.errors import InvariantError
from objstore.model.instant import Instant

__all__ = ["PartitionLog"]

_NO_EPOCH = Epoch(0)

_ANSWERS = frozenset((PromiseReply, FetchReply, AppendReply, EpochRefused, StateHash))
"""Never refused by epoch: a late answer is dropped by whoever does not wait for it."""

_HANDLERS: dict[type[object], str] = {
    PromiseRequest: "_on_promise_request",
    PromiseReply: "_on_promise_reply",
    FetchRequest: "_on_fetch_request",
    FetchReply: "_on_fetch_reply",
    AppendRequest: "_on_append_request",
    AppendReply: "_on_append_reply",
    InstallSnapshot: "_on_install_snapshot",
    EpochRefused: "_on_epoch_refused",
    StateHash: "_on_state_hash",
}
"""Which method takes which message; names, because a table of bound methods would be a cycle in every replica."""


class PartitionLog(TakingOver):
    """One replica of the log of one partition."""

    __slots__ = ("_compacted_to", "_held_max", "_out", "_out_leads")

    def __init__(self, config: LogConfig, state: LogState) -> None:
        super().__init__(config, state)
        self._out: Ready | None = None
        self._out_leads = _NO_EPOCH
        self._compacted_to = self._log.compacted_index
        self._held_max = config.retained_entries * 5 // 4

    # --- in -------------------------------------------------------------------------------------------

    def receive(self, message: Message, now: Instant) -> None:
        """Take a message from a peer; whatever it says, a peer's mistake never raises.

        Raises `InvariantError` where the histories of two replicas contradict each other: this replica must then
        be taken out of service.
        """
        if message.target != self.replica:
            raise InvariantError("a message reached a replica that it was not meant for")
        kind = type(message)
        if kind not in _ANSWERS and self._refuses_epoch(message.epoch):
            self._refuse(message)
            return
        getattr(self, _HANDLERS[kind])(message, now)

    def observe_leader(self, epoch: Epoch, leader: ReplicaId) -> None:
        """Take a hint that the control store named a leader; it ends a leadership, it promises nothing."""
        if epoch > self._epoch and leader != self.replica:
            self._hint = (epoch, leader)
            self._become_follower("another leader was named")

    # --- time -----------------------------------------------------------------------------------------

    def next_deadline(self) -> Instant | None:
        """Return when `handle_timer` is due; nothing while nothing is open."""
        if self._role is CANDIDATE:
            return self._retry_at
        return self._resend_at

    def handle_timer(self, now: Instant) -> None:
        """Send again what nobody answered; harmless when early."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return
        if self._role is CANDIDATE:
            self._retry(now)
        else:
            self._resend(now)

    # --- out ------------------------------------------------------------------------------------------

    @property
    def has_ready(self) -> bool:
        """Tell whether `take_ready` would carry anything; never while a Ready is out."""
        if self._out is not None:
            return False
        if (
            self._messages
            or self._commit > self._applying
            or self._log.has_unhanded
            or self._hard_state_changed
            or self._traces
            or self._reads
            or self._reads_dropped
            or self._snapshots_wanted
            or self._handover_ready
            or self._snapshot is not None
        ):
            return True
        if self._soft_state_touched and self._has_new_soft_state():
            return True
        return self._role is LEADER and self._has_something_to_send()

    def take_ready(self) -> Ready:
        """Return all pending effects; `advance` must follow before the next one is taken."""
        if self._out is not None:
            raise InvariantError("a Ready is out: advance over it first")
        leads = self._role is LEADER
        if leads:
            self._prepare_to_lead()
        truncate_from, entries = self._log.hand_out() if self._log.has_unhanded else (0, [])
        ready = Ready(
            self._take_hard_state() if self._hard_state_changed else None,
            self._snapshot,
            truncate_from,
            entries,
            self._messages,
            self._take_committed(entries) if self._commit != self._applying else (),
            self._reads,
            self._reads_dropped,
            self._snapshots_wanted,
            self._take_compaction() if self._compacted_to != self._log.compacted_index else 0,
            self._handover_ready,
            self._take_soft_state() if self._soft_state_touched else None,
            self._traces,
        )
        self._messages = []
        self._reads = []
        self._reads_dropped = []
        self._snapshots_wanted = []
        self._traces = []
        self._snapshot, self._handover_ready = None, NO_REPLICA
        self._out, self._out_leads = ready, self._epoch if leads else _NO_EPOCH
        return ready

    def advance(self, ready: Ready) -> None:
        """Take note that everything in the Ready is durable, sent and applied."""
        if ready is not self._out:
            raise InvariantError("only the Ready that is out can be advanced over")
        self._out = None
        committed = ready.committed
        if committed and committed[-1].index > self._applied:
            self._applied = committed[-1].index
        if self._role is LEADER:
            self._advance_leading(ready)
        self._compact()

    def _advance_leading(self, ready: Ready) -> None:
        if ready.committed and self._inflight_bytes:
            self._inflight_bytes = max(0, self._inflight_bytes - entries_size(ready.committed))
        entries = ready.entries
        if entries and entries[-1].index > self._durable and self._out_leads == self._epoch:
            self._durable = entries[-1].index
            self._try_commit()
        if self._progress:
            if self._handover_target:
                self._announce_handover()
            self._wake(self._now)

    # --- the parts of a Ready -------------------------------------------------------------------------

    def _prepare_to_lead(self) -> None:
        if self._progress:
            if self._reads_waiting and not self._rounds:
                self._open_round()
            self._fill_appends()
        if self._is_alone:
            # After the appends: a driver may send those while it persists, and a learner must not be told to apply what the
            # only voter is about to write.
            self._durable = self._log.last_index
            self._try_commit()
            self._confirm_reads_alone()

    def _take_hard_state(self) -> HardState:
        self._hard_state_changed = False
        return HardState(self._epoch, self._leader, self._commit)

    def _take_soft_state(self) -> SoftState | None:
        is_new, self._soft_state_touched = self._has_new_soft_state(), False
        if not is_new:
            return None
        self._soft_state = self._current_soft_state()
        return self._soft_state

    def _take_committed(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Rule 5: hand out committed entries only, in order, each once; alone it is the same list."""
        after, upto = self._applying, self._commit
        if self._is_replicated:
            upto = min(upto, after + self.config.apply_entries_max)
        self._applying = upto
        if entries and entries[0].index == after + 1 and entries[-1].index == upto:
            return entries
        return self._log.between(after, upto)

    def _take_compaction(self) -> int:
        self._compacted_to = point = self._log.compacted_index
        return 0 if self._snapshot is not None else point

    # --- bounds ---------------------------------------------------------------------------------------

    def _compact(self) -> None:
        """Forget what nobody needs: alone everything that is applied, else what is over the bounds."""
        log, applied = self._log, self._applied
        if not self._is_replicated:
            log.compact_to(applied)
        elif (
            applied - log.compacted_index > self._held_max
            or log.size_bytes > self.config.retained_bytes
        ):
            self._compact_replicated()
        memberships = self._memberships
        while len(memberships) > 1 and memberships[1][0] <= applied:
            del memberships[0]

    def _compact_replicated(self) -> None:
        """Keep what live followers still need, up to the bound on bytes in flight; in steps, not one by one."""
        config = self.config
        upto = self._applied
        if self._log.size_bytes <= config.inflight_bytes_max:
            upto = min(upto, self._needed_after())
        point = self._log.retention_point(
            upto=upto, entries_max=config.retained_entries, bytes_max=config.retained_bytes
        )
        self._log.compact_to(point)
