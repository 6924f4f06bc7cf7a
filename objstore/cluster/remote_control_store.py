"""The control store as a process sees it that does not own the file: reads are local, changes go to the owner.

A change is answered after the owner's fsync, so that a read in any process sees it from then on. A watch reads the file,
too; only the waiting for something new is asked of the owner. `ControlEndpoint` is the owner's half.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from objstore.cluster.control_reader import ControlReader
from objstore.cluster.control_store import Change, ControlStore, Item

__all__ = ["ControlEndpoint", "Peer", "RemoteChanges", "RemoteControlStore"]

CALL_S: Final = 30.0
WATCH_CALL_S: Final = 24 * 3_600.0
"""A watch asks again after this; until then the owner answers when there is something."""

PUT: Final = "control.put"
DELETE: Final = "control.delete"
AWAIT_CHANGE: Final = "control.await-change"


class _Put(msgspec.Struct, frozen=True, array_like=True):
    key: str
    value: bytes
    expected_revision: int | None


class _Delete(msgspec.Struct, frozen=True, array_like=True):
    key: str
    expected_revision: int | None


class _AwaitChange(msgspec.Struct, frozen=True, array_like=True):
    prefix: str
    after_revision: int


class Peer(Protocol):
    """Who can be asked: a `FramedConnection`."""

    async def call(self, method: str, body: bytes = b"", *, deadline_s: float) -> bytes:
        """Ask and return the answer; see `objstore.cluster.framed_transport`."""
        ...


_encode: Final = msgspec.msgpack.encode
_decode: Final = msgspec.msgpack.decode


class RemoteChanges:
    """The changing half of `ControlStore`: everything is asked of the owner."""

    def __init__(self, owner: Peer) -> None:
        self._owner = owner

    async def put(
        self, key: str, value: bytes, *, expected_revision: int | None = None
    ) -> int | None:
        """See `ControlStore`."""
        request = _encode(_Put(key, value, expected_revision))
        answer = await self._owner.call(PUT, request, deadline_s=CALL_S)
        return _decode(answer, type=int | None)

    async def delete(self, key: str, *, expected_revision: int | None = None) -> bool:
        """See `ControlStore`."""
        request = _encode(_Delete(key, expected_revision))
        return _decode(await self._owner.call(DELETE, request, deadline_s=CALL_S), type=bool)

    async def await_change(self, prefix: str, revision: int) -> None:
        """Return when something below a prefix has changed since a revision, or after a long while."""
        request = _encode(_AwaitChange(prefix, revision))
        await self._owner.call(AWAIT_CHANGE, request, deadline_s=WATCH_CALL_S)


class RemoteControlStore(RemoteChanges):
    """`ControlStore` beside its owner, which has one file; an async context manager."""

    def __init__(self, path: Path, owner: Peer) -> None:
        super().__init__(owner)
        self._reader = ControlReader(path)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._reader.close()

    async def revision(self) -> int:
        """See `ControlStore`."""
        return self._reader.revision()

    async def get(self, key: str) -> Item | None:
        """See `ControlStore`."""
        return self._reader.get(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Sequence[Item]:
        """See `ControlStore`."""
        return self._reader.list(prefix, after=after, limit=limit)

    async def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Change]:
        """See `ControlStore`; raise `HistoryForgotten` where changes after the revision are gone."""
        revision = after_revision
        while True:
            changes = self._reader.changes(prefix, after_revision=revision)
            for change in changes:
                revision = change.revision
                yield change
            if not changes:
                # The owner compares revisions: a change between the look and this question is answered at once.
                await self.await_change(prefix, revision)


class ControlEndpoint:
    """Carries out on the owner's store what `RemoteControlStore` asks for."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store
        self.methods: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = {
            PUT: self._put,
            DELETE: self._delete,
            AWAIT_CHANGE: self._await_change,
        }

    async def _put(self, body: bytes) -> bytes:
        put = _decode(body, type=_Put)
        revision = await self._store.put(
            put.key, put.value, expected_revision=put.expected_revision
        )
        return _encode(revision)

    async def _delete(self, body: bytes) -> bytes:
        delete = _decode(body, type=_Delete)
        return _encode(
            await self._store.delete(delete.key, expected_revision=delete.expected_revision)
        )

    async def _await_change(self, body: bytes) -> bytes:
        wanted = _decode(body, type=_AwaitChange)
        async for change in self._store.watch(wanted.prefix, after_revision=wanted.after_revision):
            return _encode(change.revision)
        return _encode(wanted.after_revision)
