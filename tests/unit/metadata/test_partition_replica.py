"""Followers that apply later than they acknowledge: what must hold meanwhile, and what must come first."""

from __future__ import annotations

import pytest

from objstore.consensus import Entry, EntryKind, Epoch, Membership, ReplicaId
from objstore.consensus.messages import AppendReply, AppendRequest, StateHash
from objstore.metadata.catalog_file import open_catalog_writer
from objstore.metadata.commands import OpenShard, PutVersion
from objstore.metadata.partition_replica import commands_of, encode_commands
from objstore.metadata.replica_events import Damaged, Deliver, Found, Lead
from objstore.metadata.replica_machine import ReplicaMachine
from objstore.model.instant import Instant
from objstore.model.names import PartitionId
from objstore.testing.catalog_kit import CommandKit, bucket_record

A, B, C = ReplicaId("a"), ReplicaId("b"), ReplicaId("c")
ALL = Membership((A, B, C))
PARTITION = PartitionId(7)
NOW = Instant(1)
FIRST = Epoch(1)
HASHED = 10_000
"""An index at which replicas compare their states."""


class Effects:
    """Keeps what a machine wants done."""

    def __init__(self):
        self.sent, self.reports = [], []

    def send(self, partition, message):
        self.sent.append(message)

    def report(self, report):
        self.reports.append(report)


class Follower:
    """A replica in a file of its own, and its leader as messages."""

    def __init__(self, path):
        self.connection = open_catalog_writer(path)
        self.effects = Effects()
        self.machine = ReplicaMachine(self.connection, B, self.effects)
        self.take(Found({PARTITION: ALL}, lambda: None))

    def take(self, event):
        self.machine.take(event, NOW)
        self.work()

    def work(self):
        while self.machine.work(NOW):
            pass

    def append(self, entries, *, after, commit):
        previous = FIRST if after else 0
        message = AppendRequest(A, B, FIRST, after, previous, commit, 0, tuple(entries))
        self.take(Deliver(((PARTITION, message),)))

    def catch_up(self):
        while self.machine.is_behind:
            self.machine.catch_up()
            self.work()

    def value(self, sql):
        return self.connection.execute(sql).get

    @property
    def cursor(self):
        return self.value(f"SELECT applied FROM partitions WHERE partition={PARTITION}") or 0

    @property
    def stored(self):
        return self.value("SELECT count(*) FROM replica_log")


@pytest.fixture
def follower(tmp_path):
    made = Follower(tmp_path / "catalog.sqlite")
    yield made
    made.connection.close()


def no_ops(first, last):
    return [Entry(1, index, b"", EntryKind.NO_OP) for index in range(first, last + 1)]


def test_an_entry_is_acknowledged_before_it_is_applied(follower):
    """What a leader waits for is that the log is durable; applying at once would cost a transaction for each entry."""
    follower.append(no_ops(1, 3), after=0, commit=3)
    assert follower.effects.sent[-1] == AppendReply(B, A, FIRST, True, 3, 0, 0, 3)
    assert (follower.stored, follower.cursor) == (3, 0)
    assert follower.machine.snapshot_point(PARTITION) is None
    follower.catch_up()
    assert follower.cursor == 3
    assert follower.machine.snapshot_point(PARTITION).index == 3


def test_what_waits_is_bounded(follower):
    """It has to be applied before this replica can serve: a takeover must not last longer the longer there was load."""
    for index in range(1, 400):
        follower.append(no_ops(index, index), after=index - 1, commit=index)
        assert index - follower.cursor < 128


def test_whoever_is_to_lead_applies_first(follower):
    """A leader answers from its rows: they must hold all that anybody acknowledged before it."""
    follower.append(no_ops(1, 3), after=0, commit=3)
    assert follower.cursor == 0
    follower.take(Lead(PARTITION, Epoch(2)))
    assert follower.cursor == 3


def test_what_waited_is_applied_after_a_restart(follower):
    """The log has it, the rows do not: nothing may be lost between the two, and nothing applied twice."""
    kit = CommandKit(bucket_record().bucket_id)
    commands = [kit.make(OpenShard), kit.put(b"a", b"1"), kit.put(b"b", b"2")]
    entries = [
        Entry(1, index, encode_commands((command,))) for index, command in enumerate(commands, 1)
    ]
    follower.append(entries[:2], after=0, commit=2)
    follower.catch_up()
    follower.append(entries[2:], after=2, commit=3)
    assert follower.cursor == 2
    effects = Effects()
    follower.machine = ReplicaMachine(follower.connection, B, effects)
    follower.append([], after=3, commit=3)
    follower.catch_up()
    assert follower.cursor == 3
    assert follower.value("SELECT count(*) FROM objects") == 2
    assert follower.value("SELECT objects FROM shards") == 2


def test_the_log_is_cut_in_steps_and_stays_bounded(follower):
    """Entries that nobody needs are removed, but not with every entry that comes."""
    for first in range(1, 6_000, 30):
        follower.append(no_ops(first, first + 29), after=first - 1, commit=first + 29)
    follower.catch_up()
    assert follower.stored < 2_500
    assert follower.value("SELECT min(entry) FROM replica_log") == 1 + follower.value(
        f"SELECT compacted_index FROM replicas WHERE partition={PARTITION}"
    )


def test_states_are_compared_at_the_same_index(tmp_path):
    """Replicas apply in batches of different sizes; a digest of a later state would condemn a sound one."""
    kit = CommandKit(bucket_record().bucket_id)
    entries = [
        *no_ops(1, HASHED - 1),
        Entry(1, HASHED, encode_commands((kit.make(OpenShard),))),
        Entry(1, HASHED + 1, encode_commands((kit.put(b"k", b"1"),))),
    ]
    one, other = (Follower(tmp_path / name) for name in ("one.sqlite", "other.sqlite"))
    one.append(entries[:-1], after=0, commit=HASHED)
    one.catch_up()
    digest = one.value(f"SELECT state_hash FROM partitions WHERE partition={PARTITION}")
    other.append(entries, after=0, commit=HASHED + 1)
    other.catch_up()
    assert other.cursor == HASHED + 1
    other.effects.reports.clear()
    for told, reports in ((digest, 0), (b"different", 1)):
        message = StateHash(A, B, FIRST, HASHED, told)
        other.take(Deliver(((PARTITION, message),)))
        assert len(other.effects.reports) == reports
    assert isinstance(other.effects.reports[0], Damaged)
    one.connection.close()
    other.connection.close()


def test_an_entry_that_came_from_a_file_is_decoded():
    """Only what this process proposed remembers what it was made of."""
    kit = CommandKit(bucket_record().bucket_id)
    commands = (kit.make(OpenShard), kit.put(b"k", b"1"))
    payload = encode_commands(commands)
    assert commands_of(Entry(1, 1, payload)) is commands
    again = commands_of(Entry(1, 1, bytes(bytearray(payload))))
    assert again == commands
    assert isinstance(again[1], PutVersion)
