"""Three stores in one process: what a drive that fails, stalls or is full costs, and what it must not cost."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections import Counter
from time import monotonic

import apsw
import pytest

from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.consensus import ReplicaId
from objstore.metadata.catalog_file import open_catalog_reader
from objstore.metadata.commands import OpenShard
from objstore.metadata.leader_balance import LeaderBalance
from objstore.metadata.partitioning import PARTITIONS_COUNT, partitions_of
from objstore.metadata.replica_events import Rejoined
from objstore.metadata.replica_machine import ReplicaMachine
from objstore.metadata.snapshot import digest_of
from objstore.model.errors import CorruptRecord, DriveUnavailable, StorageFull
from objstore.model.names import PartitionId
from objstore.testing.catalog_kit import CommandKit, bucket_record
from objstore.testing.replica_group import open_group

BUCKET = bucket_record()
PARTITION = partitions_of(BUCKET.bucket_id, BUCKET.spread)[0]
PARTITIONS = [PartitionId(number) for number in range(PARTITIONS_COUNT)]


class Drive:
    """What a test does to the drives of the stores, by directory name."""

    def __init__(self):
        self.failing = set()
        self.full = set()
        self.hanging = {}

    def meet(self, name, operation):
        for directory in self.failing:
            if f"/{directory}/" in name:
                raise apsw.IOError(operation)
        for directory in self.full:
            if f"/{directory}/" in name and operation == "write":
                raise apsw.FullError("no room")
        for directory, event in list(self.hanging.items()):
            if f"/{directory}/" in name:
                event.wait(20)


@pytest.fixture
def drive():
    """A file system that fails on demand, under the name `faulty`."""
    faults = Drive()

    class File(apsw.VFSFile):
        def __init__(self, name, flags):
            self.name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
            super().__init__("", name, flags)

        def xWrite(self, data, offset):  # noqa: N802 - the name of APSW
            faults.meet(self.name, "write")
            super().xWrite(data, offset)

        def xSync(self, flags):  # noqa: N802 - the name of APSW
            faults.meet(self.name, "sync")
            super().xSync(flags)

    class Vfs(apsw.VFS):
        def __init__(self):
            super().__init__("faulty", "")

        def xOpen(self, name, flags):  # noqa: N802 - the name of APSW
            return File(name, flags)

    vfs = Vfs()
    yield faults
    vfs.unregister()


class Client:
    """A bucket of the group, and what was acknowledged in it."""

    def __init__(self, group):
        self.group = group
        self.kit = CommandKit(BUCKET.bucket_id)
        self.acknowledged = {}

    async def open(self):
        fields = {"op_id": self.kit.next_id(), "at": self.kit.at}
        await self.group.catalog.submit_all(BUCKET, OpenShard, **fields)

    async def put(self, key, data):
        await self.group.catalog.submit(BUCKET, key, self.kit.put(key, data))
        self.acknowledged[key] = data

    async def check(self):
        for key, data in self.acknowledged.items():
            found = (await self.group.catalog.find(BUCKET, key)).version
            assert found is not None, key
            assert found.body.data == data, key
        page = await self.group.catalog.list_current(
            BUCKET, prefix=b"", delimiter=b"", after=b"", limit=1000
        )
        assert [row[0] for row in page.rows] == sorted(self.acknowledged)


def run(tmp_path, scenario, **options):
    """Run a scenario on a group with an open bucket."""

    async def inside():
        async with open_group(tmp_path, **options) as group:
            client = Client(group)
            await client.open()
            await scenario(group, client)

    asyncio.run(inside())


async def until(condition):
    """Wait for something that the keeper is to bring about."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the conditions are of several threads
            await asyncio.sleep(0.01)


def test_memory_does_not_follow_what_was_written(tmp_path):
    """What is acknowledged, applied and over the bound of the log is let go of, by the leader and by the followers."""
    size, number = 64 * 1024, 200

    async def scenario(group, client):
        async def put(key):
            await group.catalog.submit(BUCKET, key, client.kit.put(key, bytes(size)))

        await put(b"first")
        tracemalloc.start()
        for index in range(number):
            await put(b"%d" % index)
        await until(lambda: tracemalloc.get_traced_memory()[0] < size * number / 2)

    try:
        run(tmp_path, scenario)
    finally:
        tracemalloc.stop()


def test_a_failing_leader_hands_over(tmp_path, drive):
    """An I/O error of the leader's drive: what waits is retried at the next leader, nobody is told "no" (trap T11)."""

    async def scenario(group, client):
        for number in range(20):
            await client.put(b"%d" % number, b"x")
        leader = group.keeper.at(PARTITION)
        drive.failing.add(leader.replica)
        await asyncio.gather(*(client.put(b"a%d" % number, b"y") for number in range(20)))
        assert leader.failure is not None
        assert group.keeper.at(PARTITION) is not leader
        await client.check()

    run(tmp_path, scenario, vfs="faulty")


def test_a_stalled_leader_hands_over(tmp_path, drive):
    """Its fsync hangs: after a second another one leads, and the late answer of the first changes nothing."""
    release = threading.Event()

    async def scenario(group, client):
        await client.put(b"before", b"x")
        leader = group.keeper.at(PARTITION)
        drive.hanging[leader.replica] = release
        await client.put(b"during", b"y")
        assert group.keeper.at(PARTITION) is not leader
        drive.hanging.clear()
        release.set()
        await client.put(b"after", b"z")
        await client.check()
        assert leader.failure is None

    try:
        run(tmp_path, scenario, vfs="faulty")
    finally:
        release.set()


@pytest.mark.parametrize("whose", ["leader", "follower"])
def test_a_full_drive_loses_nothing_and_comes_back(tmp_path, drive, whose):
    """The round that found no room waits; the store leads nothing meanwhile."""

    async def scenario(group, client):
        await client.put(b"before", b"x")
        leader = group.keeper.at(PARTITION)
        stores = {store.replica: store for store in group.keeper.stores}
        other = next(name for name in stores if name != leader.replica)
        full = leader.replica if whose == "leader" else other
        drive.full.add(full)
        for number in range(10):
            await client.put(b"%d" % number, b"y")
        drive.full.clear()
        await until(lambda: not stores[full].is_full)
        await client.put(b"after", b"z")
        await client.check()

    run(tmp_path, scenario, vfs="faulty")


@pytest.mark.parametrize("with_leader", [True, False])
def test_a_majority_without_room_is_told_at_once_and_ends_by_itself(tmp_path, drive, with_leader):
    """What may be in a log already is unknown, never "refused": its bytes must stay. Reads go on; so do writes, later."""

    async def scenario(group, client):
        await client.put(b"before", b"x")
        leader = group.keeper.at(PARTITION)
        others = [name for name in group.names if name != leader.replica]
        drive.full.update((leader.replica, others[0]) if with_leader else others)
        started = monotonic()
        with pytest.raises(DriveUnavailable, match="unknown"):
            await client.put(b"k", b"y")
        with pytest.raises(StorageFull):
            await client.put(b"k", b"y")
        assert monotonic() - started < group.keeper.patience_s / 2
        await client.check()
        assert group.keeper.at(PARTITION) is leader
        drive.full.clear()
        await until(lambda: not any(store.is_full or store.stuck for store in group.keeper.stores))
        await client.put(b"k", b"z")
        await client.check()

    run(tmp_path, scenario, vfs="faulty")


def test_a_leader_that_cannot_be_replaced_is_read_on(tmp_path, drive, monkeypatch):
    """Its drive is full, and so are those of the control store: nobody else can be named, and nobody was told of anybody.

    Nobody waits for that to change, though the others of the partition have room.
    """

    async def scenario(group, client):
        await client.put(b"before", b"x")
        leader = group.keeper.at(PARTITION)
        refused = []

        async def put(*_, **__):
            refused.append(1)
            raise StorageFull("full")

        with monkeypatch.context() as patch:
            patch.setattr(SqliteControlStore, "put", put)
            drive.full.add(leader.replica)
            started = monotonic()
            with pytest.raises(DriveUnavailable, match="unknown"):
                await client.put(b"k", b"y")
            with pytest.raises(StorageFull):
                await client.put(b"k", b"y")
            assert monotonic() - started < group.keeper.patience_s / 2
            await until(lambda: len(refused) > 3)
            await client.check()
            assert group.keeper.at(PARTITION) is leader
        await until(lambda: group.keeper.refusal(PARTITION) is None)
        await client.put(b"k", b"z")
        assert group.keeper.at(PARTITION) is not leader
        await client.check()

    run(tmp_path, scenario, vfs="faulty")


def test_nobody_waits_for_a_leader_that_cannot_be_named(tmp_path, monkeypatch):
    """The leader is gone, and the control store has no room: what would be written is refused at once."""

    async def scenario(group, client):
        await client.put(b"before", b"x")
        lost = group.keeper.at(PARTITION)

        async def put(*_, **__):
            raise StorageFull("full")

        with monkeypatch.context() as patch:
            patch.setattr(SqliteControlStore, "put", put)
            group.keeper.remove(lost.replica)
            lost.abandon(DriveUnavailable("gone"))
            started = monotonic()
            with pytest.raises((StorageFull, DriveUnavailable)):
                await client.put(b"k", b"y")
            assert monotonic() - started < group.keeper.patience_s / 2
            with pytest.raises(StorageFull):
                await client.put(b"k", b"y")
        await until(lambda: group.keeper.refusal(PARTITION) is None)
        await client.put(b"k", b"z")
        await client.check()

    run(tmp_path, scenario)


def test_a_round_that_found_no_room_gets_what_was_kept(tmp_path, drive):
    """Somebody else filled a drive: the store goes on with room of its own, and takes it again when there is some."""

    async def scenario(group, client):
        await client.put(b"before", b"x")
        leader = group.keeper.at(PARTITION)
        room = leader._kept_room
        assert room.is_kept
        drive.full.add(leader.replica)
        give_up = room.give_up

        def given_up():
            drive.full.clear()
            return give_up()

        room.give_up = given_up
        await client.put(b"k", b"y")
        assert not room.is_kept
        assert group.keeper.at(PARTITION) is leader
        room._taken_at = -1_000.0
        leader.post(Rejoined(PARTITION))
        await until(lambda: room.is_kept)
        await client.check()

    run(tmp_path, scenario, vfs="faulty", kept_bytes=1024 * 1024)


def test_two_of_three_lost_is_told_as_unknown(tmp_path, drive):
    """Without a majority nothing may be acknowledged, and nothing may be denied."""

    async def scenario(group, client):
        await client.put(b"before", b"x")
        leader = group.keeper.at(PARTITION)
        drive.failing.update(n for n in group.names if n != leader.replica)
        group.keeper.patience_s = group.catalog.patience_s = 1.0
        with pytest.raises(DriveUnavailable):
            await client.put(b"lost?", b"y")

    run(tmp_path, scenario, vfs="faulty")


def test_everything_is_there_after_a_restart(tmp_path):
    """Also what was applied without an fsync of its own: the log has it."""

    async def first(_group, client):
        for number in range(50):
            await client.put(b"%d" % number, b"x" * number)
        acknowledged.update(client.acknowledged)

    async def second(_group, client):
        client.acknowledged = acknowledged
        await client.check()

    acknowledged = {}
    run(tmp_path, first)
    run(tmp_path, second)


def test_a_new_store_copies_and_replaces_a_lost_one(tmp_path):
    """More rows than the log keeps: a snapshot in slices, equal by digest, then a voter, then the old one is removed."""

    async def scenario(group, client):
        for number in range(400):
            await client.put(b"%05d" % number, b"x" * 4096)
        lost = group.keeper.at(PARTITION)
        group.keeper.remove(lost.replica)
        lost.abandon(DriveUnavailable("wiped"))
        store = group.open("d3")
        group.keeper.add(store)
        names = tuple(name for name in group.names if name != lost.replica)
        group.keeper.want(group.wanted((*names, ReplicaId("d3"))))
        await until(lambda: not group.keeper.unaligned())
        await client.put(b"after", b"y")
        await client.check()
        assert store.copies is not lost.copies
        await until(lambda: len(set(digests(tmp_path, (*names, "d3")))) == 1)

    run(tmp_path, scenario)


def test_leaders_move_back_to_a_store_that_returned(tmp_path):
    """Each drive commits its share again; writers see a short wait and nothing else, whatever moves under them."""

    async def scenario(group, client):
        keeper = group.keeper
        keeper.balance = LeaderBalance(steady_s=0.3)
        await client.put(b"before", b"x")
        lost = keeper.at(PARTITION)
        keeper.remove(lost.replica)
        lost.abandon(DriveUnavailable("away"))
        await client.put(b"meanwhile", b"x")
        await until(lambda: lost.is_over)
        keeper.add(group.open(lost.replica))
        waits = []

        def gap():
            if not all(map(keeper.is_serving, PARTITIONS)):
                return len(PARTITIONS)
            load = Counter(keeper.at(partition).replica for partition in PARTITIONS)
            return max(load.values()) - min(load[name] for name in group.names)

        async with asyncio.timeout(40):
            number = 0
            while gap() > 1 or number < 50:
                started = monotonic()
                await client.put(b"%05d" % (number % 500), b"%d" % number)
                waits.append(monotonic() - started)
                number += 1
        assert max(waits) < 2.0
        await client.check()

    run(tmp_path, scenario)


def test_a_store_that_returned_learns_what_is_committed_though_nobody_writes(tmp_path, monkeypatch):
    """It had told its leader that it knows, and forgot: that is written with the next entry only."""

    async def scenario(group, client):
        keeper = group.keeper
        keeper.balance = LeaderBalance(steady_s=1_000)
        await until(lambda: all(map(keeper.is_serving, PARTITIONS)))
        await until(lambda: len(set(cursors(tmp_path, group.names))) == 1)
        with monkeypatch.context() as patch:
            patch.setattr(ReplicaMachine, "is_behind", False)
            await client.put(b"k", b"x")
            leader = keeper.at(PARTITION)
            lost = next(store for store in keeper.stores if store is not leader)
            log = leader._machine.replicas()[PARTITION]
            progress = dict(log.followers())[lost.replica]
            await until(lambda: progress.commit_known == log.commit_index)
            keeper.remove(lost.replica)
            lost.abandon(DriveUnavailable("away"))
            await until(lambda: lost.is_over)
        names = (leader.replica, lost.replica)
        assert len(set(cursors(tmp_path, names))) == 2
        keeper.add(group.open(lost.replica))
        await until(lambda: len(set(cursors(tmp_path, names))) == 1)
        assert len(set(digests(tmp_path, names))) == 1

    run(tmp_path, scenario)


def test_a_damaged_row_is_not_copied_into_a_new_store(tmp_path):
    """The copy checks every row; its source hands over, and the next leader has the row as it was written."""

    async def scenario(group, client):
        for number in range(300):
            await client.put(b"%05d" % number, b"x" * 4096)
        source = group.keeper.at(PARTITION)
        lost = next(store for store in group.keeper.stores if store is not source)
        await until(lambda: len(set(digests(tmp_path, group.names))) == 1)
        connection = apsw.Connection(str(source.path))
        connection.set_busy_timeout(60_000)
        connection.execute("UPDATE inline SET data=x'00' WHERE id=(SELECT max(id) FROM inline)")
        connection.close()
        group.keeper.remove(lost.replica)
        lost.abandon(DriveUnavailable("wiped"))
        group.keeper.add(group.open("d3"))
        names = tuple(name for name in group.names if name != lost.replica)
        group.keeper.want(group.wanted((*names, ReplicaId("d3"))))
        await until(lambda: not group.keeper.unaligned())
        await until(lambda: isinstance(group.keeper.fault_of(source.replica), CorruptRecord))
        whole = [name for name in names if name != source.replica]
        await until(lambda: len(set(digests(tmp_path, (*whole, "d3")))) == 1)
        await client.check()

    run(tmp_path, scenario)


def digests(directory, names):
    """Return the digest of the bucket's partition in each store."""
    for name in names:
        reader = open_catalog_reader(directory / name / "catalog.sqlite")
        yield digest_of(reader, PARTITION)
        reader.close()


def cursors(directory, names):
    """Return up to where each partition is applied, for each store."""
    for name in names:
        reader = open_catalog_reader(directory / name / "catalog.sqlite")
        rows = reader.execute("SELECT partition, applied FROM partitions ORDER BY partition")
        yield tuple(rows.fetchall())
        reader.close()
