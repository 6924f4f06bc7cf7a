"""The sweep: what nothing refers to goes, what anything refers to stays, whatever happens at the same time (rule T9)."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from objstore.metadata.commands import PutVersion, RaiseFence
from objstore.metadata.partitioning import PARTITIONS_COUNT, partition_of
from objstore.model.errors import (
    CorruptRecord,
    NoSuchKey,
    OperationAborted,
    QuorumNotReached,
)
from objstore.model.instant import Instant
from objstore.model.names import ObjectKey, PartitionId
from objstore.model.objects import Scheme, Versioning
from objstore.s3.inputs import (
    CompletedPart,
    CompleteMultipartUploadInput,
    CopyDestination,
    CopyObjectInput,
    CopySource,
    CreateMultipartUploadInput,
    NewObject,
    ReadConditions,
    UploadPartInput,
)
from objstore.service.copying import CopyService
from objstore.service.maintenance import MoveGuard, Repairer, WorkerState
from objstore.service.multipart import MultipartService
from objstore.service.objects import ObjectService
from objstore.service.sweep import Places, Sweeper, SweepSettings
from objstore.storage.format import parse_name

BIG = b"x" * 10_000
"""Three blocks."""
DAY_MS = 86_400_000
KEY = ObjectKey(b"m")


def sweeper_of(world, *, catalog=None, guard=None, **settings):
    homes = world.store._homes
    settings = {"age_s": 86_400.0, "every_s": 3_600.0, "slice_rows": 3, **settings}
    return Sweeper(
        catalog or world.plain_catalog,
        Places({drive.drive_id: drive for drive in world.drives}, homes),
        world.ids,
        world.clock,
        settings=SweepSettings(**settings),
        guard=guard or MoveGuard(),
    )


def later(world, days=2):
    world.clock.at = Instant(world.clock.at + days * DAY_MS)


class Body:
    size = None

    def __init__(self, data):
        self._view = memoryview(data)

    async def read_into(self, buffer):
        piece, self._view = self._view[: len(buffer)], self._view[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


async def leave(world, data=BIG, part=0):
    """Leave shards that nobody refers to, as a crash before the commit does."""
    return await world.store.write(world.ids.data(world.clock.now()), part, Body(data))


async def upload(world, bucket, *parts, service=None, complete=False):
    service = service or world.uploads
    made = await service.create_multipart_upload(
        world.call(bucket), CreateMultipartUploadInput(bucket.name, KEY, NewObject())
    )
    done = []
    for number, data in enumerate(parts, 1):
        answer = await service.upload_part(
            world.call(bucket, world.body(data)),
            UploadPartInput(bucket.name, KEY, made.upload_id, number),
        )
        done.append(CompletedPart(number, answer.etag))
    if complete:
        await finish(world, bucket, made.upload_id, done, service)
    return made.upload_id, done


async def finish(world, bucket, upload_id, done, service=None):
    await (service or world.uploads).complete_multipart_upload(
        world.call(bucket),
        CompleteMultipartUploadInput(bucket.name, KEY, upload_id, tuple(done)),
    )


# --- what goes, what stays


def test_shards_without_a_reference_go(run):
    """Crashes leave them; without the sweep a disk fills with bytes that nobody can see or delete."""

    async def story(world):
        await world.bucket()
        await leave(world)
        later(world)
        sweeper = sweeper_of(world)
        report = await sweeper.sweep()
        assert world.files_count() == 0
        assert (report.trashed_shards, report.scanned) == (9, 9)
        assert report.trashed_bytes == 3 * (len(BIG) + 3 * 4096)
        assert sweeper.trashed_bytes == report.trashed_bytes
        assert sweeper.ended_at == world.clock.at
        assert all(len(drive._trash) == 3 for drive in world.drives)

    run(story, drives_count=3)


@pytest.mark.parametrize("references_max", [4_000_000, 2])
def test_everything_that_is_referred_to_stays(run, references_max):
    """Objects, old versions, parts of open and finished uploads, deleted data that the collector has still to remove."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        for number in range(4):
            await world.put(bucket, b"k%d" % number, b"%d" % number * 10_000)
            await world.put(bucket, b"k%d" % number, b"new%d" % number * 1_000)
        await world.delete(bucket, b"k0")
        await upload(world, bucket, BIG, complete=True)
        await upload(world, bucket, BIG)
        other = await world.bucket("other")
        await world.put(other, KEY, BIG)
        await world.delete(other, KEY)
        held = world.files_count()
        later(world)
        await leave(world)
        later(world)
        report = await sweeper_of(world, references_max=references_max).sweep()
        assert (report.trashed_shards, world.files_count()) == (3, held)
        assert (report.passes > 1) == (references_max == 2)
        assert await world.get(bucket, b"k1") == b"new1" * 1_000
        assert await world.get(bucket, KEY) == BIG

    run(story)


def test_what_is_young_stays(run):
    """It may belong to an upload that goes on."""

    async def story(world):
        await world.bucket()
        await leave(world)
        later(world, 1)
        assert (await sweeper_of(world).sweep()).trashed_shards == 0
        world.clock.at = Instant(world.clock.at + 1)
        assert (await sweeper_of(world).sweep()).trashed_shards == 3

    run(story)


def test_foreign_files_stay(run):
    """Only names that the store gives are the store's to remove."""

    async def story(world):
        await world.bucket()
        later(world)
        drive = world.drives[0]

        async def list_names(_directory):
            return ("notes.txt", "0" * 32)

        drive.list_names = list_names
        assert (await sweeper_of(world).sweep()).trashed_shards == 0

    run(story)


# --- the fence


class Hooked:
    """A catalogue that lets something happen before each call."""

    def __init__(self, inner, hook):
        self._inner = inner
        self._hook = hook

    def __getattr__(self, name):
        async def call(*arguments, **named):
            await self._hook(name, arguments)
            return await getattr(self._inner, name)(*arguments, **named)

        return call


def test_fence_holds_for_partitions_that_do_not_exist_yet(run):
    """A bucket may open its first shard in any partition after the fence; there, too, old data must be refused."""

    async def story(world):
        fenced = set()

        async def note(name, arguments):
            if name == "submit_to":
                assert isinstance(arguments[1], RaiseFence)
                fenced.add(arguments[0])

        old = await leave(world)
        later(world)
        await sweeper_of(world, catalog=Hooked(world.plain_catalog, note)).sweep()
        assert fenced == set(range(PARTITIONS_COUNT))
        bucket = await world.bucket("made-after-the-fence")
        await world.put(bucket, KEY, BIG)
        version = (await world.catalog.find(bucket, KEY)).version
        body = msgspec.structs.replace(version.body, extent=old)
        command = PutVersion(
            op_id=world.ids.op(),
            at=world.clock.now(),
            bucket_id=bucket.bucket_id,
            version=msgspec.structs.replace(version, body=body),
        )
        with pytest.raises(OperationAborted):
            await world.catalog.submit(bucket, KEY, command)

    run(story)


async def _put(world, bucket, catalog):
    objects = ObjectService(catalog, world.ingest, world.reader, world.ids)
    world.objects = objects
    await world.put(bucket, KEY, BIG)


async def _copy(world, bucket, catalog):
    copies = CopyService(catalog, world.ingest, world.sources, world.ids)
    source = CopySource(bucket.name, ObjectKey(b"source"), None, ReadConditions())
    destination = CopyDestination(
        NewObject(),
        replaces_metadata=False,
        replaces_tags=False,
        has_storage_class=False,
        has_redirect=False,
        checksum_algorithm=None,
    )
    request = CopyObjectInput(bucket.name, KEY, source, destination)
    await copies.copy_object(world.call(bucket), request)


async def _part(world, bucket, catalog):
    service = MultipartService(catalog, world.ingest, world.sources, world.ids)
    await upload(world, bucket, BIG, service=service)


@pytest.mark.parametrize("write", [_put, _copy, _part])
@pytest.mark.parametrize("days", [0, 2])
def test_sweep_between_the_bytes_and_the_commit(run, write, days):
    """A write that took longer than a day is refused and stores nothing; a younger one is not touched."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"source", BIG)
        held = world.files_count()

        async def sweep(name, arguments):
            if name == "submit" and "Create" not in type(arguments[2]).__name__:
                assert world.files_count() == held + 3
                later(world, days)
                await sweeper_of(world).sweep()

        catalog = Hooked(world.plain_catalog, sweep)
        if days:
            with pytest.raises(OperationAborted):
                await write(world, bucket, catalog)
            assert world.files_count() == held
            with pytest.raises(NoSuchKey):
                await world.get(bucket, KEY)
        else:
            await write(world, bucket, catalog)
            assert world.files_count() == held + 3
        assert await world.get(bucket, b"source") == BIG

    run(story)


@pytest.mark.parametrize("moment", range(0, 40, 3))
def test_complete_during_a_sweep(run, moment):
    """An upload of last week is completed, overwritten and completed again between any two steps of a sweep."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        await world.put(bucket, b"k", b"first" * 1_000)
        upload_id, done = await upload(world, bucket, BIG)
        later(world, 7)
        steps = 0

        async def disturb(name, arguments):
            nonlocal steps
            if name != "references" or arguments[0] != partition:
                return
            steps += 1
            if steps == 1 + moment % 4:
                await finish(world, bucket, upload_id, done)
                await world.put(bucket, b"k", b"second" * 1_000)

        partition = partition_of(bucket.bucket_id, 1, KEY)
        catalog = Hooked(world.plain_catalog, disturb)
        await sweeper_of(world, catalog=catalog, slice_rows=1 + moment // 12).sweep()
        if steps < 1 + moment % 4:
            await finish(world, bucket, upload_id, done)
        assert await world.get(bucket, KEY) == BIG
        old = (
            await world.plain_catalog.list_versions(
                bucket, prefix=b"k", delimiter=b"", after=(b"", None), limit=10
            )
        ).rows[-1]
        assert await world.get(bucket, b"k", version_id=old[8]) == b"first" * 1_000

    run(story)


# --- trouble


@pytest.mark.parametrize("call", ["submit_to", "references"])
@pytest.mark.parametrize("error", [QuorumNotReached(), CorruptRecord("damaged")])
def test_no_sweep_unless_every_partition_answers(run, call, error):
    """One partition out of 256 may hold the reference that is missing."""

    async def story(world):
        await world.bucket()
        await leave(world)
        later(world)

        async def fail(name, arguments):
            if name == call and arguments[0] == PartitionId(200):
                raise error

        held = world.files_count()
        sweeper = sweeper_of(world, catalog=Hooked(world.plain_catalog, fail))
        with pytest.raises(type(error)):
            await sweeper.sweep()
        assert (world.files_count(), sweeper.ended_at) == (held, 0)
        await sweeper_of(world).sweep()
        assert world.files_count() == 0

    run(story)


def test_drive_that_is_away_is_swept_next_time(run):
    """It must not keep the others from it."""

    async def story(world):
        await world.bucket()
        await leave(world)
        later(world)
        world.drives[1].is_away = True
        report = await sweeper_of(world).sweep()
        assert report.skipped_drives == {"d1"}
        assert [len(drive.files) for drive in world.drives] == [0, 3, 0]
        world.drives[1].is_away = False
        await sweeper_of(world).sweep()
        assert world.files_count() == 0

    run(story, drives_count=3)


@pytest.mark.parametrize("calls", [1, 100, 256, 300, 520, 600, 767])
def test_crash_in_the_middle_costs_nothing(run, calls):
    """The next process begins anew: nothing of a sweep is remembered but its fence."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, KEY, BIG)
        for _ in range(3):
            await leave(world)
        later(world)
        left = calls

        class Cut(Exception):
            pass

        async def cut(_name, _arguments):
            nonlocal left
            left -= 1
            if left == 0:
                raise Cut

        real = [drive.list_names for drive in world.drives]

        async def list_names(directory):
            await cut("", ())
            return await real[0](directory)

        world.drives[0].list_names = list_names
        with pytest.raises(Cut):
            await sweeper_of(world, catalog=Hooked(world.plain_catalog, cut)).sweep()
        world.drives[0].list_names = real[0]
        assert await world.get(bucket, KEY) == BIG
        await sweeper_of(world).sweep()
        assert world.files_count() == 3
        assert await world.get(bucket, KEY) == BIG

    run(story)


# --- copies in two places


async def doubled(world):
    """Return a bucket and its object, one shard of which went to a spare and has come home since."""
    bucket = await world.bucket()
    world.drives[0].is_away = True
    await world.put(bucket, KEY, b"x" * 100)
    world.drives[0].is_away = False
    (entry,) = (await world.catalog.find(bucket, KEY)).version.body.extent.misplaced
    (name,) = next(d for d in world.drives if d.drive_id == entry.drive).files
    world.drives[0].files[name] = next(iter(world.drives[3].files.values()))
    return bucket, name


def test_copy_where_the_catalogue_does_not_know_it_goes(run):
    """A home that answered too late holds what a spare took instead: the recorded place counts."""

    async def story(world):
        bucket, _ = await doubled(world)
        later(world)
        report = await sweeper_of(world).sweep()
        assert (report.trashed_shards, report.left_over_copies) == (1, 1)
        assert [len(drive.files) for drive in world.drives] == [0, 1, 1, 1]
        assert await world.get(bucket, KEY) == b"x" * 100

    run(story, drives_count=4, scheme=Scheme(1, 2))


def test_copy_stays_while_the_right_one_is_not_intact(run):
    """It may be the last good one."""

    async def story(world):
        bucket, name = await doubled(world)
        drive = next(drive for drive in world.drives[1:] if name in drive.files)
        drive.flip(parse_name(name), 4096, 1)
        later(world)
        assert (await sweeper_of(world).sweep()).trashed_shards == 0
        drive.is_away = True
        assert (await sweeper_of(world).sweep()).trashed_shards == 0
        assert await world.get(bucket, KEY) == b"x" * 100

    run(story, drives_count=4, scheme=Scheme(1, 2))


@pytest.mark.parametrize("when", ["before", "between"])
def test_copy_stays_while_a_repair_moves_shards(run, when):
    """A repair has written the copy, and the record is about to name it: the other one is the left-over then."""

    async def story(world):
        bucket, _ = await doubled(world)
        later(world)
        extent = (await world.catalog.find(bucket, KEY)).version.body.extent
        guard = MoveGuard()
        walks = 0

        async def move(call, arguments):
            nonlocal walks
            walks += call == "references" and arguments[0] == 0
            if (when, call, walks) in {("before", "submit_to", 0), ("between", "references", 2)}:
                async with guard.moving(extent):
                    pass

        catalog = Hooked(world.plain_catalog, move)
        assert (await sweeper_of(world, catalog=catalog, guard=guard).sweep()).trashed_shards == 0
        report = await sweeper_of(world, guard=guard).sweep()
        assert report.left_over_copies == 1

    run(story, drives_count=4, scheme=Scheme(1, 2))


def test_repairs_hold_the_sweep_off(run):
    """The repairer tells the guard before it touches a shard, and again only when the record is changed."""

    async def story(world):
        bucket = await world.bucket()
        world.drives[2].is_away = True
        await world.put(bucket, KEY, b"x" * 100)
        world.drives[2].is_away = False
        extent = (await world.catalog.find(bucket, KEY)).version.body.extent
        repairer = Repairer(world.plain_catalog, world.ids, world.clock)
        repairer.serve(world.store)
        await repairer.guard.mark()
        async with repairer.guard.unmoved(extent) as is_unmoved:
            assert is_unmoved
        await repairer.work()
        async with repairer.guard.unmoved(extent) as is_unmoved:
            assert not is_unmoved

    run(story, drives_count=3)


# --- the job


def test_job_waits_sweeps_and_waits(run):
    """Not at once after the start, when there is most to do, and then at its interval."""

    async def story(world):
        await world.bucket()
        sweeper = sweeper_of(world, age_s=0.001, every_s=600.0)
        ended = []
        for _ in range(12):
            assert await sweeper.work() is WorkerState.IDLE
            ended.append(sweeper.ended_at > 0 and sweeper.ended_at == world.clock.at)
            world.clock.at = Instant(world.clock.at + 100_000)
        assert ended == [number in {3, 9} for number in range(12)]
        with anyio.move_on_after(0.01) as scope:
            await sweeper.wait_for_work()
        assert scope.cancelled_caught

    run(story)


def test_clock_that_is_set_forward_fences_nobody(run):
    """A fence never goes back: one that lies in the future would refuse all writes until then."""

    async def story(world):
        bucket = await world.bucket()
        sweeper = sweeper_of(world)
        right = world.clock.at
        world.clock.monotonic_s = lambda: right / 1000 + 3_600
        world.clock.at = Instant(right + 400 * DAY_MS)
        report = await sweeper.sweep()
        assert report.before == right + 3_600_000 - DAY_MS
        world.clock.at = right
        await world.put(bucket, KEY, BIG)
        assert await world.get(bucket, KEY) == BIG

    run(story)
