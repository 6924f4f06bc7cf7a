"""What every drive promises, run on the real one and on its fake (`objstore.storage.drive`)."""

from __future__ import annotations

import anyio
import pytest

from objstore.model.errors import CorruptShard, DriveUnavailable, ShardMissing, StorageFull
from objstore.model.instant import Instant
from objstore.model.names import DataId, DriveId
from objstore.model.objects import Scheme
from objstore.storage import (
    DriveIdentity,
    DriveSettings,
    NewShard,
    PosixDrive,
    ShardHeader,
    ShardId,
    format_drive,
)
from objstore.storage.format import CHUNK_BYTES, PREFIX_BYTES, directory_name
from objstore.testing.memory_drive import MemoryDrive


class Clock:
    time = Instant(5_000)

    def now(self):
        return self.time

    def monotonic_s(self):
        return 0.0


class PosixBench:
    """The real drive with what a test needs to reach under it."""

    def __init__(self, directory):
        self.clock = Clock()
        self.directory = directory
        format_drive(directory, DriveIdentity("c", DriveId("d"), Instant(1)))
        self.open(reserve_bytes=0)

    def open(self, *, reserve_bytes):
        settings = DriveSettings(threads=2, reserve_bytes=reserve_bytes)
        self.drive = PosixDrive.open(
            self.directory, cluster_id="c", clock=self.clock, settings=settings
        )

    def _path(self, shard_id):
        return self.directory / "shards" / directory_name(shard_id) / shard_id.name

    def flip(self, shard_id, offset):
        data = bytearray(self._path(shard_id).read_bytes())
        data[offset] ^= 1
        self._path(shard_id).write_bytes(data)

    def fill(self):
        self.drive.close()
        self.open(reserve_bytes=2**62)

    def take_away(self):
        (self.directory / "objstore-drive.json").unlink()

    def close(self):
        self.drive.close()


class MemoryBench:
    def __init__(self, _):
        self.clock = Clock()
        self.drive = MemoryDrive(DriveId("d"), self.clock)

    def flip(self, shard_id, offset):
        self.drive.flip(shard_id, offset, 1)

    def fill(self):
        self.drive.capacity_bytes = 0

    def take_away(self):
        self.drive.is_away = True

    def close(self):
        pass


@pytest.fixture(params=[PosixBench, MemoryBench], ids=["posix", "memory"])
def bench(request, tmp_path):
    bench = request.param(tmp_path / "drive")
    yield bench
    bench.close()


def make(payload=b"payload", *, block=0, shard=0):
    shard_id = ShardId(DataId(b"\x07" * 16), 0, block, shard)
    return NewShard(ShardHeader(shard_id, Scheme(1, 1), len(payload), len(payload)), payload)


PAYLOAD = bytes(number % 253 for number in range(3 * CHUNK_BYTES + 17))


def test_what_was_written_is_read(bench):
    """The whole point, for several ranges that start, end and cross chunks everywhere."""
    shard = make(PAYLOAD)
    edges = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(PAYLOAD)]

    async def story():
        await bench.drive.write([shard])
        for start in edges:
            for stop in edges:
                if start < stop:
                    read = await bench.drive.read(
                        shard.header.shard_id, start=start, length=stop - start
                    )
                    assert bytes(read) == PAYLOAD[start:stop]

    anyio.run(story)


def test_every_kind_of_buffer_is_taken(bench):
    """Blocks arrive as the gateway has them; a drive must not force a copy."""

    async def story():
        for block, payload in enumerate((b"abc", bytearray(b"abc"), memoryview(b"xabc")[1:])):
            shard = make(payload, block=block)
            await bench.drive.write([shard])
            assert bytes(await bench.drive.read(shard.header.shard_id, start=1, length=2)) == b"bc"

    anyio.run(story)


def test_a_batch_is_written_whole(bench):
    """Shards that are written together share one directory sync, and all of them are there."""
    shards = [make(bytes([block]) * 10, block=block) for block in range(20)]

    async def story():
        await bench.drive.write(shards)
        for shard in shards:
            assert await bench.drive.verify(shard.header.shard_id) == shard.header

    anyio.run(story)


def test_header_is_told_and_verified(bench):
    """Repair takes lengths and checksums of a block from its shards."""
    shard = make()

    async def story():
        await bench.drive.write([shard])
        assert await bench.drive.stat(shard.header.shard_id) == shard.header
        assert await bench.drive.verify(shard.header.shard_id) == shard.header

    anyio.run(story)


def test_missing_shard_is_missing(bench):
    """Not empty data, and not the drive's failure."""
    shard_id = make().header.shard_id

    async def story():
        with pytest.raises(ShardMissing):
            await bench.drive.read(shard_id, start=0, length=1)
        with pytest.raises(ShardMissing):
            await bench.drive.stat(shard_id)
        with pytest.raises(ShardMissing):
            await bench.drive.verify(shard_id)

    anyio.run(story)


@pytest.mark.parametrize("offset", [0, 20, 127, 128, PREFIX_BYTES - 1, PREFIX_BYTES])
def test_damage_is_never_read_as_data(bench, offset):
    """A bit that flipped on the platter must not reach a client (users 2.2)."""
    shard = make(PAYLOAD)

    async def story():
        await bench.drive.write([shard])
        bench.flip(shard.header.shard_id, offset)
        with pytest.raises(CorruptShard):
            await bench.drive.read(shard.header.shard_id, start=0, length=1)
        with pytest.raises(CorruptShard):
            await bench.drive.verify(shard.header.shard_id)

    anyio.run(story)


def test_damage_elsewhere_does_not_hide_good_chunks(bench):
    """A range read verifies what it touches: the rest of a damaged shard still serves."""
    shard = make(PAYLOAD)

    async def story():
        await bench.drive.write([shard])
        bench.flip(shard.header.shard_id, PREFIX_BYTES + 2 * CHUNK_BYTES)
        shard_id = shard.header.shard_id
        read = await bench.drive.read(shard_id, start=0, length=2 * CHUNK_BYTES)
        assert bytes(read) == PAYLOAD[: 2 * CHUNK_BYTES]
        with pytest.raises(CorruptShard):
            await bench.drive.read(shard_id, start=2 * CHUNK_BYTES - 1, length=2)

    anyio.run(story)


def test_range_beyond_the_payload_is_refused(bench):
    """A short answer would become a short body (users 2.10)."""
    shard = make(b"abc")

    async def story():
        await bench.drive.write([shard])
        with pytest.raises(CorruptShard):
            await bench.drive.read(shard.header.shard_id, start=1, length=3)
        with pytest.raises(CorruptShard):
            await bench.drive.read(shard.header.shard_id, start=CHUNK_BYTES, length=1)

    anyio.run(story)


def test_writing_again_is_the_same(bench):
    """A retry after a lost answer must succeed."""
    shard = make()

    async def story():
        await bench.drive.write([shard])
        await bench.drive.write([shard])
        assert bytes(await bench.drive.read(shard.header.shard_id, start=0, length=7)) == b"payload"

    anyio.run(story)


def test_another_shard_never_replaces_one(bench):
    """Names are immutable: whatever goes wrong above, intact bytes stay."""

    async def story():
        await bench.drive.write([make(b"payload")])
        with pytest.raises(CorruptShard):
            await bench.drive.write([make(b"PAYLOAD")])
        shard_id = make().header.shard_id
        assert bytes(await bench.drive.read(shard_id, start=0, length=7)) == b"payload"

    anyio.run(story)


def test_damaged_shard_is_replaced(bench):
    """Repair writes a shard to its home, where the damaged one still has the name."""
    shard = make(PAYLOAD)

    async def story():
        await bench.drive.write([shard])
        bench.flip(shard.header.shard_id, PREFIX_BYTES + 5)
        await bench.drive.write([shard])
        assert await bench.drive.verify(shard.header.shard_id) == shard.header

    anyio.run(story)


def test_deleted_shard_serves_running_downloads(bench):
    """A download that began before an overwrite must be able to end; nobody else finds the shard."""
    shard, gone = make(), make(block=1)

    async def story():
        await bench.drive.write([shard])
        assert await bench.drive.delete([shard.header.shard_id, gone.header.shard_id]) == 1
        with pytest.raises(ShardMissing):
            await bench.drive.stat(shard.header.shard_id)
        assert bytes(await bench.drive.read(shard.header.shard_id, start=0, length=7)) == b"payload"
        assert await bench.drive.delete([shard.header.shard_id]) == 0

    anyio.run(story)


def test_trash_is_purged_by_age(bench):
    """What is purged is gone for good and counted; what was deleted later stays."""
    old, new = make(b"old", block=1), make(b"new", block=2)

    async def story():
        await bench.drive.write([old, new])
        await bench.drive.delete([old.header.shard_id])
        bench.clock.time = Instant(6_000)
        await bench.drive.delete([new.header.shard_id])
        report = await bench.drive.purge_trash(Instant(6_000))
        assert (report.shards_count, report.size_bytes) == (1, PREFIX_BYTES + 3)
        with pytest.raises(ShardMissing):
            await bench.drive.read(old.header.shard_id, start=0, length=3)
        assert bytes(await bench.drive.read(new.header.shard_id, start=0, length=3)) == b"new"

    anyio.run(story)


def test_delete_at_once_leaves_no_trash(bench):
    """Failed uploads must give their room back now (users 2.28)."""
    shard = make()

    async def story():
        await bench.drive.write([shard])
        assert await bench.drive.delete([shard.header.shard_id], at_once=True) == 1
        with pytest.raises(ShardMissing):
            await bench.drive.read(shard.header.shard_id, start=0, length=1)
        assert (await bench.drive.purge_trash(Instant(10**15))).shards_count == 0

    anyio.run(story)


def test_names_are_listed_in_their_directory(bench):
    """The checker and the sweep see every shard once."""
    shards = [make(block=block) for block in (2, 1)]
    directory = int(directory_name(shards[0].header.shard_id), 16)

    async def story():
        await bench.drive.write(shards)
        assert await bench.drive.list_names(directory) == tuple(
            sorted(shard.header.shard_id.name for shard in shards)
        )
        assert await bench.drive.list_names((directory + 1) % 256) == ()

    anyio.run(story)


def test_full_drive_refuses_writes_and_takes_deletes(bench):
    """A full store that cannot delete can never recover (users 2.3)."""
    shard = make()

    async def story():
        await bench.drive.write([shard])
        bench.fill()
        with pytest.raises(StorageFull):
            await bench.drive.write([make(block=1)])
        with pytest.raises(ShardMissing):
            await bench.drive.stat(make(block=1).header.shard_id)
        assert bytes(await bench.drive.read(shard.header.shard_id, start=0, length=7)) == b"payload"
        assert await bench.drive.delete([shard.header.shard_id]) == 1

    anyio.run(story)


def test_drive_that_is_gone_says_so(bench):
    """Missing data of a missing drive is not missing data: nothing may be repaired or deleted for it."""
    shard = make()

    async def story():
        await bench.drive.ping()
        await bench.drive.write([shard])
        bench.take_away()
        drive, shard_id = bench.drive, make(block=1).header.shard_id
        for call in (
            drive.ping,
            drive.usage,
            lambda: drive.write([make(block=1)]),
            lambda: drive.read(shard_id, start=0, length=1),
            lambda: drive.stat(shard_id),
            lambda: drive.verify(shard_id),
            lambda: drive.delete([shard_id]),
            lambda: drive.purge_trash(Instant(1)),
            lambda: drive.list_names(0),
        ):
            with pytest.raises(DriveUnavailable):
                await call()

    anyio.run(story)


def test_usage_counts_what_is_there(bench):
    """Rings and alarms go by these figures."""

    async def story():
        usage = await bench.drive.usage()
        assert 0 < usage.free_bytes <= usage.total_bytes
        assert usage.takes(1)
        assert not usage.takes(usage.total_bytes + 1)

    anyio.run(story)
