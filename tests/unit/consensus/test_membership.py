"""Memberships and their steps."""

from __future__ import annotations

import pytest

from objstore.consensus import (
    ChangeKind,
    Membership,
    MembershipChange,
    ReplicaId,
    decode_membership,
    encode_membership,
    make_replica_id,
)
from objstore.model.errors import CorruptRecord

A, B, C, D = (ReplicaId(name) for name in "abcd")
START = Membership((A, C), (D,))

ENCODED_VERSION_1 = bytes.fromhex("01113d9d90db30a3fc9292a161a16391a164")
"""A stored sample: what was written by version 1 must be readable for ever."""


@pytest.mark.parametrize(
    ("kind", "replica", "result"),
    [
        (ChangeKind.ADD_LEARNER, B, Membership((A, C), (B, D))),
        (ChangeKind.ADD_LEARNER, A, None),
        (ChangeKind.ADD_LEARNER, D, None),
        (ChangeKind.PROMOTE, D, Membership((A, C, D), ())),
        (ChangeKind.PROMOTE, A, None),
        (ChangeKind.PROMOTE, B, None),
        (ChangeKind.REMOVE, C, Membership((A,), (D,))),
        (ChangeKind.REMOVE, D, Membership((A, C), ())),
        (ChangeKind.REMOVE, B, None),
    ],
)
def test_steps(kind, replica, result):
    """Rule 7: in as a learner, up when caught up, out; anything else does not fit."""
    assert MembershipChange(kind, replica).applied_to(START) == result


def test_the_last_voter_stays():
    """A partition without voters could never commit its own rescue."""
    assert MembershipChange(ChangeKind.REMOVE, A).applied_to(Membership((A,), (D,))) is None


def test_questions():
    """Voters count, learners receive, both are members."""
    assert START.members == (A, C, D)
    assert START.is_voter(A)
    assert not START.is_voter(D)
    assert START.is_learner(D)
    assert START.peers_of(C) == (A, D)


def test_a_wiped_drive_is_somebody_else():
    """Trap T2: a store that forgot its promises must not answer under its old name."""
    assert make_replica_id("drive-1", 1) == "drive-1@1"
    assert make_replica_id("drive-1", 1) != make_replica_id("drive-1", 2)


def test_round_trip_and_old_sample():
    """Membership entries live in logs and on wires across versions."""
    assert decode_membership(encode_membership(START)) == START
    assert decode_membership(ENCODED_VERSION_1) == START


@pytest.mark.parametrize("damaged", [b"", b"\x01short", ENCODED_VERSION_1[:-1] + b"x", object()])
def test_damage_is_found(damaged):
    """A damaged membership would give majorities that do not overlap."""
    with pytest.raises(CorruptRecord):
        decode_membership(damaged)
