"""Filling a drive that came back empty: everything that belongs on it, until all of it is there."""

from __future__ import annotations

import anyio
import pytest

from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.metadata.partitioning import PARTITIONS_COUNT
from objstore.model.errors import DriveUnavailable, QuorumNotReached, UnreadableData
from objstore.model.names import DataId, DriveId
from objstore.model.objects import Extent, Misplaced, Scheme
from objstore.service.rebuild import Rebuilder, mark_for_rebuild

SLOT, OTHER, SPARE = DriveId("slot"), DriveId("other"), DriveId("spare")
BLOCK_BYTES = 100


def extent_of(number, blocks=1):
    return Extent(
        DataId(number.to_bytes(16, "big")), 0, blocks * BLOCK_BYTES, BLOCK_BYTES, Scheme(1, 1), 1
    )


class Homes:
    """Blocks of even extents have a shard in the slot."""

    version = 1

    def homes(self, block, _ring_version):
        return [OTHER, SPARE if block[15] % 2 else SLOT]


class World:
    """A catalogue of extents by partition, and a data store that notes what it is asked to repair."""

    def __init__(self):
        self.extents_of = {0: [extent_of(n) for n in range(4)], 255: [extent_of(8, blocks=3)]}
        self.repaired = []
        self.answers = {}
        self.pauses = []
        self.on_repair = lambda: None

    async def extents(self, partition, after, *, limit):
        assert limit > 1
        found = self.extents_of.get(partition, [])
        position = after or 0
        rest = position + 2
        return found[position:rest], rest if rest < len(found) else None

    async def repair(self, extent, block):
        self.repaired.append((int.from_bytes(extent.data_id, "big"), block))
        self.on_repair()
        answer = self.answers.get(self.repaired[-1], ())
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def pause(self, seconds):
        self.pauses.append(seconds)


ALL = [(0, 0), (2, 0), (8, 0), (8, 1), (8, 2)]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def story(tmp_path, world):
    """Run something with a rebuilder whose slot is marked, over a control store."""

    def run(scenario):
        async def inside():
            async with SqliteControlStore.open(tmp_path / "control.sqlite") as control:
                await mark_for_rebuild(control, SLOT)
                rebuilder = Rebuilder(control, world, world, Homes(), pause=world.pause)
                await scenario(control, rebuilder)

        anyio.run(inside)

    return run


async def is_marked(control):
    return bool(await control.list("rebuild/"))


def test_every_block_that_belongs_there_is_repaired_once(world, story):
    """In all partitions and all slices of them, each block of an extent; others are none of its business."""

    async def scenario(control, rebuilder):
        await rebuilder.work()
        assert world.repaired == ALL
        assert rebuilder.blocks_done == len(ALL)
        assert rebuilder.partitions_left == 0
        assert not await is_marked(control)
        assert len(world.pauses) == len(ALL), "half of the time is for others"
        await rebuilder.work()
        assert world.repaired == ALL

    story(scenario)


@pytest.mark.parametrize(
    "answer",
    [
        DriveUnavailable("gone again"),
        QuorumNotReached("too few"),
        (Misplaced(0, 1, None),),
        (Misplaced(0, 1, SPARE),),
    ],
    ids=repr,
)
def test_it_is_not_over_before_every_shard_is_in_its_place(world, story, answer):
    """A shard that found no room there, or went to a spare drive that nobody records, would be missing for good."""

    async def scenario(control, rebuilder):
        world.answers = {(2, 0): answer}
        await rebuilder.work()
        assert world.repaired == ALL, "one block holds up no other"
        assert await is_marked(control)
        world.answers = {}
        await rebuilder.work()
        assert world.repaired == ALL * 2
        assert not await is_marked(control)

    story(scenario)


def test_a_shard_of_another_drive_that_is_away_holds_up_nothing(world, story):
    """The slot is whole when its own shards are; for the other one the repair queue is there."""

    async def scenario(control, rebuilder):
        world.answers = {(2, 0): (Misplaced(0, 0, None),)}
        await rebuilder.work()
        assert not await is_marked(control)

    story(scenario)


def test_what_is_lost_is_not_waited_for(world, story):
    """Too little of the block is left on all drives together: reading everything again would not bring it back."""

    async def scenario(control, rebuilder):
        world.answers = {(2, 0): UnreadableData("too few intact shards are left")}
        await rebuilder.work()
        assert not await is_marked(control)

    story(scenario)


def test_a_drive_that_was_wiped_again_meanwhile_is_filled_again(world, story):
    """What was copied before the second wipe is gone."""

    async def scenario(control, rebuilder):
        marks = [SLOT]
        world.on_repair = lambda: marks and world.again.append(marks.pop())
        world.again = []
        walk = world.extents

        async def extents(partition, after, *, limit):
            if world.again:
                await mark_for_rebuild(control, world.again.pop())
            return await walk(partition, after, limit=limit)

        world.extents = extents
        await rebuilder.work()
        assert await is_marked(control)
        await rebuilder.work()
        assert world.repaired == ALL * 2
        assert not await is_marked(control)

    story(scenario)


def test_a_rebuild_that_cannot_go_on_is_tried_less_and_less_often(world, story):
    """Each walk reads and verifies everything that is there already."""

    async def scenario(_control, rebuilder):
        world.answers = {(2, 0): DriveUnavailable("away")}
        waits = []
        for _ in range(9):
            await rebuilder.work()
            world.pauses.clear()
            await rebuilder.wait_for_work()
            waits += world.pauses
        assert waits[:3] == [2.0, 4.0, 8.0]
        assert waits[-1] == 60.0
        world.answers = {}
        await rebuilder.work()
        world.pauses.clear()
        await rebuilder.wait_for_work()
        assert world.pauses == [1.0]

    story(scenario)


def test_a_partition_that_cannot_be_read_leaves_the_mark(world, story):
    """What it holds is not known, so that nothing is whole."""

    async def scenario(control, rebuilder):
        async def extents(partition, _after, *, limit):
            if partition == PARTITIONS_COUNT - 1:
                raise DriveUnavailable("nobody leads")
            return [], None

        world.extents = extents
        with pytest.raises(DriveUnavailable):
            await rebuilder.work()
        assert await is_marked(control)

    story(scenario)
