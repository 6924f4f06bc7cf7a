"""Syncs are timed where they happen."""

from __future__ import annotations

import os

from objstore.model.histogram import SYNC_BOUNDS_S, Histogram
from objstore.storage.timed_system import TimedSystem


def test_every_sync_is_counted(tmp_path):
    """A slow disk must show in the metrics before it shows in complaints."""
    syncs = Histogram(SYNC_BOUNDS_S)
    system = TimedSystem(syncs)
    for number in range(3):
        fd = system.open_named(tmp_path / str(number))
        system.sync(fd)
        os.close(fd)
    assert sum(syncs.counts) == 3
    assert syncs.total > 0
