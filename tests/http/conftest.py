"""A whole node in this process, driven as ASGI: real directories, real signatures, no sockets, a clock that is set."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio
import pytest

from objstore.model.instant import Instant
from objstore.server.bootstrap import open_node
from objstore.server.settings import (
    AccessSettings,
    ListenSettings,
    S3Settings,
    Secret,
    Settings,
    StorageSettings,
    UserSettings,
)
from objstore.testing.raw_client import RawCall, RawClient

START_MS = 1_750_000_000_000
HOST = "store.example"


class Clock:
    """Stands still until it is moved."""

    def __init__(self):
        self.at = START_MS

    def now(self):
        return Instant(self.at)

    def monotonic_s(self):
        return self.at / 1000


@dataclass
class Answer:
    """What an ASGI application sent."""

    messages: list = field(default_factory=list)

    @property
    def status(self):
        return self.messages[0]["status"]

    @property
    def headers(self):
        return {
            name.decode().lower(): value.decode() for name, value in self.messages[0]["headers"]
        }

    @property
    def body(self):
        return b"".join(bytes(m.get("body", b"")) for m in self.messages[1:])

    @property
    def is_complete(self):
        return bool(self.messages) and not self.messages[-1].get("more_body", False)

    def element(self, name):
        """Return the text of the first XML element of a name."""
        return self.body.decode().partition(f"<{name}>")[2].partition(f"</{name}>")[0]

    @property
    def code(self):
        return self.element("Code")


class Web:
    """A node and a client with root's keys; `as_user` gives one with others."""

    def __init__(self, node, clock, access_key, secret_key):
        self.node = node
        self.clock = clock
        self.client = RawClient(HOST, 80, access_key, secret_key)
        self.bodies_asked = 0

    def as_user(self, access_key, secret_key):
        return Web(self.node, self.clock, access_key, secret_key)

    @property
    def moment(self):
        return datetime.fromtimestamp(self.clock.at / 1000, UTC)

    def signed(self, method, path, query=(), headers=(), body=b"", **how):
        call = RawCall(method, path, tuple(query), tuple(headers), body)
        if body or method in ("PUT", "POST"):
            call = call.with_headers(("content-length", str(len(body))))
        return self.client.signed(call, at=self.moment, **how)

    def presigned(self, method, path, query=(), headers=(), **how):
        call = RawCall(method, path, tuple(query), tuple(headers))
        return self.client.presigned(call, at=self.moment, **how)

    async def send(self, call, *, pieces=None, app=None, send=None):
        """Give a call to the application; return its answer."""
        answer = Answer()
        bodies = [call.body] if pieces is None else list(pieces)
        messages = [{"type": "http.request", "body": b, "more_body": True} for b in bodies]
        messages.append({"type": "http.request", "body": b"", "more_body": False})

        async def receive():
            self.bodies_asked += 1
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def keep(message):
            answer.messages.append(message)

        await (app or self.node.app)(scope_of(call), receive, send or keep)
        return answer

    async def ask(self, method, path, query=(), headers=(), body=b"", **how):
        """Sign and send."""
        return await self.send(self.signed(method, path, query, headers, body, **how))


def scope_of(call):
    return {
        "type": "http",
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": call.path.encode("latin-1"),
        "query_string": call.query_string.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in call.headers],
    }


def settings_for(*directories, workers=1, **storage):
    return Settings(
        listen=ListenSettings(stall_timeout_s=5.0),
        s3=S3Settings(buckets=storage.pop("buckets", ("box",))),
        storage=StorageSettings(dirs=directories, reserve_bytes=0, **storage),
        access=AccessSettings(
            root_access_key="root-key",
            root_secret_key=Secret("root-secret-0123456789"),
            users=(
                UserSettings(
                    name="ann", access_key="ann-key", secret_key=Secret("ann-secret-0123")
                ),
            ),
        ),
        workers=workers,
    )


@contextlib.asynccontextmanager
async def open_web(*directories, clock=None, **storage):
    clock = clock or Clock()
    async with open_node(settings_for(*directories, **storage), clock=clock) as node:
        yield Web(node, clock, "root-key", "root-secret-0123456789")


@pytest.fixture
def run(tmp_path):
    """Run a story with a fresh node over some directories."""

    def run_story(story, *, directories=1, **storage):
        async def main():
            paths = [tmp_path / f"d{number}" for number in range(directories)]
            async with open_web(*paths, **storage) as web:
                await story(web)

        anyio.run(main)

    return run_story


@pytest.fixture
def opener():
    """Open a node over given directories, for stories with more than one start."""
    return open_web
