"""What the writer of a catalogue file measures of itself, for whoever exports metrics."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

__all__ = ["BATCH_BOUNDS", "COMMIT_BOUNDS_S", "CatalogStats"]

BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Upper bounds of the histogram of commands per commit."""
COMMIT_BOUNDS_S: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
"""Upper bounds of the histogram of COMMIT durations; a COMMIT is one fsync."""


@dataclass(slots=True)
class CatalogStats:
    """Counters that only grow, and gauges. Written by one thread each, read by any."""

    queue_depth: int = 0
    """Commands that wait for, or are in, a commit (gauge)."""
    batches: int = 0
    commands: int = 0
    refused: int = 0
    slow_downs: int = 0
    """Commands turned away because the queue was full."""
    apply_s: float = 0.0
    commit_s: float = 0.0
    """Time in COMMIT: writing the WAL and its fsync."""
    checkpoints: int = 0
    checkpoint_s: float = 0.0
    wal_bytes: int = 0
    """Size of the WAL's content after the last commit (gauge)."""
    batch_buckets: list[int] = field(default_factory=lambda: [0] * (len(BATCH_BOUNDS) + 1))
    commit_buckets: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BOUNDS_S) + 1))

    def count_batch(self, commands_count: int, *, apply_s: float, commit_s: float) -> None:
        """Count one committed batch."""
        self.batches += 1
        self.commands += commands_count
        self.apply_s += apply_s
        self.commit_s += commit_s
        self.batch_buckets[bisect_left(BATCH_BOUNDS, commands_count)] += 1
        self.commit_buckets[bisect_left(COMMIT_BOUNDS_S, commit_s)] += 1
