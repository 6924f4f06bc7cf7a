"""The check of rings finds every broken rule, and all at once."""

from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement import Member, Ring, Rule, assign, validate, validate_change
from objstore.placement.ring import pack_table


def cluster(*nodes: str, draining: int = -1) -> tuple[Member, ...]:
    return tuple(
        Member(DriveId(f"d{at}"), NodeId(node), Zone(node[0]), is_draining=at == draining)
        for at, node in enumerate(nodes)
    )


def rules(ring: Ring) -> list[Rule]:
    return [violation.rule for violation in validate(ring)]


def test_a_sound_ring_has_no_violations():
    """The check must not cry wolf, or it will be switched off."""
    assert validate(Ring(1, 2, 1, cluster("a1", "b1"), pack_table([(0,), (1,)]))) == []


def test_all_violations_are_returned():
    """One ring that breaks nearly everything: nothing hides behind the first finding."""
    members = cluster("a1", "a1", "b1", "b2", draining=3)
    ring = Ring(1, 2, 2, members, pack_table([(0, 1), (3, 3)]))
    found = rules(ring)
    for rule in (
        Rule.DISTINCT_DRIVES,
        Rule.NOT_DRAINING,
        Rule.NODE_SPREAD,
        Rule.ZONE_SPREAD,
        Rule.BALANCE,
    ):
        assert rule in found
    assert next(v for v in validate(ring) if v.rule is Rule.NODE_SPREAD).partition == 0


def test_bad_members_are_told_beside_the_rest():
    """Shares mean nothing with bad weights, so only balance is left out."""
    twice = cluster("a1")[0]
    ring = Ring(1, 2, 1, (twice, twice), pack_table([(0,), (0,)]))
    assert rules(ring) == [Rule.MEMBERS]


def test_a_ring_wider_than_its_drives():
    """No table can be right then; the drives are what to add."""
    ring = Ring(1, 1, 2, cluster("a1"), pack_table([(0, 0)]))
    assert rules(ring) == [Rule.DISTINCT_DRIVES, Rule.ENOUGH_DRIVES]


def test_succession():
    """Versions only rise and the number of partitions never changes."""
    members = cluster("a1", "b1")
    four = assign(members, None, partitions_count=4, width=1, version=5)
    two = assign(members, None, partitions_count=2, width=1, version=5)
    assert [v.rule for v in validate_change(four, two)] == [Rule.SUCCESSION] * 2
    assert [v.rule for v in validate_change(four, four)] == [Rule.SUCCESSION]


def test_a_kept_shard_must_not_change_its_slot():
    """Shard 0 and shard 1 of coded data are different bytes."""
    members = cluster("a1", "b1")
    before = Ring(1, 1, 2, members, pack_table([(0, 1)]))
    after = Ring(2, 1, 2, members, pack_table([(1, 0)]))
    assert [v.rule for v in validate_change(before, after)] == [Rule.SHARD_ORDER] * 2
    narrow = Ring(2, 1, 1, members, pack_table([(1,)]))
    assert validate_change(before, narrow) == [], "its old slot is gone, so it is a new copy"
