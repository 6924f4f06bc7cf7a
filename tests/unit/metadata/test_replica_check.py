"""What the replicas of a partition are to each other, from what their files show."""

from __future__ import annotations

from contextlib import closing

import pytest

from objstore.metadata.catalog_file import open_catalog_writer
from objstore.metadata.replica_check import Agreement, ReplicaReading, judge, read_replicas
from objstore.model.names import DriveId, PartitionId

P = PartitionId(3)
A, B, C = (DriveId(name) for name in "abc")
GOOD = ReplicaReading(7, b"hash", b"rows")


@pytest.mark.parametrize(
    ("other", "agreement", "text"),
    [
        (GOOD, Agreement.SAME, ""),
        (ReplicaReading(6, b"older", b"other"), Agreement.BEHIND, "c"),
        (ReplicaReading(7, b"other", b"rows"), Agreement.DIFFERENT, "a, b, c"),
        (ReplicaReading(7, b"hash", b"other"), Agreement.DIFFERENT, "a, b, c"),
        (ReplicaReading(7, b"hash", b"", "row"), Agreement.DAMAGED, "c: row"),
        (None, Agreement.MISSING, "c"),
    ],
)
def test_one_of_three_is_judged_by_the_others(other, agreement, text):
    """Equal hashes do not excuse different rows: damage need not go through the log."""
    readings = {A: {P: GOOD}, B: {P: GOOD}, C: {} if other is None else {P: other}}
    assert list(judge({P: frozenset((A, B, C))}, readings)) == [(P, agreement, text)]


def test_two_that_are_both_behind_must_be_the_same():
    """A difference is a difference at every index."""
    readings = {
        A: {P: GOOD},
        B: {P: ReplicaReading(6, b"1", b"")},
        C: {P: ReplicaReading(6, b"2", b"")},
    }
    ((_, agreement, _),) = judge({P: frozenset((A, B, C))}, readings)
    assert agreement is Agreement.DIFFERENT


def test_replicas_of_other_drives_and_unused_partitions_do_not_count():
    """What was left behind by an earlier ring is nobody's replica; what nobody wrote to has no rows anywhere."""
    left = ReplicaReading(2, b"old", b"old")
    readings = {A: {P: GOOD}, B: {P: GOOD}, C: {P: left}}
    homes = {P: frozenset((A, B)), PartitionId(4): frozenset((A, B))}
    assert list(judge(homes, readings)) == [(P, Agreement.SAME, "")]


def test_a_damaged_row_is_found(tmp_path):
    """Each row is checked against its own checksum, so that the damaged one of two different replicas is known."""
    path = tmp_path / "catalog.sqlite"
    with closing(open_catalog_writer(path)) as connection:
        connection.execute("INSERT INTO partitions VALUES (3, 1, 5, 9, 0, x'AA')")
        assert read_replicas(path)[P].damage == ""
        assert read_replicas(path)[P][:2] == (5, b"\xaa")
        connection.execute("INSERT INTO results VALUES (3, 5, 0, x'0102030405060708090a')")
        assert "checksum" in read_replicas(path)[P].damage
