"""Counters of a node, and their exposition for Prometheus.

Observing happens on the hot path, so it is a few additions on plain Python numbers (well under 3 microseconds). The
families that Prometheus reads are built only when somebody asks, through a collector of `prometheus_client`.

Where several processes serve, the owner takes the counts of its workers and shows the sum over the node; what belongs to
one process carries a `worker` label (0 is the owner). The counts of a worker that ended stay in the sum.

Names, labels and units are a contract with dashboards: docs/metrics.md lists them all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from objstore.model.histogram import (
    BATCH_BOUNDS,
    REQUEST_BOUNDS_S,
    SYNC_BOUNDS_S,
    Histogram,
    HistogramCounts,
)
from objstore.server.versions import versions

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["Metrics", "ProcessCounts"]

_LAG_SAMPLE_S = 0.5


class OperationCounts(msgspec.Struct, frozen=True, array_like=True):
    """What a process counted of one operation."""

    statuses: dict[int, int]
    seconds: HistogramCounts
    bytes_in: int
    bytes_out: int


class ProcessCounts(msgspec.Struct, frozen=True, array_like=True):
    """Everything that one process counted since its start, and its present values."""

    operations: dict[str, OperationCounts]
    histograms: list[HistogramCounts]
    open_files: float
    resident_bytes: float


class _Operation:
    """What is counted for one operation."""

    __slots__ = ("bytes_in", "bytes_out", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.seconds = Histogram(REQUEST_BOUNDS_S)
        self.bytes_in = 0
        self.bytes_out = 0


class Metrics:
    """Everything that is counted in this process."""

    def __init__(self) -> None:
        self._operations: dict[str, _Operation] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._labelled: dict[str, tuple[str, str, Callable[[], Mapping[str, float]]]] = {}
        self._workers: dict[str, ProcessCounts] = {}
        self.commit_batch = Histogram(BATCH_BOUNDS)
        """Commands that shared one commit of a metadata store."""
        self.commit_seconds = Histogram(SYNC_BOUNDS_S)
        """Time from handing a batch to SQLite until it was durable."""
        self.flush_seconds = Histogram(SYNC_BOUNDS_S)
        """Time of one fsync of a data file or directory."""
        self.loop_lag = Histogram(SYNC_BOUNDS_S)
        """How late the event loop was, sampled twice a second."""

    def request_done(
        self, operation: str, status: int, *, seconds: float, bytes_in: int, bytes_out: int
    ) -> None:
        """Count one answered request."""
        counts = self._operations.get(operation) or self._operation(operation)
        statuses = counts.statuses
        statuses[status] = statuses.get(status, 0) + 1
        counts.seconds.observe(seconds)
        counts.bytes_in += bytes_in
        counts.bytes_out += bytes_out

    def _operation(self, name: str) -> _Operation:
        return self._operations.setdefault(name, _Operation())

    # --- several processes

    def counts(self) -> ProcessCounts:
        """Return what this process counted, to be sent to the owner."""
        operations = {
            name: OperationCounts(
                dict(counts.statuses), counts.seconds.frozen(), counts.bytes_in, counts.bytes_out
            )
            for name, counts in self._operations.items()
        }
        histograms = [histogram.frozen() for _, _, histogram in self._histograms()]
        return ProcessCounts(operations, histograms, _open_files(), _resident_bytes())

    def take(self, worker: str, counts: ProcessCounts) -> None:
        """Keep the latest counts of a worker."""
        self._workers[worker] = counts

    def retire(self, worker: str) -> None:
        """Keep what a worker counted last among our own: it ended, and counters never go back."""
        last = self._workers.pop(worker, None)
        if last is not None:
            self._add(last)

    def _add(self, other: ProcessCounts) -> None:
        for name, counts in other.operations.items():
            own = self._operation(name)
            for status, count in counts.statuses.items():
                own.statuses[status] = own.statuses.get(status, 0) + count
            own.seconds.add(counts.seconds)
            own.bytes_in += counts.bytes_in
            own.bytes_out += counts.bytes_out
        for (_, _, histogram), more in zip(self._histograms(), other.histograms, strict=True):
            histogram.add(more)

    def _sum(self) -> Metrics:
        """Return the counters of all processes of the node."""
        if not self._workers:
            return self
        total = Metrics()
        for counts in (self.counts(), *self._workers.values()):
            total._add(counts)
        return total

    # --- exposition

    def add_gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Expose a present value, such as the depth of a queue; `read` must be quick. The name gets no unit added."""
        self._gauges[name] = (meaning, read)

    def add_labelled_gauge(
        self, name: str, meaning: str, label: str, read: Callable[[], Mapping[str, float]]
    ) -> None:
        """Expose a present value for each value of a label, as `add_gauge`."""
        self._labelled[name] = (meaning, label, read)

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
        yield from self._sum().node_families()
        yield from self._collect_process()

    def node_families(self) -> Iterator[Metric]:
        """Yield the families that are summed over the processes of a node."""
        yield from self._collect_requests()
        yield from self._collect_histograms()

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
            latency.add_metric((name,), _buckets(counts.seconds), counts.seconds.total)
        return requests, received, sent, latency

    def _collect_histograms(self) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

        for name, meaning, histogram in self._histograms():
            yield HistogramMetricFamily(name, meaning, _buckets(histogram), histogram.total)

    def _histograms(self) -> tuple[tuple[str, str, Histogram], ...]:
        """Return the histograms in the order in which their counts travel."""
        return (
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
        )

    def _collect_process(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily  # noqa: PLC0415

        for name, (meaning, read) in sorted(self._gauges.items()):
            yield GaugeMetricFamily(name, meaning, read())
        for name, (meaning, label, read_all) in sorted(self._labelled.items()):
            family = GaugeMetricFamily(name, meaning, labels=(label,))
            for value, number in read_all().items():
                family.add_metric((value,), number)
            yield family
        labels = ("worker",) if self._workers else ()
        files = GaugeMetricFamily("process_open_fds", "Open files of the process.", labels=labels)
        memory = GaugeMetricFamily(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            labels=labels,
        )
        files.add_metric(("0",)[: len(labels)], _open_files())
        memory.add_metric(("0",)[: len(labels)], _resident_bytes())
        for worker, counts in sorted(self._workers.items()):
            files.add_metric((worker,), counts.open_files)
            memory.add_metric((worker,), counts.resident_bytes)
        yield files
        yield memory
        yield InfoMetricFamily("objstore_build", "Versions of what runs.", value=versions())


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return the cumulative counts as Prometheus wants them."""
    return [
        ("+Inf" if bound == float("inf") else repr(bound), float(count))
        for bound, count in histogram.cumulative()
    ]


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough, paths are not needed


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
