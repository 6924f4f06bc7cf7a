"""The use cases over real parts: a catalogue and a control store in files, drives in memory, bodies through the edge."""

from __future__ import annotations

import contextlib
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from objstore.api.body import RequestBody
from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.metadata import CatalogStore, SqlCatalog
from objstore.model.checksum import Checksum, ChecksumType
from objstore.model.instant import Instant
from objstore.model.names import AccountId, BucketName, CanonicalId, DriveId, ObjectKey
from objstore.model.objects import Conditions, Identity, Scheme, Versioning
from objstore.replication import DataStore
from objstore.s3.access import check_expected_owner
from objstore.s3.checksums import BodyExpectations
from objstore.s3.inputs import (
    BucketInput,
    CreateBucketInput,
    DeleteObjectInput,
    GetObjectInput,
    NewObject,
    PutBucketVersioningInput,
    PutObjectInput,
)
from objstore.service.buckets import BucketService
from objstore.service.copying import CopyService, CopySources
from objstore.service.ingest import Ingest
from objstore.service.listing import ListingService
from objstore.service.multipart import MultipartService
from objstore.service.objects import ObjectService
from objstore.service.ports import Call, Ids
from objstore.service.reading import ObjectReader
from objstore.service.registry import BucketRegistry
from objstore.service.tagging import TaggingService
from objstore.testing.memory_drive import MemoryDrive

INLINE_BYTES_MAX = 64
BLOCK_BYTES = 4096


class PowerCut(Exception):
    """The process is gone at this point."""


class Power:
    """Ends after a number of steps, and stays away until it is given back."""

    def __init__(self):
        self.steps_left = None

    def use(self):
        if self.steps_left is None:
            return
        if self.steps_left == 0:
            raise PowerCut
        self.steps_left -= 1


class Powered:
    """Passes calls on; the power may end just before a call, or just after it had its effect."""

    def __init__(self, inner, power):
        self._inner = inner
        self._power = power

    def __getattr__(self, name):
        method = getattr(self._inner, name)

        async def call(*arguments, **named):
            self._power.use()
            result = await method(*arguments, **named)
            self._power.use()
            return result

        return call


class Clock:
    """Stands still until it is moved."""

    def __init__(self):
        self.at = Instant(1_700_000_000_000)

    def now(self):
        return self.at

    def monotonic_s(self):
        return self.at / 1000


class OneAfterTheOther:
    """A ring in which the drives of a block begin with the first."""

    version = 1

    def __init__(self, drives, width):
        self._homes = tuple(drives[:width])

    def homes(self, _block, _ring_version):
        return self._homes


def person(name, *, is_root=False):
    return Identity(name, f"key-of-{name}", CanonicalId(name * 8), AccountId("1" * 12), is_root)


ANN, BEN, ROOT = person("ann"), person("ben"), person("root", is_root=True)


def receiver(pieces):
    """Give the messages of a body in these pieces, then a disconnect."""
    messages = [{"type": "http.request", "body": p, "more_body": True} for p in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    left = iter(messages)

    async def receive():
        return next(left, {"type": "http.disconnect"})

    return receive


class World:
    """All services over one catalogue, one control store and some drives in memory."""

    def __init__(self, catalog, control, drives, pool, clock, *, scheme, block_bytes):
        self.power = Power()
        self.clock = clock
        self.ids = Ids(random.Random(1).randbytes)  # the same ids in every run
        self.plain_catalog, self.plain_control = catalog, control
        self.catalog = Powered(catalog, self.power)
        self.control = Powered(control, self.power)
        self.drives = drives
        self.damage = []
        self.store = DataStore(
            {drive.drive_id: drive for drive in drives},
            OneAfterTheOther([drive.drive_id for drive in drives], scheme.width),
            scheme=scheme,
            on_damage=lambda *report: self.damage.append(report),
            block_bytes=block_bytes,
        )
        self.pool = pool
        self.registry = BucketRegistry(self.control, self.catalog, self.ids)
        self.ingest = Ingest(self.store, inline_bytes_max=INLINE_BYTES_MAX)
        self.reader = ObjectReader(self.catalog, self.store)
        self.sources = CopySources(self.registry, self.catalog, self.reader, self._authorise, pool)
        self.buckets = BucketService(
            self.registry, self.catalog, self.ids, region="us-east-1", spread=1
        )
        self.objects = ObjectService(self.catalog, self.ingest, self.reader, self.ids)
        self.copies = CopyService(self.catalog, self.ingest, self.sources, self.ids)
        self.uploads = MultipartService(self.catalog, self.ingest, self.sources, self.ids)
        self.listings = ListingService(self.catalog)
        self.tagging = TaggingService(self.catalog, self.ids)
        self.asked = []
        """Sources that a caller was authorised for: (name of the caller, action, bucket)."""

    def _authorise(self, identity, action, bucket, expected_owner):
        check_expected_owner(expected_owner, bucket)
        self.asked.append((identity.name, action, bucket.name))

    def restart_registry(self):
        """Forget what the process knew, as a restart does, and have power again."""
        self.power.steps_left = None
        self.registry = BucketRegistry(self.control, self.catalog, self.ids)
        self.buckets = BucketService(
            self.registry, self.catalog, self.ids, region="us-east-1", spread=1
        )
        return self.registry

    def call(self, bucket=None, body=None, *, who=ANN):
        return Call(who, self.clock.now(), "request-1", bucket, body, "http://store")

    def body(self, data=b"", *, pieces=None, size=True, checksum=None, md5=None, trailer=None):
        """Return a body as the edge gives it to a service."""
        announced = len(data) if size is True else size
        value = (
            None
            if checksum is None
            else Checksum(checksum[0], ChecksumType.FULL_OBJECT, checksum[1])
        )
        return RequestBody(
            receiver([data] if pieces is None else pieces),
            BodyExpectations(
                md5, value, trailer, announced or None if size is not True else announced
            ),
            pool=self.pool,
            payload_sha256=None,
            decoder=None,
            size_bytes_max=2**40,
        )

    async def bucket(self, name="box", *, who=ANN, versioning=None):
        await self.buckets.create_bucket(self.call(who=who), CreateBucketInput(BucketName(name)))
        record = await self.registry.find(name)
        if versioning is not None:
            await self.set_versioning(record, versioning)
        return record

    async def set_versioning(self, bucket, versioning):
        await self.buckets.put_bucket_versioning(
            self.call(bucket), PutBucketVersioningInput(bucket.name, versioning)
        )

    async def put(self, bucket, key=b"k", data=b"", **fields):
        new = NewObject(
            **{name: fields.pop(name) for name in ("system", "user", "tags") if name in fields}
        )
        request = PutObjectInput(bucket.name, ObjectKey(key), new, Conditions(**fields))
        return await self.objects.put_object(self.call(bucket, self.body(data)), request)

    async def get(self, bucket, key=b"k", **fields):
        """Return the bytes of a GET."""
        request = GetObjectInput(bucket.name, ObjectKey(key), **fields)
        answer = await self.objects.get_object(self.call(bucket), request)
        if answer.chunks is None:
            return bytes(answer.inline)
        return b"".join([bytes(piece) async for piece in answer.chunks])

    async def delete(self, bucket, key=b"k", version_id=None, **conditions):
        request = DeleteObjectInput(
            bucket.name, ObjectKey(key), version_id, Conditions(**conditions)
        )
        return await self.objects.delete_object(self.call(bucket), request)

    async def delete_bucket(self, bucket):
        await self.buckets.delete_bucket(self.call(bucket), BucketInput(bucket.name))

    def files_count(self):
        """Return how many shard files the drives hold, the trash left out."""
        return sum(len(drive.files) for drive in self.drives)


@contextlib.asynccontextmanager
async def open_world(directory, *, drives_count=1, scheme=None, block_bytes=BLOCK_BYTES):
    clock = Clock()
    drives = [MemoryDrive(DriveId(f"d{number}"), clock) for number in range(drives_count)]
    pool = ThreadPoolExecutor(2)
    async with (
        CatalogStore(directory / "catalog.sqlite", on_fatal=lambda _error: None) as store,
        SqliteControlStore(directory / "control.sqlite", on_fatal=lambda _error: None) as control,
    ):
        world = World(
            SqlCatalog([store]),
            control,
            drives,
            pool,
            clock,
            scheme=scheme or Scheme(1, drives_count - 1),
            block_bytes=block_bytes,
        )
        async with world.store:
            yield world
    pool.shutdown()


@pytest.fixture
def run(tmp_path):
    """Run a story in a fresh world."""

    def run_story(story, **options):
        async def main():
            async with open_world(tmp_path, **options) as world:
                await story(world)

        anyio.run(main)

    return run_story


@pytest.fixture
def run_anew(tmp_path):
    """Run stories, each in a fresh world: for tests with many examples."""

    def run_story(story, **options):
        async def main():
            with tempfile.TemporaryDirectory(dir=tmp_path) as directory:
                async with open_world(Path(directory), **options) as world:
                    await story(world)

        anyio.run(main)

    return run_story


@pytest.fixture
def people():
    """Two users and root."""
    return ANN, BEN, ROOT


@pytest.fixture
def power_cut():
    """What a step raises when the process is gone."""
    return PowerCut


@pytest.fixture(params=list(Versioning), ids=lambda state: state.name.lower())
def versioning(request):
    """Every state of a bucket."""
    return request.param
