"""The surface of the partition log: the contract of Ready, and the path of one replica."""

from __future__ import annotations

import pytest

from objstore.consensus import (
    ChangeKind,
    Entry,
    EntryKind,
    Epoch,
    HardState,
    LogConfig,
    LogState,
    Membership,
    MembershipChange,
    PartitionLog,
    ReadState,
    ReplicaId,
    Role,
    SoftState,
)
from objstore.consensus.messages import AppendRequest
from objstore.model.errors import InvariantError, NotLeader, SlowDown
from objstore.model.instant import Instant

A, B, C = ReplicaId("a@1"), ReplicaId("b@1"), ReplicaId("c@1")
NOW = Instant(0)


def run(log):
    """Take a Ready through the whole contract."""
    ready = log.take_ready()
    log.advance(ready)
    return ready


def alone(**config):
    log = PartitionLog(LogConfig(replica=A, **config), LogState.founding(A))
    assert log.become_leader(Epoch(1), NOW) is None
    return log


def follower():
    """A follower of three that has promised nothing yet."""
    return PartitionLog(LogConfig(replica=B), LogState.founding(A, B, C))


def append(entries, *, epoch=1, after=(0, 0), commit=0):
    return AppendRequest(A, B, Epoch(epoch), after[1], after[0], commit, 0, tuple(entries))


def test_one_replica_leads_in_the_first_ready():
    """With nobody to ask, promise, no-op and its commit are one transaction (rules 1 and 3)."""
    ready = run(alone())
    assert ready.hard_state == HardState(Epoch(1), A, 1)
    assert [entry.kind for entry in ready.committed] == [EntryKind.NO_OP]
    assert ready.soft_state.role is Role.LEADER


def test_one_replica_commits_what_it_persists():
    """Persist and apply fall into one transaction: both lists are the same object, nothing is serialised."""
    log = alone()
    run(log)
    payloads = [object(), object()]
    assert log.propose(payloads, NOW) == 2
    ready = run(log)
    assert ready.entries is ready.committed
    assert [entry.payload for entry in ready.committed] == payloads
    assert ready.hard_state is None
    assert log.applied_index == 3


def test_one_replica_keeps_no_entries():
    """Entries need not outlive their transaction where nobody else needs them; memory stays flat."""
    log = alone()
    for _ in range(3):
        log.propose([b"x"] * 10, NOW)
        run(log)
    assert log.held_entries() == []
    assert log.next_deadline() is None
    assert not log.has_ready


def test_proposals_between_two_readies_share_one():
    """Group commit: all that waits goes into one transaction."""
    log = alone()
    run(log)
    log.propose([b"x"], NOW)
    ready = log.take_ready()
    assert log.propose([b"y"], NOW) == 3
    assert log.propose([b"z"], NOW) == 4
    assert not log.has_ready
    log.advance(ready)
    assert [entry.payload for entry in run(log).entries] == [b"y", b"z"]


def test_one_replica_confirms_reads_at_once():
    """The own disk is the majority; the read still waits for the opening no-op (rules 3 and 6)."""
    log = alone()
    assert log.request_read("early", NOW) is None
    assert run(log).reads == [ReadState("early", 1)]
    log.propose([b"x"], NOW)
    run(log)
    log.request_read("late", NOW)
    assert run(log).reads == [ReadState("late", 2)]


def test_restart_of_one_replica_goes_on_behind_the_apply_cursor():
    """The cursor that moved with the state is all that a log of one replica needs to come back."""
    state = LogState(
        hard_state=HardState(Epoch(4), A, 0),
        applied=70,
        compacted_index=70,
        compacted_epoch=4,
        membership=Membership((A,)),
    )
    log = PartitionLog(LogConfig(replica=A), state)
    assert isinstance(log.become_leader(Epoch(4), NOW), NotLeader)
    assert log.become_leader(Epoch(5), NOW) is None
    assert log.become_leader(Epoch(5), NOW) is None
    ready = run(log)
    assert [(entry.epoch, entry.index) for entry in ready.committed] == [(5, 71)]
    assert log.snapshot_point("data").epoch == 5


@pytest.mark.parametrize("size", [1, 64])
def test_too_many_entries_in_flight_are_refused(size):
    """Trap T17: a queue without a bound turns overload into a crash; SlowDown is an honest answer."""
    log = alone(inflight_entries_max=64)
    run(log)
    taken = sum(isinstance(log.propose([b""] * size, NOW), int) for _ in range(100))
    assert taken * size == 64
    assert isinstance(log.propose([b""], NOW), SlowDown)
    run(log)
    assert isinstance(log.propose([b""], NOW), int)


def test_too_many_bytes_in_flight_are_refused():
    """Trap T17 in bytes; a single batch above the bound still passes, or it could never be written."""
    log = alone(inflight_bytes_max=100)
    run(log)
    assert log.propose([b"x" * 200], NOW) == 2
    assert isinstance(log.propose([b"x"], NOW), SlowDown)
    run(log)
    assert log.propose([b"x" * 60], NOW) == 3
    assert isinstance(log.propose([b"x" * 60], NOW), SlowDown)


def test_one_ready_at_a_time():
    """Order on disk is the order of Readies; two at once could be persisted in the wrong one."""
    log = alone()
    ready = log.take_ready()
    with pytest.raises(InvariantError, match="advance over it first"):
        log.take_ready()
    log.advance(ready)
    with pytest.raises(InvariantError, match="only the Ready that is out"):
        log.advance(ready)


def test_an_empty_proposal_is_a_bug_of_the_caller():
    """It would return an index that belongs to somebody else."""
    log = alone()
    with pytest.raises(InvariantError, match="needs a payload"):
        log.propose([], NOW)


def test_only_leaders_take_proposals_and_reads():
    """Followers never answer for the partition; the hint says who does."""
    log = follower()
    log.receive(append([]), NOW)
    assert log.propose([b"x"], NOW) == NotLeader(leader=A)
    assert log.request_read("r", NOW) == NotLeader(leader=A)


def test_a_message_for_somebody_else_is_a_bug():
    """A mixed-up transport must not be able to vote for others."""
    message = AppendRequest(A, C, Epoch(1), 0, 0, 0, 0)
    with pytest.raises(InvariantError, match="not meant for"):
        follower().receive(message, NOW)


def test_committed_entries_come_in_bounded_portions():
    """A follower that catches up must not apply thousands of entries in one transaction."""
    log = PartitionLog(LogConfig(replica=B, apply_entries_max=4), LogState.founding(A, B, C))
    log.receive(append([Entry(1, i, b"x") for i in range(1, 11)], commit=10), NOW)
    portions = []
    while log.has_ready:
        portions.append([entry.index for entry in run(log).committed])
    assert portions == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_a_named_successor_ends_a_leadership():
    """The control store's word is a hint: it may stop a leader, it never makes a promise."""
    log = alone()
    run(log)
    log.observe_leader(Epoch(1), B)
    assert log.role is Role.LEADER
    log.observe_leader(Epoch(2), B)
    assert log.role is Role.FOLLOWER
    assert log.epoch == 1
    assert log.propose([b"x"], NOW) == NotLeader(leader=B)
    assert run(log).soft_state.leader == B


def test_a_follower_tells_of_a_leader_that_it_has_only_heard_of():
    """Callers are sent to whom was named, before that one has said a word here; hearing it twice is no news."""
    log = follower()
    log.receive(append(()), NOW)
    assert run(log).soft_state == SoftState(Role.FOLLOWER, A, Epoch(1))
    log.observe_leader(Epoch(2), C)
    assert log.has_ready
    assert run(log).soft_state == SoftState(Role.FOLLOWER, C, Epoch(1))
    log.observe_leader(Epoch(3), C)
    assert not log.has_ready
    assert log.take_ready().soft_state is None


def test_the_timer_is_harmless_when_nothing_is_due():
    """Drivers may call it whenever they wake up."""
    log = alone()
    log.handle_timer(Instant(10**9))
    run(log)
    assert not log.has_ready


def test_applied_entries_are_kept_within_bounds():
    """A follower that was away shortly gets entries, but memory must not grow with the log."""
    log = PartitionLog(
        LogConfig(replica=B, retained_entries=10, retained_bytes=10**6), LogState.founding(A, B, C)
    )
    entries = [Entry(1, i, b"x") for i in range(1, 41)]
    log.receive(append(entries, commit=40), NOW)
    ready = run(log)
    assert ready.compact_to == 0
    assert [entry.index for entry in log.held_entries()] == list(range(31, 41))
    log.receive(append([], after=(1, 40), commit=40), NOW)
    assert run(log).compact_to == 30


def test_applied_bytes_are_kept_within_bounds():
    """The same for few large entries."""
    log = PartitionLog(
        LogConfig(replica=B, retained_entries=10, retained_bytes=250), LogState.founding(A, B, C)
    )
    log.receive(append([Entry(1, i, b"x" * 100) for i in range(1, 6)], commit=5), NOW)
    run(log)
    assert [entry.index for entry in log.held_entries()] == [4, 5]


def test_a_state_that_contradicts_itself_is_refused():
    """A log that begins after the apply cursor has a hole: entries were lost, and nothing may go on."""
    with pytest.raises(InvariantError, match="apply cursor"):
        PartitionLog(LogConfig(replica=A), LogState(applied=1, compacted_index=2))
    with pytest.raises(InvariantError, match="beyond the end"):
        PartitionLog(LogConfig(replica=A), LogState(applied=3, compacted_index=2))


def test_the_only_voter_tells_a_learner_to_apply_only_what_is_durable():
    """Append requests may leave before the own sync; if that fails, nobody may have applied its entries (rule 5)."""
    log = alone()
    run(log)
    assert isinstance(log.propose_change(MembershipChange(ChangeKind.ADD_LEARNER, B), NOW), int)
    readies = [run(log)]
    log.propose([b"x"], NOW)
    readies.append(run(log))
    for ready in readies:
        appends = [message for message in ready.messages if isinstance(message, AppendRequest)]
        assert appends or not ready.messages
        for message in appends:
            assert message.commit < ready.entries[0].index <= ready.committed[-1].index
    assert any(ready.messages for ready in readies)
