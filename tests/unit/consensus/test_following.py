"""What a follower says to each message, one rule at a time."""

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
    Role,
    Snapshot,
    encode_membership,
)
from objstore.consensus.messages import (
    AppendReply,
    AppendRequest,
    EpochRefused,
    FetchReply,
    FetchRequest,
    InstallSnapshot,
    PromiseReply,
    PromiseRequest,
    StateHash,
)
from objstore.model.errors import InvariantError
from objstore.model.instant import Instant

A, B, C = ReplicaId("a@1"), ReplicaId("b@1"), ReplicaId("c@1")
ALL = Membership((A, B, C))
NOW = Instant(0)


def entries(*epochs, first=1):
    return [Entry(epoch, i, f"{epoch}.{i}".encode()) for i, epoch in enumerate(epochs, first)]


def follower(*epochs, promised=0, commit=0, **config):
    state = LogState(
        hard_state=HardState(Epoch(promised), A if promised else ReplicaId(""), commit),
        membership=ALL,
        entries=entries(*epochs),
    )
    return PartitionLog(LogConfig(replica=B, **config), state)


def run(log):
    ready = log.take_ready()
    log.advance(ready)
    return ready


def ask(log, message):
    """Deliver one message and return the Ready that it causes."""
    log.receive(message, NOW)
    return run(log)


def append(new=(), *, epoch=3, after=(0, 0), commit=0, round_=0, source=A):
    return AppendRequest(source, B, Epoch(epoch), after[1], after[0], commit, round_, tuple(new))


def ack(index, *, epoch=3, commit=0, round_=0):
    return AppendReply(B, A, Epoch(epoch), True, index, 0, round_, commit)


def test_the_promise_is_durable_before_its_answer():
    """Rule 1: promise and answer are in one Ready, and a Ready is persisted before it is sent."""
    ready = ask(follower(1, 1, promised=1), PromiseRequest(C, B, Epoch(2)))
    assert ready.hard_state == HardState(Epoch(2), C, 0)
    assert ready.messages == [PromiseReply(B, C, Epoch(2), True, 1, 2)]


def test_a_promise_is_given_again_to_the_same_leader():
    """Answers get lost: asking twice must not stop a takeover, and needs no second write."""
    log = follower()
    ask(log, PromiseRequest(C, B, Epoch(2)))
    ready = ask(log, PromiseRequest(C, B, Epoch(2)))
    assert ready.hard_state is None
    assert ready.messages[0].granted


def test_an_epoch_is_promised_to_one_leader():
    """Rule 1 does not even rest on the control store: a second owner of an epoch gets no promise."""
    log = follower()
    ask(log, PromiseRequest(C, B, Epoch(2)))
    ready = ask(log, PromiseRequest(A, B, Epoch(2)))
    assert not ready.messages[0].granted
    assert ready.hard_state is None
    assert [trace.event for trace in ready.trace] == ["second_leader"]


def test_a_second_leader_of_an_epoch_appends_nothing():
    """Rule 1 holds for entries as well as for promises."""
    log = follower(1, promised=3)
    assert ask(log, append(entries(3), source=C)).messages == []
    assert log.last_index == 1


def test_who_promised_to_the_loser_of_a_doubled_epoch_is_freed_by_the_next_one():
    """Rule 1: within the epoch the promise stands, whoever won; nothing of it outlives the epoch."""
    log = follower(1)
    assert ask(log, PromiseRequest(C, B, Epoch(2))).messages[0].granted
    assert ask(log, append(entries(2, first=2), epoch=2, after=(1, 1))).messages == []
    assert (log.leader, log.last_index) == (C, 1)
    freed = ask(log, append(entries(3, first=2), epoch=3, after=(1, 1)))
    assert freed.hard_state == HardState(Epoch(3), A, 0)
    assert freed.messages == [ack(2)]


def test_an_empty_store_promises_nothing():
    """Trap T2: a replica that forgot everything must not help a leader to a majority."""
    ready = ask(PartitionLog(LogConfig(replica=B), LogState()), PromiseRequest(A, B, Epoch(2)))
    assert ready.messages == [PromiseReply(B, A, Epoch(2), False, 0, 0)]
    assert ready.hard_state is None


@pytest.mark.parametrize(
    "message",
    [
        PromiseRequest(C, B, Epoch(2)),
        append(entries(2), epoch=2, source=C),
        FetchRequest(C, B, Epoch(2), 0, 0),
        InstallSnapshot(C, B, Epoch(2), Snapshot(9, 2, ALL)),
    ],
    ids=lambda message: type(message).__name__,
)
def test_lower_epochs_are_refused(message):
    """Rule 1: whatever a leader of a lower epoch wants, it learns that its time is over."""
    log = follower(1, promised=3)
    ready = ask(log, message)
    assert ready.messages == [EpochRefused(B, C, Epoch(3), A)]
    assert not ready.must_persist
    assert log.last_index == 1


def test_late_answers_are_dropped():
    """An answer to an earlier self is nobody's mistake and changes nothing."""
    log = follower(1, promised=3)
    log.receive(PromiseReply(C, B, Epoch(2), True, 9, 9), NOW)
    log.receive(FetchReply(C, B, Epoch(2), True, 1, 1, tuple(entries(2, first=2))), NOW)
    log.receive(AppendReply(C, B, Epoch(2), True, 9, 0, 0, 9), NOW)
    log.receive(EpochRefused(C, B, Epoch(9), A), NOW)
    assert not log.has_ready
    assert log.last_index == 1


def test_an_append_of_a_higher_epoch_is_a_promise():
    """Rule 1: only the named leader speaks in an epoch, so obeying it means having promised it."""
    ready = ask(follower(promised=2), append(entries(3)))
    assert ready.hard_state.epoch == 3
    assert ready.messages == [ack(1)]


def test_entries_are_acknowledged_with_the_ready_that_persists_them():
    """Rule 4: an acknowledgement means an fsync."""
    ready = ask(follower(), append(entries(3, 3), round_=7))
    assert ready.entries == entries(3, 3)
    assert ready.messages == [ack(2, round_=7)]
    assert ready.committed == ()


def test_a_gap_is_refused_with_a_hint():
    """Rule 4: only contiguous entries are appended."""
    ready = ask(follower(1, 1), append(entries(3, first=5), after=(3, 4)))
    assert ready.entries == []
    assert ready.messages == [AppendReply(B, A, Epoch(3), False, 2, 1, 0, 0)]


def test_the_hint_skips_a_whole_divergent_epoch():
    """Rule 4: a long tail of a lost leader costs one exchange, not one for each entry."""
    ready = ask(follower(1, 2, 2, 2, 2), append(after=(1, 4)))
    assert ready.messages == [AppendReply(B, A, Epoch(3), False, 1, 1, 0, 0)]


def test_the_hint_is_never_below_what_is_committed():
    """What is committed here agrees with every later leader."""
    log = follower(2, 2, 2, commit=2)
    run(log)
    ready = ask(log, append(after=(1, 3)))
    assert ready.messages[0].index == 2


def test_a_divergent_tail_is_cut_by_epoch():
    """Rule 4: another epoch at the same index is another history; it was never committed."""
    ready = ask(follower(1, 2, 2, 2), append(entries(3, first=2), after=(1, 1)))
    assert ready.truncate_from == 2
    assert ready.entries == entries(3, first=2)
    assert ready.messages == [ack(2)]


def test_repeated_entries_change_nothing():
    """Messages are delivered twice and late; a shorter repetition must not cut a longer log."""
    log = follower(3, 3, 3, promised=3)
    ready = ask(log, append(entries(3, 3)))
    assert not ready.must_persist
    assert ready.messages == [ack(2)]
    assert log.last_index == 3


def test_truncation_of_entries_that_are_on_their_way_to_disk():
    """A Ready is out while its entries turn out to be divergent: the next one has to delete them."""
    log = follower()
    log.receive(append(entries(3, 3)), NOW)
    out = log.take_ready()
    log.receive(append(entries(4, first=2), epoch=4, after=(3, 1)), NOW)
    log.advance(out)
    ready = run(log)
    assert ready.truncate_from == 2
    assert ready.entries == entries(4, first=2)


def test_a_committed_entry_is_never_truncated():
    """If a leader contradicts what is committed, histories have split: stop, do not obey."""
    log = follower(1, 2, commit=1)
    run(log)
    with pytest.raises(InvariantError, match="contradicts a committed entry"):
        log.receive(append(entries(3), after=(0, 0)), NOW)
    with pytest.raises(InvariantError, match="must not be truncated"):
        log._truncate_from(1)


def test_followers_apply_only_what_agrees_with_the_leader():
    """Rule 5: a commit index says nothing about a tail that the leader has not compared yet."""
    log = follower(1, 2, 2)
    ready = ask(log, append(after=(1, 1), commit=3))
    assert [entry.index for entry in ready.committed] == [1]
    assert ready.messages == [ack(1, commit=1)]


def test_an_append_from_before_the_commit_index():
    """A leader that does not know our state repeats old entries; what lies beyond is still taken."""
    log = follower(1, 1, 1, commit=3)
    run(log)
    ready = ask(log, append(entries(1, 1, 1, 3)))
    assert ready.entries == entries(3, first=4)
    assert ready.messages == [ack(4, commit=3)]
    assert ask(log, append(entries(1))).messages == [ack(3, commit=3)]


def test_a_snapshot_replaces_log_and_state():
    """Rule 7: who is behind the first entry held gets the state."""
    log = follower(1, 1)
    ready = ask(log, InstallSnapshot(A, B, Epoch(3), Snapshot(9, 2, ALL, "bytes")))
    assert ready.snapshot == Snapshot(9, 2, ALL, "bytes")
    assert ready.messages == [ack(9, commit=9)]
    assert (log.last_index, log.applied_index, log.last_epoch) == (9, 9, 2)
    assert log.snapshot_point().index == 9


def test_a_snapshot_never_takes_anything_back():
    """A late snapshot must not undo what is applied."""
    log = follower(1, 1, 1, commit=3)
    run(log)
    ready = ask(log, InstallSnapshot(A, B, Epoch(3), Snapshot(2, 1, ALL)))
    assert ready.snapshot is None
    assert ready.messages == [ack(3, commit=3)]


def test_a_snapshot_within_the_log_only_moves_the_commit_index():
    """The entries are here already: nothing has to be installed."""
    ready = ask(follower(1, 1, 1), InstallSnapshot(A, B, Epoch(3), Snapshot(2, 1, ALL)))
    assert ready.snapshot is None
    assert [entry.index for entry in ready.committed] == [1, 2]


@pytest.mark.parametrize(("index", "epoch"), [(1, 1), (2, 1), (2, 2)])
def test_a_snapshot_that_is_not_above_the_own_cursor_is_not_installed(index, epoch):
    """Rule 7: state never goes back; the leader hears how far this replica is, and goes on from there."""
    log = follower(1, 1, 1, promised=3, commit=2)
    ready = ask(log, InstallSnapshot(A, B, Epoch(3), Snapshot(index, epoch, ALL)))
    assert ready.snapshot is None
    assert ready.messages == [ack(2, commit=2)]
    assert log.last_index == 3


def test_a_snapshot_of_a_second_leader_is_ignored():
    """Rule 1 holds for every message of an epoch."""
    log = follower(promised=3)
    ready = ask(log, InstallSnapshot(C, B, Epoch(3), Snapshot(2, 1, ALL)))
    assert ready.messages == []
    assert log.last_index == 0


def test_a_membership_is_in_force_when_appended_and_gone_when_truncated():
    """Rule 7: majorities follow the newest membership in the log, committed or not."""
    fewer = Membership((A, B))
    entry = Entry(1, 2, encode_membership(fewer), EntryKind.MEMBERSHIP)
    log = follower(1)
    ask(log, append([entry], epoch=1, after=(1, 1)))
    assert log.membership == fewer
    ask(log, append(entries(3, first=2), after=(1, 1)))
    assert log.membership == ALL


def test_fetches_are_served_to_the_leader_of_the_promised_epoch():
    """Rule 2: the best log is handed out as it is, with its epochs, within the bounds of a message."""
    log = follower(1, 2, 2, 2, promised=3, message_entries_max=2)
    ready = ask(log, FetchRequest(A, B, Epoch(3), 1, 1))
    assert ready.messages == [FetchReply(B, A, Epoch(3), True, 1, 1, tuple(entries(2, 2, first=2)))]


def test_fetches_of_a_log_that_diverges_get_a_hint():
    """Rule 2: the new leader may hold a tail of its own that has to go."""
    ready = ask(follower(1, 2, promised=3), FetchRequest(A, B, Epoch(3), 2, 1))
    assert ready.messages == [FetchReply(B, A, Epoch(3), False, 1, 1)]


def test_fetches_of_compacted_entries_get_a_snapshot():
    """Rule 7: what is not in the log any more comes as state."""
    state = LogState(
        hard_state=HardState(Epoch(3), A, 0),
        applied=8,
        compacted_index=8,
        compacted_epoch=2,
        membership=ALL,
    )
    ready = ask(PartitionLog(LogConfig(replica=B), state), FetchRequest(A, B, Epoch(3), 2, 1))
    assert ready.snapshots_wanted == [A]
    assert ready.messages[0].snapshot_follows


def test_fetches_of_others_are_ignored():
    """Only whom the epoch was promised to may take the log over."""
    log = follower(1, promised=3)
    log.receive(FetchRequest(C, B, Epoch(3), 0, 0), NOW)
    log.receive(FetchRequest(C, B, Epoch(4), 0, 0), NOW)
    assert not log.has_ready


def test_a_leader_that_promises_a_higher_epoch_steps_down():
    """Rule 1: obeying a higher epoch ends the own one."""
    log = PartitionLog(LogConfig(replica=B), LogState.founding(B))
    log.become_leader(Epoch(1), NOW)
    run(log)
    ready = ask(log, PromiseRequest(A, B, Epoch(2)))
    assert log.role is Role.FOLLOWER
    assert ready.soft_state.leader == A


def test_equal_states_are_silent_and_unequal_ones_are_told():
    """Divergence that nobody compares is found when the last good replica is gone."""
    log = follower(promised=3)
    log.report_state_hash(10, b"same")
    log.receive(StateHash(A, B, Epoch(3), 10, b"same"), NOW)
    log.receive(StateHash(A, B, Epoch(3), 20, b"not there yet"), NOW)
    assert not log.has_ready
    ready = ask(log, StateHash(A, B, Epoch(3), 10, b"other"))
    assert log.is_diverged
    assert ready.messages == [StateHash(B, A, Epoch(3), 10, b"same")]
    assert [trace.event for trace in ready.trace] == ["state_diverged"]


def test_a_difference_that_comes_from_no_leader_is_only_noted():
    """The answer of a follower tells the leader; it must not be answered for ever."""
    log = follower(promised=3)
    log.report_state_hash(10, b"same")
    assert ask(log, StateHash(C, B, Epoch(3), 10, b"other")).messages == []
    assert log.is_diverged


def test_only_the_last_digests_are_kept():
    """Memory for comparisons is bounded."""
    log = follower(promised=3)
    for index in range(1, 30):
        log.report_state_hash(index, b"x")
    log.receive(StateHash(A, B, Epoch(3), 1, b"other"), NOW)
    assert not log.is_diverged
