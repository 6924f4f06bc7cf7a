"""Health pages: what a supervisor and a load balancer act upon."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from objstore.server.clock import SystemClock
from objstore.server.health import Readiness, health_app
from objstore.server.metrics import Metrics


def get(path: str, readiness: Readiness, metrics: Metrics | None = None) -> httpx.Response:
    """Ask the health application for one page."""
    app = health_app(
        readiness=readiness,
        metrics=metrics or Metrics(),
        clock=SystemClock(),
        cluster=lambda: {"drives": 3},
    )

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://h"
        ) as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_ready_follows_the_life_of_the_node() -> None:
    """Ready means that every promise of the start is kept; draining must be seen before the port closes."""
    readiness = Readiness()
    assert get("/_/health/ready", readiness).status_code == 503
    readiness.become_ready()
    assert get("/_/health/ready", readiness).status_code == 200
    readiness.begin_drain()
    answer = get("/_/health/ready", readiness)
    assert (answer.status_code, answer.json()["problems"]) == (503, {"state": "draining"})
    readiness.become_ready()
    assert get("/_/health/ready", readiness).status_code == 503


def test_failing_check_makes_not_ready_and_is_named() -> None:
    """Whoever is called at night reads this page first."""
    readiness = Readiness()
    readiness.become_ready()
    readiness.add_check("drive", lambda: "gone")
    readiness.add_check("catalogue", lambda: "")
    answer = get("/_/health/ready", readiness)
    assert (answer.status_code, answer.json()["problems"]) == (503, {"drive": "gone"})


def test_drain_callbacks_run_once() -> None:
    """A second signal repeats nothing."""
    calls = []
    readiness = Readiness()
    readiness.on_drain(lambda: calls.append(1))
    readiness.begin_drain()
    readiness.begin_drain()
    assert calls == [1]


def test_live_answers_whatever_the_state() -> None:
    """A restart does not help a node that waits for its drives."""
    assert get("/_/health/live", Readiness()).json()["status"] == "live"


def test_cluster_page_shows_the_view_of_the_node() -> None:
    """Operators see drives and state without credentials or a shell."""
    assert get("/_/health/cluster", Readiness()).json() == {"status": "starting", "drives": 3}


def test_metrics_are_served_as_prometheus_text() -> None:
    """The scraper chooses its parser by the content type."""
    metrics = Metrics()
    metrics.request_done("GetObject", 200, seconds=0.01, bytes_in=0, bytes_out=5)
    answer = get("/_/metrics", Readiness(), metrics)
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'objstore_requests_total{operation="GetObject",status="200"} 1.0' in answer.text


@pytest.mark.parametrize("path", ["/_/", "/_/health", "/_/health/live/", "/_/secret"])
def test_unknown_paths_are_s3_errors(path) -> None:
    """An S3 client that ends up here must be able to read the answer (s3 rule 1.7.5)."""
    answer = get(path, Readiness())
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/xml"
    assert "<Code>NoSuchPath</Code>" in answer.text
