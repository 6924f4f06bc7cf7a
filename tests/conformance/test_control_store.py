"""What every control store must do, whatever is behind it. An adapter joins by adding its opener to `OPENERS`."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import asynccontextmanager

import pytest

from objstore.cluster.control_store import VALUE_BYTES_MAX, Change
from objstore.cluster.etcd_control_store import EtcdControlStore
from objstore.cluster.etcd_members import EtcdSettings
from objstore.cluster.mirrored_control_store import (
    REVISION_WORD,
    MirroredControlStore,
    MirrorEndpoint,
)
from objstore.cluster.remote_control_store import ControlEndpoint, RemoteControlStore
from objstore.cluster.replicated_control_store import ReplicatedControlStore
from objstore.cluster.shared_page import PageReader, SharedPage
from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.model.errors import InvariantError
from objstore.testing.framed_pair import beside


@asynccontextmanager
async def open_sqlite(directory, _etcd):
    async with SqliteControlStore.open(directory / "control.sqlite") as store:
        yield store


@asynccontextmanager
async def open_remote(directory, _etcd):
    """What another process of the machine has: the owner's file for reading, a connection for changes."""
    async with open_sqlite(directory, None) as owned:
        endpoint = ControlEndpoint(owned)
        async with (
            beside(directory, endpoint.methods) as owner,
            RemoteControlStore(directory / "control.sqlite", owner) as store,
        ):
            yield store


@asynccontextmanager
async def open_etcd(directory, etcd):
    """A real server, shared by the tests: the directory's path is this test's part of its keys."""
    settings = EtcdSettings(endpoints=(etcd.url,), key_prefix=f"{directory}/")
    async with EtcdControlStore(settings, jitter=random.Random(1)) as store:
        yield store


@asynccontextmanager
async def open_replicated(directory, _etcd):
    """Three copies, one of which is lost from the start."""
    paths = {name: directory / f"{name}.sqlite" for name in ("a", "b", "c")}
    async with ReplicatedControlStore(paths, on_fatal=lambda _error: None) as store:
        store.lose("b")
        yield store


@asynccontextmanager
async def open_mirrored(directory, _etcd):
    """What another process has where there are several copies: a mirror, a shared page, a connection for changes."""
    page = SharedPage()
    reader = PageReader(os.dup(page.descriptor), owner_pid=os.getppid())
    async with open_replicated(directory, None) as owned:

        def publish(revision):
            page[REVISION_WORD] = revision

        owned.publish_to(publish)
        methods = {**ControlEndpoint(owned).methods, **MirrorEndpoint(owned).methods}
        async with beside(directory, methods) as owner:
            yield MirroredControlStore(owner, reader)
    reader.close()
    page.close()


OPENERS = {
    "mirrored": open_mirrored,
    "replicated": open_replicated,
    "etcd": open_etcd,
    "remote": open_remote,
    "sqlite": open_sqlite,
}


@pytest.fixture(params=sorted(OPENERS))
def opened(request, tmp_path):
    """Give a way to open the same store, as often as wanted."""
    etcd = request.getfixturevalue("etcd") if request.param == "etcd" else None
    return lambda: OPENERS[request.param](tmp_path, etcd)


@pytest.fixture
def run(opened):
    """Run a scenario on a fresh store."""

    def run_scenario(scenario):
        async def inside():
            async with opened() as store:
                return await scenario(store)

        return asyncio.run(inside())

    return run_scenario


async def take(changes, count):
    found = []
    async for change in changes:
        found.append(change)
        if len(found) == count:
            return found
    raise AssertionError("a watch never ends")


def test_a_value_is_what_was_put_last(run):
    """The simplest promise; the revision says which write is seen."""

    async def scenario(store):
        assert await store.get("a") is None
        first = await store.put("a", b"1")
        second = await store.put("a", b"\x00\xff")
        item = await store.get("a")
        assert (item.key, item.value, item.revision) == ("a", b"\x00\xff", second)
        assert second > first > 0

    run(scenario)


def test_a_removed_item_is_gone_once(run):
    """Removing twice must not look like success twice: the second caller removed nothing."""

    async def scenario(store):
        await store.put("a", b"1")
        assert await store.delete("a") is True
        assert await store.delete("a") is False
        assert await store.get("a") is None

    run(scenario)


def test_create_only_succeeds_once(run):
    """A bucket name is won by one of two creators: revision 0 means that it must not exist."""

    async def scenario(store):
        outcomes = await asyncio.gather(
            *(store.put("bucket", b"%d" % number, expected_revision=0) for number in range(8))
        )
        winners = [number for number, revision in enumerate(outcomes) if revision is not None]
        assert len(winners) == 1
        assert (await store.get("bucket")).value == b"%d" % winners[0]

    run(scenario)


def test_compare_and_set_refuses_a_stale_revision(run):
    """An epoch is handed out by compare-and-set; a stale one must change nothing (reliability rule B1)."""

    async def scenario(store):
        first = await store.put("epoch", b"1")
        second = await store.put("epoch", b"2", expected_revision=first)
        assert second is not None
        assert await store.put("epoch", b"3", expected_revision=first) is None
        assert await store.delete("epoch", expected_revision=first) is False
        assert (await store.get("epoch")).value == b"2"
        assert await store.delete("epoch", expected_revision=second) is True

    run(scenario)


def test_a_recreated_item_has_a_new_revision(run):
    """Whoever remembers the old item must not mistake the new one for it."""

    async def scenario(store):
        first = await store.put("a", b"1")
        await store.delete("a")
        assert await store.put("a", b"1", expected_revision=0) > first
        assert await store.put("a", b"2", expected_revision=first) is None

    run(scenario)


def test_list_returns_a_prefix_in_order_and_in_pages(run):
    """The bucket registry pages through its keys."""

    async def scenario(store):
        for key in ["b/2", "a/1", "b/10", "b", "c/1", "b/1"]:
            await store.put(key, key.encode())
        assert [item.key for item in await store.list("b/")] == ["b/1", "b/10", "b/2"]
        assert [item.key for item in await store.list("b/", limit=2)] == ["b/1", "b/10"]
        assert [item.key for item in await store.list("b/", after="b/10")] == ["b/2"]
        assert [item.key for item in await store.list("")] == [
            "a/1", "b", "b/1", "b/10", "b/2", "c/1",
        ]  # fmt: skip
        assert all(item.value == item.key.encode() for item in await store.list(""))

    run(scenario)


def test_a_watch_starts_where_it_was_told(run):
    """A cache that read at a revision must hear of everything later, and nothing twice."""

    async def scenario(store):
        await store.put("w/a", b"1")
        seen = await store.put("w/a", b"2")
        third = await store.put("w/b", b"3")
        await store.put("other", b"x")
        await store.delete("w/a")
        changes = await take(store.watch("w/", after_revision=seen), 2)
        assert changes[0] == Change("w/b", b"3", third)
        assert (changes[1].key, changes[1].value) == ("w/a", None)
        assert changes[1].revision > third

    run(scenario)


def test_a_watch_wakes_for_changes_to_come(run):
    """No change may fall between looking and waiting."""

    async def scenario(store):
        start = await store.put("w/0", b"")

        async def write():
            for number in range(1, 50):
                await store.put(f"w/{number}", b"")
                await store.put(f"other/{number}", b"")

        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(take(store.watch("w/", after_revision=start), 49))
            group.create_task(write())
        assert [change.key for change in watcher.result()] == [f"w/{n}" for n in range(1, 50)]

    run(scenario)


def test_changes_that_were_already_there_come_in_order(run):
    """A watch from the beginning replays history: more than one batch, with removals where they happened."""

    async def scenario(store):
        start = await store.revision()
        count = 0
        for number in range(40):
            await store.put(f"w/{number % 7}", b"%d" % number)
            count += 1 + await store.delete(f"w/{(number + 3) % 7}")
        changes = await take(store.watch("w/", after_revision=start), count)
        revisions = [change.revision for change in changes]
        assert revisions == sorted(set(revisions))
        replayed = {change.key: change.value for change in changes}
        now = {item.key: item.value for item in await store.list("w/")}
        assert {key: value for key, value in replayed.items() if value is not None} == now

    run(scenario)


def test_the_revision_is_where_a_watch_may_begin(run):
    """Who takes the revision, lists, and then watches, misses nothing (reliability rule T14)."""

    async def scenario(store):
        await store.put("w/a", b"1")
        seen = await store.revision()
        assert seen >= (await store.get("w/a")).revision
        later = await store.put("w/a", b"2")
        assert await store.revision() >= later
        changes = store.watch("w/", after_revision=seen)
        assert await anext(changes) == Change("w/a", b"2", later)
        await changes.aclose()

    run(scenario)


def test_a_long_list_is_whole_and_in_order(run):
    """Adapters read in pages; a page border must neither drop nor repeat an item."""

    async def scenario(store):
        names = [f"b/{number:04d}" for number in range(1_203)]
        for start in range(0, len(names), 50):
            await asyncio.gather(*(store.put(name, b"") for name in names[start : start + 50]))
        assert [item.key for item in await store.list("b/")] == names
        assert [item.key for item in await store.list("b/", limit=1_001)] == names[:1_001]
        assert [item.key for item in await store.list("b/", after="b/0700")] == names[701:]
        assert await store.list("b/", after="b/9999") == []
        assert await store.list("c/") == []

    run(scenario)


def test_a_list_may_begin_before_its_prefix(run):
    """A resume key from outside the prefix changes nothing: only keys below it are shown."""

    async def scenario(store):
        for key in ["a", "b/1", "c"]:
            await store.put(key, b"")
        assert [item.key for item in await store.list("b/", after="a")] == ["b/1"]
        assert await store.list("b/", after="c") == []

    run(scenario)


def test_values_are_bytes_up_to_the_limit(run):
    """A ring's table is some hundred kilobytes; what one adapter takes, every adapter must take."""

    async def scenario(store):
        largest = bytes(range(256)) * (VALUE_BYTES_MAX // 256)
        await store.put("large", largest)
        assert (await store.get("large")).value == largest
        with pytest.raises(InvariantError):
            await store.put("large", largest + b"x")
        await store.put("empty", b"")
        assert (await store.get("empty")).value == b""

    run(scenario)


def test_removing_what_must_not_exist_removes_nothing(run):
    """Revision 0 stands for "there is no item": there is nothing to remove then, and nothing to remove otherwise."""

    async def scenario(store):
        assert await store.delete("a", expected_revision=0) is False
        await store.put("a", b"1")
        assert await store.delete("a", expected_revision=0) is False
        assert (await store.get("a")).value == b"1"

    run(scenario)


def test_everything_is_there_after_reopening(opened):
    """What was acknowledged is durable, and revisions go on from where they were."""

    async def write():
        async with opened() as store:
            await store.put("a", b"1")
            return await store.put("b", b"2")

    async def read():
        async with opened() as store:
            items = await store.list("")
            return [item.value for item in items], await store.put("c", b"3")

    last = asyncio.run(write())
    values, following = asyncio.run(read())
    assert values == [b"1", b"2"]
    assert following > last
