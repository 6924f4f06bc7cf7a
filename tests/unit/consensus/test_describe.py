"""Drawings: the scripts use most of them, the rest is here."""

from __future__ import annotations

import pytest

from objstore.consensus import (
    Entry,
    EntryKind,
    Epoch,
    LogConfig,
    LogState,
    Membership,
    PartitionLog,
    ReadState,
    Ready,
    ReplicaId,
    Role,
    Snapshot,
    SoftState,
)
from objstore.consensus.describe import (
    describe_entry,
    describe_log,
    describe_majority,
    describe_message,
    describe_progress,
    describe_ready,
)
from objstore.consensus.messages import FetchReply, StateHash

A, B, C = (ReplicaId(name) for name in "abc")


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (Entry(2, 7, b"x"), "2/7=x"),
        (Entry(2, 7, b"x" * 99), "2/7=<99 bytes>"),
        (Entry(2, 7, object()), "2/7"),
        (Entry(2, 7, b"", EntryKind.NO_OP), "2/7+"),
        (Entry(2, 7, b"?", EntryKind.MEMBERSHIP), "2/7m"),
    ],
)
def test_entries(entry, text):
    """Short enough to read twenty of them in a line."""
    assert describe_entry(entry) == text


def test_majority():
    """Bars show at a glance who is behind."""
    drawn = describe_majority((A, B, C), {A: 3, B: 80, C: 0}.__getitem__)
    assert drawn == f"a: ##> 3 *\nb: {'#' * 40}> 80 *\nc:  0\nmajority has 3"
    assert describe_majority((), {}.__getitem__) == "no voters"


def test_a_log_without_entries():
    """What is compacted stands in brackets, the bar behind what is committed."""
    state = LogState(applied=5, compacted_index=5, compacted_epoch=2, membership=Membership((A,)))
    log = PartitionLog(LogConfig(replica=A), state)
    assert describe_log(log) == "a follower epoch=0 commit=5 applied=5 members=a\n    [..5] |"
    assert describe_progress(log) == "no followers"


def test_rare_messages():
    """Those that no script shows."""
    head = (A, B, Epoch(3))
    follows = describe_message(FetchReply(*head, False, 1, 1, snapshot_follows=True))
    assert follows == "a->b FetchReply epoch=3 snapshot follows"
    assert describe_message(StateHash(*head, 10, b"\x01")).endswith("index=10 digest=01")


def test_a_ready_with_everything():
    """One line per part, in the order of the contract."""
    ready = Ready(
        snapshot=Snapshot(9, 2, Membership((A,), (B,))),
        truncate_from=10,
        reads=[ReadState("r", 9)],
        reads_dropped=["s"],
        snapshots_wanted=[C],
        compact_to=4,
        hand_over_to=B,
        soft_state=SoftState(Role.FOLLOWER, ReplicaId(""), Epoch(3)),
    )
    assert describe_ready(ready).splitlines() == [
        "install upto 2/9 members=a (b)",
        "truncate from 10",
        "read r at 9",
        "read s dropped",
        "snapshot wanted by c",
        "compact to 4",
        "hand over to b",
        "now follower, leader=unknown",
    ]
    assert describe_ready(Ready()) == "nothing"
