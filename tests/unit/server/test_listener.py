"""Binding ports: both families, one port, and plain words when it fails."""

from __future__ import annotations

import asyncio
import socket

import pytest

from objstore.server.addresses import Address
from objstore.server.listener import Listener, bind, bind_first
from objstore.server.refusal import StartRefused
from objstore.server.settings import ListenSettings


def test_taken_port_is_told_with_the_next_step() -> None:
    """The most common failed start of all."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartRefused) as refusal:
            bind(Address("127.0.0.1", port))
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in str(refusal.value)
    assert "--address" in refusal.value.next_step


def test_unknown_host_is_told() -> None:
    """A typing error in a name must not look like a taken port."""
    with pytest.raises(StartRefused, match="host of .* is not known"):
        bind(Address("no such host", 0))


def test_bound_socket_takes_no_connection_before_it_listens() -> None:
    """A client that connects early would wait for a node that may never open."""
    (bound,) = bind(Address("127.0.0.1", 0))
    with bound, pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound.getsockname(), timeout=10)


def test_connection_is_served_without_delay_of_small_packets() -> None:
    """Nagle's algorithm and delayed acknowledgements together cost 40 ms a request."""
    options: list[int] = []

    async def app(scope, receive, send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"2")]}
        )
        await send({"type": "http.response.body", "body": b"ok"})

    async def scenario() -> bytes:
        listener = Listener(app, ListenSettings())
        (bound,) = bind(Address("127.0.0.1", 0))
        where = bound.getsockname()
        await listener.start([bound])
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = await reader.readuntil(b"ok")
        (connection,) = listener._connections()
        options.append(
            connection.transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY
            )
        )
        assert listener.connections == 1
        assert await listener.drain(1) == 0
        assert await reader.read() == b""
        writer.close()
        return answer

    answer = asyncio.run(scenario())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert options[0] != 0


def test_processes_of_one_node_share_a_port_and_others_do_not() -> None:
    """A second node that slipped into the port would answer every other request from another store."""
    (first,) = bind_first(Address("127.0.0.1", 0))
    where = Address(*first.getsockname())
    with first:
        first.listen()
        (second,) = bind(where, is_shared=True)
        with second, pytest.raises(StartRefused, match="in use"):
            bind_first(where)
