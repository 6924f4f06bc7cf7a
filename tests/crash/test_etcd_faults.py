"""The control store on real etcd servers that are stopped, killed, paused and restarted under it."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest

from objstore.cluster.control_view import ControlView
from objstore.cluster.epochs import LEADERS_PREFIX, leader_key, name_leader, read_naming
from objstore.cluster.etcd_client import EtcdClient
from objstore.cluster.etcd_control_store import EtcdControlStore
from objstore.cluster.etcd_members import EtcdSettings, EtcdTls
from objstore.cluster.etcd_messages import DeleteReply
from objstore.model.errors import ControlStoreUnfit, HistoryForgotten, Unavailable
from objstore.model.names import PartitionId
from objstore.testing.certificates import make_certificates
from objstore.testing.etcd_process import EtcdProcess
from objstore.testing.ports import free_port

BRISK = EtcdSettings(
    endpoints=(),
    key_prefix="objstore/test/",
    attempt_s=0.5,
    call_s=2.0,
    watch_probe_s=0.3,
    watch_patience_s=30.0,
)


@pytest.fixture
def server(etcd_program, tmp_path):
    """Give a server of the test's own, that it may stop."""
    with EtcdProcess(etcd_program, tmp_path / "etcd") as process:
        yield process


@asynccontextmanager
async def opened(*servers, **settings):
    urls = tuple(each.url for each in servers)
    chosen = replace(BRISK, endpoints=urls, **settings)
    async with EtcdControlStore(chosen, jitter=random.Random(1)) as store:
        yield store


async def until_served(store):
    """Wait until the server answers again; bounded by the test's own time-out."""
    while True:
        try:
            return await store.revision()
        except Unavailable:
            await asyncio.sleep(0.02)


async def until(holds):
    while not holds():  # noqa: ASYNC110 - what is waited for has no event; bounded by the test's time-out
        await asyncio.sleep(0.005)


async def restart(server):
    server.start()  # from the thread that lasts: the server ends with it
    await asyncio.to_thread(server.await_ready)


def test_a_stopped_server_is_told_and_found_again(server):
    """Whoever uses the store must be able to tell "away" from "no such item", and need not be restarted (T7, T14)."""

    async def scenario():
        async with opened(server) as store:
            revision = await store.put("a", b"1")
            await asyncio.to_thread(server.stop)
            for attempt in (
                store.get("a"),
                store.list(""),
                store.put("a", b"2"),
                store.delete("a"),
                store.revision(),
            ):
                with pytest.raises(Unavailable):
                    await attempt
            await restart(server)
            await until_served(store)
            item = await store.get("a")
            assert (item.value, item.revision) == (b"1", revision)
            assert await store.put("a", b"2", expected_revision=revision) > revision

    asyncio.run(scenario())


def test_a_paused_server_costs_a_deadline_not_for_ever(server):
    """A hanging server takes connections and says nothing; the outcome of a write is unknown then (T7)."""

    async def scenario():
        async with opened(server) as store:
            await store.put("a", b"1")
            server.pause()
            with pytest.raises(Unavailable, match="unknown"):
                await asyncio.wait_for(store.put("a", b"2"), 10)
            with pytest.raises(Unavailable):
                await asyncio.wait_for(store.get("a"), 10)
            server.resume()
            await until_served(store)
            assert (await store.get("a")).value in {b"1", b"2"}
            await store.put("a", b"3")
            assert (await store.get("a")).value == b"3"

    asyncio.run(scenario())


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(server):
    """Counts by compare-and-set while the server is killed twice: every acknowledged step is there, none is done twice."""
    acknowledged = []

    async def count(store):
        while len(acknowledged) < 60:
            try:
                item = await store.get("n")
                value = int(item.value) if item else 0
                made = await store.put(
                    "n", b"%d" % (value + 1), expected_revision=item.revision if item else 0
                )
                if made is not None:
                    acknowledged.append(value + 1)
            except Unavailable:
                await asyncio.sleep(0.02)

    async def kill_twice():
        for goal in (15, 35):
            await until(lambda goal=goal: len(acknowledged) >= goal)
            await asyncio.to_thread(server.kill)
            await restart(server)

    async def scenario():
        async with opened(server) as store, asyncio.TaskGroup() as group:
            group.create_task(kill_twice())
            for _ in range(3):
                group.create_task(count(store))
        async with opened(server) as store:
            return int((await store.get("n")).value)

    final = asyncio.run(scenario())
    assert len(set(acknowledged)) == len(acknowledged)
    # A write whose answer was lost may count without being acknowledged: three writers, two kills.
    assert len(acknowledged) <= final <= len(acknowledged) + 6


@pytest.mark.parametrize("fault", ["stop", "kill", "pause"])
def test_a_watch_goes_on_without_gap_or_repeat(server, fault):
    """A cache fed by a watch must not miss a change because a server was away, nor see one twice (T14)."""
    seen = []

    async def watch(store):
        async for change in store.watch("w/", after_revision=0):
            seen.append(change)
            if change.key == "w/last":
                return

    async def interfere():
        if fault == "pause":
            server.pause()
            await asyncio.sleep(1.0)  # longer than probe and deadline: the watch must begin again
            server.resume()
        else:
            await asyncio.to_thread(getattr(server, fault))
            await restart(server)

    async def scenario():
        async with opened(server) as store, asyncio.TaskGroup() as group:
            group.create_task(watch(store))
            made = [await store.put(f"w/{number}", b"") for number in range(20)]
            await until(lambda: len(seen) >= 5)
            await interfere()
            await until_served(store)
            made += [await store.put(f"w/{number}", b"") for number in range(20, 40)]
            return [*made, await store.put("w/last", b"")]

    made = asyncio.run(scenario())
    assert [change.revision for change in seen] == made


def test_a_watch_ends_when_patience_ends_and_can_be_taken_up(server):
    """Every retry has an end; the revision of the last change is all that the next watch needs."""

    async def scenario():
        async with opened(server, watch_patience_s=0.3) as store:
            first = await store.put("w/a", b"1")
            changes = store.watch("w/", after_revision=first - 1)
            assert (await anext(changes)).revision == first
            await asyncio.to_thread(server.stop)
            with pytest.raises(Unavailable):
                await asyncio.wait_for(anext(changes), 10)
            await restart(server)
            await until_served(store)
            second = await store.put("w/b", b"2")
            changes = store.watch("w/", after_revision=first)
            assert (await anext(changes)).revision == second
            await changes.aclose()

    asyncio.run(scenario())


async def compact(server, revision):
    client = EtcdClient(replace(BRISK, endpoints=(server.url,)))
    await client.write("/v3/kv/compaction", {"revision": revision, "physical": True}, DeleteReply)
    client.close()


def test_a_watch_from_compacted_history_is_told_so(server):
    """A gap must be an error, never silence: the caller reads the items again."""

    async def scenario():
        async with opened(server) as store:
            first = await store.put("w/a", b"1")
            for number in range(10):
                last = await store.put("w/a", b"%d" % number)
            await compact(server, last)
            with pytest.raises(HistoryForgotten):
                await anext(store.watch("w/", after_revision=first))
            changes = store.watch("w/", after_revision=last)
            later = await store.put("w/a", b"later")
            assert (await anext(changes)).revision == later
            await changes.aclose()

    asyncio.run(scenario())


def test_a_removal_at_the_compacted_revision_is_not_missed(server):
    """Servers before 3.4.34 and 3.5.16 leave it out of a watch that starts exactly there (etcd issue 18089)."""

    async def scenario():
        async with opened(server) as store:
            before = await store.put("w/a", b"1")
            assert await store.delete("w/a")
            removed = await store.revision()
            await store.put("w/a", b"2")
            await compact(server, removed)
            with pytest.raises(HistoryForgotten):
                await anext(store.watch("w/", after_revision=before))

    asyncio.run(scenario())


def test_a_store_that_went_back_in_time_is_noticed_by_a_watch(server):
    """A server restored from a backup knows less than its watchers: waiting for the lost revision would be for ever."""

    async def scenario():
        async with opened(server) as store:
            last = await store.put("w/a", b"1")
            with pytest.raises(HistoryForgotten):
                await anext(store.watch("w/", after_revision=last + 1_000))

    asyncio.run(scenario())


def test_a_list_over_a_compaction_shows_one_revision(server, monkeypatch):
    """A listing that lost its revision between two pages begins again instead of mixing two states."""
    monkeypatch.setattr("objstore.cluster.etcd_control_store.PAGE_ITEMS", 3)

    async def scenario():
        async with opened(server) as store:
            for number in range(7):
                await store.put(f"b/{number}", b"old")
            read, pages = store._client.read, 0

            async def read_with_interference(path, request, kind):
                nonlocal pages
                pages += 1
                if pages == 2:
                    for number in range(7):
                        last = await store.put(f"b/{number}", b"new")
                    await compact(server, last)
                return await read(path, request, kind)

            store._client.read = read_with_interference
            assert {item.value for item in await store.list("b/")} == {b"new"}

    asyncio.run(scenario())


def test_what_is_named_keeps_working_while_the_server_is_stopped(server):
    """The data plane looks into its view and never waits for the store; new namings wait for it (T14, T16)."""
    ring, partition = "metadata", PartitionId(7)

    async def scenario():
        async with opened(server, watch_patience_s=0.5) as store, asyncio.TaskGroup() as group:
            nobody = await read_naming(store, ring, partition)
            first = await name_leader(store, ring, partition, "r1", seen=nobody)
            told = asyncio.Queue()
            view = ControlView(
                store, LEADERS_PREFIX, jitter=random.Random(1), on_change=told.put_nowait
            )
            following = group.create_task(view.follow())
            await view.loaded.wait()
            key = leader_key(ring, partition)
            assert (await told.get()).revision == first.revision
            await asyncio.to_thread(server.kill)
            assert view.get(key).revision == first.revision
            with pytest.raises(Unavailable):
                await name_leader(store, ring, partition, "r2", seen=first)
            await until(lambda: not view.is_following)
            assert view.get(key).revision == first.revision
            await restart(server)
            await until_served(store)
            second = await name_leader(store, ring, partition, "r2", seen=first)
            assert second.epoch == first.epoch + 1
            assert (await told.get()).revision == second.revision
            following.cancel()

    asyncio.run(scenario())


# --- several members


@contextmanager
def three_members(program, directory):
    peers = {f"m{number}": free_port() for number in range(3)}
    servers = [
        EtcdProcess(program, directory / name, peers=peers, name=name) for name in sorted(peers)
    ]
    try:
        for each in servers:
            each.start()
        for each in servers:
            each.await_ready()
        yield servers
    finally:
        for each in servers:
            each.__exit__(None, None, None)


@pytest.mark.slow
def test_a_lost_member_is_passed_over_and_a_lost_majority_is_told(etcd_program, tmp_path):
    """Reads, writes and watches go to another member; a member without a majority must not keep a watch quiet."""

    async def scenario(servers):
        async with opened(*servers, attempt_s=1.5, call_s=8.0, watch_patience_s=1.0) as store:
            await until_served(store)
            first = await store.put("w/a", b"1")
            changes = store.watch("w/", after_revision=first - 1)
            assert (await anext(changes)).revision == first
            await asyncio.to_thread(servers[0].kill)
            await until_served(store)
            assert (await store.get("w/a")).value == b"1"
            second = None
            while second is None:
                try:
                    second = await store.put("w/b", b"2", expected_revision=0)
                except Unavailable:
                    item = await store.get("w/b")
                    second = item and item.revision
            assert (await asyncio.wait_for(anext(changes), 30)).revision == second
            servers[1].pause()
            with pytest.raises(Unavailable):
                await asyncio.wait_for(anext(changes), 30)
            with pytest.raises(Unavailable):
                await asyncio.wait_for(store.put("w/c", b"3"), 30)
            servers[1].resume()
            await until_served(store)
            assert (await store.get("w/b")).value == b"2"

    with three_members(etcd_program, tmp_path) as servers:
        asyncio.run(scenario(servers))


def test_a_member_of_another_cluster_is_refused(server, etcd_program, tmp_path):
    """Two lists of endpoints mixed up must not become one store with two truths."""

    async def scenario(other):
        async with opened(server, other) as store:
            await store.put("a", b"1")
            await asyncio.to_thread(server.stop)
            with pytest.raises(ControlStoreUnfit):
                await store.get("a")
            with pytest.raises(ControlStoreUnfit):
                await store.put("a", b"2")

    with EtcdProcess(
        etcd_program, tmp_path / "other", options=["--initial-cluster-token=other"]
    ) as other:
        asyncio.run(scenario(other))


# --- identity


def test_tls_and_a_user_with_a_password(etcd_program, tmp_path):
    """A cluster's control store is not open to everybody on the network; tokens expire and are renewed."""
    files = make_certificates(tmp_path)
    options = [f"--cert-file={files.cert}", f"--key-file={files.key}"]
    tls = EtcdTls(authority=files.authority)
    known = {"user": "root", "password": "secret", "tls": tls}

    async def forbid_strangers(server):
        client = EtcdClient(replace(BRISK, endpoints=(server.url,), tls=tls))
        for path, request in (
            ("role/add", {"name": "root"}),
            ("user/add", {"name": "root", "password": "secret"}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("enable", {}),
        ):
            await client.write(f"/v3/auth/{path}", request, DeleteReply)
        client.close()

    async def scenario(server):
        await forbid_strangers(server)
        async with opened(server, tls=tls) as store:
            with pytest.raises(Unavailable, match="user name is empty"):
                await store.put("a", b"1")
        async with opened(server, **(known | {"password": "wrong"})) as store:
            with pytest.raises(Unavailable, match="authentication failed"):
                await store.get("a")
        async with opened(server, **known) as store:
            first = await store.put("a", b"1")
            changes = store.watch("", after_revision=first - 1)
            assert (await anext(changes)).value == b"1"
            store._client._token = "expired.1"
            assert (await store.get("a")).value == b"1"
            await asyncio.to_thread(server.stop)
            await restart(server)
            await until_served(store)
            second = await store.put("a", b"2", expected_revision=first)
            assert (await anext(changes)).revision == second
            await changes.aclose()
        async with opened(server, user="root", password="secret") as store:
            with pytest.raises(Unavailable):  # no authority that it trusts
                await store.get("a")

    with EtcdProcess(etcd_program, tmp_path / "etcd", options=options, scheme="https") as server:
        asyncio.run(scenario(server))
