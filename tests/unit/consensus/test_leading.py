"""What a leader does with proposals, acknowledgements, reads, changes and silence, one rule at a time."""

from __future__ import annotations

import pytest

from objstore.consensus import (
    ChangeKind,
    Entry,
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
    Snapshot,
)
from objstore.consensus.messages import (
    AppendReply,
    EpochRefused,
    InstallSnapshot,
    PromiseReply,
    StateHash,
)
from objstore.model.errors import InvariantError, NotLeader, OperationAborted, SlowDown
from objstore.model.instant import Instant

A, B, C, D, E = (ReplicaId(f"{name}@1") for name in "abcde")
NOW = Instant(0)


def run(log):
    ready = log.take_ready()
    log.advance(ready)
    return ready


def leader(*epochs, voters=(A, B, C), learners=(), opened=True, **config):
    """A leader of epoch 9, with older entries of these epochs, whose no-op is committed if `opened`."""
    state = LogState(
        hard_state=HardState(Epoch(5), B, 0),
        membership=Membership(voters, learners),
        entries=[Entry(epoch, i, b"x") for i, epoch in enumerate(epochs, 1)],
    )
    log = PartitionLog(LogConfig(replica=A, **config), state)
    log.become_leader(Epoch(9), NOW)
    run(log)
    for voter in voters[1:]:
        last = epochs[-1] if epochs else 0
        log.receive(PromiseReply(voter, A, Epoch(9), True, last, len(epochs)), NOW)
    run(log)
    if opened:
        for voter in voters[1:]:
            acknowledge(log, voter, log.last_index)
        run(log)
        for voter in voters[1:]:
            acknowledge(log, voter, log.last_index)
    return log


def acknowledge(log, source, index, *, round_=0, epoch=9):
    known = min(index, log.commit_index)
    log.receive(AppendReply(source, A, Epoch(epoch), True, index, 0, round_, known), NOW)


def conflict(log, source, index, epoch, *, round_=0):
    log.receive(AppendReply(source, A, Epoch(9), False, index, epoch, round_, 0), NOW)


def sent(ready, target):
    return [message for message in ready.messages if message.target == target]


def indexes(message):
    return [entry.index for entry in message.entries]


# --- rule 5: commit ---------------------------------------------------------------------------------------


def test_a_majority_commits():
    """Rule 5: two of three disks hold it, so every later leader finds it."""
    log = leader()
    log.propose([b"x", b"y"], NOW)
    assert run(log).committed == ()
    acknowledge(log, B, 2)
    assert [entry.index for entry in run(log).committed] == [2]
    acknowledge(log, C, 3)
    assert [entry.index for entry in run(log).committed] == [3]


def test_the_own_disk_counts_only_when_it_is_written():
    """Rule 4 for the leader itself: what is in memory is on no disk."""
    log = leader(voters=(A, B))
    log.propose([b"x"], NOW)
    ready = log.take_ready()
    acknowledge(log, B, 2)
    assert log.commit_index == 1
    log.advance(ready)
    assert log.commit_index == 2


def test_older_entries_are_not_committed_by_counting():
    """Rule 5, directed: an entry of an older epoch on a majority can still lose against a higher epoch."""
    log = leader(4, 4, opened=False)
    acknowledge(log, B, 2)
    assert log.commit_index == 0
    acknowledge(log, B, 3)
    assert log.commit_index == 3
    assert [entry.epoch for entry in run(log).committed] == [4, 4, 9]


def test_learners_do_not_count():
    """Rule 7: who only receives makes no majority."""
    log = leader(learners=(D,))
    log.propose([b"x"], NOW)
    run(log)
    acknowledge(log, D, 2)
    assert log.commit_index == 1


def test_answers_of_other_epochs_and_strangers_count_for_nothing():
    """Rule 5: a majority of the same epoch, made of members."""
    log = leader()
    log.propose([b"x"], NOW)
    run(log)
    acknowledge(log, B, 2, epoch=8)
    acknowledge(log, E, 2)
    assert log.commit_index == 1


def test_acknowledging_what_was_never_sent_is_a_contradiction():
    """Nobody can hold in our epoch what we did not write: stop rather than commit it."""
    log = leader()
    with pytest.raises(InvariantError, match="never sent"):
        acknowledge(log, B, 7)


# --- replication ------------------------------------------------------------------------------------------


def test_proposals_of_the_moment_travel_together():
    """One message per follower and Ready keeps the cost per entry low."""
    log = leader()
    log.propose([b"x"], NOW)
    log.propose([b"y", b"z"], NOW)
    ready = run(log)
    assert [indexes(message) for message in sent(ready, B)] == [[2, 3, 4]]
    assert ready.messages[0].commit == 1


def test_messages_and_windows_are_bounded():
    """A slow follower must not make the leader queue without end."""
    log = leader(message_entries_max=2, window_entries=5)
    log.propose([b"x"] * 10, NOW)
    assert [indexes(message) for message in sent(run(log), B)] == [[2, 3], [4, 5], [6]]
    acknowledge(log, B, 3)
    assert [indexes(message) for message in sent(run(log), B)] == [[7, 8]]


def test_a_message_is_bounded_in_bytes_but_never_empty():
    """Large entries travel alone, however large."""
    log = leader(message_bytes_max=10)
    log.propose([b"x" * 8, b"y" * 8, b"z" * 80], NOW)
    assert [indexes(message) for message in sent(run(log), B)] == [[2], [3], [4]]


def test_a_conflict_is_answered_by_a_probe_where_the_logs_may_agree():
    """Rule 4: both sides skip whole epochs, so the place is found in few exchanges."""
    log = leader(1, 1, 4, 4, opened=False)
    conflict(log, C, 3, 2)
    probe = sent(run(log), C)[0]
    assert (probe.previous_epoch, probe.previous_index, indexes(probe)) == (1, 2, [3])
    assert not log.has_ready
    acknowledge(log, C, 3)
    assert [indexes(message) for message in sent(run(log), C)] == [[4, 5]]


def test_a_late_conflict_does_not_take_back_what_matches():
    """Messages are reordered; what is durable at a follower stays known."""
    log = leader()
    conflict(log, B, 0, 0)
    assert log.known_durable(B) == 1
    assert not log.has_ready


def test_silence_is_answered_by_a_probe_after_the_resend_time():
    """Liveness: the last message to a follower may be the one that was lost."""
    log = leader()
    log.propose([b"x"], NOW)
    run(log)
    due = log.next_deadline()
    assert due == NOW + log.config.resend_ms
    log.handle_timer(due)
    assert [indexes(message) for message in run(log).messages] == [[2], [2]]
    assert log.next_deadline() == due + log.config.resend_ms


def test_the_commit_index_is_told_once_and_then_the_log_is_quiet():
    """Hundreds of idle partitions on a node must cost nothing: no heartbeat where nothing is open."""
    log = leader()
    log.propose([b"x"], NOW)
    run(log)
    acknowledge(log, B, 2)
    acknowledge(log, C, 2)
    run(log)
    log.handle_timer(log.next_deadline())
    ready = run(log)
    told = [(message.target, message.commit, message.entries) for message in ready.messages]
    assert told == [(B, 2, ())]  # the answer of C said that it knows
    acknowledge(log, B, 2)
    assert log.next_deadline() is None
    assert not log.has_ready


def test_a_refused_epoch_ends_leadership_and_drops_reads():
    """Rule 1 and trap T7: what waits here has an unknown outcome, and its callers must hear so."""
    log = leader()
    log.request_read("waiting for a round", NOW)
    run(log)
    log.request_read("waiting for the next", NOW)
    log.receive(EpochRefused(B, A, Epoch(9), B), NOW)
    assert log.role is Role.LEADER
    log.receive(EpochRefused(B, A, Epoch(12), B), NOW)
    ready = run(log)
    assert sorted(ready.reads_dropped) == ["waiting for a round", "waiting for the next"]
    assert ready.soft_state.role is Role.FOLLOWER
    assert log.propose([b"x"], NOW) == NotLeader(leader=B)


# --- rule 6: reads ----------------------------------------------------------------------------------------


def test_a_read_needs_a_majority_that_still_obeys():
    """Rule 6, directed: an old leader that nobody answers must not read."""
    log = leader(voters=(A, B, C, D, E))
    log.request_read("r", NOW)
    assert [message.round for message in run(log).messages] == [1, 1, 1, 1]
    acknowledge(log, B, 1, round_=1)
    acknowledge(log, C, 1, round_=0)
    assert not log.has_ready
    conflict(log, D, 0, 0, round_=1)
    assert run(log).reads == [ReadState("r", 1)]


def test_a_round_that_began_earlier_confirms_nothing_later():
    """Rule 6: a leader may have been replaced between the round and the read."""
    log = leader()
    log.request_read("first", NOW)
    run(log)
    log.request_read("second", NOW)
    acknowledge(log, B, 1, round_=1)
    ready = run(log)
    assert ready.reads == [ReadState("first", 1)]
    assert [message.round for message in ready.messages] == [2, 2]


def test_reads_wait_for_the_own_no_op():
    """Rule 3, directed: before it is committed, a leader does not know what its predecessor acknowledged."""
    log = leader(4, opened=False)
    log.request_read("r", NOW)
    run(log)
    acknowledge(log, B, 1, round_=1)
    assert run(log).reads == [ReadState("r", 2)]
    assert log.applied_index == 0


def test_a_round_is_repeated_when_nobody_answers():
    """Liveness of reads without any writes."""
    log = leader()
    log.request_read("r", NOW)
    run(log)
    log.handle_timer(log.next_deadline())
    assert [message.round for message in run(log).messages] == [1, 1]


def test_waiting_reads_are_bounded():
    """Trap T17 for reads."""
    log = leader(pending_reads_max=2)
    assert log.request_read(1, NOW) is None
    assert log.request_read(2, NOW) is None
    assert log.request_read(3, NOW) == SlowDown()


# --- rule 7: membership and snapshots ---------------------------------------------------------------------


def change(log, kind, replica):
    return log.propose_change(MembershipChange(kind, replica), NOW)


@pytest.mark.parametrize(
    ("kind", "replica", "text"),
    [
        (ChangeKind.PROMOTE, D, "not caught up"),
        (ChangeKind.PROMOTE, E, "not caught up"),
        (ChangeKind.REMOVE, A, "hand over first"),
        (ChangeKind.ADD_LEARNER, B, "does not fit"),
        (ChangeKind.REMOVE, E, "does not fit"),
    ],
)
def test_changes_that_are_refused(kind, replica, text):
    """Rule 7: only learners that caught up may vote, and a leader does not saw off its own branch."""
    refusal = change(leader(learners=(D,)), kind, replica)
    assert isinstance(refusal, OperationAborted)
    assert text in str(refusal)


def test_no_change_before_the_own_no_op():
    """Rule 7, directed: two leaders could otherwise change the same membership to two whose majorities miss."""
    refusal = change(leader(opened=False), ChangeKind.REMOVE, C)
    assert "first entry" in str(refusal)


def test_one_change_at_a_time():
    """Rule 7: majorities of memberships that differ by one always overlap, by two they need not."""
    log = leader()
    assert change(log, ChangeKind.REMOVE, C) == 2
    assert "another change" in str(change(log, ChangeKind.ADD_LEARNER, D))


def test_a_follower_changes_nothing():
    """The membership is a part of the log."""
    log = PartitionLog(LogConfig(replica=A), LogState.founding(A, B))
    assert isinstance(change(log, ChangeKind.REMOVE, B), NotLeader)


def test_the_first_learner_waits_for_what_was_never_serialised():
    """A log of one replica takes any object; such an entry must never stand in a log that is sent."""
    log = PartitionLog(LogConfig(replica=A), LogState.founding(A))
    log.become_leader(Epoch(1), NOW)
    run(log)
    log.propose([object()], NOW)
    assert "not applied yet" in str(change(log, ChangeKind.ADD_LEARNER, D))
    run(log)
    assert change(log, ChangeKind.ADD_LEARNER, D) == 3
    run(log)
    assert [entry.index for entry in log.held_entries()] == [3]


def test_a_removed_replica_makes_no_majority():
    """Rule 7: the new membership is in force from its entry on, also for its own commit."""
    log = leader(voters=(A, B, C, D))
    change(log, ChangeKind.REMOVE, D)
    run(log)
    acknowledge(log, D, 2)
    assert log.commit_index == 1
    acknowledge(log, B, 2)
    assert log.commit_index == 2


def test_reads_that_wait_when_the_last_other_replica_goes_are_confirmed():
    """Rule 6 for one voter: no answer will come any more, and a log that asks for a Ready for ever would hang its driver."""
    log = leader(voters=(A, B))
    log.request_read("asked before the round", NOW)
    run(log)
    log.request_read("asked during the round", NOW)
    change(log, ChangeKind.REMOVE, B)
    ready = run(log)
    assert [read.context for read in ready.reads] == [
        "asked before the round",
        "asked during the round",
    ]
    run(log)
    assert not log.has_ready


def behind_compaction():
    """A leader that has compacted what C needs."""
    log = leader(retained_entries=2)
    log.propose([b"x"] * 10, NOW)
    run(log)
    acknowledge(log, B, 11)
    run(log)
    log.handle_timer(log.next_deadline())
    run(log)
    log.propose([b"y"], NOW)
    run(log)
    acknowledge(log, B, 12)
    run(log)
    conflict(log, C, 1, 9)
    return log


def test_who_is_behind_the_first_entry_gets_a_snapshot():
    """Rule 7: the driver makes it, the core sends what describes it, and entries follow behind it."""
    log = behind_compaction()
    ready = run(log)
    assert ready.snapshots_wanted == [C]
    assert not sent(ready, C)
    snapshot = log.snapshot_point("handle")
    log.send_snapshot(C, snapshot, NOW)
    assert run(log).messages == [
        InstallSnapshot(A, C, Epoch(9), Snapshot(12, 9, log.membership, "handle"))
    ]
    log.propose([b"z"], NOW)
    assert not sent(run(log), C)
    acknowledge(log, C, 12)
    assert [indexes(message) for message in sent(run(log), C)] == [[13]]


def test_a_snapshot_that_is_wanted_no_longer_is_dropped():
    """Sent in an epoch that is led by another, it would make its target obey the wrong source (rule 1)."""
    log = behind_compaction()
    run(log)
    log.receive(EpochRefused(B, A, Epoch(12), B), NOW)
    log.send_snapshot(C, log.snapshot_point(), NOW)
    ready = run(log)
    assert ready.messages == []
    assert ready.trace[-1].event == "snapshot_dropped"


def test_the_best_log_sends_its_snapshot_to_the_leader_of_the_epoch():
    """Rule 2: the source of a takeover is no leader, and serves only who the epoch was promised to."""
    state = LogState(hard_state=HardState(Epoch(5), B, 0), membership=Membership((A, B)))
    log = PartitionLog(LogConfig(replica=A), state)
    log.send_snapshot(B, log.snapshot_point(), NOW)
    assert run(log).messages == [InstallSnapshot(A, B, Epoch(5), Snapshot(0, 0, state.membership))]


def test_memory_has_an_end_even_for_live_followers():
    """Beyond the bound on bytes in flight a slow follower gets a snapshot: the node must not die for it."""
    log = leader(retained_entries=2, inflight_bytes_max=100)
    for _ in range(4):
        log.propose([b"x" * 50], NOW)
        run(log)
        acknowledge(log, B, log.last_index)
        run(log)
    assert log.held_entries()[0].index == 4


def test_a_snapshot_that_got_lost_is_noticed():
    """Liveness: after its time, or a report, the follower is probed again, and wants another."""
    log = behind_compaction()
    run(log)
    log.report_snapshot_failed(B, NOW)
    log.report_snapshot_failed(C, NOW)
    assert run(log).snapshots_wanted == [C]
    late = Instant(NOW + log.config.snapshot_ms)
    log.handle_timer(late)
    assert run(log).snapshots_wanted == [C]


def test_entries_that_live_followers_need_are_kept():
    """A follower that is merely slower must not be pushed into snapshots by the bound on applied entries."""
    log = leader(retained_entries=2, voters=(A, B, C))
    log.propose([b"x"] * 20, NOW)
    run(log)
    acknowledge(log, B, 21)
    run(log)
    assert log.held_entries()[0].index == 1
    acknowledge(log, C, 21)
    log.propose([b"y"], NOW)
    run(log)
    assert log.held_entries()[0].index == 20


# --- hand-over --------------------------------------------------------------------------------------------


def test_a_hand_over_waits_until_the_target_holds_everything():
    """A planned move must cost milliseconds: the successor has nothing to fetch."""
    log = leader()
    log.propose([b"x"], NOW)
    assert log.hand_over(B, NOW) is None
    assert log.propose([b"y"], NOW) == NotLeader("leadership is being handed over", leader=B)
    assert isinstance(change(log, ChangeKind.REMOVE, C), NotLeader)
    assert isinstance(log.hand_over(C, NOW), NotLeader)
    assert run(log).hand_over_to == ""
    acknowledge(log, B, 2)
    assert run(log).hand_over_to == B
    acknowledge(log, B, 2)
    assert not log.has_ready


def test_a_hand_over_that_nobody_finishes_ends_by_itself():
    """The control store may be away: then the old leader goes on."""
    log = leader()
    log.hand_over(B, NOW)
    run(log)
    for _ in range(5):
        log.handle_timer(log.next_deadline() or NOW)
    assert log.propose([b"y"], NOW) == 2
    assert log.hand_over(C, NOW) is None


@pytest.mark.parametrize("target", [A, D, E])
def test_leadership_goes_to_another_voter_only(target):
    """Who cannot lead would leave the partition without a leader."""
    assert isinstance(leader(learners=(D,)).hand_over(target, NOW), OperationAborted)


def test_a_follower_hands_nothing_over():
    """Only who leads can stop leading."""
    log = PartitionLog(LogConfig(replica=A), LogState.founding(A, B))
    assert isinstance(log.hand_over(B, NOW), NotLeader)


# --- comparing state --------------------------------------------------------------------------------------


def test_digests_of_the_leader_go_to_everybody():
    """Replicas that applied the same entries must have the same state; silence about it hides bugs."""
    log = leader()
    log.report_state_hash(10, b"digest")
    assert run(log).messages == [
        StateHash(A, B, Epoch(9), 10, b"digest"),
        StateHash(A, C, Epoch(9), 10, b"digest"),
    ]


def test_the_leader_learns_of_a_difference():
    """A follower that disagrees says so."""
    log = leader()
    log.report_state_hash(10, b"digest")
    run(log)
    log.receive(StateHash(C, A, Epoch(9), 10, b"other"), NOW)
    assert log.is_diverged
    assert run(log).messages == []


def test_followers_are_listed_by_name():
    """For drawings and metrics."""
    assert [name for name, _ in leader().followers()] == [B, C]
