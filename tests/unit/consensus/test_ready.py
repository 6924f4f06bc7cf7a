"""The values around a Ready."""

from __future__ import annotations

import pytest

from objstore.consensus import (
    Entry,
    Epoch,
    HardState,
    LogConfig,
    LogState,
    Membership,
    Ready,
    ReplicaId,
    Snapshot,
)

A, B = ReplicaId("a@1"), ReplicaId("b@1")


@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        (Ready(), False),
        (Ready(committed=[Entry(1, 1)]), False),
        (Ready(hard_state=HardState(Epoch(1))), True),
        (Ready(snapshot=Snapshot(1, 1, Membership())), True),
        (Ready(truncate_from=3), True),
        (Ready(entries=[Entry(1, 1)]), True),
    ],
)
def test_what_has_to_be_durable_before_sending(ready, expected):
    """A driver that skips the transaction skips exactly those Readies that say nothing new."""
    assert ready.must_persist is expected


@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        (Ready(entries=[Entry(1, 1)]), True),
        (Ready(hard_state=HardState(Epoch(1)), entries=[Entry(1, 1)]), False),
        (Ready(snapshot=Snapshot(1, 1, Membership())), False),
        (Ready(truncate_from=1, entries=[Entry(1, 1)]), False),
    ],
)
def test_append_requests_leave_early_beside_entries_only(ready, expected):
    """A promise that is not durable yet, or a log that still has its old tail, must not be spoken of."""
    assert ready.may_send_appends_early is expected


def test_founders_know_each_other():
    """All founders begin with the same membership, whatever order they are listed in."""
    assert LogState.founding(B, A) == LogState(membership=Membership((A, B)))


def test_hash_points():
    """Replicas compare at the same indexes, and never before the first entry."""
    config = LogConfig(replica=A, state_hash_every=10)
    assert [index for index in range(25) if config.is_hash_point(index)] == [10, 20]
