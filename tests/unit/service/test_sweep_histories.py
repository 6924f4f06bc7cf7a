"""Random histories with crashes and sweeps: what can be read stays, what nobody can read goes (reliability rule T9)."""

from __future__ import annotations

import hashlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from objstore.model.errors import ObjstoreError
from objstore.model.instant import Instant
from objstore.model.names import ObjectKey
from objstore.model.objects import ExtentBody, Scheme, Versioning
from objstore.replication.homes import located, shard_ids
from objstore.s3.inputs import (
    AbortMultipartUploadInput,
    CompletedPart,
    CompleteMultipartUploadInput,
    CreateMultipartUploadInput,
    NewObject,
    UploadPartInput,
)
from objstore.service.maintenance import GarbageCollector, Repairer, WorkerState
from objstore.service.sweep import Places, Sweeper, SweepSettings

DAY_MS = 86_400_000
KEYS = (b"a", b"b")

STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.sampled_from([10, 300, 5_000])),
    st.tuples(st.just("lose"), st.sampled_from(KEYS), st.booleans()),
    st.tuples(st.just("delete"), st.sampled_from(KEYS)),
    st.tuples(st.just("delete_version"), st.sampled_from(KEYS), st.integers(0, 3)),
    st.tuples(st.just("versioning"), st.sampled_from([Versioning.ENABLED, Versioning.SUSPENDED])),
    st.tuples(st.just("part"), st.sampled_from(KEYS), st.integers(1, 2)),
    st.tuples(st.just("finish"), st.sampled_from(KEYS), st.booleans()),
    st.tuples(st.just("drive"), st.integers(0, 3)),
    st.tuples(st.just("mend")),
    st.tuples(st.just("collect")),
    st.tuples(st.just("wait"), st.integers(1, 48)),
    st.tuples(st.just("sweep")),
)


class History:
    """Carries steps out on a world and remembers the bytes that were sent, by their MD5."""

    def __init__(self, world, bucket, power_cut):
        self.world = world
        self.bucket = bucket
        self.power_cut = power_cut
        self.sent = {}
        self.uploads = {}
        self.repairer = Repairer(world.plain_catalog, world.ids, world.clock)
        self.repairer.serve(world.store)
        homes = world.store._homes
        self.sweeper = Sweeper(
            world.plain_catalog,
            Places({drive.drive_id: drive for drive in world.drives}, homes),
            world.ids,
            world.clock,
            settings=SweepSettings(age_s=86_400.0, every_s=1.0, references_max=3, slice_rows=2),
            guard=self.repairer.guard,
        )

    def bytes_of(self, size):
        data = (b"%d." % len(self.sent)) * size
        data = data[:size]
        self.sent[hashlib.md5(data, usedforsecurity=False).hexdigest()] = data
        return data

    async def do(self, name, *arguments):
        try:
            await getattr(self, name)(*arguments)
        except ObjstoreError:
            pass
        except self.power_cut:
            self.world.power.steps_left = None

    async def put(self, key, size):
        await self.world.put(self.bucket, key, self.bytes_of(size))

    async def lose(self, key, is_committed):
        """The process ends before the commit, or behind it and before its answer."""
        data = self.bytes_of(5_000)
        self.world.power.steps_left = int(is_committed)
        await self.world.put(self.bucket, key, data)

    async def delete(self, key):
        await self.world.delete(self.bucket, key)

    async def delete_version(self, key, number):
        versions = [row for row in await self.versions() if row[0] == key]
        if versions:
            await self.world.delete(self.bucket, key, versions[number % len(versions)][8])

    async def versioning(self, state):
        await self.world.set_versioning(self.bucket, state)

    async def part(self, key, number):
        world, bucket = self.world, self.bucket
        if key not in self.uploads:
            made = await world.uploads.create_multipart_upload(
                world.call(bucket), CreateMultipartUploadInput(bucket.name, key, NewObject())
            )
            self.uploads[key] = (made.upload_id, {})
        upload_id, parts = self.uploads[key]
        answer = await world.uploads.upload_part(
            world.call(bucket, world.body(self.bytes_of(4_500))),
            UploadPartInput(bucket.name, ObjectKey(key), upload_id, number),
        )
        parts[number] = answer.etag

    async def finish(self, key, is_completed):
        """Complete with the last part alone, so that parts are left out; or abort."""
        if key not in self.uploads:
            return
        upload_id, parts = self.uploads.pop(key)
        world, bucket = self.world, self.bucket
        if not is_completed or not parts:
            await world.uploads.abort_multipart_upload(
                world.call(bucket), AbortMultipartUploadInput(bucket.name, key, upload_id)
            )
            return
        listed = (CompletedPart(max(parts), parts[max(parts)]),)
        await world.uploads.complete_multipart_upload(
            world.call(bucket), CompleteMultipartUploadInput(bucket.name, key, upload_id, listed)
        )

    async def drive(self, number):
        """One drive at most is away: the promise of the scheme."""
        for index, drive in enumerate(self.world.drives):
            drive.is_away = index == number and not drive.is_away

    async def mend(self):
        while await self.repairer.work() is WorkerState.BUSY:
            pass

    async def collect(self):
        world = self.world
        world.clock.at = Instant(world.clock.at + 1)
        await GarbageCollector(world.plain_catalog, world.store, world.ids, world.clock).work()

    async def wait(self, hours):
        self.world.clock.at = Instant(self.world.clock.at + hours * 3_600_000)

    async def sweep(self):
        await self.sweeper.sweep()
        # Reads find what is in the trash: a sweep that takes too much shows only without it.
        for drive in self.world.drives:
            if not drive.is_away:
                await drive.purge_trash(Instant(2**60))
        await self.check_readable()

    async def versions(self):
        page = await self.world.plain_catalog.list_versions(
            self.bucket, prefix=b"", delimiter=b"", after=(b"", None), limit=1_000
        )
        return page.rows

    async def check_readable(self):
        """Everything that a listing shows reads as it was sent; parts of open uploads, too."""
        for row in await self.versions():
            if not row[10]:  # no delete marker
                etag = row[2].split("-")[0]
                got = await self.world.get(self.bucket, row[0], version_id=row[8])
                if "-" in row[2]:
                    md5 = hashlib.md5(got, usedforsecurity=False)
                    assert hashlib.md5(md5.digest(), usedforsecurity=False).hexdigest() == etag
                    etag = md5.hexdigest()
                assert got == self.sent[etag]
        for key, (upload_id, parts) in self.uploads.items():
            found = await self.world.plain_catalog.find_parts(
                self.bucket, key, upload_id, sorted(parts)
            )
            for part in found:
                assert isinstance(part.body, ExtentBody)
                stream = self.world.store.read(part.body.extent, 0, part.size)
                got = b"".join([bytes(piece) async for piece in stream])
                assert got == self.sent[part.etag]

    async def expected_files(self):
        """Return the (drive, name) of every shard that the catalogue knows."""
        known, position, homes = set(), None, self.world.store._homes
        for partition in range(256):
            while True:
                extents, position = await self.world.plain_catalog.references(
                    partition, position, limit=1_000
                )
                for extent in extents:
                    for block in range(extent.blocks_count):
                        places = located(homes, extent, block)
                        names = [shard.name for shard in shard_ids(extent, block)]
                        known.update(zip(places, names, strict=True))
                if position is None:
                    break
        return {(drive, name) for drive, name in known if drive is not None}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, max_size=20))
def test_histories_end_clean(run_anew, power_cut, steps):
    """After the last sweep the drives hold what the catalogue knows: not a file less, and none more."""

    async def story(world):
        bucket = await world.bucket()
        history = History(world, bucket, power_cut)
        for step in steps:
            await history.do(*step)
        for drive in world.drives:
            drive.is_away = False
        for _ in range(2):
            await history.mend()
        await history.collect()
        await history.wait(48)
        # Twice: a shard on two drives is only judged when no repair was near.
        await history.sweep()
        await history.sweep()
        held = {(drive.drive_id, name) for drive in world.drives for name in drive.files}
        assert held == await history.expected_files()

    run_anew(story, drives_count=4, scheme=Scheme(1, 2))
