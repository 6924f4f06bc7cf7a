"""The control store as a process sees it whose owner keeps several copies: a mirror in memory, changes at the owner.

No copy on a drive may be read here: it can be behind, or lost. The owner writes the revision of what counts into a shared
page before it answers a change; a read looks at that number first and is answered from memory where the mirror has it, else
after asking for what is missing. So a read sees every change that was answered before it began, in whichever process.
`MirrorEndpoint` is the owner's half.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from objstore.cluster.control_store import Change, Item
from objstore.cluster.remote_control_store import Peer, RemoteChanges
from objstore.cluster.replicated_control_store import ReplicatedControlStore
from objstore.model.errors import HistoryForgotten

__all__ = ["REVISION_WORD", "MirrorEndpoint", "MirroredControlStore", "Words"]

REVISION_WORD: Final = 0
"""Word of the shared page that holds the revision."""
CALL_S: Final = 30.0
SINCE: Final = "control.since"


class Words(Protocol):
    """A shared page, as its reader sees it."""

    def __getitem__(self, index: int) -> int:
        """Return a word; raise `Unavailable` when its owner is gone."""
        ...


class _Since(msgspec.Struct, frozen=True, array_like=True):
    """What a mirror lacks; everything, where `is_whole`."""

    revision: int
    is_whole: bool
    changes: Sequence[tuple[str, bytes | None, int]]


class MirroredControlStore(RemoteChanges):
    """`ControlStore` beside an owner with several copies."""

    def __init__(self, owner: Peer, page: Words) -> None:
        super().__init__(owner)
        self._page = page
        self._items: dict[str, Item] = {}
        self._revision = 0
        self._asking = asyncio.Lock()

    async def revision(self) -> int:
        """See `ControlStore`."""
        await self._current()
        return self._revision

    async def get(self, key: str) -> Item | None:
        """See `ControlStore`."""
        if self._page[REVISION_WORD] > self._revision:
            await self._current()
        return self._items.get(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Sequence[Item]:
        """See `ControlStore`."""
        await self._current()
        keys = sorted(key for key in self._items if key.startswith(prefix) and key > after)
        return [self._items[key] for key in (keys[:limit] if limit else keys)]

    async def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Change]:
        """See `ControlStore`; raise `HistoryForgotten` where changes after the revision are gone."""
        revision = after_revision
        while True:
            since = await self._ask(revision)
            if since.is_whole:
                raise HistoryForgotten(revision=revision)
            for key, value, changed_at in since.changes:
                if key.startswith(prefix):
                    yield Change(key, value, changed_at)
            if since.revision == revision:
                await self.await_change(prefix, revision)
            revision = since.revision

    async def _current(self) -> None:
        """Bring the mirror up to what counts now."""
        wanted = self._page[REVISION_WORD]
        async with self._asking:
            if wanted <= self._revision:
                return
            since = await self._ask(self._revision)
            if since.is_whole:
                self._items.clear()
            for key, value, revision in since.changes:
                if value is None:
                    self._items.pop(key, None)
                else:
                    self._items[key] = Item(key, value, revision)
            self._revision = since.revision

    async def _ask(self, revision: int) -> _Since:
        answer = await self._owner.call(SINCE, msgspec.msgpack.encode(revision), deadline_s=CALL_S)
        return msgspec.msgpack.decode(answer, type=_Since)


class MirrorEndpoint:
    """Tells mirrors what they lack."""

    def __init__(self, store: ReplicatedControlStore) -> None:
        self._store = store
        self.methods: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = {SINCE: self._since}

    async def _since(self, body: bytes) -> bytes:
        after = msgspec.msgpack.decode(body, type=int)
        # Neither of these lets others run, so that they speak of one state.
        revision = await self._store.revision()
        changes = self._store.changes_since(after)
        if changes is not None:
            rows = [(change.key, change.value, change.revision) for change in changes]
            return msgspec.msgpack.encode(_Since(revision, is_whole=False, changes=rows))
        items = await self._store.list("")
        whole = [(item.key, item.value, item.revision) for item in items]
        return msgspec.msgpack.encode(_Since(revision, is_whole=True, changes=whole))
