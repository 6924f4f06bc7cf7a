"""System calls that remember how long syncs take, for the metrics of a node."""

from __future__ import annotations

import threading
from time import perf_counter

from objstore.model.histogram import Histogram
from objstore.storage.system import System

__all__ = ["TimedSystem"]


class TimedSystem(System):
    """The real calls; every sync is timed. Drives of one node share it, so adding is locked."""

    def __init__(self, syncs: Histogram) -> None:
        self._syncs = syncs
        self._lock = threading.Lock()

    def sync(self, fd: int) -> None:
        """Bring a file or a directory to stable storage, and note the time it took."""
        begun = perf_counter()
        super().sync(fd)
        elapsed_s = perf_counter() - begun
        with self._lock:
            self._syncs.observe(elapsed_s)
