"""Counting: right numbers, in the form that Prometheus expects."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from objstore.server.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple], float]:
    """Return all samples of the exposition, by name and labels."""
    text, _ = metrics.exposition()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_operation_and_status() -> None:
    """Error rates are computed from these two labels."""
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.request_done("GetObject", status, seconds=0.2, bytes_in=1, bytes_out=10)
    found = samples(metrics)
    labels = ("operation", "GetObject")
    assert found["objstore_requests_total", (labels, ("status", "200"))] == 2
    assert found["objstore_requests_total", (labels, ("status", "404"))] == 1
    assert found["objstore_sent_bytes_total", (labels,)] == 30
    assert found["objstore_received_bytes_total", (labels,)] == 3
    assert found["objstore_request_seconds_count", (labels,)] == 3
    assert found["objstore_request_seconds_bucket", (("le", "0.1"), labels)] == 0


def test_gauges_are_read_when_asked() -> None:
    """A queue depth that was copied at registration would always be 0."""
    depth = [1.0]
    metrics = Metrics()
    metrics.add_gauge("objstore_commit_queue", "Commands that wait.", lambda: depth[0])
    depth[0] = 7.0
    assert samples(metrics)["objstore_commit_queue", ()] == 7


def test_process_facts_and_versions_are_there() -> None:
    """The first things to compare when one node of several misbehaves."""
    found = samples(Metrics())
    assert found["process_open_fds", ()] > 0
    assert found["process_resident_memory_bytes", ()] > 1 << 20
    build = next(dict(labels) for name, labels in found if name == "objstore_build_info")
    assert {"objstore", "python", "sqlite"} <= set(build)


def counted(operation: str, times: int) -> Metrics:
    """Return the metrics of a process that answered so many requests."""
    metrics = Metrics()
    for _ in range(times):
        metrics.request_done(operation, 200, seconds=0.002, bytes_in=3, bytes_out=5)
    return metrics


def test_the_node_is_the_sum_of_its_processes() -> None:
    """A scrape reaches one process by chance and must show the whole node."""
    owner = counted("GetObject", 2)
    owner.take("1", counted("GetObject", 3).counts())
    owner.take("2", counted("PutObject", 4).counts())
    owner.take("2", counted("PutObject", 5).counts())
    text = owner.exposition()[0].decode()
    assert 'objstore_requests_total{operation="GetObject",status="200"} 5.0' in text
    assert 'objstore_requests_total{operation="PutObject",status="200"} 5.0' in text
    assert 'objstore_request_seconds_count{operation="GetObject"} 5.0' in text
    assert 'objstore_sent_bytes_total{operation="PutObject"} 25.0' in text
    for worker in ("0", "1", "2"):
        assert f'process_open_fds{{worker="{worker}"}}' in text


def test_what_a_worker_counted_outlives_it() -> None:
    """Counters that fall look like a restart, and rates computed from them jump."""
    owner = counted("GetObject", 2)
    owner.take("1", counted("GetObject", 3).counts())
    owner.retire("1")
    owner.retire("1")
    text = owner.exposition()[0].decode()
    assert 'objstore_requests_total{operation="GetObject",status="200"} 5.0' in text
    assert "worker=" not in text


def test_a_labelled_gauge_shows_each_value() -> None:
    """One line for each drive; a drive that went is gone at the next question."""
    metrics = Metrics()
    leads = {"a": 2, "b": 0}
    metrics.add_labelled_gauge("objstore_leads", "Leads.", "drive", lambda: leads)
    text = metrics.exposition()[0].decode()
    assert 'objstore_leads{drive="a"} 2.0' in text
    assert 'objstore_leads{drive="b"} 0.0' in text
    del leads["b"]
    assert 'drive="b"' not in metrics.exposition()[0].decode()
