"""A wire to drive the HTTP protocol with: bytes in, bytes out, no sockets, time set by the test."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from objstore.server.http_protocol import ConnectionLimits, HttpProtocol
from objstore.server.settings import ListenSettings


class RecordingTransport(asyncio.Transport):
    """Keeps what is written to it; buffers nothing unless told to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = self.is_aborted = self.is_half_closed = self.is_reading_paused = False
        self.unsent_bytes = 0

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.writes.append(b"".join(bytes(data) for data in list_of_data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_half_closed = True

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True


class Wire:
    """One connection of the protocol under test."""

    def __init__(
        self, app: Callable[..., Awaitable[None]], state: ServerState, **settings: Any
    ) -> None:
        config = Config(
            app, interface="asgi3", ws="none", lifespan="off", log_config=None, proxy_headers=False
        )
        config.load()
        self.limits = ConnectionLimits(ListenSettings(**settings))
        self.state = state
        self.transport = RecordingTransport()
        self.protocol = HttpProtocol(config, state, {}, limits=self.limits)
        self.protocol.connection_made(self.transport)

    async def send(self, *pieces: bytes) -> None:
        """Deliver each piece as a read of its own, then let the application run."""
        for piece in pieces:
            if not self.transport.is_closing():
                self.protocol.data_received(piece)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def pass_time(self, seconds: float) -> None:
        """Let the sweep happen as if this time had gone by."""
        self.limits.now_s += seconds
        self.protocol.expire(self.limits.now_s)

    @property
    def output(self) -> bytes:
        return b"".join(self.transport.writes)

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.output)]


@pytest.fixture
def state() -> ServerState:
    """What the connections of one listener share."""
    return ServerState()


@pytest.fixture
def connect(state: ServerState) -> Callable[..., Wire]:
    """Open a wire to an application; to be called inside a running loop."""

    def open_wire(app: Callable[..., Awaitable[None]], **settings: Any) -> Wire:
        return Wire(app, state, **settings)

    return open_wire
