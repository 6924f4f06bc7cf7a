"""How a named leader comes to serve: promises of a majority, the best log among them, one entry of its own.

    named by the control store
       | persist the own promise, ask the voters for theirs
       v
    promises of a majority  ->  best log = highest (epoch of last entry, length)     rules 1 and 2
       | if the best log is another's: fetch what is missing, cut what diverges
       v
    majority of the membership in the fetched log?   if not, ask the voters that it names, too
       v
    append a no-op of the own epoch; replicate; serve when it is committed            rule 3

Why the epoch of the last entry comes before the length: a long tail may be the work of a leader that never reached
a majority, while a later leader committed a shorter one. A source that falls silent is left out and the rest is
asked again, so one dead replica never stops a takeover that a majority can carry.
"""

from __future__ import annotations

from objstore.consensus.leading import Leading
from objstore.consensus.membership import NO_REPLICA, ReplicaId
from objstore.consensus.messages import (
    Entry,
    EntryKind,
    Epoch,
    FetchReply,
    FetchRequest,
    InstallSnapshot,
    PromiseReply,
    PromiseRequest,
)
from objstore.consensus.quorum import has_majority
from objstore.consensus.ready import CANDIDATE, FOLLOWER, LEADER, LogConfig, LogState
from objstore.model.errors import NotLeader
from objstore.model.instant import Instant

__all__ = ["TakingOver"]


class TakingOver(Leading):
    """The way from being named to leading."""

    __slots__ = ("_promises", "_retry_at", "_source")

    def __init__(self, config: LogConfig, state: LogState) -> None:
        super().__init__(config, state)
        self._promises: dict[ReplicaId, tuple[int, int]] = {}
        self._source = NO_REPLICA
        self._retry_at: Instant | None = None

    def become_leader(self, epoch: Epoch, now: Instant) -> NotLeader | None:
        """Start the takeover of an epoch that the control store gave to this replica; idempotent.

        Refused where a promise forbids the epoch, where the replica is no voter, and for an epoch that an earlier
        life of this process has led: a restart asks the control store for a new one.
        """
        if epoch == self._epoch and self._leader == self.replica and self._role is not FOLLOWER:
            return None
        if epoch <= self._epoch:
            return NotLeader("the epoch is spent", leader=self.leader)
        if not self.membership.is_voter(self.replica):
            return NotLeader("only a voter can lead", leader=self.leader)
        self._become_follower("named for a higher epoch")
        self._promise(epoch, self.replica)
        self._take_role(CANDIDATE)
        self._trace("takeover", epoch=epoch)
        self._source = NO_REPLICA
        self._promises = {self.replica: (self._log.last_epoch, self._log.last_index)}
        self._ask_promises(now)
        self._try_open(now)
        return None

    # --- rule 1: promises -----------------------------------------------------------------------------

    def _ask_promises(self, now: Instant) -> None:
        for voter in self.membership.voters:
            if voter not in self._promises:
                self._send(PromiseRequest(self.replica, voter, self._epoch))
        self._retry_at = Instant(now + self.config.resend_ms)

    def _on_promise_reply(self, message: PromiseReply, now: Instant) -> None:
        if self._role is not CANDIDATE or message.epoch != self._epoch:
            return
        if not message.granted:
            self._trace("promise_denied", epoch=self._epoch, peer=message.source)
            return
        self._promises[message.source] = (message.last_epoch, message.last_index)
        self._try_open(now)

    def _has_promises(self) -> bool:
        """Rule 1: a majority of the membership in force has durably promised this epoch."""
        return has_majority(self.membership.voters, self._promises)

    # --- rule 2: the best log -------------------------------------------------------------------------

    def _rank(self, last_epoch: int, last_index: int) -> tuple[int, int]:
        """Rule 2: the epoch of the last entry decides, the length only among equals."""
        return last_epoch, last_index

    def _best_source(self) -> ReplicaId:
        """Return who has the best log; this replica if nobody has a better one."""
        self._promises[self.replica] = (self._log.last_epoch, self._log.last_index)
        best = self.replica
        for replica, bounds in self._promises.items():
            if self._rank(*bounds) > self._rank(*self._promises[best]):
                best = replica
        return best

    def _try_open(self, now: Instant) -> None:
        """Go on as far as the promises carry: fetch, ask more voters, or lead."""
        if self._source or not self._has_promises():
            return
        best = self._best_source()
        if best != self.replica:
            self._source = best
            self._fetch(self._log.last_index, self._log.last_epoch, now)
        else:
            self._open_epoch(now)

    def _fetch(self, previous_index: int, previous_epoch: int, now: Instant) -> None:
        self._send(
            FetchRequest(self.replica, self._source, self._epoch, previous_index, previous_epoch)
        )
        self._retry_at = Instant(now + self.config.resend_ms)

    def _on_fetch_reply(self, message: FetchReply, now: Instant) -> None:
        if not self._is_from_source(message.source, message.epoch):
            return
        if message.snapshot_follows:
            self._retry_at = Instant(now + self.config.snapshot_ms)
        elif not message.matched:
            self._fetch(*self._agreeing_before(message.previous_index, message.previous_epoch), now)
        elif self._log.epoch_at(message.previous_index) == message.previous_epoch:
            self._accept_fetched(message, now)

    def _is_from_source(self, replica: ReplicaId, epoch: int) -> bool:
        return self._role is CANDIDATE and epoch == self._epoch and replica == self._source

    def _accept_fetched(self, message: FetchReply, now: Instant) -> None:
        """Take over a piece of the best log, with the epochs that its entries have."""
        self._accept_entries([entry for entry in message.entries if entry.index > self._commit])
        self._continue_fetch(now)

    def _continue_fetch(self, now: Instant) -> None:
        bounds = self._promises[self._source]
        if (self._log.last_epoch, self._log.last_index) == bounds:
            self._source = NO_REPLICA
            if not self._has_promises():
                self._ask_promises(now)
            self._try_open(now)
        else:
            self._fetch(self._log.last_index, self._log.last_epoch, now)

    def _on_install_snapshot(self, message: InstallSnapshot, now: Instant) -> None:
        """A snapshot may also answer a fetch; then the rest of the log is fetched behind it."""
        super()._on_install_snapshot(message, now)
        if self._is_from_source(message.source, message.epoch):
            self._continue_fetch(now)

    # --- rule 3: the own first entry --------------------------------------------------------------------

    def _open_epoch(self, now: Instant) -> None:
        if not self.membership.is_voter(self.replica):
            self._become_follower("the best log says that this replica is no voter")
            return
        self._take_role(LEADER)
        self._retry_at = None
        self._durable = 0
        self._inflight_bytes = 0
        self._progress = {}
        self._reset_progress(probe_next=self._log.last_index + 1)
        self._append((self._opening_entry(),))
        self._opening_index = self._log.last_index
        self._trace("leading", epoch=self._epoch, first=self._opening_index)
        self._wake(now)

    def _opening_entry(self) -> Entry:
        """Rule 3: committing it commits, by counting in the own epoch, everything older in the log."""
        return Entry(self._epoch, self._log.last_index + 1, b"", EntryKind.NO_OP)

    # --- timers ---------------------------------------------------------------------------------------

    def _retry(self, now: Instant) -> None:
        """Nobody answered: leave a silent source out, and ask everybody again."""
        if self._source:
            self._trace("source_silent", epoch=self._epoch, source=self._source)
            self._promises.pop(self._source, None)
            self._source = NO_REPLICA
        self._ask_promises(now)
        self._try_open(now)

    def _left_leadership(self) -> None:
        super()._left_leadership()
        self._promises = {}
        self._source = NO_REPLICA
        self._retry_at = None
