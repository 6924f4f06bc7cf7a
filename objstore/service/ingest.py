"""From an arriving body to a durable one: inline or on the drives, with its digests.

The bytes are durable before any command names them. A body that turns out wrong, and a command that is refused, leave
nothing behind; after an *unknown* outcome the bytes stay, because the commit may have happened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio

from objstore.model.errors import ObjstoreError, SlowDown, StorageFull, Unavailable
from objstore.model.names import DataId
from objstore.model.objects import Extent, ExtentBody, InlineBody
from objstore.service.ports import BodyDigests, BodySource, Buffer, DataSource, DataStore

__all__ = ["Ingest", "Ingested"]

_NEVER_TAKEN: Final = (SlowDown, StorageFull)
"""Unavailable, but with a known outcome: the command was turned away before anything of it was kept."""
_DISCARD_S: Final = 5.0
"""How long a refused request waits for its bytes to be removed before it leaves them to the sweep."""


class Ingested:
    """A body that is kept, and what is known of it."""

    __slots__ = ("body", "digests")

    def __init__(self, body: InlineBody | ExtentBody, digests: BodyDigests) -> None:
        self.body = body
        self.digests = digests


class Ingest:
    """Decides where a body goes and takes it there."""

    def __init__(self, data: DataStore, *, inline_bytes_max: int) -> None:
        self._data = data
        self._inline_bytes_max = inline_bytes_max

    @asynccontextmanager
    async def taken(
        self, source: BodySource, data_id: DataId, part: int = 0
    ) -> AsyncIterator[Ingested]:
        """Keep a body over a block that commits it.

        It stays for good unless the block is refused: after success, after `Unavailable`, and when the block is
        cancelled, because then nobody knows whether the commit happened.
        """
        body: DataSource = source
        if source.size is None or source.size <= self._inline_bytes_max:
            head = await source.read(self._inline_bytes_max + 1)
            if len(head) <= self._inline_bytes_max:
                digests = await source.finish()
                yield Ingested(InlineBody(bytes(head)), digests)
                return
            body = _Continued(head, source)
        extent = await self._data.write(data_id, part, body)
        try:
            digests = await source.finish()
        except BaseException:
            await self.discard(extent)
            raise
        try:
            yield Ingested(ExtentBody(extent), digests)
        except _NEVER_TAKEN:
            await self.discard(extent)
            raise
        except Unavailable:
            raise
        except ObjstoreError:
            await self.discard(extent)
            raise

    async def discard(self, extent: Extent) -> None:
        """Give up bytes that nothing refers to, also where the caller has been cancelled."""
        with anyio.move_on_after(_DISCARD_S, shield=True):
            await self._data.discard(extent)


class _Continued:
    """A source without a known size, whose first bytes were read already."""

    size: Final = None

    def __init__(self, head: Buffer, rest: BodySource) -> None:
        self._head = memoryview(head)
        self._rest = rest

    async def read_into(self, buffer: memoryview) -> int:
        head, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        count = len(head)
        buffer[:count] = head
        return count + await self._rest.read_into(buffer[count:]) if count < len(buffer) else count
