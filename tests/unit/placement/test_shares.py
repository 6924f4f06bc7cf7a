"""Caps of failure domains, and the fair division of slots by weight."""

from fractions import Fraction

import pytest

from objstore.model.errors import NotEnoughDrives
from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement.members import Member
from objstore.placement.shares import find_domains, find_shares


def build(*drives: tuple[str, str, int]) -> tuple[Member, ...]:
    return tuple(
        Member(DriveId(f"d{at}"), NodeId(node), Zone(zone), weight)
        for at, (node, zone, weight) in enumerate(drives)
    )


def shares_of(members: tuple[Member, ...], *, width: int) -> list[Fraction]:
    domains = find_domains(members, width=width)
    return list(find_shares(members, domains, partitions_count=100, width=width).exact)


def test_plain_proportion_where_nothing_binds():
    """A drive of twice the size holds twice as much."""
    members = build(("a", "z", 1), ("b", "z", 2), ("c", "z", 2))
    assert shares_of(members, width=1) == [20, 40, 40]


def test_a_drive_holds_at_most_one_slot_of_each_partition():
    """A huge drive cannot hold two copies of a thing; the surplus goes to the others by weight."""
    members = build(("a", "z", 100), ("b", "z", 1), ("c", "z", 3))
    assert shares_of(members, width=2) == [100, 25, 75]


def test_a_node_is_capped_as_a_whole():
    """Two drives of one node share the one slot that the node may hold of a partition."""
    members = build(("a", "z", 1), ("a", "z", 3), ("b", "z", 1), ("c", "z", 1))
    assert shares_of(members, width=3) == [25, 75, 100, 100]


def test_zones_come_before_weights():
    """With as many zones as copies each zone holds one, however small it is."""
    members = build(("a", "x", 1), ("b", "y", 9), ("c", "w", 9), ("d", "w", 9))
    assert shares_of(members, width=3) == [100, 100, 50, 50]


def test_caps_are_as_small_as_the_width_allows():
    """Fewer nodes than copies: the surplus is spread, so that the loss of a node costs least."""
    two_nodes = build(*[("a", "x", 1)] * 4, *[("b", "y", 1)] * 2)
    domains = find_domains(two_nodes, width=5)
    assert (domains.node_cap, domains.zone_cap) == (3, 3)
    lopsided = build(("a", "x", 1), ("b", "y", 1), ("c", "y", 1), ("d", "y", 1))
    domains = find_domains(lopsided, width=4)
    assert (domains.node_cap, domains.zone_cap) == (1, 3)


def test_shares_are_exact():
    """A share of exactly 64 must not round up to 65 because of a float."""
    members = build(*[(f"n{at}", "z", 7) for at in range(12)])
    domains = find_domains(members, width=3)
    shares = find_shares(members, domains, partitions_count=256, width=3)
    assert shares.low == shares.high == (64,) * 12


def test_too_few_drives():
    """The caller learns how many there are and how many it asked for."""
    with pytest.raises(NotEnoughDrives) as caught:
        find_domains(build(("a", "z", 1)), width=2)
    assert caught.value.detail == {"drives": 1, "width": 2}
