"""What a leader believes about one follower.

    PROBE      the place where the logs part is not known: one append at a time, then wait
       | accepted                      ^ refused, or silent
       v                               |
    REPLICATE  the logs agree: send on optimistically within a window
       | needs entries that are compacted (also from PROBE)
       v
    SNAPSHOT   wait until the snapshot arrived or the time for it is over, then PROBE

Invariants: match < next; everything up to `match` is durable on the follower and equal to the leader's log, and so
`match` never decreases within an epoch, in whatever order replies arrive.
"""

from __future__ import annotations

from enum import Enum

from objstore.model.instant import Instant

__all__ = ["Progress", "ProgressState"]


class ProgressState(Enum):
    """How entries are sent."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


PROBE, REPLICATE, SNAPSHOT = ProgressState.PROBE, ProgressState.REPLICATE, ProgressState.SNAPSHOT
"""The same for the hot path, where a name of the module costs a tenth of an enum's attribute."""


class Progress:
    """One follower, or learner, as its leader sees it."""

    __slots__ = (
        "commit_known",
        "match",
        "must_hear",
        "next",
        "paused",
        "round_acked",
        "round_sent",
        "snapshot_deadline",
        "snapshot_index",
        "state",
    )

    def __init__(self, *, next_index: int) -> None:
        self.state = PROBE
        self.match = 0
        self.next = next_index
        self.paused = False
        """PROBE: an append is out, wait for its answer or the timer."""
        self.must_hear = False
        """An append is due even if it carries no entries: the follower is behind and silent."""
        self.round_sent = 0
        self.round_acked = 0
        self.commit_known = 0
        """Highest commit index that the follower said it knows."""
        self.snapshot_index = 0
        self.snapshot_deadline = Instant(0)

    def room(self, window_entries: int) -> int:
        """Return how many entries may be sent now; a probe needs one."""
        if self.state is REPLICATE:
            return window_entries - (self.next - 1 - self.match)
        return int(self.state is PROBE and not self.paused)

    def sent(self, last_index: int) -> None:
        """Note that entries up to the index went out."""
        if self.state is REPLICATE:
            self.next = last_index + 1
        else:
            self.paused = True

    def accepted(self, index: int) -> bool:
        """Note that everything up to the index is durable there; tell whether that was news."""
        news = index > self.match
        if news:
            self.match = index
        if self.next <= self.match:
            self.next = self.match + 1
        if self.state is not REPLICATE:
            if self.state is SNAPSHOT and self.match < self.snapshot_index:
                return news
            self.state = REPLICATE
            self.next = self.match + 1
        self.paused = False
        return news

    def refused(self, *, probe_next: int) -> None:
        """The logs part before what was sent: probe, no earlier than what is known to match."""
        if self.state is SNAPSHOT:
            return
        self.state = PROBE
        self.next = max(self.match + 1, min(probe_next, self.next))
        self.paused = False

    def silent(self) -> None:
        """Nothing was heard for a while: what was sent may be lost."""
        if self.state is REPLICATE:
            self.state = PROBE
            self.next = self.match + 1
        self.paused = False

    def needs_snapshot(self, *, index: int, deadline: Instant) -> None:
        """Entries that the follower needs are compacted: wait for a snapshot of at least this index."""
        self.state = SNAPSHOT
        self.snapshot_index = index
        self.snapshot_deadline = deadline

    def snapshot_over(self) -> None:
        """The time for the snapshot is over, or it failed: find out where the follower is."""
        self.state = PROBE
        self.next = self.match + 1
        self.paused = False
