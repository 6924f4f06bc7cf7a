"""Reading the leaders' files from another process: the page decides, and no file is taken for another."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from types import SimpleNamespace

import apsw
import pytest

from objstore.cluster.shared_page import PageReader, SharedPage
from objstore.consensus import ReplicaId
from objstore.metadata.catalog_file import identity_of
from objstore.metadata.commands import OpenShard
from objstore.metadata.followed_replicas import FollowedReplicas
from objstore.metadata.partitioning import partitions_of
from objstore.metadata.remote_writer import WriterEndpoint
from objstore.metadata.replicated_catalog import ReplicatedCatalog
from objstore.metadata.serving_board import SERVING_WORD, ServingBoard
from objstore.model.errors import CorruptRecord, DriveUnavailable
from objstore.testing.catalog_kit import CommandKit, bucket_record
from objstore.testing.framed_pair import beside
from objstore.testing.replica_group import open_group

BUCKET = bucket_record()
(PARTITION,) = partitions_of(BUCKET.bucket_id, BUCKET.spread)


@asynccontextmanager
async def opened(directory):
    """A group, and what another process has of it."""
    page = SharedPage()
    reader = PageReader(os.dup(page.descriptor), owner_pid=os.getppid())
    async with open_group(directory) as group:
        board = ServingBoard(page, group.keeper.suspect)
        group.keeper.publish_to(board.show)
        methods = {**board.methods, **WriterEndpoint(group.catalog.submit_to).methods}
        async with beside(directory, methods) as owner:
            followed = FollowedReplicas(reader, owner)
            catalog = ReplicatedCatalog(followed)
            kit = CommandKit(BUCKET.bucket_id)
            await catalog.submit_all(BUCKET, OpenShard, op_id=kit.next_id(), at=kit.at)
            yield SimpleNamespace(
                group=group, followed=followed, catalog=catalog, kit=kit, page=page, board=board
            )
            followed.close()
    reader.close()
    page.close()


async def write(side, body):
    await side.catalog.submit(BUCKET, b"k", side.kit.put(b"k", body))


async def suspected(side):
    """A look-up of the worker fails as it does on a drive that goes bad, or because of something here."""
    error = apsw.CantOpenError("broken")
    assert await side.followed.suspect(side.followed.at(PARTITION), (PARTITION,), error)


async def found(side):
    state = await side.catalog.find(BUCKET, b"k")
    return state.version.body.data


def test_nothing_is_read_while_nobody_serves(tmp_path) -> None:
    """Between two leaders an old file may lack what the new one acknowledges next: the reader has to wait."""

    async def scenario():
        async with opened(tmp_path) as side:
            await write(side, b"1")
            served = side.page[SERVING_WORD + PARTITION]
            assert served
            side.board.show(PARTITION, None)
            assert not side.followed.is_serving(PARTITION)
            with pytest.raises(DriveUnavailable):
                side.followed.at(PARTITION)
            reading = asyncio.get_running_loop().create_task(found(side))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not reading.done()
            side.page[SERVING_WORD + PARTITION] = served
            assert await reading == b"1"

    asyncio.run(scenario())


def test_the_reader_follows_the_leader(tmp_path) -> None:
    """A write acknowledged by the next leader is not in the file of the last one."""

    async def scenario():
        async with opened(tmp_path) as side:
            for body in (b"1", b"2"):
                await write(side, body)
                assert await found(side) == body
                keeper = side.group.keeper
                leader = keeper.at(PARTITION)
                assert side.followed.at(PARTITION).number == side.page[SERVING_WORD + PARTITION]
                lost = keeper.remove(leader.replica)
                lost.abandon(DriveUnavailable("lost"))
                assert not side.followed.is_serving(PARTITION)
                if body == b"2":
                    break
                await write(side, b"after")
                assert await found(side) == b"after"
                keeper.add(side.group.open(leader.replica))

    asyncio.run(scenario())


def test_a_name_that_leads_to_another_file_is_not_opened(tmp_path) -> None:
    """After a wipe the name may lead to a new file, or to one without its WAL: both lack what was acknowledged."""

    async def scenario():
        async with opened(tmp_path) as side:
            await write(side, b"1")
            leader = side.group.keeper.at(PARTITION)
            own = leader.identity
            assert identity_of(leader.path) == own
            side.followed.close()
            wal = leader.path.with_name(leader.path.name + "-wal")
            shutil.copyfile(wal, tmp_path / "copy")
            wal.unlink()
            shutil.copyfile(tmp_path / "copy", wal)
            await side.followed.open()
            assert not side.followed.is_serving(PARTITION)
            side.group.keeper.remove(ReplicaId(leader.replica)).abandon(DriveUnavailable("wiped"))
            assert await found(side) == b"1"
            assert side.followed.at(PARTITION).number != 0

    asyncio.run(scenario())


def test_a_file_that_fails_here_is_looked_at_by_the_owner_and_opened_anew(tmp_path) -> None:
    """A reader's failure may be the drive's: the owner decides, and a drive that is well goes on serving."""

    async def scenario():
        async with opened(tmp_path) as side:
            await write(side, b"1")
            assert await found(side) == b"1"
            before = side.followed.at(PARTITION)
            await suspected(side)
            assert not side.followed.is_serving(PARTITION)
            assert await found(side) == b"1"
            after = side.followed.at(PARTITION)
            assert (after.number, after is before) == (before.number, False)
            leader = side.group.keeper.at(PARTITION)
            leader.reader.close()
            await suspected(side)
            assert await found(side) == b"1"
            assert leader.failure is not None
            assert side.followed.at(PARTITION).number != before.number

    asyncio.run(scenario())


def damage(path):
    """Change a byte of the record, as a drive does that gives back something else than was written.

    Without a sync: the store does not wait for others that write its file, so this must be over in microseconds.
    """
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(20_000)
    connection.execute("PRAGMA synchronous=OFF")
    record = bytearray(connection.execute("SELECT record FROM objects").get)
    record[-1] ^= 1
    connection.execute("UPDATE objects SET record=?", (bytes(record),))
    connection.close()


def test_a_damaged_row_makes_another_replica_lead(tmp_path) -> None:
    """Whoever finds it, owner or worker: the same look-up is answered by the next leader; the replica is known as damaged."""

    async def scenario():
        async with opened(tmp_path) as side:
            await write(side, b"1")
            keeper = side.group.keeper
            leader = keeper.at(PARTITION)
            damage(leader.path)
            assert await found(side) == b"1"
            assert keeper.at(PARTITION) is not leader
            async with asyncio.timeout(60):
                while keeper.fault_of(leader.replica) is None:  # noqa: ASYNC110 - a time that passes
                    await asyncio.sleep(0.05)
            assert isinstance(keeper.fault_of(leader.replica), CorruptRecord)
            assert keeper.can_spare(leader.replica)
            state = await side.group.catalog.find(BUCKET, b"k")
            assert state.version.body.data == b"1"

    asyncio.run(scenario())


def test_a_row_that_is_damaged_everywhere_is_told_as_such(tmp_path) -> None:
    """After each replica was asked once; nobody waits, and no replica is held to be worse than the others."""

    async def scenario():
        async with opened(tmp_path) as side:
            await write(side, b"1")
            keeper = side.group.keeper
            for store in keeper.stores:
                await applied(store.path)
                damage(store.path)
            for catalog in (side.catalog, side.group.catalog):
                with pytest.raises(CorruptRecord):
                    await catalog.find(BUCKET, b"k")
            assert [keeper.fault_of(store.replica) for store in keeper.stores] == [None] * 3

    asyncio.run(scenario())


async def applied(path):
    """Wait until a follower has the row."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    async with asyncio.timeout(20):
        while connection.execute("SELECT 1 FROM objects").get is None:  # noqa: ASYNC110 - another thread applies
            await asyncio.sleep(0.01)
    connection.close()
