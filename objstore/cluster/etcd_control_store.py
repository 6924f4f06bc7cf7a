"""The control store of several machines: etcd. See `objstore.cluster.control_store` for the port.

Promises
    * Reads are linearizable; a change is answered after a majority of the servers made it durable.
    * A change is sent once. A lost connection or a passed deadline is `Unavailable`, and the outcome is unknown.
    * A listing shows one revision, however many pages it takes.
    * A watch goes on over lost connections and restarts of servers, from the last revision it gave, without gaps or repeats. It
      raises `HistoryForgotten` when etcd compacted what it needs, and `Unavailable` after `watch_patience_s` without any
      server. Every change here is a revision of its own, so that the last revision given is a place to go on from.

It talks to the JSON gateway that every etcd server has (docs/adr/0009). Two defects of servers shape the watch: notices of
progress can overtake events, so none are asked for; and a watch that starts at exactly the compacted revision can miss a
removal, so that after it was made the revision before its start must still be readable.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from objstore.cluster.control_store import Change, Item, check_value
from objstore.cluster.etcd_client import EtcdClient, WatchStream
from objstore.cluster.etcd_members import EtcdSettings
from objstore.cluster.etcd_messages import DeleteReply, PutReply, RangeReply, TxnReply, range_end
from objstore.model.errors import HistoryForgotten, Unavailable, check

__all__ = ["EtcdControlStore"]

_RANGE: Final = "/v3/kv/range"
_PUT: Final = "/v3/kv/put"
_DELETE: Final = "/v3/kv/deleterange"
_TXN: Final = "/v3/kv/txn"
PAGE_ITEMS: Final = 500
LIST_ATTEMPTS: Final = 3
"""A listing begins again when etcd compacts its revision between two pages."""
BACK_OFF_MIN_S: Final = 0.1
BACK_OFF_MAX_S: Final = 3.0


class EtcdControlStore:
    """`ControlStore` on etcd; an async context manager. Opening it asks no server for anything."""

    def __init__(self, settings: EtcdSettings, *, jitter: random.Random) -> None:
        check(settings.key_prefix.isascii(), "the prefix of keys is ASCII")
        check(settings.key_prefix, "the cluster's keys need a prefix of their own")
        self._settings = settings
        self._jitter = jitter
        self._client = EtcdClient(settings)
        self._prefix = settings.key_prefix.encode("ascii")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._client.close()

    async def check_servers(self) -> Sequence[str]:
        """To be called at start: raise `ControlStoreUnfit` if a server must not be used; return those that do not answer."""
        return await self._client.check_servers()

    # --- port

    async def revision(self) -> int:
        """See `ControlStore`."""
        reply = await self._client.read(_RANGE, {"key": self._prefix, "limit": 1}, RangeReply)
        return reply.header.revision

    async def get(self, key: str) -> Item | None:
        """See `ControlStore`."""
        reply = await self._client.read(_RANGE, {"key": self._key(key)}, RangeReply)
        return next(iter(reply.items(len(self._prefix))), None)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Sequence[Item]:
        """See `ControlStore`."""
        for _ in range(LIST_ATTEMPTS - 1):
            try:
                return await self._list(prefix, after, limit)
            except HistoryForgotten:
                continue
        return await self._list(prefix, after, limit)

    async def put(
        self, key: str, value: bytes, *, expected_revision: int | None = None
    ) -> int | None:
        """See `ControlStore`."""
        check_value(value)
        put = {"key": self._key(key), "value": value}
        if expected_revision is None:
            return (await self._client.write(_PUT, put, PutReply)).header.revision
        reply = await self._transact(key, expected_revision, {"request_put": put})
        return reply.header.revision if reply.succeeded else None

    async def delete(self, key: str, *, expected_revision: int | None = None) -> bool:
        """See `ControlStore`."""
        removal = {"key": self._key(key)}
        if expected_revision is None:
            return (await self._client.write(_DELETE, removal, DeleteReply)).deleted > 0
        reply = await self._transact(key, expected_revision, {"request_delete_range": removal})
        return reply.succeeded and reply.deleted > 0

    async def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Change]:
        """See `ControlStore`; raise `HistoryForgotten` where changes after the revision are gone."""
        revision = after_revision
        back_off = _BackOff(self._settings.watch_patience_s, self._jitter)
        while True:
            try:
                stream = await self._open_watch(prefix, revision)
            except HistoryForgotten:
                raise
            except Unavailable as error:
                await back_off.wait(error)
                continue
            try:
                while (changes := await self._next_changes(stream)) is not None:
                    back_off.reset()
                    for change in changes:
                        if change.revision > revision:  # a server that catches up may repeat itself
                            revision = change.revision
                            yield change
            finally:
                stream.close()

    # --- beneath

    def _key(self, key: str) -> bytes:
        return self._prefix + key.encode("ascii")

    async def _transact(self, key: str, expected_revision: int, change: dict[str, Any]) -> TxnReply:
        """Make a change if the item's revision is the expected one; 0 = there is no item."""
        comparison = {
            "target": "MOD", "result": "EQUAL", "key": self._key(key), "mod_revision": expected_revision,
        }  # fmt: skip
        request = {"compare": [comparison], "success": [change]}
        return await self._client.write(_TXN, request, TxnReply)

    async def _list(self, prefix: str, after: str, limit: int) -> Sequence[Item]:
        start, end = self._key(prefix), range_end(self._key(prefix))
        if after:
            start = max(start, self._key(after) + b"\x00")
        items: list[Item] = []
        revision = 0
        while start < end:
            page_items = min(PAGE_ITEMS, limit - len(items)) if limit else PAGE_ITEMS
            request = {"key": start, "range_end": end, "limit": page_items, "revision": revision}
            reply = await self._client.read(_RANGE, request, RangeReply)
            items += reply.items(len(self._prefix))
            if not reply.more or len(items) == limit:
                break
            revision = revision or reply.header.revision
            start = self._key(items[-1].key) + b"\x00"
        return items

    async def _open_watch(self, prefix: str, after_revision: int) -> WatchStream:
        start = self._key(prefix)
        create = {
            "key": start, "range_end": range_end(start), "start_revision": after_revision + 1,
        }  # fmt: skip
        stream = await self._client.open_watch(create)
        try:
            if after_revision:
                await self._read_at(stream, after_revision)
        except BaseException:
            stream.close()
            raise
        return stream

    async def _next_changes(self, stream: WatchStream) -> Sequence[Change] | None:
        """Return the next changes, or None when the watch must be opened again."""
        try:
            async with asyncio.timeout(self._settings.watch_probe_s):
                replies = await stream.receive()
        except TimeoutError:
            return await self._probe(stream)
        except HistoryForgotten:
            raise
        except Unavailable:
            return None
        return [change for reply in replies for change in reply.changes(len(self._prefix))]

    async def _probe(self, stream: WatchStream) -> Sequence[Change] | None:
        """Make sure that a quiet server still reaches a majority, which a read needs."""
        try:
            await self._read_at(stream, 0)
        except Unavailable:
            return None
        return []

    async def _read_at(self, stream: WatchStream, revision: int) -> None:
        request = {"key": self._prefix, "limit": 1, "revision": revision}
        await self._client.read_at(stream.endpoint, _RANGE, request, RangeReply)


class _BackOff:
    """Waits longer and longer between attempts, and gives up after a while without success."""

    def __init__(self, patience_s: float, jitter: random.Random) -> None:
        self._patience_s = patience_s
        self._jitter = jitter
        self._delay_s = BACK_OFF_MIN_S
        self._failing_since_s: float | None = None

    def reset(self) -> None:
        """Take note of a success."""
        self._delay_s = BACK_OFF_MIN_S
        self._failing_since_s = None

    async def wait(self, error: Unavailable) -> None:
        """Wait for the next attempt, or raise the error."""
        now_s = asyncio.get_running_loop().time()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        if now_s - self._failing_since_s >= self._patience_s:
            raise error
        await asyncio.sleep(self._delay_s * self._jitter.uniform(0.5, 1.0))
        self._delay_s = min(2 * self._delay_s, BACK_OFF_MAX_S)
