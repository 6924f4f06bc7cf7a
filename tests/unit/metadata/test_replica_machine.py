"""One replica of a partition on one file, driven round by round."""

from __future__ import annotations

import pytest

from objstore.consensus import Entry, EntryKind, Epoch, Membership, ReplicaId, Snapshot
from objstore.consensus.messages import AppendReply, AppendRequest, InstallSnapshot
from objstore.metadata.catalog_file import open_catalog_writer
from objstore.metadata.replica_events import Damaged, Deliver, Found, Stage
from objstore.metadata.replica_machine import ReplicaMachine
from objstore.metadata.snapshot import Slice, staged
from objstore.model.instant import Instant
from objstore.model.names import PartitionId

A, B, C = (ReplicaId(f"{name}@1") for name in "abc")
ALL = Membership((A, B, C))
PARTITION = PartitionId(7)
NOW = Instant(0)


class Effects:
    """Keeps what the machine sends and reports."""

    def __init__(self):
        self.sent, self.reports = [], []

    def send(self, partition, message):
        self.sent.append(message)

    def report(self, report):
        self.reports.append(report)


@pytest.fixture
def connection(tmp_path):
    connection = open_catalog_writer(tmp_path / "catalog.sqlite")
    yield connection
    connection.close()


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def machine(connection, effects):
    """A follower that has applied three entries of its leader."""
    machine = ReplicaMachine(connection, B, effects)
    machine.take(Found({PARTITION: ALL}, lambda: None), NOW)
    machine.work(NOW)
    entries = tuple(Entry(1, index, b"", EntryKind.NO_OP) for index in (1, 2, 3))
    deliver(machine, AppendRequest(A, B, Epoch(1), 0, 0, 3, 0, entries))
    machine.catch_up()
    machine.work(NOW)
    effects.reports.clear()
    return machine


def deliver(machine, message):
    machine.take(Deliver(((PARTITION, message),)), NOW)
    while machine.work(NOW):
        pass


def cursor_of(connection):
    return connection.execute("SELECT applied FROM partitions WHERE partition=?", (PARTITION,)).get


def stage(connection, index):
    """Put a copy of the partition's own row there, as the copy of a leader at that index would be."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(partitions)")]
    values = [
        "?1" if name == "partition" else "?2" if name == "applied" else name for name in columns
    ]
    connection.execute(
        f"INSERT INTO partitions ({', '.join(columns)}) SELECT {', '.join(values)}"
        " FROM partitions WHERE partition=?3",
        (staged(PARTITION), index, PARTITION),
    )


def test_a_snapshot_above_the_cursor_replaces_the_rows(machine, effects, connection):
    """Rule 7: a follower that lacks compacted entries goes on behind the snapshot."""
    stage(connection, 5)
    deliver(machine, InstallSnapshot(A, B, Epoch(1), Snapshot(5, 1, ALL)))
    assert cursor_of(connection) == 5
    assert effects.sent[-1] == AppendReply(B, A, Epoch(1), True, 5, 0, 0, 5)
    assert effects.reports == []


def test_a_snapshot_behind_the_cursor_is_not_installed(machine, effects, connection):
    """Rule 7: what was applied, and perhaps answered, never goes back."""
    stage(connection, 2)
    deliver(machine, InstallSnapshot(A, B, Epoch(1), Snapshot(2, 1, ALL)))
    assert cursor_of(connection) == 3
    assert effects.sent[-1] == AppendReply(B, A, Epoch(1), True, 3, 0, 0, 3)
    assert effects.reports == []


def test_a_snapshot_whose_rows_have_another_cursor_counts_as_lost(machine, effects, connection):
    """The copy that waits is not the one that the message describes: installing it would skip or repeat entries."""
    stage(connection, 6)
    sent = list(effects.sent)
    deliver(machine, InstallSnapshot(A, B, Epoch(1), Snapshot(5, 1, ALL)))
    assert cursor_of(connection) == 3
    assert effects.sent == sent
    assert machine.replicas()[PARTITION].last_index == 3


def test_rows_that_have_passed_a_snapshot_are_never_replaced_by_it(machine, effects, connection):
    """The cursor of the file is the last word: where it contradicts the log in memory, the replica stops."""
    stage(connection, 5)
    connection.execute("UPDATE partitions SET applied=9 WHERE partition=?", (PARTITION,))
    deliver(machine, InstallSnapshot(A, B, Epoch(1), Snapshot(5, 1, ALL)))
    assert cursor_of(connection) == 9
    assert effects.reports == [
        Damaged(PARTITION, "a snapshot is to be installed that the rows have passed")
    ]
    assert PARTITION not in machine.replicas()


def shard(objects):
    """The row of a bucket with so many objects."""
    return Slice("shards", b"bucket", [(1, "off", objects, 0, 0, 0, 0, 0)])


def objects(*names):
    """Rows of objects of nothing, each with a byte in the row."""
    version = (0, "null", 0, 0, 1, "etag", "STANDARD", None, None, "owner")
    return Slice("objects", b"bucket", [(name, *version, b"digest", b"x", b"") for name in names])


def end_of_copy(index):
    return Slice("partitions", b"", [(index, 1, 0, b"hash")])


class Copy:
    """A copy of a partition on its way into the machine."""

    def __init__(self, machine, source, number):
        self.machine, self.id, self.answers = machine, (source, number), []
        self.send(None)

    def send(self, *pieces):
        """Send slices, a round for each."""
        for piece in pieces:
            self.machine.take(Stage(PARTITION, self.id, piece, self.answers.append), NOW)
            self.machine.work(NOW)


def keys_of(connection):
    """The keys that are in sight."""
    return connection.execute(
        "SELECT group_concat(key) FROM objects JOIN shards ON shard=number WHERE partition=?",
        (PARTITION,),
    ).get


def test_of_two_copies_the_one_that_began_last_is_heard(machine, effects, connection):
    """One that led and one that leads copy for a while: rows of the first in the bucket of the second would be there twice."""
    first = Copy(machine, A, 0)
    first.send(shard(2), objects(b"a"))
    second = Copy(machine, C, 0)
    second.send(shard(2))
    first.send(objects(b"a"), end_of_copy(4))
    second.send(objects(b"a", b"b"), end_of_copy(5))
    assert first.answers == [True, True, True, False, False]
    assert second.answers == [True] * 4
    deliver(machine, InstallSnapshot(C, B, Epoch(2), Snapshot(5, 1, ALL)))
    assert (cursor_of(connection), keys_of(connection)) == (5, "a,b")
    first.send(objects(b"c"))
    assert first.answers[-1] is False
    assert connection.execute("SELECT count(*) FROM objects").get == 2


def test_a_copy_begins_where_an_earlier_run_left_rows(machine, effects, connection):
    """What removes the leftovers in quiet moments spares the copy that has taken their place."""
    Copy(machine, A, 0).send(shard(1), objects(b"left"))
    again = ReplicaMachine(connection, B, effects)
    assert again.has_chores
    copy = Copy(again, A, 0)
    copy.send(shard(1), objects(b"a"), end_of_copy(5))
    while again.has_chores:
        again.do_chore()
    deliver(again, InstallSnapshot(A, B, Epoch(1), Snapshot(5, 1, ALL)))
    assert (cursor_of(connection), keys_of(connection)) == (5, "a")


def test_a_snapshot_is_installed_before_the_rows_of_the_one_before_are_gone(
    machine, effects, connection
):
    """A busy file has no quiet moment in between."""
    for index in (5, 9, 13):
        copy = Copy(machine, A, index)
        copy.send(shard(1), objects(b"%d" % index), end_of_copy(index))
        deliver(machine, InstallSnapshot(A, B, Epoch(1), Snapshot(index, 1, ALL)))
    assert effects.reports == []
    assert (cursor_of(connection), keys_of(connection)) == (13, "13")
    while machine.has_chores:
        machine.do_chore()
    assert connection.execute("SELECT count(*) FROM objects").get == 1
