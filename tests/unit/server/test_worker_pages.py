"""The node's pages on a worker: passed on, and honest when nobody answers."""

from __future__ import annotations

import asyncio

from objstore.model.errors import Unavailable
from objstore.server.clock import SystemClock
from objstore.server.health import Readiness, health_app
from objstore.server.metrics import Metrics
from objstore.server.worker_pages import OwnPages, PageEndpoint


def pages_of(readiness):
    """Return the pages of one process."""
    return health_app(readiness=readiness, metrics=Metrics(), clock=SystemClock(), cluster=dict)


class Owner:
    """The owner's end of the connection, without a socket."""

    def __init__(self, pages):
        self._methods = PageEndpoint(pages).methods

    async def call(self, method, body=b"", *, deadline_s):
        return await self._methods[method](body)


class Nobody:
    """A connection that is lost."""

    async def call(self, _method, _body=b"", *, deadline_s):
        raise Unavailable


def ask(app, path, method="GET"):
    """Return status, headers and body of a page."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    asyncio.run(app(scope, receive, send))
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


def test_a_worker_answers_what_the_owner_answers() -> None:
    """A worker that is well in a node that is not must not attract requests, and the other way round."""
    owners = Readiness()
    app = OwnPages(pages_of(Readiness()), Owner(pages_of(owners)))
    assert ask(app, "/_/health/ready")[0] == 503
    owners.become_ready()
    status, headers, body = ask(app, "/_/health/ready")
    assert (status, body) == (200, b'{"status": "ready"}\n')
    assert headers[b"content-type"] == b"application/json"
    assert ask(app, "/_/no-such-page")[0] == 404
    assert ask(app, "/_/health/ready", "POST")[0] == 405


def test_a_worker_without_owner_is_not_ready_but_lives() -> None:
    """It is about to end; whoever asks in between must look elsewhere."""
    app = OwnPages(pages_of(Readiness()), Nobody())
    status, _, body = ask(app, "/_/health/ready")
    assert status == 503
    assert b"owner" in body
    assert ask(app, "/_/health/live")[0] == 200
