"""Who may lead when look-ups found replicas damaged."""

from __future__ import annotations

import apsw
import pytest

from objstore.consensus import ReplicaId
from objstore.metadata.replica_trust import (
    HOPELESS_S,
    SETTLED_S,
    ReplicaTrust,
    is_damage,
    is_unreadable,
)
from objstore.model.errors import CorruptRecord, DriveUnavailable, UnknownFormat
from objstore.model.names import PartitionId

A, B, C = (ReplicaId(name) for name in "abc")
ALL = {A, B, C}
P, Q = PartitionId(1), PartitionId(2)
ROW = CorruptRecord("row")


def doubt(trust, replica, *, others=ALL, partition=P, cause=ROW, now=0.0):
    return trust.note_unreadable(replica, partition, cause, others=set(others) - {replica}, now=now)


def test_an_unreadable_replica_leads_only_where_nobody_better_is_left():
    """Its log is as good as any, so that it votes; what it would answer may be wrong."""
    trust = ReplicaTrust()
    assert doubt(trust, A)
    assert trust.eligible(P, ALL, ALL) == {B, C}
    assert trust.eligible(P, ALL, {A}, {A, B}) == {B}
    assert trust.eligible(P, ALL, {A}) == {A}
    assert trust.eligible(Q, ALL, ALL) == ALL
    assert trust.votes(A, P)


def test_damage_everywhere_is_found_once_and_moves_nobody_afterwards():
    """Else a row that was written damaged would make replica after replica anew, for ever."""
    trust = ReplicaTrust()
    assert [doubt(trust, replica) for replica in (A, B, C)] == [True, True, False]
    assert not trust.has_doubts
    assert trust.eligible(P, ALL, ALL) == ALL
    assert not doubt(trust, A, now=HOPELESS_S - 1)
    assert list(trust.unreadable_of(A, HOPELESS_S - 1)) == []
    assert doubt(trust, A, now=HOPELESS_S)
    assert doubt(trust, A, partition=Q)


def test_no_store_is_given_up_before_all_others_were_asked():
    """The row may be damaged everywhere: then a store that was thrown away could not be filled again."""
    trust = ReplicaTrust()
    doubt(trust, A, now=10.0)
    assert list(trust.unreadable_of(A, 10.0 + SETTLED_S - 0.1)) == []
    assert [partition for partition, _ in trust.unreadable_of(A, 10.0 + SETTLED_S)] == [P]
    doubt(trust, A, now=12.0)
    assert [partition for partition, _ in trust.unreadable_of(A, 10.0 + SETTLED_S)] == [P]


def test_a_replica_that_is_alone_stays_doubted():
    """Others may come back, and then one of them leads; until then it answers for what it can."""
    trust = ReplicaTrust()
    assert not doubt(trust, A, others=())
    assert trust.eligible(P, ALL, {A}) == {A}
    assert trust.eligible(P, ALL, {A, C}) == {C}


def test_those_that_take_part_no_longer_are_no_others():
    """A damaged replica cannot lead, so that it is no hope either."""
    trust = ReplicaTrust()
    trust.note_damaged(B, P)
    trust.note_damaged(C, P)
    assert not doubt(trust, A)
    assert trust.eligible(P, ALL, ALL) == {A}
    assert list(trust.damaged_of(B)) == [P]


def test_a_new_store_is_trusted_again():
    """What was found in the old file says nothing of the new one."""
    trust = ReplicaTrust()
    doubt(trust, A)
    trust.forget(A)
    assert trust.eligible(P, ALL, ALL) == ALL


def test_what_a_drive_does_not_give_back_is_made_anew_like_damage():
    """A sector that cannot be read stays so; a copy lies elsewhere on the drive."""
    trust = ReplicaTrust()
    doubt(trust, A, cause=apsw.IOError("sector"))
    ((partition, fault),) = trust.unreadable_of(A, SETTLED_S)
    assert partition == P
    assert is_damage(fault)


@pytest.mark.parametrize(
    ("fault", "is_damaged", "cannot_be_read"),
    [
        (CorruptRecord("row"), True, True),
        (apsw.CorruptError("page"), True, True),
        (apsw.NotADBError("file"), True, True),
        (UnknownFormat("newer"), False, False),
        (apsw.IOError("drive"), False, True),
        (DriveUnavailable("gone"), False, False),
        (apsw.BusyError("lock"), False, False),
    ],
)
def test_only_damage_is_set_aside(fault, is_damaged, cannot_be_read):
    """A catalogue of a newer version, or on a drive that fails a writer, is not to be given up for a copy."""
    assert is_damage(fault) is is_damaged
    assert is_unreadable(fault) is cannot_be_read
