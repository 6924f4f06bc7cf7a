"""What metrics show of replicas."""

from __future__ import annotations

from objstore.consensus import Membership
from objstore.metadata.replica_census import take_census


def test_every_voter_and_learner_is_counted_once_and_leaders_by_drive():
    """A drive that leads nothing shows as 0, one that is out of service not at all."""
    members = {0: Membership(("a", "b", "c")), 1: Membership(("a", "b"), ("d",))}
    census = take_census(members, {0: "a", 1: "a"}, {"a", "b"}, unreadable_count=1)
    assert census.states == {
        "leader": 2,
        "follower": 2,
        "learner": 1,
        "offline": 1,
        "unreadable": 1,
    }
    assert census.leads == {"a": 2, "b": 0}
