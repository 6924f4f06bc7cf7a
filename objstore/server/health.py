"""Health of a node over HTTP: `/_/health/live`, `ready`, `cluster` and `/_/metrics`, on the S3 port.

`_` can never be a bucket, so these paths shadow nothing. Live answers as long as the event loop turns. Ready says 200
only when everything that was promised at start is true, and 503 from the first moment of draining, so that a load
balancer looks elsewhere while requests in flight still finish. None of them needs a signature and none tells a name or a key.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from objstore.model.instant import Clock
from objstore.server.metrics import Metrics

__all__ = ["NodeState", "Readiness", "health_app"]

ClusterView = Callable[[], Mapping[str, object]]
"""Returns what `/_/health/cluster` shows, as plain JSON values; must not block."""

_NO_SUCH_PATH = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>NoSuchPath</Code><Message>The server has no page of this name.</Message></Error>"
)
_JSON = {"Cache-Control": "no-store", "Content-Type": "application/json"}


class NodeState(Enum):
    """Where a node is in its life; only `READY` takes new work."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Readiness:
    """The answer to "may I send requests here?", kept by the node and changed only forwards."""

    __slots__ = ("_checks", "_on_drain", "state")

    def __init__(self) -> None:
        self.state = NodeState.STARTING
        self._checks: dict[str, Callable[[], str]] = {}
        self._on_drain: list[Callable[[], None]] = []

    def on_drain(self, callback: Callable[[], None]) -> None:
        """Call back, once, when draining begins."""
        self._on_drain.append(callback)

    def add_check(self, name: str, problem: Callable[[], str]) -> None:
        """Add a quick check that returns what is wrong, or an empty text; called for each question."""
        self._checks[name] = problem

    def become_ready(self) -> None:
        """Say that all promises of the start are kept; ignored once draining has begun."""
        if self.state is NodeState.STARTING:
            self.state = NodeState.READY

    def begin_drain(self) -> None:
        """Say that no new work is taken any more; later calls change nothing."""
        if self.state is NodeState.DRAINING:
            return
        self.state = NodeState.DRAINING
        for callback in self._on_drain:
            callback()

    def problems(self) -> dict[str, str]:
        """Return what stands against being ready, by name of check."""
        found = {} if self.state is NodeState.READY else {"state": self.state.value}
        for name, problem in self._checks.items():
            if text := problem():
                found[name] = text
        return found


async def _nothing_to_gather() -> None:
    """Stand in where one process has all counters."""


def health_app(
    *,
    readiness: Readiness,
    metrics: Metrics,
    clock: Clock,
    cluster: ClusterView,
    gather: Callable[[], Awaitable[None]] = _nothing_to_gather,
) -> Router:
    """Return the ASGI application for every path that starts with `/_/`.

    `gather` brings `metrics` up to date before they are shown.
    """
    started_s = clock.monotonic_s()

    async def live(_: Request) -> Response:
        uptime_s = round(clock.monotonic_s() - started_s, 3)
        return _json(200, {"status": "live", "uptime_s": uptime_s})

    async def ready(_: Request) -> Response:
        problems = readiness.problems()
        if problems:
            return _json(503, {"status": "not ready", "problems": problems})
        return _json(200, {"status": "ready"})

    async def show_cluster(_: Request) -> Response:
        return _json(200, {"status": readiness.state.value, **cluster()})

    async def show_metrics(_: Request) -> Response:
        await gather()
        content, content_type = metrics.exposition()
        return Response(
            content, headers={"Content-Type": content_type, "Cache-Control": "no-store"}
        )

    router = Router(
        redirect_slashes=False,
        default=Response(_NO_SUCH_PATH, status_code=404, media_type="application/xml"),
    )
    router.add_route("/_/health/live", live, methods=["GET"])
    router.add_route("/_/health/ready", ready, methods=["GET"])
    router.add_route("/_/health/cluster", show_cluster, methods=["GET"])
    router.add_route("/_/metrics", show_metrics, methods=["GET"])
    return router


def _json(status: int, value: Mapping[str, object]) -> Response:
    return Response(json.dumps(value) + "\n", status_code=status, headers=_JSON)
