"""The view of the control store that the data plane looks into: it keeps up, and it keeps what it knows."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from objstore.cluster import sqlite_control_store
from objstore.cluster.control_store import Change
from objstore.cluster.control_view import ControlView
from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.model.errors import CorruptRecord, HistoryForgotten, Unavailable


class Faulty:
    """A store that is away while it is told to be; its watches then end, too."""

    def __init__(self, store):
        self.store = store
        self.here = asyncio.Event()
        self.here.set()
        self.gone = asyncio.Event()
        self.on_listed = None
        self.failure = Unavailable

    def go(self):
        self.here.clear()
        self.gone.set()

    def come(self):
        self.gone.clear()
        self.here.set()

    def check(self):
        if not self.here.is_set():
            raise self.failure

    async def revision(self):
        self.check()
        return await self.store.revision()

    async def list(self, prefix):
        self.check()
        found = await self.store.list(prefix)
        if self.on_listed is not None:
            await self.on_listed()
            self.on_listed = None
        return found

    async def watch(self, prefix, *, after_revision):
        changes = self.store.watch(prefix, after_revision=after_revision)
        gone = asyncio.ensure_future(self.gone.wait())  # noqa: TID251 - cancelled below
        try:
            while True:
                following = asyncio.ensure_future(anext(changes))  # noqa: TID251 - the same
                await asyncio.wait({gone, following}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    raise self.failure
                yield following.result()
        finally:
            gone.cancel()


@asynccontextmanager
async def following(tmp_path, prefix="w/"):
    """Give a store, the faults before it, a view that follows it and a queue of the changes that it told."""
    async with SqliteControlStore.open(tmp_path / "control.sqlite") as store:
        faulty, told = Faulty(store), asyncio.Queue()
        view = ControlView(faulty, prefix, jitter=random.Random(1), on_change=told.put_nowait)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(view.follow())
            yield store, faulty, view, told
            task.cancel()


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    """Retry at once."""
    monkeypatch.setattr("objstore.cluster.control_view.RETRY_MIN_S", 0.001)
    monkeypatch.setattr("objstore.cluster.control_view.RETRY_MAX_S", 0.001)


def test_a_view_shows_what_was_there_and_what_comes(tmp_path):
    """Every change is told once, in order, and is visible when it is told."""

    async def scenario():
        async with following(tmp_path) as (store, _, view, told):
            await view.loaded.wait()
            first = await store.put("w/b", b"1")
            assert await told.get() == Change("w/b", b"1", first)
            assert view.get("w/b").value == b"1"
            await store.put("other", b"")
            await store.put("w/a", b"2")
            await store.delete("w/b")
            assert [(await told.get()).key, (await told.get()).value] == ["w/a", None]
            assert [item.key for item in view.items()] == ["w/a"]
            assert view.get("w/b") is None
            assert told.empty()

    asyncio.run(scenario())


def test_what_is_known_stays_while_the_store_is_away(tmp_path):
    """Layouts freeze, service goes on (reliability rule T14); back again, only what changed is told."""

    async def scenario():
        async with following(tmp_path) as (store, faulty, view, told):
            for key in ("w/kept", "w/changed", "w/removed"):
                await store.put(key, b"1")
                await told.get()
            faulty.go()
            while view.is_following:  # noqa: ASYNC110 - bounded by the test's time-out
                await asyncio.sleep(0.001)
            await store.put("w/changed", b"2")
            await store.delete("w/removed")
            await store.put("w/new", b"3")
            assert [item.value for item in view.items()] == [b"1"] * 3
            faulty.come()
            found = {change.key: change.value for change in [await told.get() for _ in range(3)]}
            assert found == {"w/changed": b"2", "w/removed": None, "w/new": b"3"}
            assert [item.key for item in view.items()] == ["w/changed", "w/kept", "w/new"]
            assert told.empty()

    asyncio.run(scenario())


def test_forgotten_history_is_read_again(tmp_path, monkeypatch):
    """A view that was away for longer than history is kept must not stay behind for ever."""
    monkeypatch.setattr(sqlite_control_store, "HISTORY_COUNT", 5)
    monkeypatch.setattr(sqlite_control_store, "PRUNE_EVERY", 10)

    async def scenario():
        async with following(tmp_path) as (store, faulty, view, told):
            await store.put("w/a", b"0")
            await told.get()
            faulty.failure = HistoryForgotten
            faulty.go()
            for number in range(1, 30):
                await store.put("w/a", b"%d" % number)
            faulty.come()
            while (await told.get()).value != b"29":
                continue
            assert view.get("w/a").value == b"29"

    asyncio.run(scenario())


def test_changes_during_the_listing_are_neither_missed_nor_told_twice(tmp_path):
    """Between taking the revision and watching, others write: the one moment where a cache goes wrong silently."""

    async def scenario():
        async with following(tmp_path) as (store, faulty, view, told):

            async def write_more():
                await store.put("w/late", b"1")

            faulty.on_listed = write_more
            await view.loaded.wait()
            assert (await told.get()).key == "w/late"
            await store.put("w/end", b"")
            assert (await told.get()).key == "w/end"

    asyncio.run(scenario())


def test_a_store_put_back_to_an_earlier_state_counts(tmp_path):
    """After a restore from a backup revisions are smaller; what is there now is the truth."""

    async def scenario():
        async with following(tmp_path) as (store, faulty, view, told):
            for number in range(5):
                await store.put("w/a", b"%d" % number)
                await told.get()
            async with SqliteControlStore.open(tmp_path / "backup.sqlite") as backup:
                await backup.put("w/a", b"old")
                faulty.go()
                faulty.store = backup
                faulty.come()
                assert (await told.get()).value == b"old"
                await backup.put("w/a", b"newer")
                assert (await told.get()).value == b"newer"
                assert view.get("w/a").value == b"newer"

    asyncio.run(scenario())


def test_damage_ends_a_view(tmp_path):
    """An error that waiting does not cure must reach whoever owns the view, not be retried for ever."""

    async def scenario():
        async with following(tmp_path) as (_, faulty, view, _):
            await view.loaded.wait()
            faulty.failure = CorruptRecord
            faulty.go()
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as found:
        asyncio.run(scenario())
    assert found.group_contains(CorruptRecord)
