"""What a replica knows after a start, and what it must never let happen to itself."""

from __future__ import annotations

import pytest

from objstore.consensus import (
    Entry,
    EntryKind,
    Epoch,
    HardState,
    LogConfig,
    LogState,
    Membership,
    PartitionLog,
    ReplicaId,
    Snapshot,
    encode_membership,
)
from objstore.consensus.replica import ReplicaState
from objstore.model.errors import InvariantError

A, B, C = ReplicaId("a@1"), ReplicaId("b@1"), ReplicaId("c@1")


def membership_entry(index, *voters):
    return Entry(1, index, encode_membership(Membership(voters)), EntryKind.MEMBERSHIP)


def replica(**state):
    return ReplicaState(LogConfig(replica=A), LogState(**state))


def test_a_start_finds_the_newest_membership_in_the_log():
    """Rule 7: in force from its entry on, also after a crash, also uncommitted; snapshots show the applied one."""
    loaded = replica(
        applied=1,
        membership=Membership((A, B)),
        entries=[Entry(1, 1), membership_entry(2, A, B, C), Entry(1, 3)],
    )
    assert loaded.membership == Membership((A, B, C))
    assert loaded.snapshot_point() == Snapshot(1, 1, Membership((A, B)))
    assert loaded.is_replicated


def test_a_start_takes_the_commit_index_from_the_apply_cursor():
    """What is applied is committed; a hard state that is older, or beyond a lost tail, is corrected."""
    entries = [Entry(1, 1), Entry(1, 2)]
    assert replica(applied=2, entries=entries).commit_index == 2
    assert replica(hard_state=HardState(commit=9), entries=entries).commit_index == 2


def test_promises_only_rise():
    """Rule 1: a promise that falls is a promise broken."""
    loaded = replica(hard_state=HardState(Epoch(5), B))
    with pytest.raises(InvariantError, match="only rise"):
        loaded._promise(Epoch(5), C)


def test_only_what_is_held_can_be_committed():
    """A commit index beyond the log would apply a hole."""
    with pytest.raises(InvariantError, match="not in the log"):
        replica()._commit_to(1)


def test_snapshots_lead_forward_only():
    """Applied state is never undone."""
    with pytest.raises(InvariantError, match="take anything back"):
        replica(applied=1, entries=[Entry(1, 1)])._restore(Snapshot(1, 1, Membership()))


def test_old_memberships_are_forgotten_when_applied():
    """The list of memberships is as short as the log."""
    log = PartitionLog(LogConfig(replica=A), LogState.founding(A))
    log.become_leader(Epoch(1), 0)
    log.advance(log.take_ready())
    for index in range(2, 6):
        log._append((membership_entry(index, A),))
        log.advance(log.take_ready())
    assert len(log._memberships) == 1
