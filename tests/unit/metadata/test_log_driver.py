"""The writer: group commit, bounds, faults of single commands, the WAL."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from objstore.metadata import log_driver, wal_keeper
from objstore.metadata.commands import Deleted, Done, OpenShard, Written
from objstore.metadata.log_driver import CatalogWriter
from objstore.metadata.partitioning import partition_of
from objstore.model.errors import (
    CorruptRecord,
    DriveUnavailable,
    InvariantError,
    PreconditionFailed,
    SlowDown,
    StorageFull,
)
from objstore.testing.catalog_kit import CommandKit, bucket_record

BUCKET = bucket_record()
PARTITION = partition_of(BUCKET.bucket_id, 1, b"k")


def run(tmp_path, scenario):
    """Run a scenario on a writer with one open bucket."""

    async def inside():
        failures = []
        writer = CatalogWriter(tmp_path / "catalog.sqlite", on_fatal=failures.append)
        writer.start()
        kit = CommandKit(BUCKET.bucket_id)
        assert await writer.submit(PARTITION, kit.make(OpenShard)) == Done()
        try:
            await scenario(writer, kit)
        finally:
            await writer.close()
        return failures

    return asyncio.run(inside())


def test_what_waits_shares_a_commit(tmp_path):
    """One fsync for all that waits is what makes small writes fast; a lone command does not wait for others."""

    async def scenario(writer, kit):
        before = writer.stats.batches
        pending = [writer.submit(PARTITION, kit.put(b"%d" % number)) for number in range(100)]
        await asyncio.gather(*pending)
        assert writer.stats.batches - before < 20
        before = writer.stats.batches
        await writer.submit(PARTITION, kit.put(b"alone"))
        assert writer.stats.batches - before == 1

    assert run(tmp_path, scenario) == []


def test_a_refusal_in_a_batch_is_its_own(tmp_path):
    """A failed condition must neither fail its neighbours nor leave anything behind (s3 rule 4.5.4)."""

    async def scenario(writer, kit):
        pending = [
            writer.submit(PARTITION, kit.put(b"k", b"1", if_none_match=True)),
            writer.submit(PARTITION, kit.put(b"k", b"2", if_none_match=True)),
            writer.submit(PARTITION, kit.put(b"k", b"3")),
        ]
        first, second, third = await asyncio.gather(*pending, return_exceptions=True)
        assert isinstance(first, Written)
        assert second == PreconditionFailed(condition="If-None-Match")
        assert isinstance(third, Written)
        assert third.last_modified > first.last_modified

    assert run(tmp_path, scenario) == []


def test_a_command_with_a_bug_does_not_poison_its_batch(tmp_path):
    """One impossible command must cost its caller an error, and nobody else anything."""

    async def scenario(writer, kit):
        broken = kit.make(OpenShard, at="not a time", bucket_id=object())
        pending = [
            writer.submit(PARTITION, kit.put(b"a")),
            writer.submit(PARTITION, broken),
            writer.submit(PARTITION, kit.put(b"b")),
        ]
        first, second, third = await asyncio.gather(*pending, return_exceptions=True)
        assert isinstance(second, InvariantError)
        assert isinstance(first, Written)
        assert isinstance(third, Written)

    assert run(tmp_path, scenario) == []


def test_a_row_that_cannot_be_written_does_not_poison_its_batch(tmp_path):
    """Rows are written together; the others of the batch must not pay for the one that SQLite refuses."""

    async def scenario(writer, kit):
        broken = kit.put(b"x")
        broken = replace(broken, version=replace(broken.version, owner=2**70))
        commands = [kit.put(b"a"), broken, kit.put(b"b")]
        pending = [writer.submit(PARTITION, command) for command in commands]
        first, second, third = await asyncio.gather(*pending, return_exceptions=True)
        assert isinstance(second, InvariantError)
        assert isinstance(first, Written)
        assert isinstance(third, Written)
        with pytest.raises(InvariantError):
            await writer.submit(PARTITION, broken)
        rows = writer._connection.execute("SELECT key FROM objects ORDER BY key").fetchall()
        assert rows == [(b"a",), (b"b",)]

    assert run(tmp_path, scenario) == []


def test_a_damaged_row_fails_only_who_needs_it(tmp_path):
    """The key with the damaged record is refused as corrupt, never treated as absent (reliability rule 4.3)."""

    async def scenario(writer, kit):
        await writer.submit(PARTITION, kit.put_extent(b"damaged", 5))
        await asyncio.to_thread(
            writer._connection.execute, "UPDATE objects SET record=x'01020304050607080910'"
        )
        pending = [
            writer.submit(PARTITION, kit.put(b"fine")),
            writer.submit(PARTITION, kit.put(b"damaged")),
        ]
        fine, damaged = await asyncio.gather(*pending, return_exceptions=True)
        assert isinstance(fine, Written)
        assert isinstance(damaged, CorruptRecord)

    assert run(tmp_path, scenario) == []


def test_a_full_queue_turns_away(tmp_path, monkeypatch):
    """Without a bound a slow drive would end as an out-of-memory kill (reliability rule T17)."""
    monkeypatch.setattr(log_driver, "QUEUE_COMMANDS_MAX", 3)

    async def scenario(writer, kit):
        pending = [writer.submit(PARTITION, kit.put(b"k")) for _ in range(3)]
        with pytest.raises(SlowDown):
            writer.submit(PARTITION, kit.put(b"k"))
        await asyncio.gather(*pending)
        await writer.submit(PARTITION, kit.put(b"k"))
        assert writer.stats.slow_downs == 1

    assert run(tmp_path, scenario) == []


def test_close_commits_what_was_taken(tmp_path):
    """A clean stop answers everybody whom it let in, and nobody after."""

    async def scenario(writer, kit):
        pending = [writer.submit(PARTITION, kit.put(b"%d" % number)) for number in range(20)]
        _, *results = await asyncio.gather(writer.close(), *pending)
        assert all(isinstance(result, Written) for result in results)
        with pytest.raises(DriveUnavailable):
            writer.submit(PARTITION, kit.put(b"late"))

    assert run(tmp_path, scenario) == []


def test_a_replay_in_the_same_batch_is_answered_once(tmp_path):
    """A retry may catch up with its original in the queue (reliability rule T7)."""

    async def scenario(writer, kit):
        command = kit.put(b"k", b"1", if_none_match=True)
        pending = [writer.submit(PARTITION, command) for _ in range(3)]
        first, *others = await asyncio.gather(*pending)
        assert others == [first, first]

    assert run(tmp_path, scenario) == []


def test_the_wal_stays_bounded(tmp_path, monkeypatch):
    """A WAL that only grows fills the drive and slows every read (reliability rule 4.3)."""
    monkeypatch.setattr(wal_keeper, "CHECKPOINT_BYTES", 256 * 1024)

    async def scenario(writer, kit):
        for _ in range(40):
            await asyncio.gather(
                *(writer.submit(PARTITION, kit.put(b"%d" % n, bytes(8192))) for n in range(8))
            )
            assert writer.stats.wal_bytes < 1024 * 1024
        assert writer.stats.checkpoints > 5

    assert run(tmp_path, scenario) == []
    assert not (tmp_path / "catalog.sqlite-wal").exists()


def test_a_full_drive_refuses_writes_and_lets_deletes_through(tmp_path):
    """A full store that refused deletes could never be emptied; and it must go on once there is room."""

    async def scenario(writer, kit):
        for number in range(20):
            await writer.submit(PARTITION, kit.put(b"%d" % number, bytes(4000)))
        pages = await asyncio.to_thread(writer._connection.pragma, "page_count")
        await asyncio.to_thread(writer._connection.pragma, "max_page_count", pages)
        pending = [
            writer.submit(PARTITION, kit.put(b"big", bytes(100_000))),
            *(writer.submit(PARTITION, kit.delete(b"%d" % number)) for number in range(10)),
        ]
        refused, *deleted = await asyncio.gather(*pending, return_exceptions=True)
        assert isinstance(refused, StorageFull)
        assert all(isinstance(outcome, Deleted) and outcome.found for outcome in deleted)
        assert isinstance(await writer.submit(PARTITION, kit.put(b"fits", bytes(4000))), Written)

    assert run(tmp_path, scenario) == []
