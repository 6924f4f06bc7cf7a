"""What a partition log is made from, and everything that it wants done, as values.

The contract of `Ready`, for whoever drives a `PartitionLog`:

    1. persist   in ONE transaction: `snapshot` (replaces state and log), `truncate_from`, `entries`, `hard_state`
    2. send      `messages`, only after that transaction is durable; but where it holds nothing but `entries`, append
                 requests may leave while it is under way: they speak of what was durable before
    3. apply     `committed`, in order; state, apply cursor and results move in one transaction (it may be that of 1)
    4. advance   `PartitionLog.advance(ready)`; then `reads` whose index is applied may be answered

One Ready is out at a time; messages and proposals may come in meanwhile. If a step fails, the replica is out of
service: never advance, never send.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from objstore.consensus.membership import NO_MEMBERSHIP, NO_REPLICA, Membership, ReplicaId
from objstore.consensus.messages import Entry, Epoch, Message, Snapshot

__all__ = [
    "HardState",
    "LogConfig",
    "LogState",
    "ReadState",
    "Ready",
    "Role",
    "SoftState",
    "Trace",
]


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who this replica is, and the bounds of everything that could grow."""

    replica: ReplicaId
    inflight_entries_max: int = 8_192
    """Proposed and not yet applied on the leader; beyond it `propose` answers SlowDown (trap T17)."""
    inflight_bytes_max: int = 32 * 1024 * 1024
    """The same in bytes of payload; only payloads of type bytes are weighed."""
    pending_reads_max: int = 8_192
    """Reads that wait for their round; beyond it `request_read` answers SlowDown."""
    message_entries_max: int = 512
    message_bytes_max: int = 1024 * 1024
    """Bounds of one append or fetch; a single larger entry still travels, alone."""
    window_entries: int = 2_048
    """Sent to one follower and not yet acknowledged."""
    apply_entries_max: int = 1_024
    """Committed entries in one Ready of a replicated log: bounds the transaction of a follower that catches up."""
    retained_entries: int = 1_024
    retained_bytes: int = 1024 * 1024
    """Applied entries kept for followers that were away; further back they get a snapshot. Held in memory."""
    resend_ms: int = 500
    """How long an unanswered message waits before it is sent again. A log with nothing open has no timer."""
    snapshot_ms: int = 60_000
    """How long a snapshot may be on its way before the follower is probed again."""
    handover_ms: int = 2_000
    """How long a planned hand-over may hold up proposals."""
    state_hash_every: int = 10_000
    """Distance in entries of the indexes at which replicas compare digests of their state."""

    def is_hash_point(self, index: int) -> bool:
        """Tell whether the driver is to report a digest of its state after this index."""
        return index > 0 and index % self.state_hash_every == 0


class HardState(msgspec.Struct, frozen=True, array_like=True):
    """What must be durable before anything is sent: the promised epoch, to whom, and the commit index.

    A Ready carries one when epoch or leader changed. The commit index alone needs no write of its own: the apply
    cursor that moves with the state says the same, and a restart may begin with it.
    """

    epoch: Epoch = Epoch(0)
    leader: ReplicaId = NO_REPLICA
    commit: int = 0


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """What a store knows of its log at start.

    `membership` is the one in force at `applied`; the entries are all that are kept, the first follows
    `compacted_index`. A log of one replica keeps none: there `compacted_index` is the apply cursor.
    """

    hard_state: HardState = HardState()
    applied: int = 0
    compacted_index: int = 0
    compacted_epoch: int = 0
    membership: Membership = NO_MEMBERSHIP
    entries: Sequence[Entry] = ()

    @classmethod
    def founding(cls, *voters: ReplicaId) -> LogState:
        """Return the state of a replica that is there when the partition is created.

        A store that joins later, or comes back empty, starts as `LogState()` under a new id (trap T2).
        """
        return cls(membership=Membership(tuple(sorted(voters))))


class Role(Enum):
    """What a replica does at the moment; only the promised epoch outlives a restart."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    """Named leader, still collecting promises and the best log."""
    LEADER = "leader"


FOLLOWER, CANDIDATE, LEADER = Role.FOLLOWER, Role.CANDIDATE, Role.LEADER
"""The same for the hot path, where a name of the module costs a tenth of an enum's attribute."""


class SoftState(msgspec.Struct, frozen=True):
    """Who leads, as far as this replica knows; a hint that is never persisted.

    When the role leaves LEADER, every proposal that waits has an *unknown* outcome (trap T7).
    """

    role: Role
    leader: ReplicaId
    epoch: Epoch


class ReadState(msgspec.Struct, frozen=True):
    """A read that is confirmed: answer `context` from state that has applied at least `index`."""

    context: object
    index: int


class Trace(msgspec.Struct, frozen=True):
    """Something worth a line in the log of the driver; cores do not log."""

    event: str
    detail: dict[str, str | int]


class Ready(msgspec.Struct, frozen=True):
    """All pending effects in one value; the module's text has the order in which they happen."""

    hard_state: HardState | None = None
    snapshot: Snapshot | None = None
    """Install it before anything else: it replaces state, apply cursor and the whole log."""
    truncate_from: int = 0
    """Delete log entries from this index on before writing `entries`; 0 = none."""
    entries: Sequence[Entry] = ()
    """To append; contiguous. The same list as `committed` in a log of one replica."""
    messages: Sequence[Message] = ()
    committed: Sequence[Entry] = ()
    reads: Sequence[ReadState] = ()
    reads_dropped: Sequence[object] = ()
    """Contexts of reads that will never be confirmed here: leadership is lost."""
    snapshots_wanted: Sequence[ReplicaId] = ()
    """Make a snapshot of applied state for these and pass it to `PartitionLog.send_snapshot`."""
    compact_to: int = 0
    """Log entries up to this index may be deleted; 0 = no news."""
    hand_over_to: ReplicaId = NO_REPLICA
    """This follower holds all that is committed: have the control store name it, with a new epoch."""
    soft_state: SoftState | None = None
    trace: Sequence[Trace] = ()

    @property
    def may_send_appends_early(self) -> bool:
        """Tell whether append requests may leave before step 1 is over: it changes no promise and takes nothing back."""
        return self.hard_state is None and self.snapshot is None and not self.truncate_from

    @property
    def must_persist(self) -> bool:
        """Tell whether step 1 has anything to do."""
        if self.entries or self.truncate_from:
            return True
        return self.hard_state is not None or self.snapshot is not None
