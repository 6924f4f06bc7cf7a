"""Who leads, as the control store says: an epoch is handed out once."""

from __future__ import annotations

import asyncio

import pytest

from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.consensus import NO_REPLICA, Epoch, ReplicaId
from objstore.metadata.leader_names import LeaderName, LeaderNames
from objstore.model.errors import OperationAborted, StorageFull
from objstore.model.names import PartitionId

A, B = ReplicaId("a"), ReplicaId("b")
P, Q = PartitionId(1), PartitionId(2)


@pytest.fixture
def story(tmp_path):
    """Run something over a control store."""

    def run(scenario):
        async def inside():
            async with SqliteControlStore.open(tmp_path / "control.sqlite") as control:
                await scenario(control)

        asyncio.run(inside())

    return run


def test_epochs_grow_and_others_stay(story):
    """Also above what a replica has promised to somebody meanwhile; a partition that is not named keeps its leader."""

    async def scenario(control):
        names = LeaderNames(control)
        await names.load()
        assert names[P] == LeaderName(Epoch(0), NO_REPLICA)
        assert await names.name({P: A, Q: B}, above={}) == {
            P: LeaderName(Epoch(1), A),
            Q: LeaderName(Epoch(1), B),
        }
        await names.name({P: B}, above={P: Epoch(7)})
        assert (names[P], names[Q]) == (LeaderName(Epoch(8), B), LeaderName(Epoch(1), B))
        after = LeaderNames(control)
        await after.load()
        assert after[P] == LeaderName(Epoch(8), B)

    story(scenario)


def test_of_two_that_name_one_epoch_one_is_refused(story):
    """Two leaders of one epoch would be two histories. The refused one knows what is true then, and names above it."""

    async def scenario(control):
        first, second = LeaderNames(control), LeaderNames(control)
        await first.load()
        await second.load()
        await first.name({P: A}, above={})
        with pytest.raises(OperationAborted):
            await second.name({P: B}, above={})
        assert second[P] == LeaderName(Epoch(1), A)
        await second.name({P: B}, above={})
        assert second[P] == LeaderName(Epoch(2), B)

    story(scenario)


def test_a_naming_that_was_not_written_changes_nothing(story):
    """Nobody may be told of an epoch that is not in the control store."""

    async def scenario(control):
        names = LeaderNames(control)
        await names.name({P: A}, above={})

        async def put(*_, **__):
            raise StorageFull("full")

        control.put = put
        with pytest.raises(StorageFull):
            await names.name({P: B}, above={})
        assert names[P] == LeaderName(Epoch(1), A)

    story(scenario)
