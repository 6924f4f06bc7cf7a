"""How a named leader comes to serve: each message of a takeover, one rule at a time."""

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
    AppendRequest,
    EpochRefused,
    FetchReply,
    FetchRequest,
    InstallSnapshot,
    PromiseReply,
    PromiseRequest,
)
from objstore.model.errors import NotLeader
from objstore.model.instant import Instant

A, B, C, D, E = (ReplicaId(f"{name}@1") for name in "abcde")
NOW = Instant(0)


def entries(*epochs, first=1):
    return [Entry(epoch, i, b"x") for i, epoch in enumerate(epochs, first)]


def candidate(*epochs, voters=(A, B, C), commit=0, epoch=9):
    """A replica that was just named, its own promise on disk."""
    state = LogState(
        hard_state=HardState(Epoch(5), B, commit),
        membership=Membership(voters),
        entries=entries(*epochs),
    )
    log = PartitionLog(LogConfig(replica=A), state)
    assert log.become_leader(Epoch(epoch), NOW) is None
    run(log)
    return log


def run(log):
    ready = log.take_ready()
    log.advance(ready)
    return ready


def promise(source, last_epoch=0, last_index=0, *, granted=True, epoch=9):
    return PromiseReply(source, A, Epoch(epoch), granted, last_epoch, last_index)


def of_kind(ready, kind):
    return [message for message in ready.messages if isinstance(message, kind)]


def test_the_own_promise_is_persisted_before_others_are_asked():
    """Rule 1: the named leader is one of the majority; its promise binds it after a crash as well."""
    log = PartitionLog(LogConfig(replica=A), LogState.founding(A, B, C))
    log.become_leader(Epoch(1), NOW)
    ready = run(log)
    assert ready.hard_state == HardState(Epoch(1), A, 0)
    assert ready.messages == [PromiseRequest(A, B, Epoch(1)), PromiseRequest(A, C, Epoch(1))]
    assert log.propose([b"x"], NOW) == NotLeader("the takeover is not finished", leader=A)


def test_a_minority_of_promises_opens_nothing():
    """Rule 1: without a majority an older leader may still commit."""
    log = candidate(1, voters=(A, B, C, D, E))
    log.receive(promise(B, 1, 1), NOW)
    assert log.role is Role.CANDIDATE
    log.receive(promise(B, 1, 1), NOW)
    assert log.role is Role.CANDIDATE
    log.receive(promise(C, 1, 1), NOW)
    assert log.role is Role.LEADER


@pytest.mark.parametrize(
    "reply", [promise(B, granted=False), promise(B, epoch=8), promise(D), promise(D, 9, 9)]
)
def test_what_is_no_promise_of_a_voter_does_not_count(reply):
    """Rule 1: refusals, other epochs and strangers make no majority."""
    log = candidate(1)
    log.receive(reply, NOW)
    assert log.role is Role.CANDIDATE


def test_the_epoch_opens_with_a_no_op():
    """Rule 3: only an entry of the own epoch commits what is older."""
    log = candidate(1, 1)
    log.receive(promise(B, 1, 2), NOW)
    ready = run(log)
    assert ready.entries == [Entry(Epoch(9), 3, b"", EntryKind.NO_OP)]
    assert [m.previous_index for m in of_kind(ready, AppendRequest)] == [2, 2]
    assert ready.committed == ()


def test_the_highest_epoch_wins_over_the_longest_log():
    """Rule 2, directed: a random search needs more than 86,000 schedules to miss this rule."""
    log = candidate(1, 2, 2, 2, 2, 2)
    log.receive(promise(B, 3, 2), NOW)
    assert run(log).messages == [FetchRequest(A, B, Epoch(9), 6, 2)]
    log.receive(FetchReply(B, A, Epoch(9), False, 1, 1), NOW)
    assert run(log).messages == [FetchRequest(A, B, Epoch(9), 1, 1)]
    log.receive(FetchReply(B, A, Epoch(9), True, 1, 1, tuple(entries(3, first=2))), NOW)
    ready = run(log)
    assert ready.truncate_from == 2
    assert [(entry.epoch, entry.index) for entry in ready.entries] == [(3, 2), (9, 3)]


def test_among_equal_epochs_the_longest_log_wins():
    """Rule 2: what a majority acknowledged in that epoch is a part of its longest log."""
    log = candidate(1, 2)
    log.receive(promise(B, 2, 4), NOW)
    assert run(log).messages == [FetchRequest(A, B, Epoch(9), 2, 2)]
    log.receive(FetchReply(B, A, Epoch(9), True, 2, 2, tuple(entries(2, first=3))), NOW)
    assert run(log).messages == [FetchRequest(A, B, Epoch(9), 3, 2)]
    log.receive(FetchReply(B, A, Epoch(9), True, 3, 2, tuple(entries(2, first=4))), NOW)
    assert log.role is Role.LEADER


def test_a_fetched_piece_that_does_not_join_is_ignored():
    """Rule 4 holds for the new leader's own log, too."""
    log = candidate(1, 2)
    log.receive(promise(B, 3, 4), NOW)
    run(log)
    log.receive(FetchReply(B, A, Epoch(9), True, 3, 3, tuple(entries(3, first=4))), NOW)
    log.receive(FetchReply(C, A, Epoch(9), True, 2, 2, tuple(entries(3, first=3))), NOW)
    assert log.last_index == 2


def test_a_snapshot_answers_a_fetch():
    """Rule 7: a named leader may be behind everything that the best log still holds."""
    log = candidate(1)
    log.receive(promise(B, 3, 20), NOW)
    run(log)
    log.receive(FetchReply(B, A, Epoch(9), False, 1, 1, snapshot_follows=True), NOW)
    assert log.next_deadline() == NOW + log.config.snapshot_ms
    snapshot = Snapshot(19, 3, Membership((A, B, C)))
    log.receive(InstallSnapshot(B, A, Epoch(9), snapshot), NOW)
    ready = run(log)
    assert ready.snapshot == snapshot
    assert ready.messages == [FetchRequest(A, B, Epoch(9), 19, 3)]
    log.receive(FetchReply(B, A, Epoch(9), True, 19, 3, tuple(entries(3, first=20))), NOW)
    assert log.role is Role.LEADER
    log.receive(InstallSnapshot(B, A, Epoch(9), Snapshot(20, 3, snapshot.membership)), NOW)
    assert log.commit_index == 19


def test_a_majority_of_the_fetched_membership_is_needed():
    """Rule 7: majorities of the membership that the best log names, or two leaders could both have one."""
    log = candidate(1)
    log.receive(promise(B, 3, 2), NOW)
    run(log)
    payload = encode_membership(Membership((A, B, C, D)))
    fetched = (Entry(3, 2, payload, EntryKind.MEMBERSHIP),)
    log.receive(FetchReply(B, A, Epoch(9), True, 1, 1, fetched), NOW)
    assert log.role is Role.CANDIDATE
    asked = of_kind(run(log), PromiseRequest)
    assert [message.target for message in asked] == [C, D]
    log.receive(promise(D, 3, 2), NOW)
    assert log.role is Role.LEADER


def test_who_is_no_voter_in_the_best_log_gives_up():
    """Rule 7: a replica that was removed while it was away must not lead."""
    log = candidate(1)
    log.receive(promise(B, 3, 2), NOW)
    log.receive(promise(C, 3, 2), NOW)
    run(log)
    payload = encode_membership(Membership((B, C)))
    fetched = (Entry(3, 2, payload, EntryKind.MEMBERSHIP),)
    log.receive(FetchReply(B, A, Epoch(9), True, 1, 1, fetched), NOW)
    assert log.role is Role.FOLLOWER
    assert log.become_leader(Epoch(10), NOW) == NotLeader("only a voter can lead", leader=A)


def test_lost_questions_are_asked_again():
    """Liveness: a takeover must end although messages are lost."""
    log = candidate(1)
    due = log.next_deadline()
    log.handle_timer(Instant(due - 1))
    assert not log.has_ready
    log.handle_timer(due)
    assert [message.target for message in run(log).messages] == [B, C]


def test_a_silent_source_is_left_out():
    """Liveness: the best log may die while it is fetched; any other majority carries the takeover."""
    log = candidate(1)
    log.receive(promise(B, 3, 5), NOW)
    run(log)
    log.receive(promise(C, 1, 1), NOW)
    log.handle_timer(log.next_deadline())
    assert log.role is Role.LEADER


def test_a_refusal_ends_the_takeover():
    """Rule 1: somebody promised a higher epoch, and the control store named another."""
    log = candidate(1)
    log.receive(EpochRefused(B, A, Epoch(12), C), NOW)
    assert log.role is Role.FOLLOWER
    assert log.leader == C
    assert log.epoch == 9
    assert log.next_deadline() is None


def test_an_epoch_is_led_by_one_life():
    """A restarted process does not know what it sent in an epoch: it asks for a new one."""
    state = LogState(hard_state=HardState(Epoch(5), A, 0), membership=Membership((A, B, C)))
    log = PartitionLog(LogConfig(replica=A), state)
    assert log.become_leader(Epoch(5), NOW) == NotLeader("the epoch is spent", leader=A)
    assert log.become_leader(Epoch(4), NOW) == NotLeader("the epoch is spent", leader=A)
    assert log.become_leader(Epoch(6), NOW) is None
    run(log)
    assert log.become_leader(Epoch(6), NOW) is None
    assert not log.has_ready


def test_late_answers_do_not_disturb_a_leader():
    """Promises and pieces of logs go on arriving after the takeover is over."""
    log = candidate(1)
    log.receive(promise(B, 1, 1), NOW)
    run(log)
    log.receive(promise(C, 1, 1), NOW)
    log.receive(FetchReply(C, A, Epoch(9), True, 1, 1, tuple(entries(3, first=2))), NOW)
    assert log.role is Role.LEADER
    assert not log.has_ready
