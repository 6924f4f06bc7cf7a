"""Counters of a node, and their exposition for Prometheus.

Observing happens on the hot path, so it is a few additions on plain Python numbers (well under 3 microseconds). The
families that Prometheus reads are built only when somebody asks, through a collector of `prometheus_client`.

Names, labels and units are a contract with dashboards: docs/metrics.md lists them all.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from objstore.server.versions import versions

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["Histogram", "Metrics"]

SECONDS_BOUNDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    60.0,
)
FLUSH_BOUNDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.5,
    1.0,
    5.0,
)
BATCH_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

_LAG_SAMPLE_S = 0.5


class Histogram:
    """Counts of values up to each bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative counts as Prometheus wants them."""
        running = 0
        found = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            found.append(("+Inf" if bound == float("inf") else repr(bound), float(running)))
        return found


class _OperationCounts:
    """What is counted for one operation."""

    __slots__ = ("bytes_in", "bytes_out", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.seconds = Histogram(SECONDS_BOUNDS)
        self.bytes_in = 0
        self.bytes_out = 0


class Metrics:
    """Everything that is counted in this process."""

    def __init__(self) -> None:
        self._operations: dict[str, _OperationCounts] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.commit_batch = Histogram(BATCH_BOUNDS)
        """Commands that shared one commit of a metadata store."""
        self.commit_seconds = Histogram(FLUSH_BOUNDS)
        """Time from handing a batch to SQLite until it was durable."""
        self.flush_seconds = Histogram(FLUSH_BOUNDS)
        """Time of one fsync of a data file or directory."""
        self.loop_lag = Histogram(FLUSH_BOUNDS)
        """How late the event loop was, sampled twice a second."""

    def request_done(
        self, operation: str, status: int, *, seconds: float, bytes_in: int, bytes_out: int
    ) -> None:
        """Count one answered request."""
        counts = self._operations.get(operation)
        if counts is None:
            counts = self._operations[operation] = _OperationCounts()
        statuses = counts.statuses
        statuses[status] = statuses.get(status, 0) + 1
        counts.seconds.observe(seconds)
        counts.bytes_in += bytes_in
        counts.bytes_out += bytes_out

    def add_gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Expose a present value, such as the depth of a queue; `read` must be quick. The name gets no unit added."""
        self._gauges[name] = (meaning, read)

    async def sample_loop_lag(self) -> None:
        """Measure the lag of the running event loop until cancelled."""
        while True:
            due_s = monotonic() + _LAG_SAMPLE_S
            await asyncio.sleep(_LAG_SAMPLE_S)
            self.loop_lag.observe(max(0.0, monotonic() - due_s))

    def exposition(self) -> tuple[bytes, str]:
        """Return the text for Prometheus and its content type."""
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest  # noqa: PLC0415 - 80 ms

        return generate_latest(self), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Metric]:
        """Yield all families; what `prometheus_client` calls."""
        yield from self._collect_requests()
        yield from self._collect_histograms()
        yield from self._collect_process()

    def _collect_requests(self) -> Iterable[Metric]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily  # noqa: PLC0415

        requests = CounterMetricFamily(
            "objstore_requests", "Answered requests.", labels=("operation", "status")
        )
        received = CounterMetricFamily(
            "objstore_received_bytes", "Body bytes received.", labels=("operation",)
        )
        sent = CounterMetricFamily("objstore_sent_bytes", "Body bytes sent.", labels=("operation",))
        latency = HistogramMetricFamily(
            "objstore_request_seconds",
            "Time from the end of the request head to the end of the answer.",
            labels=("operation",),
        )
        for name, counts in sorted(self._operations.items()):
            for status, count in sorted(counts.statuses.items()):
                requests.add_metric((name, str(status)), count)
            received.add_metric((name,), counts.bytes_in)
            sent.add_metric((name,), counts.bytes_out)
            latency.add_metric((name,), counts.seconds.buckets(), counts.seconds.total)
        return requests, received, sent, latency

    def _collect_histograms(self) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

        for name, meaning, histogram in (
            (
                "objstore_commit_batch_commands",
                "Commands that shared one commit.",
                self.commit_batch,
            ),
            (
                "objstore_commit_seconds",
                "Time of one durable commit of metadata.",
                self.commit_seconds,
            ),
            ("objstore_flush_seconds", "Time of one fsync of data.", self.flush_seconds),
            ("objstore_loop_lag_seconds", "How late the event loop was.", self.loop_lag),
        ):
            yield HistogramMetricFamily(name, meaning, histogram.buckets(), histogram.total)

    def _collect_process(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily  # noqa: PLC0415

        for name, (meaning, read) in sorted(self._gauges.items()):
            yield GaugeMetricFamily(name, meaning, read())
        yield GaugeMetricFamily("process_open_fds", "Open files of the process.", _open_files())
        yield GaugeMetricFamily(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            _resident_bytes(),
        )
        yield InfoMetricFamily("objstore_build", "Versions of what runs.", value=versions())


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough, paths are not needed


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
