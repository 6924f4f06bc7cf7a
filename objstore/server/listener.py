"""Open ports: binds sockets, hands connections to the HTTP protocol, watches over them, empties them at the end.

Uvicorn supplies the protocol machinery; the lifecycle around it is ours, because draining, TLS reload and time limits
have to follow the node and not a framework. One sweep a second looks at all connections, so that time limits cost a
request nothing but an assignment.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from objstore.server.addresses import Address
from objstore.server.http_protocol import ConnectionLimits, HttpProtocol
from objstore.server.refusal import StartRefused
from objstore.server.settings import ListenSettings

__all__ = ["AsgiApp", "Listener", "bind", "bind_first"]

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

_BACKLOG = 2048
_SWEEP_S = 1.0


def bind(address: Address, *, is_shared: bool = False) -> list[socket.socket]:
    """Return bound sockets that do not listen yet: one for each address of the host, all on one port.

    With `is_shared` other processes of this user may bind the same port, and the kernel spreads connections over all
    that listen. Raises `StartRefused` when the address is taken or not of this machine.
    """
    try:
        found = socket.getaddrinfo(
            address.host or None,
            address.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except socket.gaierror as error:
        raise StartRefused(f"the host of {address} is not known: {error.strerror}") from error
    bound: list[socket.socket] = []
    try:
        for family, _, _, _, where in dict.fromkeys(found):
            port = bound[0].getsockname()[1] if bound else address.port
            bound.append(_bind_one(family, (where[0], port, *where[2:]), is_shared=is_shared))
    except OSError as error:
        for opened in bound:
            opened.close()
        raise StartRefused(
            f"cannot listen on {address}: {_explain(error)}",
            next_step="stop what uses it, or choose another with --address HOST:PORT",
        ) from error
    return bound


def bind_first(address: Address) -> list[socket.socket]:
    """Return shared sockets, on a port that nobody else uses so far: two nodes must not share one by mistake.

    Raises `StartRefused` as `bind` does.
    """
    alone = bind(address)
    free = address._replace(port=alone[0].getsockname()[1])
    for opened in alone:
        opened.close()
    return bind(free, is_shared=True)


def _bind_one(family: int, where: tuple[Any, ...], *, is_shared: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.setblocking(False)
        opened.bind(where)
    except OSError:
        opened.close()
        raise
    return opened


def _explain(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


class Listener:
    """One ASGI application on a set of bound sockets."""

    def __init__(
        self, app: AsgiApp, settings: ListenSettings, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._config = Config(
            app,
            http=HttpProtocol,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self._config.load()
        self._state = ServerState()
        self._limits = ConnectionLimits(settings)
        self._tls = tls
        self._servers: list[asyncio.Server] = []

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._state.connections)

    @property
    def requests(self) -> int:
        """How many requests are in flight now."""
        return len(self._state.tasks)

    async def start(self, sockets: list[socket.socket]) -> None:
        """Listen on the sockets, which belong to the listener from now on."""
        loop = asyncio.get_running_loop()
        self._limits.tick()
        for bound in sockets:
            self._servers.append(
                await loop.create_server(
                    lambda: HttpProtocol(self._config, self._state, {}, limits=self._limits),
                    sock=bound,
                    ssl=self._tls,
                    backlog=_BACKLOG,
                )
            )

    async def sweep(self) -> None:
        """Enforce the time limits of all connections until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_s = self._limits.tick()
            for connection in self._connections():
                connection.expire(now_s)

    async def drain(self, deadline_s: float) -> int:
        """Take no new connections, let requests in flight finish, cut what is left; return how many were cut."""
        for server in self._servers:
            server.close()
        for connection in self._connections():
            connection.shutdown()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + deadline_s
        while self._state.tasks and (left_s := end_s - loop.time()) > 0:
            await asyncio.wait(self._state.tasks, timeout=left_s)
        cut = list(self._state.tasks)
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut, timeout=_SWEEP_S)
        for connection in self._connections():
            connection.transport.abort()
        return len(cut)

    def _connections(self) -> list[HttpProtocol]:
        """Return the open connections; a copy, because closing one takes it out of the set."""
        return list(cast("set[HttpProtocol]", self._state.connections))
