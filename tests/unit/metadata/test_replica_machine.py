"""One replica of a partition on one file, driven round by round."""

from __future__ import annotations

import pytest

from objstore.consensus import Entry, EntryKind, Epoch, Membership, ReplicaId, Snapshot
from objstore.consensus.messages import AppendReply, AppendRequest, InstallSnapshot
from objstore.metadata.catalog_file import open_catalog_writer
from objstore.metadata.replica_events import Damaged, Deliver, Found
from objstore.metadata.replica_machine import ReplicaMachine
from objstore.metadata.snapshot import staged
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
