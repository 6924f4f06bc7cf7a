"""Two ends of a framed connection in one event loop, over a real socket: for tests of what talks through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from objstore.cluster.framed_transport import FramedConnection, FramedServer, connect
from objstore.cluster.unix_socket import connect_unix, listen_unix

__all__ = ["beside"]


@asynccontextmanager
async def beside(
    directory: Path, methods: Mapping[str, Callable[[bytes], Awaitable[bytes]]]
) -> AsyncIterator[FramedConnection]:
    """Serve methods on a socket in the directory and give the connection of one that asks."""
    path = directory / "pair.sock"

    async def handle(_connection: FramedConnection, method: str, body: bytes) -> bytes:
        return await methods[method](body)

    async with (
        FramedServer(listen_unix(path), handle, cluster_id="test", name="owner"),
        connect(connect_unix(path), handle, cluster_id="test", name="worker") as connection,
    ):
        yield connection
