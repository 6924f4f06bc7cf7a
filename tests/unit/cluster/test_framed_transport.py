"""Requests over a real Unix socket: answers, errors, deadlines, back-pressure, cancellation, and a peer that dies."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from objstore.cluster.framed_transport import FramedServer, TransportLimits, connect
from objstore.cluster.frames import PROTOCOL_VERSION, Hello, Request, encode_frame
from objstore.cluster.unix_socket import connect_unix, listen_unix
from objstore.model.errors import (
    InvariantError,
    NoSuchUpload,
    SlowDown,
    Unavailable,
    UnknownFormat,
)

LONG_S = 30.0
USUAL = TransportLimits()


async def refuse(_connection, method, _body):
    raise AssertionError(method)


@asynccontextmanager
async def served(tmp_path, handle, *, limits=USUAL, cluster_id="c"):
    """Serve a handler on a socket; give what a client connects to."""
    path = tmp_path / "s.sock"
    async with FramedServer(
        listen_unix(path), handle, cluster_id=cluster_id, name="owner", limits=limits
    ):
        yield path


@asynccontextmanager
async def connected(path, handle=refuse, *, limits=USUAL, cluster_id="c"):
    """Give one connection to a server."""
    async with connect(
        connect_unix(path), handle, cluster_id=cluster_id, name="worker-1", limits=limits
    ) as connection:
        yield connection


class Gate:
    """A handler whose requests wait until they are let through; tells which began and which were cancelled."""

    def __init__(self):
        self.open = asyncio.Event()
        self.began = asyncio.Queue()
        self.cancelled = asyncio.Queue()

    async def __call__(self, _connection, method, body):
        self.began.put_nowait(body)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.put_nowait(body)
            raise
        return method.encode() + body


def test_many_requests_share_a_stream(tmp_path) -> None:
    """Every answer belongs to its own question, whatever their order, also for bodies larger than any buffer."""

    async def scenario():
        async def handle(connection, method, body):
            await asyncio.sleep(0 if len(body) % 2 else 0.001)
            return connection.peer.encode() + method.encode() + body

        async with served(tmp_path, handle) as path, connected(path) as connection:
            bodies = [bytes([n]) * (n * 3_001) for n in range(200)]
            answers = await asyncio.gather(
                *(connection.call("m", body, deadline_s=LONG_S) for body in bodies)
            )
            assert answers == [b"worker-1m" + body for body in bodies]
            assert connection.peer == "owner"

    asyncio.run(scenario())


def test_errors_arrive_as_they_were_raised(tmp_path) -> None:
    """A refusal of the catalogue must be the same refusal in every process; a bug must not look like one."""

    async def scenario():
        async def handle(_connection, method, _body):
            if method == "refuse":
                raise NoSuchUpload("gone", upload_id="u")
            raise ZeroDivisionError

        async with served(tmp_path, handle) as path, connected(path) as connection:
            with pytest.raises(NoSuchUpload) as refused:
                await connection.call("refuse", deadline_s=LONG_S)
            assert refused.value == NoSuchUpload("gone", upload_id="u")
            with pytest.raises(InvariantError, match="ZeroDivisionError"):
                await connection.call("fail", deadline_s=LONG_S)

    asyncio.run(scenario())


def test_both_sides_may_ask(tmp_path) -> None:
    """The owner gathers counters over the connection that the worker opened, also while it answers that worker."""

    async def scenario():
        async def ask_back(connection, _method, body):
            return await connection.call("back", body, deadline_s=LONG_S)

        async def answer(_connection, method, body):
            return method.encode() + body

        async with served(tmp_path, ask_back) as path, connected(path, answer) as connection:
            assert await connection.call("there", b"!", deadline_s=LONG_S) == b"back!"

    asyncio.run(scenario())


def test_a_deadline_means_unknown_and_spares_the_stream(tmp_path) -> None:
    """A slow answer is no refusal; later requests must not be answered with it; the other side stops working on it."""

    async def scenario():
        gate = Gate()
        async with served(tmp_path, gate) as path, connected(path) as connection:
            with pytest.raises(Unavailable, match="unknown"):
                await connection.call("m", b"slow", deadline_s=0.01)
            assert await gate.cancelled.get() == b"slow"
            gate.open.set()
            assert await connection.call("m", b"next", deadline_s=LONG_S) == b"mnext"

    asyncio.run(scenario())


def test_a_cancelled_caller_leaves_the_stream_as_it_was(tmp_path) -> None:
    """A client that goes away cancels its request in a worker; everybody else's must go on."""

    async def scenario():
        gate = Gate()
        async with served(tmp_path, gate) as path, connected(path) as connection:
            loop = asyncio.get_running_loop()
            gone = loop.create_task(connection.call("m", b"gone", deadline_s=LONG_S))
            stays = loop.create_task(connection.call("m", b"stays", deadline_s=LONG_S))
            assert {await gate.began.get(), await gate.began.get()} == {b"gone", b"stays"}
            gone.cancel()
            assert await gate.cancelled.get() == b"gone"
            gate.open.set()
            assert await stays == b"mstays"
            assert gone.cancelled()

    asyncio.run(scenario())


def test_the_receiver_takes_no_more_than_it_may(tmp_path) -> None:
    """Back-pressure: what waits for a slow owner must pile up in its callers, not in its memory."""

    async def scenario():
        gate = Gate()
        narrow = TransportLimits(requests_max=3)
        async with served(tmp_path, gate, limits=narrow) as path, connected(path) as connection:
            loop = asyncio.get_running_loop()
            calls = [
                loop.create_task(connection.call("m", b"%d" % n, deadline_s=LONG_S))
                for n in range(20)
            ]
            for _ in range(3):
                await gate.began.get()
            async with connected(
                path
            ) as other:  # a round trip of its own, so that the first had its chance
                with pytest.raises(Unavailable):
                    await other.call("m", b"other", deadline_s=0.05)
            assert gate.began.qsize() == 1
            gate.open.set()
            assert await asyncio.gather(*calls) == [b"m%d" % n for n in range(20)]

    asyncio.run(scenario())


def test_too_many_callers_are_told_to_slow_down(tmp_path) -> None:
    """Nothing was sent, so this one is a certain "no": memory of the sender is bounded, too."""

    async def scenario():
        gate = Gate()
        async with (
            served(tmp_path, gate) as path,
            connected(path, limits=TransportLimits(requests_max=2)) as connection,
        ):
            loop = asyncio.get_running_loop()
            waiting = [loop.create_task(connection.call("m", deadline_s=LONG_S)) for _ in range(2)]
            await gate.began.get()
            await gate.began.get()
            with pytest.raises(SlowDown):
                await connection.call("m", deadline_s=LONG_S)
            gate.open.set()
            assert await asyncio.gather(*waiting) == [b"m", b"m"]
            assert await connection.call("m", deadline_s=LONG_S) == b"m"

    asyncio.run(scenario())


def test_a_lost_stream_is_an_unknown_outcome_for_all_who_wait(tmp_path) -> None:
    """The other side may have committed before it died: `Unavailable`, never a refusal (reliability rule T7)."""

    async def scenario():
        gate = Gate()
        async with served(tmp_path, gate) as path:
            loop = asyncio.get_running_loop()
            async with connected(path) as connection:
                calls = [
                    loop.create_task(connection.call("m", deadline_s=LONG_S)) for _ in range(3)
                ]
                for _ in calls:
                    await gate.began.get()
                connection.close()
                for call in calls:
                    with pytest.raises(Unavailable, match="unknown"):
                        await call
                assert connection.closed.is_set()
                with pytest.raises(Unavailable):
                    await connection.call("m", deadline_s=LONG_S)
            # What the dead side had asked for is given up, not left running for ever.
            for _ in calls:
                await gate.cancelled.get()

    asyncio.run(scenario())


def test_a_server_that_ends_tells_its_peers(tmp_path) -> None:
    """A worker must notice at once that its owner is gone."""

    async def scenario():
        gate = Gate()
        async with served(tmp_path, gate) as path:
            context = connected(path)
            connection = await context.__aenter__()
            call = asyncio.get_running_loop().create_task(connection.call("m", deadline_s=LONG_S))
            await gate.began.get()
        with pytest.raises(Unavailable):
            await call
        await connection.closed.wait()
        await context.__aexit__(None, None, None)

    asyncio.run(scenario())


def test_processes_of_another_cluster_do_not_talk(tmp_path) -> None:
    """A worker that outlived its directory must not write into the new one."""

    async def scenario():
        async with served(tmp_path, refuse) as path:
            with pytest.raises(Unavailable, match="another cluster"):
                async with connected(path, cluster_id="other"):
                    pass

    asyncio.run(scenario())


def test_another_version_of_the_protocol_is_refused(tmp_path) -> None:
    """After an upgrade of the files a worker of the old version may still be there."""

    async def scenario():
        async def newer(reader, writer):
            writer.write(encode_frame(Hello(PROTOCOL_VERSION + 1, "c", "newer")))
            await reader.read()
            writer.close()
            gone.set()

        gone = asyncio.Event()
        path = tmp_path / "s.sock"
        async with await asyncio.start_unix_server(newer, sock=listen_unix(path)):
            with pytest.raises(UnknownFormat):
                async with connected(path):
                    pass
            await gone.wait()

    asyncio.run(scenario())


@pytest.mark.parametrize("opening", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x02\x91\x07", b""])
def test_a_stranger_is_shown_the_door(tmp_path, opening) -> None:
    """What does not speak the protocol is cut off, and the server goes on."""

    async def scenario():
        async def echo(_connection, _method, body):
            return body

        async with served(tmp_path, echo) as path:
            reader, writer = await asyncio.open_unix_connection(sock=connect_unix(path))
            writer.write(opening)
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()
            async with connected(path) as connection:
                assert await connection.call("m", b"still here", deadline_s=LONG_S) == b"still here"

    asyncio.run(scenario())


def test_requests_that_come_with_the_hello_are_not_lost(tmp_path) -> None:
    """A stream has no borders: the first request may arrive in the same read as the greeting."""

    async def scenario():
        async def eager(reader, writer):
            hello = encode_frame(Hello(PROTOCOL_VERSION, "c", "eager"))
            writer.write(hello + encode_frame(Request(1, "early", b"bird")))
            await reader.read()
            writer.close()
            gone.set()

        gone = asyncio.Event()
        seen = asyncio.Queue()

        async def handle(_connection, method, body):
            seen.put_nowait((method, body))
            return b""

        path = tmp_path / "s.sock"
        async with (
            await asyncio.start_unix_server(eager, sock=listen_unix(path)) as server,
            connected(path, handle),
        ):
            assert await seen.get() == ("early", b"bird")
            server.close()
        await gone.wait()

    asyncio.run(scenario())
