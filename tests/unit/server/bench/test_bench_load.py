"""Clients against servers that misbehave: every fault is counted as what it is, and every run ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from objstore.server.bench.bodies import Bodies
from objstore.server.bench.bucket import Store
from objstore.server.bench.cases import CASES, Workload
from objstore.server.bench.connection import Connection
from objstore.server.bench.load import Limits, LoadResult, run_load
from objstore.server.bench.refusal import BenchRefused
from objstore.server.bench.request import Request
from objstore.server.bench.share import Share, run_share, split
from objstore.server.bench.signer import Credentials
from objstore.server.bench.target import Target
from objstore.server.clock import SystemClock
from objstore.server.settings import Secret

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
KEYS = Credentials("key", Secret("secret"), "us-east-1")
SIZE = 4096
BODIES = Bodies(SIZE)


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (lines, len(body), body)


def body_of(head: bytes) -> bytes:
    number = int(head.split(b" ")[1].rpartition(b"/")[2])
    return bytes(BODIES.window(number))


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Target]:
    """A server that answers connections with `handler`; at the end every connection is over."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await handler(reader, writer)
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield Target("127.0.0.1", server.sockets[0].getsockname()[1], False, KEYS)
        await asyncio.gather(*tasks)


async def against(handler: Handler, *, clients: int = 2, operations: int = 10) -> LoadResult:
    """Run GETs against a server that answers connections with `handler`."""
    async with serving(handler) as target:
        load = Workload(b"/b/", BODIES, objects_count=5)
        return await run_load(
            target,
            lambda: CASES["get"].script(load),
            clients_count=clients,
            limits=Limits(20.0, operations),
            clock=SystemClock(),
        )


async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(body_of(head)))


def test_all_operations_are_counted_and_no_more() -> None:
    """`--requests` is a promise to the operator of the store."""
    found = asyncio.run(against(good))
    assert len(found.latencies_s) == 10
    assert found.moved_bytes == 10 * SIZE
    assert (found.errors, found.reconnects) == ({}, 0)
    assert found.elapsed_s > 0


def test_other_bytes_are_an_error() -> None:
    """A store that mixes up objects is not measured, it is found out."""

    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = bytearray(body_of(head))
            body[-1] ^= 1
            writer.write(ok(bytes(body)))

    found = asyncio.run(against(wrong))
    assert found.errors == {"GET answered other bytes than were put": 10}
    assert len(found.latencies_s) == 0


def test_a_short_body_is_an_error() -> None:
    """The right beginning is not the object."""

    async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(ok(body_of(head)[:-1]))

    assert asyncio.run(against(short)).errors.total() == 10


def test_a_server_that_closes_after_each_answer_is_measured_all_the_same() -> None:
    """Some proxies do; the answer counts, and the new connection is counted beside it."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(body_of(head), b"connection: close"))

    found = asyncio.run(against(closing, clients=1))
    assert len(found.latencies_s) == 10
    assert found.errors == {}
    assert found.reconnects >= 9


def test_a_server_that_only_hangs_up_ends_the_run() -> None:
    """A crashed server must not keep the bench busy for the rest of its time."""

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    found = asyncio.run(against(rude, clients=1))
    assert len(found.latencies_s) == 0
    assert set(found.errors) == {"connection closed by the server"}


def test_what_is_no_http_is_named() -> None:
    """`--endpoint` may point to anything."""

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example.com ESMTP\r\n\r\n")

    found = asyncio.run(against(other, clients=1, operations=2))
    assert all("malformed answer" in kind for kind in found.errors)
    assert found.errors.total() == 2


def test_an_answer_before_the_end_of_the_body_is_an_answer() -> None:
    """A refusal comes while a large body is still being sent; the rest of it must not become a request."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = b"<Error><Code>SlowDown</Code></Error>"
        writer.write(b"HTTP/1.1 503 x\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
        await writer.drain()
        while await reader.read(1 << 20):
            pass

    async def scenario() -> str:
        async with serving(early) as target:
            store = Store(target, SystemClock())
            body = bytes(64 << 20)
            reply = await store.ask(
                Request(b"PUT", b"/b/k", body=body, payload_hash=b"UNSIGNED-PAYLOAD")
            )
            return reply.fault()

    assert asyncio.run(scenario()) == "503 SlowDown"


def test_nobody_there_is_told_with_a_next_step() -> None:
    """The commonest mistake of all."""

    async def scenario() -> None:
        await Store(Target("127.0.0.1", 1, False, KEYS), SystemClock()).make_place(None, "id")

    with pytest.raises(BenchRefused, match="does not answer") as refusal:
        asyncio.run(scenario())
    assert "--endpoint" in refusal.value.next_step


def test_sending_on_a_closed_connection_is_our_fault() -> None:
    """It must never look like the server's."""
    with pytest.raises(RuntimeError, match="not open"):
        Connection(None, on_answer=print, on_lost=print).send(Request(b"GET", b"/"))


def share(**changes) -> Share:
    fields = {
        "target": Target("127.0.0.1", 1, False, KEYS),
        "case": "put",
        "prefix": b"/b/",
        "size_bytes": 1,
        "objects_count": 0,
        "clients_count": 5,
        "limits": Limits(1.0, 7, 100),
    }
    return Share(**(fields | changes))


def test_shares_add_up_to_the_whole() -> None:
    """Sixteen clients on three processes are sixteen clients."""
    parts = split(share(), 3)
    assert sum(part.clients_count for part in parts) == 5
    assert sum(part.limits.operations_max or 0 for part in parts) == 7
    assert sum(part.limits.bytes_max or 0 for part in parts) == 100
    assert [(part.share, part.shares) for part in parts] == [(0, 3), (1, 3), (2, 3)]
    assert len(split(share(clients_count=2), 8)) == 2


def test_a_share_without_a_server_ends_with_errors() -> None:
    """A run always ends, whatever the server does."""
    found = asyncio.run(run_share(share(clients_count=1)))
    assert len(found.latencies_s) == 0
    assert all("cannot connect" in kind for kind in found.errors)
