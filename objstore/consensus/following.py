"""What every replica does for the leader of the promised epoch: promise, append, truncate, install, answer fetches.

A message of a lower epoch is refused (rule 1), one of a higher epoch is a promise of that epoch to its source,
because only the named leader of an epoch sends in it. Answers leave with the Ready that makes durable what they
say, so an acknowledgement always means an fsync (rule 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from objstore.consensus.membership import NO_MEMBERSHIP
from objstore.consensus.messages import (
    Addressed,
    AppendReply,
    AppendRequest,
    Entry,
    EpochRefused,
    FetchReply,
    FetchRequest,
    InstallSnapshot,
    PromiseReply,
    PromiseRequest,
    StateHash,
)
from objstore.consensus.ready import CANDIDATE, LogConfig, LogState
from objstore.consensus.replica import ReplicaState
from objstore.model.errors import check
from objstore.model.instant import Instant

__all__ = ["Following"]

STATE_HASHES_KEPT = 8
"""Own digests kept for comparison with those of the leader, which may be ahead or behind."""


class Following(ReplicaState):
    """The obedient half of a replica."""

    __slots__ = ("_state_hashes", "is_diverged")

    def __init__(self, config: LogConfig, state: LogState) -> None:
        super().__init__(config, state)
        self._state_hashes: dict[int, bytes] = {}
        self.is_diverged = False
        """Whether a digest of applied state differed from another replica's: an operator's case."""

    # --- rule 1: promise ------------------------------------------------------------------------------

    def _may_promise(self) -> bool:
        """Trap T2: a store that knows of no membership is empty, and an empty store makes no promises."""
        return self.membership != NO_MEMBERSHIP

    def _on_promise_request(self, message: PromiseRequest, now: Instant) -> None:  # noqa: ARG002 one shape of handlers
        granted = self._may_promise() and self._obey(message)
        self._send(
            PromiseReply(
                self.replica,
                message.source,
                message.epoch,
                granted,
                self._log.last_epoch,
                self._log.last_index,
            )
        )

    def _obey(self, message: Addressed) -> bool:
        """Promise the message's epoch to its source, or tell whether that was done before.

        Two sources in one epoch cannot be: the control store hands out each epoch once. Should it fail to, the
        second is not obeyed, and safety still rests on the majority's promise.
        """
        if message.epoch == self._epoch:
            if self._leader == message.source:
                return True
            self._trace("second_leader", epoch=message.epoch, source=message.source)
            return False
        if message.epoch > self._epoch:
            self._become_follower("a higher epoch was promised")
            self._promise(message.epoch, message.source)
            self._trace("promised", epoch=message.epoch, leader=message.source)
        return True

    def _refuse(self, message: Addressed) -> None:
        """Tell the source of a lower epoch what is promised here."""
        self._send(EpochRefused(self.replica, message.source, self._epoch, self._leader))

    # --- rule 4: append -------------------------------------------------------------------------------

    def _on_append_request(self, message: AppendRequest, now: Instant) -> None:  # noqa: ARG002 one shape of handlers
        if not self._obey(message):
            return
        previous, entries = message.previous_index, message.entries
        if previous < self._commit:
            self._append_overlapping(message)
        elif self._joins(previous, message.previous_epoch):
            if entries:
                self._accept_entries(entries)
            self._acknowledge(message, previous + len(entries))
        else:
            self._answer_conflict(message)

    def _append_overlapping(self, message: AppendRequest) -> None:
        """A message from the past, or a leader that does not know our commit index: what is committed agrees."""
        for entry in message.entries:
            held = self._log.epoch_at(entry.index) if entry.index <= self._commit else None
            check(held in {None, entry.epoch}, "a leader contradicts a committed entry")
        fresh = [entry for entry in message.entries if entry.index > self._commit]
        if fresh:
            self._accept_entries(fresh)
        self._acknowledge(message, max(self._commit, message.previous_index + len(message.entries)))

    def _joins(self, index: int, epoch: int) -> bool:
        """Rule 4: entries are appended only behind an entry that leader and follower share."""
        return self._log.epoch_at(index) == epoch

    def _accept_entries(self, entries: Sequence[Entry]) -> None:
        """Skip what is held already, cut a divergent tail off by epoch, append the rest."""
        for position, entry in enumerate(entries):
            if not self._holds(entry):
                if entry.index <= self._log.last_index:
                    self._truncate_from(entry.index)
                self._append(entries[position:] if position else entries)
                return

    def _holds(self, entry: Entry) -> bool:
        """Rule 4: the same epoch at the same index is the same entry, another epoch is another history."""
        return self._log.epoch_at(entry.index) == entry.epoch

    def _acknowledge(self, message: AppendRequest, index: int) -> None:
        """Confirm what agrees with the leader's log, and learn what of that is committed."""
        self._learn_commit(message.commit, agreed=index)
        self._messages.append(
            AppendReply(
                self.replica,
                message.source,
                message.epoch,
                True,
                index,
                0,
                message.round,
                self._commit,
            )
        )

    def _learn_commit(self, commit: int, *, agreed: int) -> None:
        """Rule 5: only what is known to agree with the leader's log is committed here."""
        self._commit_to(min(commit, agreed))

    def _answer_conflict(self, message: AppendRequest) -> None:
        index, epoch = self._agreeing_before(message.previous_index, message.previous_epoch)
        self._send(
            AppendReply(
                self.replica,
                message.source,
                message.epoch,
                accepted=False,
                index=index,
                hint_epoch=epoch,
                round=message.round,
                commit=self._commit,
            )
        )

    def _agreeing_before(self, index: int, epoch: int) -> tuple[int, int]:
        """Return where this log and a better one may agree at the latest; what is committed always does."""
        found = self._log.find_conflict(index=index, epoch=epoch)
        if found is None or found[0] < self._commit:
            return self._commit, self._log.epoch_at(self._commit) or 0
        return found

    # --- rule 7: snapshots ----------------------------------------------------------------------------

    def _on_install_snapshot(self, message: InstallSnapshot, now: Instant) -> None:  # noqa: ARG002 one shape of handlers
        """Take it from the leader; in an own takeover it answers a fetch, and may come too late to matter."""
        snapshot = message.snapshot
        if message.epoch == self._epoch and self._leader == self.replica:
            if self._role is CANDIDATE:
                self._take_snapshot(message)
            return
        if not self._obey(message):
            return
        self._take_snapshot(message)
        self._send(
            AppendReply(
                self.replica,
                message.source,
                message.epoch,
                accepted=True,
                index=max(snapshot.index, self._commit),
                hint_epoch=0,
                round=0,
                commit=self._commit,
            )
        )

    def _take_snapshot(self, message: InstallSnapshot) -> None:
        snapshot = message.snapshot
        if snapshot.index <= self._commit:
            return
        if self._log.epoch_at(snapshot.index) == snapshot.epoch:
            self._commit_to(snapshot.index)
        else:
            self._restore(snapshot)

    # --- takeover, the answering side -----------------------------------------------------------------

    def _on_fetch_request(self, message: FetchRequest, now: Instant) -> None:  # noqa: ARG002 one shape of handlers
        """Serve the log to the leader of the promised epoch; it cannot change meanwhile."""
        if message.epoch != self._epoch or message.source != self._leader:
            return
        index, epoch = message.previous_index, message.previous_epoch
        reply_to = (self.replica, message.source, message.epoch)
        if self._joins(index, epoch):
            entries = self._log.batch_after(
                index,
                entries_max=self.config.message_entries_max,
                bytes_max=self.config.message_bytes_max,
            )
            self._send(FetchReply(*reply_to, True, index, epoch, entries))
            return
        found = self._log.find_conflict(index=index, epoch=epoch)
        if found is not None:
            self._send(FetchReply(*reply_to, False, *found))
            return
        self._snapshots_wanted.append(message.source)
        self._send(FetchReply(*reply_to, False, index, epoch, snapshot_follows=True))

    # --- comparing state ------------------------------------------------------------------------------

    def _keep_state_hash(self, index: int, digest: bytes) -> None:
        self._state_hashes[index] = digest
        while len(self._state_hashes) > STATE_HASHES_KEPT:
            del self._state_hashes[min(self._state_hashes)]

    def _on_state_hash(self, message: StateHash, now: Instant) -> None:  # noqa: ARG002 one shape of handlers
        """Compare if this replica has been there; the leader learns of a difference by an answer."""
        own = self._state_hashes.get(message.index)
        if own is None or own == message.digest:
            return
        self.is_diverged = True
        self._trace(
            "state_diverged",
            index=message.index,
            peer=message.source,
            own=own.hex(),
            other=message.digest.hex(),
        )
        if self._leader == message.source:
            self._send(StateHash(self.replica, message.source, self._epoch, message.index, own))
