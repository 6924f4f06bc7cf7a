"""Reports of damaged shards on their way from the worker that read them to the owner, whose repairer acts on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from objstore.cluster.remote_control_store import Peer
from objstore.model.errors import ObjstoreError, Unavailable, error_from_parts
from objstore.model.objects import Extent
from objstore.server.worker_link import DAMAGE, Damage

__all__ = ["DamageEndpoint", "DamageReports"]

REPORTS_MAX: Final = 1_000
CALL_S: Final = 10.0


class DamageReports:
    """The worker's half: takes reports without waiting, sends them one after the other."""

    def __init__(self, owner: Peer) -> None:
        self._owner = owner
        self._waiting: asyncio.Queue[Damage] = asyncio.Queue(REPORTS_MAX)

    def report(self, extent: Extent, block: int, shard: int, error: ObjstoreError) -> None:
        """Take a report; one too many is dropped, because every further read of the shard makes it again."""
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait(Damage(extent, block, shard, error.to_parts()))

    async def send(self) -> None:
        """Send what is reported until cancelled."""
        while True:
            damage = await self._waiting.get()
            with suppress(Unavailable):
                await self._owner.call(DAMAGE, msgspec.msgpack.encode(damage), deadline_s=CALL_S)


class DamageEndpoint:
    """The owner's half."""

    def __init__(self, report: Callable[[Extent, int, int, ObjstoreError], None]) -> None:
        self._report = report
        self.methods: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = {DAMAGE: self._take}

    async def _take(self, body: bytes) -> bytes:
        damage = msgspec.msgpack.decode(body, type=Damage)
        self._report(damage.extent, damage.block, damage.shard, error_from_parts(*damage.error))
        return b""
