"""Bytes go in, the same bytes come out, whatever happens to the drives in between."""

from __future__ import annotations

import itertools
from random import Random

import anyio
import anyio.lowlevel
import pytest

from objstore.model.errors import (
    BadDigest,
    DriveUnavailable,
    InvariantError,
    QuorumNotReached,
    StorageFull,
    UnreadableData,
)
from objstore.model.limits import MIB
from objstore.model.objects import Misplaced, Scheme
from objstore.storage.format import PREFIX_BYTES
from objstore.testing.faulty_drive import Fail, Fault, FaultyDrive, FlipBit, Lose, Stall

WORLDS = [(Scheme(1, 0), 1), (Scheme(1, 1), 2), (Scheme(1, 2), 3), (Scheme(4, 2), 6)]
BLOCK_BYTES = 256 * 1024


@pytest.mark.parametrize(("scheme", "drives"), WORLDS, ids=str)
@pytest.mark.parametrize(
    "size", [0, 1, 5, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES + 77]
)
@pytest.mark.parametrize("is_announced", [True, False], ids=["known length", "unknown length"])
def test_any_size_comes_back(world, body, read_all, data_id, scheme, drives, size, is_announced):
    """Sizes around the block boundary are where blocks are lost or doubled."""
    world, data = world(scheme, drives), bytes(number % 251 for number in range(size))

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 3, body(data, is_announced=is_announced))
            assert extent.size == size
            assert extent.blocks_count * scheme.width == world.files_count()
            assert (extent.part, extent.scheme, extent.misplaced) == (3, scheme, ())
            assert extent.ring_version == world.ring.version
            assert await read_all(store, extent) == data

    anyio.run(story)


def test_every_range_is_the_slice(world, body, read_all, data_id, payload):
    """Ranges across chunks, shards and blocks of a coded extent (s3 rule 4.3)."""
    world = world(Scheme(4, 2), 6)
    edges = [0, 1, 65_535, 65_536, 65_537, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 70_000]
    edges.append(len(payload))

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            for start, stop in itertools.combinations(edges, 2):
                assert await read_all(store, extent, start, stop - start) == payload[start:stop]
            assert await read_all(store, extent, 5, 0) == b""
            with pytest.raises(InvariantError):
                await read_all(store, extent, 0, len(payload) + 1)

    anyio.run(story)


@pytest.mark.parametrize("lost", list(itertools.combinations(range(6), 2)), ids=str)
def test_two_of_six_drives_may_lose_everything(world, body, read_all, data_id, payload, lost):
    """4+2 survives any two; one lost drive is the first half of the test."""
    world = world(Scheme(4, 2), 6)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            for number in lost:
                world.inner[f"d{number}"].files.clear()
                assert await read_all(store, extent) == payload
                assert await read_all(store, extent, 65_000, 300_000) == payload[65_000:365_000]

    anyio.run(story)
    assert world.damage, "nobody told the repair queue"


@pytest.mark.parametrize(("scheme", "drives"), WORLDS[1:], ids=str)
def test_drives_that_are_away_are_no_damage(
    world, body, read_all, data_id, payload, scheme, drives
):
    """Reads go around them; nothing is reported for repair, because they may come back."""
    world = world(scheme, drives)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            world.inner["d0"].is_away = True
            del world.drives[f"d{drives - 1}"]
            if scheme.m > 1:
                assert await read_all(store, extent) == payload
            else:
                with pytest.raises(DriveUnavailable):
                    await read_all(store, extent)

    anyio.run(story)
    assert world.damage == []


def test_damage_is_reported_once_a_read(world, body, read_all, data_id, payload):
    """A download of many pieces must not flood the queue with one shard."""
    world = world(Scheme(1, 2), 3)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            for drive in list(world.inner.values())[:2]:
                for name, file in drive.files.items():
                    drive.files[name] = file[:PREFIX_BYTES] + b"\xff" + file[PREFIX_BYTES + 1 :]
            assert await read_all(store, extent) == payload

    anyio.run(story)
    assert len(world.damage) == len(set(world.damage)) > 0


def test_too_few_shards_fail_before_the_first_byte(world, body, data_id, payload):
    """The client gets an error, not a short 200 (users 2.10)."""
    world = world(Scheme(4, 2), 6)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            for number in range(3):
                world.inner[f"d{number}"].files.clear()
            with pytest.raises(UnreadableData):
                await anext(store.read(extent, 0, extent.size))

    anyio.run(story)


def test_failure_in_the_middle_stops_the_stream(world, body, data_id, payload):
    """What was yielded is right, and the end is an error, never a clean end (users 2.10)."""
    world = world(Scheme(1, 0), 1)
    got = bytearray()

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            del world.inner["d0"].files[f"{data_id.hex()}-0-2-0"]
            stream = store.read(extent, 0, extent.size)
            for _ in range(2):
                got.extend(await anext(stream))
            with pytest.raises(UnreadableData):
                await anext(stream)

    anyio.run(story)
    assert bytes(got) == payload[: 2 * BLOCK_BYTES]


def test_readable_again_is_told_apart_from_lost(world, body, data_id, payload):
    """With drives away the answer is "later"; "damaged" would make people restore backups."""
    world = world(Scheme(4, 2), 6)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            world.inner["d0"].files.clear()
            for number in (1, 2):
                world.inner[f"d{number}"].is_away = True
            with pytest.raises(DriveUnavailable):
                await anext(store.read(extent, 0, extent.size))

    anyio.run(story)


def test_discard_takes_everything(world, body, data_id, payload):
    """Deleted objects give their room back (users 2.28)."""
    world = world(Scheme(4, 2), 6)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            await store.discard(extent)
            assert world.files_count() == 0

    anyio.run(story)


def test_drives_that_miss_a_delete_are_named(world, body, data_id, payload):
    """The garbage queue keeps the entry for them."""
    world = world(Scheme(1, 2), 4)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            world.inner["d0"].is_away = True
            del world.drives["d1"]
            assert set(await store.remove(extent)) == {"d0", "d1"}
            world.inner["d0"].is_away = False
            world.drives["d1"] = world.inner["d1"]
            assert await store.remove(extent) == ()
            assert world.files_count() == 0

    anyio.run(story)


@pytest.mark.parametrize(("scheme", "drives"), WORLDS, ids=str)
@pytest.mark.parametrize("break_at", [1, BLOCK_BYTES + 5, len(range(600_000))])
def test_broken_body_leaves_nothing(world, body, data_id, payload, scheme, drives, break_at):
    """Aborted uploads must not fill the drives (users 2.28)."""
    world = world(scheme, drives)
    source = body(payload, break_at=break_at, error=BadDigest("no"))

    async def story():
        async with world.store() as store:
            with pytest.raises(BadDigest):
                await store.write(data_id, 0, source)
            assert world.files_count() == 0

    anyio.run(story)


@pytest.mark.parametrize(("scheme", "drives"), WORLDS, ids=str)
def test_short_range_comes_at_once(world, body, data_id, payload, scheme, drives):
    """One piece of one block, the same bytes as a stream of them; ranges over two blocks are the stream's."""
    world = world(scheme, drives)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            for start, stop in [(0, 1), (5, 70_000), (BLOCK_BYTES, BLOCK_BYTES + 9)]:
                piece = await store.read_at_once(extent, start, stop - start)
                assert bytes(piece) == payload[start:stop]
            assert await store.read_at_once(extent, BLOCK_BYTES - 1, 2) is None
            assert await store.read_at_once(extent, 0, 0) is None
            with pytest.raises(InvariantError):
                await store.read_at_once(extent, 1, len(payload))

    anyio.run(story)


def test_piece_that_is_gone_is_an_error_at_once(world, body, data_id, payload):
    """Small objects fail as large ones do before their first byte."""
    world = world(Scheme(1, 0), 1)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            for drive in world.inner.values():
                drive.files.clear()
            with pytest.raises(UnreadableData):
                await store.read_at_once(extent, 0, 10)

    anyio.run(story)


def test_body_may_end_before_its_announced_length(world, body, read_all, data_id, payload):
    """The store keeps what came; that it was too little is the body's to say, and its caller's to act on."""
    world = world(Scheme(1, 0), 1)

    async def story():
        async with world.store() as store:
            source = body(payload)
            source.size = len(payload) + 3 * BLOCK_BYTES
            extent = await store.write(data_id, 0, source)
            assert extent.size == len(payload)
            assert await read_all(store, extent) == payload

    anyio.run(story)


def test_cancelled_upload_leaves_nothing(world, data_id):
    """A client that goes away in the middle."""
    world = world(Scheme(1, 2), 3)

    class Endless:
        size = None

        async def read_into(self, buffer):
            if world.files_count() >= 6:
                scope.cancel()
            await anyio.lowlevel.checkpoint()
            return len(buffer)

    async def story():
        nonlocal scope
        async with world.store() as store:
            with anyio.CancelScope() as scope:
                await store.write(data_id, 0, Endless())
            assert scope.cancelled_caught
            assert world.files_count() == 0

    scope = None
    anyio.run(story)


def test_failed_drive_sends_its_shards_to_a_spare(world, body, read_all, data_id, payload):
    """The extent names the spare, and reads find it there."""
    world = world(Scheme(4, 2), 7)
    world.inner["d1"].is_away = True

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            assert {place.drive for place in extent.misplaced} <= {f"d{n}" for n in range(7)}
            assert extent.misplaced
            assert await read_all(store, extent) == payload
            assert world.files_count() == 6 * extent.blocks_count

    anyio.run(story)
    assert world.damage == []


def test_without_spare_the_missing_shards_are_recorded(world, body, read_all, data_id, payload):
    """The repair queue learns them from the commit that makes the object visible."""
    world = world(Scheme(4, 2), 6)
    world.inner["d2"].is_away = True

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            assert [place.drive for place in extent.misplaced] == [None] * extent.blocks_count
            assert await read_all(store, extent) == payload

    anyio.run(story)


def test_too_few_drives_refuse_the_write(world, body, data_id, payload):
    """k shards would be readable, and lost with the next drive: never lower the quorum."""
    world = world(Scheme(4, 2), 6)
    for number in (1, 4):
        world.inner[f"d{number}"].is_away = True

    async def story():
        async with world.store() as store:
            with pytest.raises(QuorumNotReached):
                await store.write(data_id, 0, body(payload))
        assert world.files_count() == 0

    anyio.run(story)


def test_full_store_says_full(world, body, data_id, payload):
    """The client learns that waiting does not help (users 2.3)."""
    world = world(Scheme(1, 2), 3)
    for drive in world.inner.values():
        drive.capacity_bytes = BLOCK_BYTES + 2 * PREFIX_BYTES

    async def story():
        async with world.store() as store:
            with pytest.raises(StorageFull):
                await store.write(data_id, 0, body(payload))
            assert world.files_count() == 0

    anyio.run(story)


def test_drive_that_hangs_does_not_hang_the_write(world, body, read_all, data_id, payload):
    """After the quorum and the grace the write is done; the late shard ends up where it belongs."""
    world = world(Scheme(1, 2), 3)
    release = anyio.Event()
    world.drives["d1"] = FaultyDrive(world.inner["d1"], [Fault("write", Stall(release), count=0)])

    async def story():
        async with world.store(grace_s=0.01) as store:
            extent = await store.write(data_id, 0, body(payload))
            assert len(extent.misplaced) == extent.blocks_count
            assert await read_all(store, extent) == payload
            release.set()
            while world.files_count() < 3 * extent.blocks_count:
                await anyio.lowlevel.checkpoint()
            for block in range(extent.blocks_count):
                assert all(place.drive is not None for place in await store.repair(extent, block))

    anyio.run(story)


def test_late_shard_of_a_failed_write_is_removed(world, body, data_id):
    """Nobody will ever look for it."""
    world = world(Scheme(1, 1), 2)
    release = anyio.Event()
    world.drives["d0"] = FaultyDrive(world.inner["d0"], [Fault("write", Stall(release), count=0)])

    async def story():
        async with world.store(slow_s=0.01, deadline_s=0.02) as store:
            with pytest.raises(QuorumNotReached):
                await store.write(data_id, 0, body(b"x" * 100))
            release.set()
            while world.drives["d0"].counts.get("delete", 0) < 2:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert world.files_count() == 0

    anyio.run(story)


def test_slow_home_is_doubled_by_a_spare(world, body, read_all, data_id):
    """With a spare at hand a hanging drive costs seconds, not the write."""
    world = world(Scheme(1, 1), 3)
    stall = Stall(anyio.Event())
    world.drives["d0"] = FaultyDrive(world.inner["d0"], [Fault("write", stall, count=0)])

    async def story():
        async with world.store(slow_s=0.01, grace_s=0.01) as store:
            extent = await store.write(data_id, 0, body(b"x" * 100))
            assert extent.misplaced == (Misplaced(0, 0, "d2"),)
            assert await read_all(store, extent) == b"x" * 100

    anyio.run(story)


def test_drive_that_lies_is_found_by_the_read(world, body, read_all, data_id, payload):
    """A cache that lost what it acknowledged looks like a missing shard, and is repaired as one."""
    world = world(Scheme(1, 2), 3)
    world.drives["d0"] = FaultyDrive(world.inner["d0"], [Fault("write", Lose(), count=0)])

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            assert extent.misplaced == ()
            assert await read_all(store, extent) == payload
            for block in range(extent.blocks_count):
                world.drives["d0"] = world.inner["d0"]
                assert await store.repair(extent, block) == ()
            assert world.files_count() == 3 * extent.blocks_count

    anyio.run(story)
    assert world.damage


def test_bits_that_flip_on_the_way_down_are_found(world, body, read_all, data_id, payload):
    """A bad controller writes what it was not given; the read notices and another drive answers."""
    world = world(Scheme(1, 2), 3)
    flip = Fault("write", FlipBit(PREFIX_BYTES + 9), count=0)
    world.drives["d1"] = FaultyDrive(world.inner["d1"], [flip])

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            assert await read_all(store, extent) == payload

    anyio.run(story)
    assert world.damage


def test_error_of_a_single_drive_is_passed_on(world, body, data_id):
    """On one machine with one directory the operator reads the cause itself."""
    world = world(Scheme(1, 0), 1)
    world.drives["d0"] = FaultyDrive(
        world.inner["d0"], [Fault("write", Fail(DriveUnavailable("sync failed")))]
    )

    async def story():
        async with world.store() as store:
            with pytest.raises(DriveUnavailable, match="sync failed"):
                await store.write(data_id, 0, body(b"x"))
            assert (await store.write(data_id, 0, body(b"x"))).size == 1

    anyio.run(story)


def test_single_drive_that_hangs_is_given_up(world, body, data_id):
    """The client gets its 503 in the end, instead of a connection that never answers."""
    world = world(Scheme(1, 0), 1)
    stall = Stall(anyio.Event())
    world.drives["d0"] = FaultyDrive(world.inner["d0"], [Fault("write", stall, count=0)])

    async def story():
        async with world.store(deadline_s=0.01) as store:
            with pytest.raises(DriveUnavailable, match="in time"):
                await store.write(data_id, 0, body(b"x"))

    anyio.run(story)


def test_download_that_is_given_up_ends_cleanly(world, body, data_id, payload):
    """A client that closes in the middle leaves no work behind."""
    world = world(Scheme(1, 0), 1)

    async def story():
        async with world.store() as store:
            extent = await store.write(data_id, 0, body(payload))
            stream = store.read(extent, 0, extent.size)
            assert bytes(await anext(stream)) == payload[:BLOCK_BYTES]
            await stream.aclose()

    anyio.run(story)


def test_closed_store_takes_nothing(world, body, data_id):
    """Work without an owner would be lost without a word."""
    world = world(Scheme(1, 0), 1)

    async def story():
        store_context = world.store()
        async with store_context as store:
            pass
        with pytest.raises(InvariantError):
            await store.write(data_id, 0, body(b"x"))

    anyio.run(story)


class MoodyDrive:
    """A drive of which nobody knows beforehand whether the page cache has what is wanted."""

    def __init__(self, inner, random):
        self._inner = inner
        self._random = random
        self.cached_count = self.read_count = 0

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def read_cached(self, shard_id, *, start, length):
        if self._random.random() < 0.5:
            return None
        self.cached_count += 1
        prefix = PREFIX_BYTES + start
        return memoryview(self._inner.files[shard_id.name])[prefix : prefix + length]

    async def read(self, shard_id, *, start, length):
        self.read_count += 1
        return await self._inner.read(shard_id, start=start, length=length)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scheme", [Scheme(1, 1), Scheme(2, 1)], ids=str)
def test_pieces_of_the_cache_and_of_the_drives_come_in_order(world, body, data_id, seed, scheme):
    """A piece that is under way must not be overtaken by one that the cache has got meanwhile."""
    random = Random(seed)
    world = world(scheme, scheme.width)
    payload = random.randbytes(9 * MIB + 77)
    for name, inner in world.inner.items():
        world.drives[name] = MoodyDrive(inner, random)

    async def story():
        async with world.store(block_bytes=4 * MIB) as store:
            extent = await store.write(data_id, 0, body(payload))
            for start, stop in [(0, len(payload)), (MIB - 5, 7 * MIB + 3), (5 * MIB, 5 * MIB + 9)]:
                got = [bytes(piece) async for piece in store.read(extent, start, stop - start)]
                assert b"".join(got) == payload[start:stop]

    anyio.run(story)
    assert sum(drive.cached_count for drive in world.drives.values())
    assert sum(drive.read_count for drive in world.drives.values())


def test_download_from_memory_lets_others_have_their_turn(world, body, data_id):
    """A client that takes all at once would keep the event loop for as long as its object is."""
    world = world(Scheme(1, 0), 1)
    payload = bytes(6 * MIB)
    turns = 0

    class Always:
        def random(self):
            return 1.0

    world.drives["d0"] = MoodyDrive(world.inner["d0"], Always())

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async def story():
        async with world.store(block_bytes=8 * MIB) as store, anyio.create_task_group() as group:
            extent = await store.write(data_id, 0, body(payload))
            group.start_soon(other)
            seen = [turns async for _ in store.read(extent, 0, len(payload))]
            group.cancel_scope.cancel()
        assert len(seen) == 6
        assert seen == sorted(set(seen)), "nobody else ran between two pieces"

    anyio.run(story)
