"""Who leads, and how members change: decisions that must never lower the number of copies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from objstore.consensus import Membership
from objstore.metadata.replica_plan import choose_leader, next_change, spread_leaders

NAMES = ("a", "b", "c", "d", "e")


@given(
    start=st.sets(st.sampled_from(NAMES), min_size=3, max_size=3),
    wanted=st.sets(st.sampled_from(NAMES), min_size=3, max_size=3),
)
def test_steps_lead_to_the_wanted_members(start, wanted):
    """One replica at a time, never fewer voters than at the beginning, and it ends (rule 7)."""
    membership = Membership(tuple(sorted(start)))
    leader = min(start & wanted, default=min(start))
    for _ in range(20):
        change = next_change(membership, sorted(wanted), leader, has_caught_up=lambda _peer: True)
        if change is None:
            break
        changed = change.applied_to(membership)
        assert changed is not None
        assert change.replica != leader
        membership = changed
        assert len(membership.voters) >= 3
    assert set(membership.voters) - wanted <= {leader}
    assert wanted <= set(membership.voters)
    assert membership.learners == ()


def test_a_learner_that_copies_holds_up_removals():
    """Nobody is removed before the replica that comes instead can vote."""
    membership = Membership(("a", "b", "c"), ("d",))
    assert next_change(membership, ("a", "b", "d"), "a", has_caught_up=lambda _peer: False) is None


def test_a_leader_that_did_not_answer_is_the_last_choice():
    """Naming the stalled one again would cost another pause."""
    chosen = choose_leader(
        ("a", "b"), {"b": 100}, usable=("a", "b"), wanted=("a", "b"), not_this="a"
    )
    assert chosen == "b"
    assert choose_leader(("a",), {}, usable=("a",), wanted=(), not_this="a") == "a"
    assert choose_leader(("a",), {}, usable=("b",), wanted=(), not_this="") is None


def test_leaders_are_spread():
    """Each drive should commit its share."""
    voters = dict.fromkeys(range(256), ("a", "b", "c"))
    leaders = list(spread_leaders(voters, voters, ("a", "b", "c")).values())
    assert sorted(leaders.count(name) for name in "abc") == [85, 85, 86]
