"""The stores of a node: founded once, opened for what they are, and let go of before anybody else takes the file."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, closing

import apsw
import pytest

from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.metadata.catalog_file import CATALOG_FILE_NAME, FORMAT_VERSION
from objstore.metadata.commands import OpenShard
from objstore.metadata.log_driver import CatalogWriter
from objstore.metadata.partitioning import PARTITIONS_COUNT, partitions_of
from objstore.model.errors import CorruptRecord, DriveUnavailable, UnknownFormat
from objstore.model.names import DriveId, PartitionId
from objstore.placement import Ring
from objstore.server.drive_sites import Site
from objstore.server.replicas import NodeReplicas
from objstore.testing.catalog_kit import CommandKit, bucket_record

BUCKET = bucket_record()
(PARTITION,) = partitions_of(BUCKET.bucket_id, BUCKET.spread)
KIT = CommandKit(BUCKET.bucket_id)


@pytest.fixture
def sites(tmp_path):
    """Three directories with drives in service."""
    made = []
    for number in range(3):
        directory = tmp_path / f"d{number}"
        directory.mkdir()
        made.append(Site(directory, DriveId(f"drive-{number}"), drive=object()))
    return made


@asynccontextmanager
async def opened(sites, *, fresh=()):
    """The stores of a node, kept by their keeper."""
    async with SqliteControlStore.open(sites[0].directory.parent / "control.sqlite") as control:
        replicas = NodeReplicas(control)
        await replicas.open(sites, fresh=fresh)
        keeping = asyncio.create_task(replicas.keeper.run())  # noqa: TID251 - ended below, whatever happens
        try:
            yield replicas, control
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await replicas.close()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the conditions are of several threads
            await asyncio.sleep(0.01)


async def write(replicas, body):
    await replicas.catalog.submit(BUCKET, b"k", KIT.put(b"k", body))


async def found(replicas):
    return (await replicas.catalog.find(BUCKET, b"k")).version.body.data


async def open_bucket(replicas):
    await replicas.catalog.submit_all(BUCKET, OpenShard, op_id=KIT.next_id(), at=KIT.at)


async def first_life(sites):
    """Make everything, and write once."""
    async with opened(sites) as (replicas, _):
        await open_bucket(replicas)
        await write(replicas, b"1")


def test_a_store_is_founded_once_and_found_again(sites):
    """The second start must not make members that know nothing (trap T2)."""

    async def scenario():
        await first_life(sites)
        async with opened(sites) as (replicas, control):
            assert await found(replicas) == b"1"
            await until(lambda: replicas.keeper.census().states["leader"] == PARTITIONS_COUNT)
            assert replicas.keeper.census().states["offline"] == 0
            assert len(await control.list("rings/metadata/")) == 1

    asyncio.run(scenario())


def test_a_catalogue_that_is_gone_is_not_begun_again_under_the_same_name(sites):
    """An empty replica with the id of one that voted would forget its votes (trap T2); the others go on."""

    async def scenario():
        await first_life(sites)
        path = sites[0].directory / CATALOG_FILE_NAME
        path.unlink()
        async with opened(sites) as (replicas, _):
            assert isinstance(replicas.fault_of(sites[0].drive_id), CorruptRecord)
            assert not path.exists()
            assert await found(replicas) == b"1"
            await write(replicas, b"2")
            assert await found(replicas) == b"2"

    asyncio.run(scenario())


def test_a_catalogue_of_a_newer_version_stays_as_it_is(sites):
    """Somebody started an old program: nothing is lost by that."""

    async def scenario():
        await first_life(sites)
        path = sites[1].directory / CATALOG_FILE_NAME
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute(f"PRAGMA user_version={FORMAT_VERSION + 1}")
        before = path.read_bytes()
        async with opened(sites) as (replicas, _):
            assert isinstance(replicas.fault_of(sites[1].drive_id), UnknownFormat)
            assert await found(replicas) == b"1"
        assert path.read_bytes() == before

    asyncio.run(scenario())


def test_the_catalogue_of_one_directory_becomes_the_first_replica(sites):
    """More directories are named at the next start: what is there is copied to the others, which then vote."""

    async def scenario():
        writer = CatalogWriter(
            sites[0].directory / CATALOG_FILE_NAME, on_fatal=lambda error: pytest.fail(str(error))
        )
        writer.start()
        fields = {"op_id": KIT.next_id(), "at": KIT.at, "bucket_id": BUCKET.bucket_id}
        await writer.submit(PARTITION, OpenShard(**fields))
        await writer.submit(PARTITION, KIT.put(b"k", b"old"))
        await writer.close()
        async with opened(sites) as (replicas, _):
            assert await found(replicas) == b"old"
            await until(lambda: not replicas.keeper.unaligned())
            replicas.leave(sites[0].drive_id, DriveUnavailable("gone"))
            assert await found(replicas) == b"old"

    asyncio.run(scenario())


def test_a_drive_that_left_comes_back_when_nothing_is_at_work_in_its_file(sites):
    """Two writers of one file would be two histories."""

    async def scenario():
        await first_life(sites)
        async with opened(sites) as (replicas, _):
            site = sites[0]
            replicas.leave(site.drive_id, DriveUnavailable("unmounted"))
            await write(replicas, b"2")
            await until(lambda: replicas.has_let_go(site.drive_id))
            replicas.join(site, is_new=False)
            assert replicas.fault_of(site.drive_id) is None
            for other in sites[1:]:
                replicas.leave(other.drive_id, DriveUnavailable("unmounted"))
                await until(lambda other=other: replicas.has_let_go(other.drive_id))
                assert await found(replicas) == b"2"
                replicas.join(other, is_new=False)
            await write(replicas, b"3")
            assert await found(replicas) == b"3"

    asyncio.run(scenario())


def test_a_new_ring_is_published_only_for_other_drives(sites):
    """Each version moves replicas: there must be a reason. Everybody but the new drive keeps what it has."""

    async def scenario():
        async with opened(sites) as (replicas, control):
            drives = [site.drive_id for site in sites]
            await replicas.place(list(reversed(drives)))
            assert len(await control.list("rings/metadata/")) == 1
            await replicas.place([*drives, DriveId("drive-3")])
            first, second = (
                Ring.decode(item.value) for item in await control.list("rings/metadata/")
            )
            assert (first.version, second.version) == (1, 2)
            moved = sum(
                len(set(second.homes(number)) - set(first.homes(number)))
                for number in map(PartitionId, range(PARTITIONS_COUNT))
            )
            assert moved <= 1.05 * PARTITIONS_COUNT * 3 / 4

    asyncio.run(scenario())
