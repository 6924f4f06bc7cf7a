"""Drawings of rings and plans show what an operator decides by."""

from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement import Member, assign, describe_plan, describe_ring, plan


def cluster(count: int, *, draining: int = -1) -> list[Member]:
    return [
        Member(DriveId(f"d{at}"), NodeId(f"n{at}"), Zone(f"z{at % 2}"), is_draining=at == draining)
        for at in range(count)
    ]


def test_a_ring_shows_loads_spread_and_balance():
    """Whoever doubts a placement sees each drive, each zone and how partitions are spread."""
    text = describe_ring(
        assign(cluster(5, draining=4), None, partitions_count=16, width=2, version=3)
    )
    assert "ring version 3: 16 partitions x 2 homes" in text
    assert "usable drives: 4 of 5" in text
    assert "most of one partition: 1 on a node, 1 in a zone" in text
    assert "load / share: 1.0000 to 1.0000" in text
    assert "d4               n4           z0                1      0.00      0  draining" in text
    assert "zone z0               16 slots   50.0%" in text
    assert "16 partitions on 2 nodes in 2 zones" in text


def test_a_plan_shows_totals_and_first_steps():
    """The dry run: how many, how much, from where, and how thin redundancy is."""
    old = assign(cluster(6), None, partitions_count=64, width=3, version=1)
    text = describe_plan(
        plan(
            old,
            assign(cluster(6)[1:], old, partitions_count=64, width=3, version=2),
            [3 << 20] * 64,
        )
    )
    assert "ring version 1 -> 2" in text
    assert "32 slots, 96.0 MiB, 1 rounds" in text
    assert "rebuilt from other homes: 32; fewest intact homes: 2 of 3" in text
    assert "(rebuild) -> " in text
    assert "... and 12 more" in text


def test_a_small_plan_is_shown_whole_and_an_empty_one_in_a_line():
    """Small sizes are exact, and nothing is hidden that fits."""
    old = assign(cluster(3), None, partitions_count=2, width=1, version=1)
    drained = assign(cluster(3, draining=0), old, partitions_count=2, width=1, version=2)
    text = describe_plan(plan(old, drained, [512] * 2))
    assert ("leaves   d0" in text) == (old.loads()[0] > 0)
    assert "more" not in text
    same = assign(cluster(3), old, partitions_count=2, width=1, version=2)
    assert describe_plan(plan(old, same, [512] * 2)).endswith("0 slots, 0 B, 0 rounds\n")
