"""Publishing versions of a ring's layout: one after the other, each once, none changed."""

from __future__ import annotations

import asyncio

import pytest

from objstore.cluster.layouts import (
    LAYOUTS_PREFIX,
    Layout,
    current_layout,
    decode_layout,
    publish_layout,
)
from objstore.cluster.sqlite_control_store import SqliteControlStore


@pytest.fixture
def run(tmp_path):
    """Run a scenario on a fresh store."""

    def run_scenario(scenario):
        async def inside():
            async with SqliteControlStore.open(tmp_path / "control.sqlite") as store:
                return await scenario(store)

        return asyncio.run(inside())

    return run_scenario


def test_versions_follow_each_other(run):
    """A gap would mean that a layout was published on the basis of one that nobody has."""

    async def scenario(store):
        assert await current_layout(store, "data") is None
        assert not await publish_layout(store, "data", Layout(2, b"two"))
        for version in range(1, 13):
            assert await publish_layout(store, "data", Layout(version, b"%d" % version))
            assert await current_layout(store, "data") == Layout(version, b"%d" % version)
        assert not await publish_layout(store, "data", Layout(14, b"gap"))

    run(scenario)


def test_a_published_version_never_changes(run):
    """Blocks are found through the version that they were written under (reliability rule T6)."""

    async def scenario(store):
        await publish_layout(store, "data", Layout(1, b"one"))
        await publish_layout(store, "data", Layout(2, b"two"))
        for version in (1, 2):
            assert not await publish_layout(store, "data", Layout(version, b"other"))
        assert await current_layout(store, "data") == Layout(2, b"two")

    run(scenario)


def test_of_two_publishers_one_succeeds(run):
    """A version number stands for one layout, whoever was asked to make it."""

    async def scenario(store):
        await publish_layout(store, "data", Layout(1, b"one"))
        bodies = [b"a", b"b", b"c"]
        outcomes = await asyncio.gather(
            *(publish_layout(store, "data", Layout(2, body)) for body in bodies)
        )
        assert sorted(outcomes) == [False, False, True]
        winner = bodies[outcomes.index(True)]
        assert await current_layout(store, "data") == Layout(2, winner)

    run(scenario)


def test_rings_do_not_see_each_other(run):
    """One ring's name may begin with another's."""

    async def scenario(store):
        await publish_layout(store, "data", Layout(1, b"x"))
        await publish_layout(store, "data-2", Layout(1, b"y"))
        assert await current_layout(store, "data") == Layout(1, b"x")
        items = await store.list(LAYOUTS_PREFIX)
        assert [decode_layout(item).body for item in items] == [b"y", b"x"]

    run(scenario)
