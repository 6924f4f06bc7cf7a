"""What is counted and told of requests: always the number, a line only where it helps."""

from __future__ import annotations

import structlog

from objstore.model.errors import ClientDisconnected, InvariantError
from objstore.server.metrics import Metrics
from objstore.server.observer import RequestLog


def told(status: int, *, is_verbose: bool) -> tuple[list[dict], Metrics]:
    """Report one request; return what was logged, and the metrics."""
    metrics = Metrics()
    with structlog.testing.capture_logs() as events:
        RequestLog(metrics, is_verbose=is_verbose).request_done(
            "GetObject", status, seconds=0.01, bytes_in=0, bytes_out=5, request_id="R1"
        )
    return list(events), metrics


def test_requests_are_counted_and_answered_ones_are_not_told() -> None:
    """A line a request would cost more than the request."""
    events, metrics = told(404, is_verbose=False)
    assert events == []
    assert b'status="404"' in metrics.exposition()[0]


def test_faults_of_ours_are_always_told_with_the_request_id() -> None:
    """The id is what a user quotes."""
    events, _ = told(503, is_verbose=False)
    assert [(event["request_id"], event["status"]) for event in events] == [("R1", 503)]


def test_debug_tells_every_request_with_what_it_cost() -> None:
    """For the hour in which somebody looks for one odd request."""
    events, _ = told(200, is_verbose=True)
    assert (events[0]["operation"], events[0]["ms"], events[0]["bytes_out"]) == (
        "GetObject",
        10.0,
        5,
    )


def test_fault_is_told_with_its_traceback_and_a_gone_client_is_none() -> None:
    """Clients hang up all the time; an alarm for each would hide the real ones."""
    log = RequestLog(Metrics(), is_verbose=False)
    with structlog.testing.capture_logs() as events:
        log.request_failed("PutObject", "R2", InvariantError("broken"))
        log.request_failed("PutObject", "R3", ClientDisconnected())
    assert [event["request_id"] for event in events] == ["R2"]
    assert isinstance(events[0]["exc_info"], InvariantError)
