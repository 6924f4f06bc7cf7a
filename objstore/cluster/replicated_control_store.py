"""The control store of one machine with several drives: a copy on each of a few, one process that writes them all.

Promises
    * A change counts, and is answered, when a majority of the copies has it on stable storage; reads come from memory and
      see what counts. The loss of a minority of the drives loses nothing and holds nobody up.
    * A start needs a majority of the copies that counted last. The one with the highest (term, revision) is right; the
      others are brought up to it; then the term is raised, at a majority, before anything else is changed. So two
      histories can never grow side by side from one revision.
    * An empty copy never counts (trap T2): it is given everything first, and named a member afterwards, in a change that
      a majority of the old members and of the new ones holds.
    * Where a majority cannot be reached the outcome is unknown: `on_fatal`, and only a restart decides.
    * A majority of full drives is told as `StorageFull`, and everything goes on when there is room again. Copies that took the
      change that others had no room for are given everything anew, and before the next change the term is raised: so what
      was refused can come back only where nothing was changed since.

Locks on the drives keep other processes out. The state is small (names of buckets, rings), so it is held in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw
import msgspec

from objstore.cluster.control_copy import MEMBERS_KEY, TERM_KEY, ControlCopy, ControlState
from objstore.cluster.control_store import Change, Item, check_value
from objstore.model.errors import (
    DriveUnavailable,
    HistoryForgotten,
    ObjstoreError,
    QuorumNotReached,
    StorageFull,
)

__all__ = ["COPIES_MAX", "ReplicatedControlStore"]

COPIES_MAX: Final = 5
_INTERNAL: Final = "control/"


class ReplicatedControlStore:
    """`ControlStore` over copies; an async context manager that owns them."""

    def __init__(self, paths: Mapping[str, Path], *, on_fatal: Callable[[Exception], None]) -> None:
        """Make the store over files by the name of their drive; of these an odd number is used."""
        self._paths = dict(paths)
        self._on_fatal = on_fatal
        self._copies: dict[str, ControlCopy] = {}
        self._groups: list[tuple[str, ...]] = []
        """Each of these must have a majority for a change to count: the members, during a change the new ones, too."""
        self._state = ControlState({}, [])
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._failure: Exception | None = None
        self._publish: Callable[[int], None] = _ignore
        self._is_term_spent = False
        """A change was refused that some copies may have: the next one needs a higher term."""
        self._waiting_for_room: set[str] = set()
        """Copies that are out of service, while their drives have no room for everything."""

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        async with self._writing:
            self._close()

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the copies that count."""
        return self._state.members

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing but the store's own was ever written."""
        return all(key.startswith(_INTERNAL) for key in self._state.items)

    @property
    def copies_in_service(self) -> int:
        """How many copies follow."""
        return sum(copy.failure is None for copy in self._copies.values())

    def publish_to(self, publish: Callable[[int], None]) -> None:
        """Tell the revision now, and from now on each new one before anybody is answered that its change counts."""
        self._publish = publish
        publish(self._state.revision)

    def changes_since(self, revision: int) -> Sequence[Change] | None:
        """Return what changed after a revision, but not what is the store's own; None where that is not kept."""
        changes = self._state.changes
        if revision == self._state.revision:
            return ()
        if not changes or not changes[0].revision <= revision + 1 <= self._state.revision:
            return None
        missed = changes[revision + 1 - changes[0].revision :]
        return [change for change in missed if not change.key.startswith(_INTERNAL)]

    # --- port

    async def revision(self) -> int:
        """See `ControlStore`."""
        self._check_service()
        return self._state.revision

    async def get(self, key: str) -> Item | None:
        """See `ControlStore`."""
        self._check_service()
        return self._state.items.get(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Sequence[Item]:
        """See `ControlStore`."""
        self._check_service()
        items = self._state.items
        keys = sorted(
            key
            for key in items
            if key.startswith(prefix) and key > after and not key.startswith(_INTERNAL)
        )
        return [items[key] for key in (keys[:limit] if limit else keys)]

    async def put(
        self, key: str, value: bytes, *, expected_revision: int | None = None
    ) -> int | None:
        """See `ControlStore`."""
        check_value(value)
        return await asyncio.shield(self._put(key, value, expected_revision))

    async def delete(self, key: str, *, expected_revision: int | None = None) -> bool:
        """See `ControlStore`."""
        return await asyncio.shield(self._delete(key, expected_revision))

    async def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Change]:
        """See `ControlStore`; raise `HistoryForgotten` where changes after the revision are gone."""
        revision = after_revision
        while True:
            self._check_service()
            changed, changes = self._changed, self._state.changes
            if changes and revision + 1 < changes[0].revision:
                raise HistoryForgotten(revision=revision)
            skipped = max(0, revision + 1 - changes[0].revision) if changes else 0
            for change in changes[skipped:]:
                revision = change.revision
                if change.key.startswith(prefix) and not change.key.startswith(_INTERNAL):
                    yield change
            if changed is self._changed:
                await changed.wait()

    # --- copies that come and go

    def was_full(self, name: str) -> bool:
        """Tell whether a copy may be given everything again: its drive was full, or still was when that was tried."""
        copy = self._copies.get(name)
        return copy is None or copy.is_full

    def lose(self, name: str) -> None:
        """Stop writing a copy: its drive is gone."""
        self._waiting_for_room.discard(name)
        self._let_go(name)

    def _let_go(self, name: str) -> None:
        copy = self._copies.pop(name, None)
        if copy is not None:
            copy.failure = copy.failure or DriveUnavailable("its drive is gone", drive=name)
            copy.close()

    async def adopt(self, name: str, path: Path, *, instead_of: str) -> None:
        """Give a new copy everything, and let it count: instead of another one, or beside those that do.

        Raises `Unavailable`.
        """
        async with self._writing:
            self._check_service()
            if name not in self._copies or self._copies[name].failure is not None:
                if name in self._full():
                    self._waiting_for_room.add(name)
                await self._take(name, path)
            self._waiting_for_room.discard(name)
            members = tuple(name if m == instead_of else m for m in self.members)
            if name not in members:
                members = _choose(members, list(self._copies))
            if members != self.members:
                await self._renew_term()
                await self._change_members(members)

    async def _take(self, name: str, path: Path) -> None:
        """Give a copy everything. One that was full has its file open: a full drive has no room to open it again."""
        own = self._copies.get(name)
        if own is not None and own.is_full:
            await own.replace(self._state.items, self._state.changes)
            return
        self._let_go(name)
        copy = _open(name, path)
        try:
            await copy.replace(self._state.items, self._state.changes)
        except ObjstoreError:
            copy.close()
            raise
        self._copies[name] = copy

    # --- opening

    async def _open(self) -> None:
        found: dict[str, ControlState] = {}
        for name, path in self._paths.items():
            try:
                copy = self._copies[name] = _open(name, path)
                found[name] = copy.load()
            except (ObjstoreError, apsw.Error):
                self.lose(name)
        best = max(found.values(), key=lambda state: state.rank, default=ControlState({}, []))
        members = best.members or tuple(n for n, s in found.items() if s is best and s.changes)
        whole = [name for name in members if name in found and found[name].changes]
        if members and len(whole) * 2 <= len(members):
            raise QuorumNotReached(
                "too few of the drives that hold the control store can be used",
                found=len(whole),
                members=len(members),
            )
        self._state = best
        if not self._copies:
            raise QuorumNotReached("no copy of the control store can be opened")
        behind = [n for n, state in found.items() if state.rank != best.rank or n not in members]
        for name in behind:
            await self._bring_up(name)
        chosen = _choose(members, [name for name in found if name in self._copies])
        self._groups = [group for group in (members, chosen) if group]
        await self._raise_term()
        await self._change_members(chosen)

    async def _bring_up(self, name: str) -> None:
        try:
            await self._copies[name].replace(self._state.items, self._state.changes)
        except ObjstoreError:
            self.lose(name)

    async def _change_members(self, members: tuple[str, ...]) -> None:
        """Name the copies that count; a majority of the old ones and of the new ones must hold it."""
        self._groups = [group for group in (self.members, members) if group]
        try:
            await self._write(MEMBERS_KEY, msgspec.json.encode(members))
        except StorageFull:
            self._groups = [self.members]
            raise
        self._groups = [members]

    # --- writing

    async def _put(self, key: str, value: bytes, expected_revision: int | None) -> int | None:
        async with self._writing:
            self._check_service()
            if not self._is_expected(key, expected_revision):
                return None
            await self._renew_term()
            return await self._write(key, value)

    async def _delete(self, key: str, expected_revision: int | None) -> bool:
        async with self._writing:
            self._check_service()
            if key not in self._state.items or not self._is_expected(key, expected_revision):
                return False
            await self._renew_term()
            await self._write(key, None)
            return True

    def _is_expected(self, key: str, expected_revision: int | None) -> bool:
        item = self._state.items.get(key)
        found = 0 if item is None else item.revision
        return expected_revision is None or found == expected_revision

    async def _renew_term(self) -> None:
        if self._is_term_spent:
            await self._raise_term()

    async def _raise_term(self) -> None:
        await self._write(TERM_KEY, str(self._state.rank[0] + 1).encode())
        self._is_term_spent = False

    async def _write(self, key: str, value: bytes | None) -> int:
        """Write a change to all copies and return when it counts. Raises `StorageFull`."""
        self._refuse_where_full()
        change = Change(key, value, self._state.revision + 1)
        waiting: dict[asyncio.Future[None], str] = {
            asyncio.get_running_loop().create_task(copy.append(change)): name
            for name, copy in self._copies.items()
        }
        stored: set[str] = set()
        while waiting and not self._counts(stored):
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                name = waiting.pop(future)
                if future.exception() is None:
                    stored.add(name)
        for future in waiting:
            future.add_done_callback(_retrieve)
        if not self._counts(stored) and self._counts(stored | self._full()):
            self._give_up_change()
        if not self._counts(stored):
            self._fail(QuorumNotReached("too few copies of the control store took a change"))
        self._state.apply(change)
        self._publish(change.revision)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return change.revision

    def _full(self) -> set[str]:
        """Return the names of the copies that have no room."""
        full = {name for name, copy in self._copies.items() if copy.is_full}
        return full | {name for name in self._waiting_for_room if not self._follows(name)}

    def _follows(self, name: str) -> bool:
        copy = self._copies.get(name)
        return copy is not None and copy.failure is None

    def _refuse_where_full(self) -> None:
        """Refuse before anything is written if that would be in vain."""
        whole = {name for name in self._copies if self._follows(name)}
        if not self._counts(whole) and self._counts(whole | self._full()):
            raise StorageFull("the drives of the control store are full")

    def _give_up_change(self) -> None:
        """Take every copy out that may have the change that a majority had no room for, until it is given everything."""
        self._is_term_spent = True
        for copy in self._copies.values():
            copy.failure = copy.failure or apsw.FullError("others had no room for a change")
        raise StorageFull("the drives of the control store are full")

    def _counts(self, stored: Collection[str]) -> bool:
        return all(sum(name in stored for name in group) * 2 > len(group) for group in self._groups)

    def _fail(self, failure: ObjstoreError) -> None:
        self._failure = failure
        self._changed.set()
        self._on_fatal(failure)
        raise failure

    def _check_service(self) -> None:
        if self._failure is not None:
            raise DriveUnavailable("the control store is out of service")

    def _close(self) -> None:
        for copy in self._copies.values():
            copy.close()
        self._copies.clear()


def _open(name: str, path: Path) -> ControlCopy:
    try:
        return ControlCopy(name, path)
    except apsw.Error as error:
        raise DriveUnavailable(
            "a copy of the control store cannot be opened", drive=name, reason=str(error)
        ) from error


def _choose(members: Sequence[str], usable: Sequence[str]) -> tuple[str, ...]:
    """Return the copies that count from now on: an odd number, those that did first."""
    ordered = [name for name in members if name in usable]
    ordered += [name for name in usable if name not in ordered]
    count = min(COPIES_MAX, len(ordered))
    return tuple(ordered[: count if count % 2 else count - 1])


def _ignore(_revision: int) -> None:
    """Stand in for somebody to tell."""


def _retrieve(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
