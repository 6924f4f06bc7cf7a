"""Repair makes a block whole again and never makes things worse."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from objstore.model.errors import DriveUnavailable, UnreadableData
from objstore.model.objects import Misplaced, Scheme
from objstore.storage.format import PREFIX_BYTES


async def _repair_all(store, extent, **options):
    """Repair every block and return the extent as the catalogue would record it."""
    misplaced = []
    for block in range(extent.blocks_count):
        misplaced.extend(await store.repair(extent, block, **options))
    return msgspec.structs.replace(extent, misplaced=tuple(misplaced))


def _verified(world, extent):
    """Every shard at its home, and bytes as the first time."""
    return world.files_count() == extent.blocks_count * extent.scheme.width


@pytest.mark.parametrize(("scheme", "drives"), [(Scheme(1, 2), 3), (Scheme(4, 2), 6)], ids=str)
def test_lost_shards_come_back_as_they_were(world, body, data_id, payload, scheme, drives):
    """Bit by bit: the same file, header and all."""
    world = world(scheme, drives)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            before = {name: dict(drive.files) for name, drive in world.inner.items()}
            world.inner["d0"].files.clear()
            name = next(iter(world.inner["d2"].files))
            file = bytearray(world.inner["d2"].files[name])
            file[PREFIX_BYTES + 3] ^= 0x40
            world.inner["d2"].files[name] = bytes(file)
            assert (await _repair_all(store, extent)).misplaced == ()
            assert {name: dict(drive.files) for name, drive in world.inner.items()} == before
            assert world.inner["d2"].quarantine == {name: bytes(file)}

    anyio.run(story)


def test_whole_block_is_left_alone(world, body, data_id, payload):
    """A repair that was queued twice does nothing the second time."""
    world = world(Scheme(4, 2), 6)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            before = [dict(drive.files) for drive in world.inner.values()]
            assert await store.repair(extent, 0) == ()
            assert [dict(drive.files) for drive in world.inner.values()] == before

    anyio.run(story)


def test_shards_come_home_from_spares(world, body, read_all, data_id, payload):
    """Once the home is back; the copy on the spare stays until the record has changed."""
    world = world(Scheme(4, 2), 7)
    world.inner["d1"].is_away = True

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            count = len(extent.misplaced)
            assert count
            assert await _repair_all(store, extent) == extent, "the home is still away"
            world.inner["d1"].is_away = False
            moved = await _repair_all(store, extent)
            assert moved.misplaced == ()
            assert world.files_count() == 6 * extent.blocks_count + count
            assert await read_all(store, moved) == payload
            assert await read_all(store, extent) == payload

    anyio.run(story)


def test_missing_shard_goes_to_a_spare_while_home_is_away(world, body, data_id):
    """Full strength first, the right place later."""
    world = world(Scheme(1, 1), 3)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(b"x" * 100))
            missing = msgspec.structs.replace(extent, misplaced=(Misplaced(0, 0, None),))
            world.inner["d0"].files.clear()
            world.inner["d0"].is_away = True
            assert await store.repair(missing, 0) == (Misplaced(0, 0, "d2"),)

    anyio.run(story)


def test_no_place_is_told_as_missing(world, body, data_id):
    """The queue keeps the block when no drive takes the shard."""
    world = world(Scheme(1, 1), 2)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(b"x" * 100))
            world.inner["d0"].files.clear()
            world.inner["d0"].capacity_bytes = 0
            assert await store.repair(extent, 0) == (Misplaced(0, 0, None),)

    anyio.run(story)


def test_drive_that_is_away_is_not_rebuilt_unless_lost(world, body, read_all, data_id, payload):
    """A reboot must not copy a whole drive; a drive that is declared lost must be."""
    world = world(Scheme(4, 2), 7)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            lost = [shard for drive in ("d1",) for shard in world.inner[drive].files]
            count = world.files_count()
            world.inner["d1"].is_away = True
            assert await _repair_all(store, extent) == extent
            assert world.files_count() == count
            moved = await _repair_all(store, extent, lost_drives=["d1"])
            assert len(moved.misplaced) == len(lost)
            assert world.files_count() == count + len(lost)
            assert world.damage == []
            assert await read_all(store, moved) == payload

    anyio.run(story)


def test_below_quorum_nothing_is_touched(world, body, data_id, payload):
    """What is left is evidence for an operator, never garbage (users 2.7)."""
    world = world(Scheme(4, 2), 6)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            for number in range(3):
                world.inner[f"d{number}"].files.clear()
            before = [dict(drive.files) for drive in world.inner.values()]
            with pytest.raises(UnreadableData):
                await store.repair(extent, 0)
            assert [dict(drive.files) for drive in world.inner.values()] == before

    anyio.run(story)


def test_repair_waits_for_drives_that_are_away(world, body, data_id, payload):
    """Too few in reach is not too few."""
    world = world(Scheme(4, 2), 6)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            world.inner["d0"].files.clear()
            for number in (1, 2):
                world.inner[f"d{number}"].is_away = True
            with pytest.raises(DriveUnavailable):
                await store.repair(extent, 0)

    anyio.run(story)


def test_mixed_generations_are_refused(world, body, data_id):
    """Shards that are each intact but not of one block must not become data (users 2.5)."""
    first, second = world(Scheme(4, 2), 6), world(Scheme(4, 2), 6)

    async def story():
        async with first.store() as store:
            extent = await store.write(data_id, 0, body(b"a" * 1000))
            async with second.store() as other:
                await other.write(data_id, 0, body(b"b" * 1000))
            first.inner["d1"].files = second.inner["d1"].files
            first.inner["d0"].files.clear()
            with pytest.raises(UnreadableData, match="do not make the block"):
                await store.repair(extent, 0)

    anyio.run(story)
