"""What the writer of a catalogue file measures of itself, for whoever exports metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from objstore.model.histogram import BATCH_BOUNDS, SYNC_BOUNDS_S, Histogram

__all__ = ["CatalogStats"]


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
    batch_sizes: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS))
    """Commands that shared one commit."""
    commit_times: Histogram = field(default_factory=lambda: Histogram(SYNC_BOUNDS_S))
    """Seconds of one COMMIT, which is one fsync."""

    def count_batch(self, commands_count: int, *, apply_s: float, commit_s: float) -> None:
        """Count one committed batch."""
        self.batches += 1
        self.commands += commands_count
        self.apply_s += apply_s
        self.commit_s += commit_s
        self.batch_sizes.observe(commands_count)
        self.commit_times.observe(commit_s)
