"""Work in the background: space comes back, damage is mended, and trouble with one drive stops neither."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import msgspec
import pytest

from objstore.metadata.commands import ForgetGarbage
from objstore.model.errors import CorruptShard, DriveUnavailable, QuorumNotReached, UnreadableData
from objstore.model.instant import Instant
from objstore.model.names import DriveId, ObjectKey
from objstore.model.objects import Misplaced
from objstore.s3.inputs import (
    AbortMultipartUploadInput,
    CompletedPart,
    CompleteMultipartUploadInput,
    CreateMultipartUploadInput,
    NewObject,
    UploadPartInput,
)
from objstore.service import maintenance
from objstore.service.maintenance import (
    GarbageCollector,
    Repairer,
    TrashPurger,
    WorkerState,
    run_worker,
)
from objstore.storage.offline_drive import OfflineDrive
from objstore.testing.memory_drive import MemoryDrive

BIG = b"x" * 10_000
KEY = ObjectKey(b"m")


# --- the runner ---------------------------------------------------------------------------------------------------


class Scripted:
    """A job that does what a list says."""

    name = "scripted"

    def __init__(self, steps):
        self._steps = list(steps)
        self.log = []
        self.ended = anyio.Event()

    async def work(self):
        if not self._steps:
            self.ended.set()
            await anyio.sleep_forever()
        step = self._steps.pop(0)
        self.log.append("work")
        if isinstance(step, Exception):
            raise step
        return step

    async def wait_for_work(self):
        self.log.append("wait")


def run_script(monkeypatch, steps):
    """Run a job to the end of its list; return the job and the pauses of the runner."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)
        await anyio.lowlevel.checkpoint()

    async def story():
        job = Scripted(steps)
        monkeypatch.setattr(maintenance.anyio, "sleep", sleep)
        async with anyio.create_task_group() as group:
            group.start_soon(run_worker, job)
            await job.ended.wait()
            group.cancel_scope.cancel()
        return job

    return anyio.run(story), pauses


def test_busy_job_goes_on_and_idle_one_waits(monkeypatch):
    """No pause while there is more to do."""
    job, pauses = run_script(monkeypatch, [WorkerState.BUSY, WorkerState.BUSY, WorkerState.IDLE])
    assert job.log == ["work", "work", "work", "wait"]
    assert pauses == []


def test_failing_job_backs_off_and_recovers(monkeypatch):
    """Longer and longer, a minute at most; one success and it starts anew."""
    away = DriveUnavailable("gone")
    job, pauses = run_script(monkeypatch, [*[away] * 8, WorkerState.BUSY, away, WorkerState.IDLE])
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 2]
    assert job.log[-1] == "wait"


def test_bug_in_a_job_is_not_hidden(monkeypatch):
    """Only expected errors are tried again; a bug ends the node, loudly."""
    with pytest.raises(ExceptionGroup) as caught:
        run_script(monkeypatch, [KeyError("bug")])
    assert caught.group_contains(KeyError)


# --- garbage -------------------------------------------------------------------------------------------------------


def collector_of(world, *, catalog=None, data=None):
    return GarbageCollector(catalog or world.catalog, data or world.store, world.ids, world.clock)


async def _collect(world):
    """Collect all garbage and empty the trash."""
    world.clock.at = Instant(world.clock.at + 1)
    collector = collector_of(world)
    while await collector.work() is WorkerState.BUSY:
        pass
    world.clock.at = Instant(world.clock.at + 10_000)
    await TrashPurger(world.drives, world.clock, retention_s=5).work()


async def _upload(world, bucket, *parts):
    made = await world.uploads.create_multipart_upload(
        world.call(bucket), CreateMultipartUploadInput(bucket.name, KEY, NewObject())
    )
    done = []
    for number, data in parts:
        answer = await world.uploads.upload_part(
            world.call(bucket, world.body(data)),
            UploadPartInput(bucket.name, KEY, made.upload_id, number),
        )
        done.append(CompletedPart(number, answer.etag))
    return made.upload_id, done


async def _overwritten(world, bucket):
    await world.put(bucket, KEY, BIG)
    await world.put(bucket, KEY, b"small")


async def _deleted(world, bucket):
    await world.put(bucket, KEY, BIG)
    await world.delete(bucket, KEY)


async def _aborted(world, bucket):
    upload_id, _ = await _upload(world, bucket, (1, BIG), (2, BIG))
    await world.uploads.abort_multipart_upload(
        world.call(bucket), AbortMultipartUploadInput(bucket.name, KEY, upload_id)
    )


async def _replaced_and_left_out(world, bucket):
    """A part that was sent twice, and one that Complete does not name; then the object goes, too."""
    upload_id, done = await _upload(world, bucket, (1, BIG), (1, b"y" * 9_000), (2, BIG))
    await world.uploads.complete_multipart_upload(
        world.call(bucket),
        CompleteMultipartUploadInput(bucket.name, KEY, upload_id, (done[1],)),
    )
    await _collect(world)
    assert (
        world.files_count() == 9
    )  # three blocks in three copies: of the part that the object is made of
    await world.delete(bucket, KEY)


async def _bucket_deleted_with_open_upload(world, bucket):
    await _upload(world, bucket, (1, BIG))
    await world.delete_bucket(bucket)


@pytest.mark.parametrize(
    "waste",
    [_overwritten, _deleted, _aborted, _replaced_and_left_out, _bucket_deleted_with_open_upload],
)
def test_space_is_really_given_back(run, waste):
    """Whatever makes bytes useless, the files go (users lose disks to stores that forget)."""

    async def story(world):
        bucket = await world.bucket()
        await waste(world, bucket)
        assert world.files_count() > 0
        await _collect(world)
        assert world.files_count() == 0
        for drive in world.drives:
            assert drive._trash == {}
            usage = await drive.usage()
            assert usage.free_bytes == usage.total_bytes

    run(story, drives_count=3)


def test_running_download_survives_the_delete(run):
    """Deleted bytes rest in the trash for a while."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, KEY, BIG)
        version = (await world.catalog.find(bucket, KEY)).version
        stream = await world.reader.open(bucket, version, 0, len(BIG))
        read = [bytes(await anext(stream))]
        await world.delete(bucket, KEY)
        world.clock.at = Instant(world.clock.at + 1)
        await collector_of(world).work()
        await TrashPurger(world.drives, world.clock, retention_s=60).work()
        read += [bytes(piece) async for piece in stream]
        assert b"".join(read) == BIG

    run(story)


def test_shards_go_before_the_row(run):
    """A crash in between repeats the delete; the other order would forget the shards for ever."""

    async def story(world):
        bucket = await world.bucket()
        await _deleted(world, bucket)
        world.clock.at = Instant(world.clock.at + 1)

        class Refusing:
            def __getattr__(self, name):
                return getattr(world.catalog, name)

            async def submit_to(self, _partition, command):
                assert isinstance(command, ForgetGarbage)
                assert world.files_count() == 0
                raise QuorumNotReached

        with pytest.raises(QuorumNotReached):
            await collector_of(world, catalog=Refusing()).work()
        assert len(await world.catalog.garbage(before_ms=2**50, limit=10)) == 1
        await collector_of(world).work()
        assert await world.catalog.garbage(before_ms=2**50, limit=10) == []

    run(story)


def test_drive_that_is_away_keeps_the_row(run):
    """Its shards are still there; they go when it comes back."""

    async def story(world):
        bucket = await world.bucket()
        await _deleted(world, bucket)
        world.drives[1].is_away = True
        await _collect(world)
        assert len(await world.catalog.garbage(before_ms=2**50, limit=10)) == 1
        assert [len(drive.files) for drive in world.drives] == [0, 3, 0]
        world.drives[1].is_away = False
        await _collect(world)
        assert await world.catalog.garbage(before_ms=2**50, limit=10) == []
        assert world.files_count() == 0

    run(story, drives_count=3)


def test_drive_that_stays_away_does_not_stop_the_collection(run, monkeypatch):
    """Every extent has a shard on the lost drive; the others must get all their space back nevertheless."""
    monkeypatch.setattr(maintenance, "_BATCH", 4)

    async def story(world):
        bucket = await world.bucket()
        for number in range(11):
            await world.put(bucket, b"k%d" % number, b"x" * 100)
            await world.delete(bucket, b"k%d" % number)
        world.drives[2].is_away = True
        await _collect(world)
        assert [len(drive.files) for drive in world.drives] == [0, 0, 11]
        world.drives[2].is_away = False
        await _collect(world)
        assert world.files_count() == 0

    run(story, drives_count=3)


def test_collector_is_patient_while_drives_are_away(run, monkeypatch):
    """It walks the whole queue again then, so it does that less often."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    async def story(world):
        bucket = await world.bucket()
        await _deleted(world, bucket)
        world.clock.at = Instant(world.clock.at + 1)
        collector = collector_of(world)
        monkeypatch.setattr(maintenance.anyio, "sleep", sleep)
        world.drives[0].is_away = True
        await collector.work()
        await collector.wait_for_work()
        world.drives[0].is_away = False
        await collector.work()
        await collector.wait_for_work()
        assert pauses == [60.0, 5.0]

    run(story)


# --- trash -----------------------------------------------------------------------------------------------------------


def test_purger_passes_over_drives_that_are_offline(run):
    """The order of drives must not decide who gets space back; what is too young stays."""

    async def story(world):
        bucket = await world.bucket()
        await _deleted(world, bucket)
        world.clock.at = Instant(world.clock.at + 1)
        await collector_of(world).work()
        drives = [OfflineDrive(DriveId("lost"), "no mount"), *world.drives]
        purger = TrashPurger(drives, world.clock, retention_s=10)
        world.clock.at = Instant(world.clock.at + 10_000)
        assert await purger.work() is WorkerState.IDLE
        assert len(world.drives[0]._trash) == 3
        world.clock.at = Instant(world.clock.at + 1)
        await purger.work()
        assert world.drives[0]._trash == {}

    run(story)


@pytest.mark.parametrize(("retention_s", "pause_s"), [(0.0, 1.0), (20.0, 10.0), (86_400.0, 300.0)])
def test_purger_looks_again_in_time(monkeypatch, retention_s, pause_s):
    """A short retention is kept nearly to the second, a long one costs no work."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr(maintenance.anyio, "sleep", sleep)
    anyio.run(TrashPurger([], None, retention_s=retention_s).wait_for_work)
    assert pauses == [pause_s]


# --- repair ----------------------------------------------------------------------------------------------------------


def repairer_of(world):
    repairer = Repairer(world.catalog, world.ids, world.clock)
    repairer.serve(world.store)
    return repairer


def test_shard_that_was_not_written_is_made_later(run):
    """A write that succeeded with a drive away is in the queue, durably, until it is whole."""

    async def story(world):
        bucket = await world.bucket()
        world.drives[2].is_away = True
        await world.put(bucket, KEY, b"x" * 100)
        extent = (await world.catalog.find(bucket, KEY)).version.body.extent
        assert extent.misplaced == (Misplaced(0, 2, None),)
        repairer = repairer_of(world)
        assert await repairer.work() is WorkerState.IDLE
        assert len(await world.catalog.repairs(limit=10)) == 1
        world.drives[2].is_away = False
        await repairer.work()
        assert await world.catalog.repairs(limit=10) == []
        assert len(world.drives[2].files) == 1
        assert (await world.catalog.find(bucket, KEY)).version.body.extent.misplaced == ()

    run(story, drives_count=3)


def test_extents_that_wait_do_not_keep_others_waiting(run, monkeypatch):
    """More extents than a batch wait for one drive; those behind them can be mended at once."""
    monkeypatch.setattr(maintenance, "_REPAIR_BATCH", 2)

    async def story(world):
        bucket = await world.bucket()
        for away, keys in ((2, 5), (1, 3)):
            world.drives[away].is_away = True
            for number in range(keys):
                await world.put(bucket, b"%d-%d" % (away, number), b"x" * 100)
                world.clock.at = Instant(world.clock.at + 1)
            world.drives[away].is_away = False
        world.drives[2].is_away = True
        repairer = repairer_of(world)
        while await repairer.work() is WorkerState.BUSY:
            pass
        left = await world.catalog.repairs(limit=100)
        assert sorted(item.key for _, item in left) == [b"2-%d" % number for number in range(5)]

    run(story, drives_count=3)


def test_part_of_an_open_upload_is_repaired(run):
    """The row to change is the part's."""

    async def story(world):
        bucket = await world.bucket()
        world.drives[2].is_away = True
        upload_id, _ = await _upload(world, bucket, (1, BIG))
        world.drives[2].is_away = False
        await repairer_of(world).work()
        (part,) = await world.catalog.find_parts(bucket, KEY, upload_id, [1])
        assert part.body.extent.misplaced == ()
        assert await world.catalog.repairs(limit=10) == []

    run(story, drives_count=3)


def test_damage_that_a_reader_met_is_mended(run):
    """The download is right, and the bad shard is replaced from the others."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, KEY, b"x" * 100)
        (name,) = world.drives[0].files
        whole = world.drives[0].files[name]
        world.drives[0].files[name] = whole[:-1] + b"\xff"
        assert await world.get(bucket, KEY) == b"x" * 100
        repairer = repairer_of(world)
        for report in world.damage:
            repairer.report_damage(*report)
        with anyio.fail_after(4):
            await repairer.wait_for_work()
        await repairer.work()
        assert world.drives[0].files[name] == whole

    run(story, drives_count=3)


def test_only_damage_is_noted_and_not_without_bound(run, monkeypatch):
    """A drive that is away is no damage; and every further read reports what was left out."""
    monkeypatch.setattr(maintenance, "_DAMAGED_MAX", 2)

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, KEY, BIG)
        extent = (await world.catalog.find(bucket, KEY)).version.body.extent
        repairer = Repairer(world.catalog, world.ids, world.clock)
        assert await repairer.work() is WorkerState.IDLE
        repairer.report_damage(extent, 0, 0, DriveUnavailable("away"))
        assert repairer._damaged == {}
        for block in range(3):
            repairer.report_damage(extent, block, 0, CorruptShard("bad"))
        assert len(repairer._damaged) == 2

    run(story)


def test_hopeless_damage_does_not_stay_in_the_way(run):
    """Too little is left to rebuild it: the job fails, backs off, and goes on with the rest."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"lost", b"x" * 100)
        await world.put(bucket, b"hurt", b"y" * 100)
        lost = (await world.catalog.find(bucket, b"lost")).version.body.extent
        hurt = (await world.catalog.find(bucket, b"hurt")).version.body.extent
        for drive in world.drives:
            for name in list(drive.files):
                if lost.data_id.hex() in name:
                    del drive.files[name]
        (name,) = world.drives[0].files
        del world.drives[0].files[name]
        repairer = repairer_of(world)
        repairer.report_damage(hurt, 0, 0, CorruptShard("bad"))
        repairer.report_damage(lost, 0, 0, CorruptShard("bad"))
        failures = 0
        for _ in range(2):
            try:
                await repairer.work()
            except UnreadableData:
                failures += 1
        assert failures == 1
        assert name in world.drives[0].files

    run(story, drives_count=3)


def test_waiting_without_news_ends(monkeypatch, run):
    """The queue is looked at now and then although nobody reports damage."""
    monkeypatch.setattr(maintenance, "_IDLE_S", 0.0)

    async def story(world):
        with anyio.fail_after(60):
            await repairer_of(world).wait_for_work()

    run(story)


def test_repair_that_fails_for_now_keeps_what_is_known(run):
    """An extent whose other copies cannot be reached stays as it is recorded."""

    async def story(world):
        bucket = await world.bucket()
        world.drives[2].is_away = True
        await world.put(bucket, KEY, b"x" * 100)
        for drive in world.drives:
            drive.is_away = True
        await repairer_of(world).work()
        ((_, item),) = await world.catalog.repairs(limit=10)
        assert item.extent.misplaced == (Misplaced(0, 2, None),)
        assert msgspec.structs.asdict(item.extent)["size"] == 100
        assert isinstance(world.drives[0], MemoryDrive)

    run(story, drives_count=3)
