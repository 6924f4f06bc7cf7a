"""Arithmetic of majorities, against a dumb twin."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.consensus import ReplicaId
from objstore.consensus.quorum import has_majority, majority_index, majority_size
from objstore.model.errors import InvariantError

NAMES = [ReplicaId(name) for name in "abcdefg"]


def dumb_majority_index(matches):
    """Try every group that is a majority; the best of their weakest members."""
    groups = (
        g for n in range(len(matches) // 2 + 1, len(matches) + 1) for g in combinations(matches, n)
    )
    return max(min(group) for group in groups)


@pytest.mark.parametrize(("voters", "size"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_two_majorities_always_overlap(voters, size):
    """All of safety rests on this sum: twice a majority is more than all."""
    assert majority_size(voters) == size
    assert 2 * size > voters


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7))
@settings(max_examples=200, deadline=None)
def test_majority_index_agrees_with_trying_all_groups(matches):
    """Rule 5: the clever sort must find what the definition says."""
    voters = NAMES[: len(matches)]
    assert majority_index(
        voters, dict(zip(voters, matches, strict=True)).get
    ) == dumb_majority_index(matches)


@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
@settings(max_examples=200, deadline=None)
def test_only_voters_count(voters, agreed):
    """Strangers and learners never make a majority, and nobody is no majority of nobody."""
    expected = bool(voters) and 2 * len(voters & agreed) > len(voters)
    assert has_majority(voters, agreed) == expected


def test_nobody_has_no_majority_index():
    """A commit without voters is a bug."""
    with pytest.raises(InvariantError, match="needs voters"):
        majority_index([], {}.__getitem__)
