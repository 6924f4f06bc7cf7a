"""What is particular to the control store on SQLite: damage, bounded history."""

from __future__ import annotations

import asyncio

import apsw
import pytest

from objstore.cluster import sqlite_control_store
from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.model.errors import CorruptRecord, HistoryForgotten


def test_a_damaged_item_is_reported_not_served(tmp_path):
    """A flipped bit in a policy or key must not pass as what was written."""
    path = tmp_path / "control.sqlite"

    async def write():
        async with SqliteControlStore.open(path) as store:
            await store.put("a", b"1")

    async def read():
        async with SqliteControlStore.open(path) as store:
            with pytest.raises(CorruptRecord):
                await store.get("a")
            with pytest.raises(CorruptRecord):
                await store.list("")

    asyncio.run(write())
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE items SET value=x'32'")
    connection.close()
    asyncio.run(read())


def test_a_watch_that_comes_too_late_is_told_so(tmp_path, monkeypatch):
    """History is bounded; a gap must be an error, never silence."""
    monkeypatch.setattr(sqlite_control_store, "HISTORY_COUNT", 5)
    monkeypatch.setattr(sqlite_control_store, "PRUNE_EVERY", 10)

    async def scenario():
        async with SqliteControlStore.open(tmp_path / "control.sqlite") as store:
            for number in range(10):
                await store.put("a", b"%d" % number)
            with pytest.raises(HistoryForgotten):
                await anext(store.watch("a", after_revision=3))
            change = await anext(store.watch("a", after_revision=5))
            assert change.revision == 6

    asyncio.run(scenario())
