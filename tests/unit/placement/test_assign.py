"""The one function that decides: the shapes of cluster that people really have."""

import pytest
import xxhash

from objstore.model.errors import InvalidArgument, NotEnoughDrives
from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement import Member, Ring, assign, validate, validate_change

SIZES = {"partitions_count": 256, "width": 3}


def cluster(count: int, *, nodes: int = 0, zones: int = 1, draining: int = -1) -> list[Member]:
    return [
        Member(
            DriveId(f"d{at:02}"),
            NodeId(f"n{at % (nodes or count):02}"),
            Zone(f"z{at % (nodes or count) % zones}"),
            is_draining=at == draining,
        )
        for at in range(count)
    ]


def moved(before: Ring, after: Ring) -> int:
    pairs = zip(before.rows(), after.rows(), strict=True)
    return sum(
        before.members[a].drive != after.members[b].drive
        for old, new in pairs
        for a, b in zip(old, new, strict=True)
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12])
@pytest.mark.parametrize("nodes", [1, 0])
def test_machines_of_every_size(count, nodes):
    """One directory, a few directories of one machine, a few machines: all are sound rings."""
    width = 3 if count >= 3 else 1
    ring = assign(cluster(count, nodes=nodes), None, partitions_count=256, width=width, version=1)
    assert validate(ring) == []
    assert max(ring.loads()) - min(ring.loads()) <= 1


def test_growing_from_one_drive_to_three_keeps_the_first_copy():
    """The width grows with the third drive; the copies that exist are not moved for it."""
    one = assign(cluster(1), None, partitions_count=256, width=1, version=1)
    three = assign(cluster(3), one, version=2, **SIZES)
    assert validate(three) == []
    assert validate_change(one, three) == []
    assert all(homes[0] == "d00" for homes in map(three.homes, range(256)))


def test_adding_and_removing_a_drive_move_only_its_share():
    """Anything more is copied for nothing."""
    six = assign(cluster(6), None, version=1, **SIZES)
    seven = assign(cluster(7), six, version=2, **SIZES)
    assert moved(six, seven) == 256 * 3 // 7
    back = assign(cluster(6), seven, version=3, **SIZES)
    assert moved(seven, back) == seven.loads()[6]
    assert moved(six, assign(cluster(6), six, version=2, **SIZES)) == 0


def test_draining_empties_a_drive_and_keeps_it_a_member():
    """It is read from while it empties, and what it loses is all that moves."""
    before = assign(cluster(6), None, version=1, **SIZES)
    after = assign(cluster(6, draining=2), before, version=2, **SIZES)
    assert after.loads()[2] == 0
    assert after.members[2].is_draining
    assert moved(before, after) == before.loads()[2]


def test_a_zone_may_fail_as_a_whole():
    """Three copies in three zones: no zone ever holds two."""
    ring = assign(cluster(12, zones=3), None, version=1, **SIZES)
    for row in ring.rows():
        assert sorted(ring.members[index].zone for index in row) == ["z0", "z1", "z2"]


def test_same_input_same_ring_in_every_process():
    """Nodes of one cluster compute dry runs on their own; a pinned digest catches process-dependent
    order.
    """
    ring = assign(reversed(cluster(12, nodes=6, zones=2)), None, version=1, **SIZES)
    following = assign(cluster(13), ring, version=2, **SIZES)
    assert xxhash.xxh3_64_hexdigest(ring.table) == "6c7d3a8a3af32fa0"
    assert xxhash.xxh3_64_hexdigest(following.table) == "74307147b52ca781"


def test_what_makes_no_ring_is_refused_with_all_reasons():
    """The arguments come from an operator's configuration."""
    ring = assign(cluster(3), None, version=4, **SIZES)
    with pytest.raises(InvalidArgument) as caught:
        assign(cluster(3), ring, partitions_count=100, width=0, version=4)
    text = str(caught.value)
    assert "100 partitions" in text
    assert "width 0" in text
    assert "keeps that number" in text
    assert "version 4 does not follow on 4" in text


def test_draining_below_the_width_is_refused():
    """Emptying a drive that nobody can stand in for would lose redundancy in silence."""
    with pytest.raises(NotEnoughDrives):
        assign(cluster(3, draining=0), None, version=1, **SIZES)
