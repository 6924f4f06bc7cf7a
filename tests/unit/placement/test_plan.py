"""Plans: what moves, and in an order that never lowers redundancy."""

import pytest

from objstore.model.errors import InvalidArgument
from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement import Member, Ring, assign, plan
from objstore.placement.ring import pack_table

MEMBERS = tuple(Member(DriveId(f"d{at}"), NodeId(f"n{at}"), Zone("z")) for at in range(6))


def ring(version: int, *rows: tuple[int, ...], members: tuple[Member, ...] = MEMBERS) -> Ring:
    return Ring(version, len(rows), len(rows[0]), members, pack_table(rows))


def test_moves_name_source_target_and_bytes():
    """A dry run tells what will move before anything does."""
    steps = plan(ring(1, (0, 1), (2, 3)), ring(2, (0, 4), (2, 3)), [10, 99]).steps
    assert len(steps) == 1
    assert (steps[0].partition, steps[0].slot, steps[0].size_bytes) == (0, 1, 10)
    assert (steps[0].source, steps[0].target) == ("d1", "d4")
    assert (steps[0].intact_before, steps[0].intact_after) == (2, 2)


def test_rebuilds_come_first_and_the_least_redundant_before_all():
    """The partition that one more failure would destroy cannot wait for one that lost nothing."""
    old = ring(1, (0, 1, 2), (3, 4, 5), (0, 1, 5), (2, 0, 3))
    new = ring(2, (3, 4, 2), (3, 4, 2), (3, 4, 5), (2, 3, 4))
    result = plan(old, new, [1] * 4, gone=[DriveId("d0"), DriveId("d1")])
    first_round = [(s.partition, s.source, s.intact_before) for s in result.rounds()[0]]
    assert first_round == [(0, None, 1), (2, None, 1), (3, None, 2), (1, "d5", 3)]
    second_round = [(s.partition, s.intact_before, s.intact_after) for s in result.rounds()[1]]
    assert second_round == [(0, 2, 3), (2, 2, 3), (3, 3, 3)]


def test_a_partition_appears_once_a_round_and_never_loses():
    """Two slots of a partition under way at once would leave it two short if the movers died."""
    old = assign(MEMBERS, None, partitions_count=64, width=3, version=1)
    new = assign(MEMBERS[2:], old, partitions_count=64, width=3, version=2)
    result = plan(old, new, [7] * 64)
    assert result.size_bytes == 7 * len(result.steps)
    for steps in result.rounds():
        partitions = [step.partition for step in steps]
        assert len(partitions) == len(dict.fromkeys(partitions))
    intact = {p: sum(d not in ("d0", "d1") for d in old.homes(p)) for p in range(64)}
    for step in result.steps:
        assert step.intact_before == intact[step.partition]
        assert step.intact_after >= step.intact_before
        intact[step.partition] = step.intact_after
    assert list(intact.values()) == [3] * 64


def test_a_draining_drive_is_a_source():
    """Copying from it is cheaper than rebuilding, and costs no redundancy."""
    draining = (Member(DriveId("d0"), NodeId("n0"), Zone("z"), 1, is_draining=True), *MEMBERS[1:])
    old = assign(MEMBERS, None, partitions_count=16, width=3, version=1)
    new = assign(draining, old, partitions_count=16, width=3, version=2)
    steps = plan(old, new, [1] * 16).steps
    assert [step.source for step in steps] == ["d0"] * old.loads()[0]


def test_new_slots_are_built_from_the_others():
    """Growing from one copy to three adds slots that have no source of their own."""
    old = ring(1, (0,), (1,))
    result = plan(old, ring(2, (0, 1, 2), (1, 2, 3)), [5, 5])
    assert [step.source for step in result.steps] == [None] * 4
    assert [step.intact_after for step in result.steps] == [2, 2, 3, 3]


def test_nothing_to_do():
    """Equal tables need no plan."""
    result = plan(ring(1, (0, 1)), ring(2, (0, 1)), [1])
    assert (result.steps, result.size_bytes, result.rounds_count) == ((), 0, 0)


def test_rings_of_different_partitions_have_no_plan():
    """Keys would change partition, which no move of slots can express."""
    with pytest.raises(InvalidArgument):
        plan(ring(1, (0,), (1,)), ring(2, (0,)), [1, 1])
    with pytest.raises(InvalidArgument):
        plan(ring(1, (0,)), ring(2, (0,)), [])
