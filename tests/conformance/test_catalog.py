"""What every `Catalog` must do: S3's versioning, conditions, uploads and counters, seen through the port."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager

import pytest

from objstore.cluster.shared_page import PageReader, SharedPage
from objstore.metadata import CatalogStore, SqlCatalog
from objstore.metadata.commands import (
    AbortUpload,
    CloseShard,
    DropShard,
    ForgetGarbage,
    MoveShards,
    OpenShard,
    RaiseFence,
    ReopenShard,
    SetTags,
    SetVersioning,
)
from objstore.metadata.followed_replicas import FollowedReplicas
from objstore.metadata.partitioning import partition_of
from objstore.metadata.remote_writer import RemoteStore, WriterEndpoint
from objstore.metadata.replicated_catalog import ReplicatedCatalog
from objstore.metadata.serving_board import ServingBoard
from objstore.model.errors import (
    BucketNotEmpty,
    ConditionalRequestConflict,
    DeleteMarkerNotAllowed,
    InvalidPart,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    OperationAborted,
    PreconditionFailed,
)
from objstore.model.limits import PART_BYTES_MIN
from objstore.model.objects import ExtentBody, InlineBody, Usage, Versioning
from objstore.testing.catalog_kit import CommandKit, bucket_record, md5_of
from objstore.testing.framed_pair import beside
from objstore.testing.replica_group import open_group

KEY = b"k"


@asynccontextmanager
async def open_sql(directory):
    async with CatalogStore(directory / "catalog.sqlite", on_fatal=lambda _error: None) as store:
        yield SqlCatalog([store])


@asynccontextmanager
async def open_remote(directory):
    """What another process of the machine has: the owner's file for reading, a connection for commands."""
    path = directory / "catalog.sqlite"
    async with (
        CatalogStore(path, on_fatal=lambda _error: None) as owned,
        beside(directory, WriterEndpoint(owned.writer.submit).methods) as owner,
    ):
        store = RemoteStore(path, owner)
        yield SqlCatalog([store])
        store.close()


@asynccontextmanager
async def open_replicated(directory):
    """Three replicas of every partition, on three directories."""
    async with open_group(directory) as group:
        yield group.catalog


@asynccontextmanager
async def open_followed(directory):
    """What another process has of three replicas: the leaders' files, a shared page, a connection for commands."""
    page = SharedPage()
    reader = PageReader(os.dup(page.descriptor), owner_pid=os.getppid())
    async with open_group(directory) as group:
        board = ServingBoard(page, group.keeper.suspect)
        group.keeper.publish_to(board.show)
        methods = {**board.methods, **WriterEndpoint(group.catalog.submit_to).methods}
        async with beside(directory, methods) as owner:
            followed = FollowedReplicas(reader, owner)
            yield ReplicatedCatalog(followed)
            followed.close()
    reader.close()
    page.close()


OPENERS = {
    "sql": open_sql,
    "remote": open_remote,
    "replicated": open_replicated,
    "followed": open_followed,
}


class Bucket:
    """A bucket of the catalogue under test, with short names for what is done to it."""

    def __init__(self, catalog, record):
        self.catalog = catalog
        self.record = record
        self.kit = CommandKit(record.bucket_id)

    async def all(self, kind, **fields):
        await self.catalog.submit_all(
            self.record, kind, op_id=self.kit.next_id(), at=self.kit.at, **fields
        )

    async def versioning(self, state):
        await self.all(SetVersioning, versioning=state)

    async def submit(self, command, key=KEY):
        return await self.catalog.submit(self.record, key, command)

    async def put(self, data=b"", **conditions):
        return await self.submit(self.kit.put(KEY, data, **conditions))

    async def delete(self, **conditions):
        return await self.submit(self.kit.delete(KEY, **conditions))

    async def delete_version(self, version_id, etag=None):
        return await self.submit(self.kit.delete_version(KEY, version_id, etag))

    async def get(self, version_id=None):
        return (await self.catalog.find(self.record, KEY, version_id)).version

    async def data(self, version_id=None):
        version = await self.get(version_id)
        if version is None:
            return None
        return "marker" if version.is_delete_marker else version.body.data

    async def history(self):
        """Return (data or marker, is null, is latest), newest first."""
        page = await self.catalog.list_versions(
            self.record, prefix=b"", delimiter=b"", after=(b"", None), limit=1000
        )
        return [(await self.data(row[8]), row[8] == "null", row[9]) for row in page.rows]

    async def usage(self):
        return await self.catalog.usage(self.record)

    async def upload(self, *sizes):
        """Open an upload with parts of these sizes."""
        created = self.kit.create_upload(KEY)
        await self.submit(created)
        parts = []
        for number, size in enumerate(sizes, 1):
            command = self.kit.put_part(created.upload, number, size)
            await self.submit(command)
            parts.append(command.part)
        return created.upload, parts

    async def garbage(self):
        found = await self.catalog.garbage(before_ms=2**50, limit=1000)
        return [entry.extent for _, entry in found]


@pytest.fixture(params=sorted(OPENERS))
def run(request, tmp_path):
    """Run a scenario on a fresh bucket, over several partitions."""

    def run_scenario(scenario):
        async def inside():
            async with OPENERS[request.param](tmp_path) as catalog:
                bucket = Bucket(catalog, bucket_record(spread=4))
                await bucket.all(OpenShard)
                return await scenario(bucket)

        return asyncio.run(inside())

    return run_scenario


def test_without_versioning_a_write_replaces(run):
    """Never-versioned buckets keep one version, called null (s3 rules 4.15.2, 5.4.5)."""

    async def scenario(bucket):
        await bucket.put(b"one")
        written = await bucket.put(b"two")
        assert (written.version_id, written.versioning) == ("null", Versioning.UNSET)
        assert await bucket.history() == [(b"two", True, True)]
        assert (await bucket.delete()).is_delete_marker is False
        assert await bucket.history() == []
        assert (await bucket.delete()).found is False
        assert await bucket.usage() == Usage()

    run(scenario)


def test_enabled_keeps_every_version_in_order_of_commits(run):
    """s3 rules 4.15.2 and 4.15.7: also when the clock steps back (reliability rule T12)."""

    async def scenario(bucket):
        await bucket.put(b"null version")
        await bucket.versioning(Versioning.ENABLED)
        await bucket.put(b"one")
        bucket.kit.at -= 50_000
        await bucket.put(b"two")
        assert await bucket.history() == [
            (b"two", False, True), (b"one", False, False), (b"null version", True, False),
        ]  # fmt: skip
        assert (await bucket.get("null")).last_modified < (await bucket.get()).last_modified

    run(scenario)


def test_a_marker_hides_and_its_removal_reveals(run):
    """s3 rules 4.15.4 and 4.14.6: undelete is the removal of the marker."""

    async def scenario(bucket):
        await bucket.versioning(Versioning.ENABLED)
        await bucket.put(b"one")
        marker = await bucket.delete()
        assert (marker.found, marker.is_delete_marker) == (True, True)
        assert await bucket.data() == "marker"
        page = await bucket.catalog.list_current(
            bucket.record, prefix=b"", delimiter=b"", after=b"", limit=10
        )
        assert page.rows == []
        removed = await bucket.delete_version(marker.version_id)
        assert (removed.is_delete_marker, removed.version_id) == (True, marker.version_id)
        assert await bucket.data() == b"one"
        assert (await bucket.usage()).objects == 1

    run(scenario)


def test_a_delete_of_nothing_still_leaves_a_marker(run):
    """s3 rule 4.15.4: even when the key never existed, and again on top of a marker."""

    async def scenario(bucket):
        await bucket.versioning(Versioning.ENABLED)
        assert (await bucket.delete()).found is False
        await bucket.delete()
        assert await bucket.history() == [("marker", False, True), ("marker", False, False)]
        assert await bucket.usage() == Usage(delete_markers=2)

    run(scenario)


def test_suspended_replaces_the_null_version_only(run):
    """s3 rule 4.15.3: all others stay; a delete leaves a null marker."""

    async def scenario(bucket):
        await bucket.put(b"old null")
        await bucket.versioning(Versioning.ENABLED)
        await bucket.put(b"one")
        await bucket.versioning(Versioning.SUSPENDED)
        await bucket.put(b"new null")
        assert await bucket.history() == [(b"new null", True, True), (b"one", False, False)]
        await bucket.put(b"newer null")
        assert await bucket.history() == [(b"newer null", True, True), (b"one", False, False)]
        marker = await bucket.delete()
        assert (marker.is_delete_marker, marker.version_id) == (True, "null")
        assert await bucket.history() == [("marker", True, True), (b"one", False, False)]
        await bucket.put(b"back")
        assert await bucket.history() == [(b"back", True, True), (b"one", False, False)]
        assert await bucket.usage() == Usage(objects=1, versions=2, size_bytes=7)

    run(scenario)


def test_removing_the_current_version_makes_the_next_one_current(run):
    """s3 rule 4.15.4."""

    async def scenario(bucket):
        await bucket.versioning(Versioning.ENABLED)
        first = await bucket.put(b"one")
        second = await bucket.put(b"two")
        await bucket.delete_version(second.version_id)
        assert await bucket.history() == [(b"one", False, True)]
        await bucket.delete_version(first.version_id)
        assert await bucket.history() == []
        assert (await bucket.delete_version(first.version_id)).found is False

    run(scenario)


def test_conditional_writes(run):
    """The whole table of s3 rule 4.5.3, and that old versions never count."""

    async def scenario(bucket):
        with pytest.raises(NoSuchKey):
            await bucket.put(b"x", if_match=md5_of(b"x"))
        await bucket.put(b"one", if_none_match=True)
        with pytest.raises(PreconditionFailed):
            await bucket.put(b"two", if_none_match=True)
        with pytest.raises(PreconditionFailed):
            await bucket.put(b"two", if_match=md5_of(b"zero"))
        await bucket.versioning(Versioning.ENABLED)
        await bucket.put(b"two", if_match=md5_of(b"one"))
        with pytest.raises(PreconditionFailed):
            await bucket.put(b"three", if_match=md5_of(b"one"))
        await bucket.delete()
        with pytest.raises(NoSuchKey):
            await bucket.put(b"three", if_match=md5_of(b"two"))
        await bucket.put(b"three", if_none_match=True)
        assert await bucket.data() == b"three"

    run(scenario)


def test_conditional_deletes(run):
    """s3 rules 4.14.2 and 4.14.4."""

    async def scenario(bucket):
        with pytest.raises(NoSuchKey):
            await bucket.delete(if_match="*")
        await bucket.put(b"one")
        with pytest.raises(PreconditionFailed):
            await bucket.delete(if_match=md5_of(b"two"))
        with pytest.raises(PreconditionFailed):
            await bucket.delete_version("null", md5_of(b"two"))
        assert (await bucket.delete(if_match=md5_of(b"one"))).found

    run(scenario)


def test_of_two_creators_one_wins(run):
    """Locks of Terraform and commits of table formats rest on this (s3 rule 4.5.4)."""

    async def scenario(bucket):
        outcomes = await asyncio.gather(
            *(bucket.put(b"%d" % n, if_none_match=True) for n in range(20)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 19

    run(scenario)


def test_tags_belong_to_a_version(run):
    """Neither ETag nor last modified change (s3 rule 3.6.3); markers carry none."""

    async def scenario(bucket):
        await bucket.versioning(Versioning.ENABLED)
        await bucket.put(b"one")
        first = await bucket.get()
        await bucket.put(b"two")
        tags = (("a", "b"),)
        make = bucket.kit.make
        await bucket.submit(make(SetTags, key=KEY, version_id=first.version_id, tags=tags))
        changed = await bucket.get(first.version_id)
        assert (changed.tags, changed.last_modified) == (tags, first.last_modified)
        assert changed.body == InlineBody(b"one")
        assert (await bucket.get()).tags == ()
        marker = await bucket.delete()
        with pytest.raises(NoSuchKey):
            await bucket.submit(make(SetTags, key=KEY, version_id=None, tags=tags))
        with pytest.raises(DeleteMarkerNotAllowed):
            await bucket.submit(make(SetTags, key=KEY, version_id=marker.version_id, tags=tags))

    run(scenario)


def test_a_finished_upload_is_an_object(run):
    """s3 rules 4.11.5, 4.11.6: listed parts are readable, others are garbage, counters follow."""

    async def scenario(bucket):
        upload, parts = await bucket.upload(PART_BYTES_MIN, PART_BYTES_MIN, 7)
        assert await bucket.usage() == Usage(uploads=1, part_bytes=2 * PART_BYTES_MIN + 7)
        done = await bucket.submit(bucket.kit.complete(upload, [parts[0], parts[2]]))
        assert done.size == PART_BYTES_MIN + 7
        assert (await bucket.get()).etag == done.etag
        found = await bucket.catalog.find_parts(bucket.record, KEY, upload.upload_id, [1, 3])
        assert [part.body for part in found] == [parts[0].body, parts[2].body]
        with pytest.raises(InvalidPart):
            await bucket.catalog.find_parts(bucket.record, KEY, upload.upload_id, [2])
        assert await bucket.garbage() == [parts[1].body.extent]
        assert await bucket.usage() == Usage(objects=1, versions=1, size_bytes=done.size)
        with pytest.raises(NoSuchUpload):
            await bucket.catalog.find_upload(bucket.record, KEY, upload.upload_id)
        await bucket.delete()
        assert len(await bucket.garbage()) == 3

    run(scenario)


def test_complete_is_idempotent(run):
    """An SDK that lost the answer asks again (s3 rule 4.11.8); another list is another request."""

    async def scenario(bucket):
        upload, parts = await bucket.upload(PART_BYTES_MIN, 7)
        first = await bucket.submit(bucket.kit.complete(upload, parts))
        await bucket.put(b"later")
        assert await bucket.submit(bucket.kit.complete(upload, parts)) == first
        with pytest.raises(NoSuchUpload):
            await bucket.submit(bucket.kit.complete(upload, parts[:1]))
        assert await bucket.data() == b"later"

    run(scenario)


def test_a_conditional_complete_notices_a_racing_writer(run):
    """s3 rule 4.5.6: the condition holds now, but the key changed since the upload began."""

    async def scenario(bucket):
        upload, parts = await bucket.upload(7)
        await bucket.put(b"racer")
        await bucket.delete()
        with pytest.raises(ConditionalRequestConflict):
            await bucket.submit(
                bucket.kit.complete(
                    upload, parts, conditions=bucket.kit.put(KEY, if_none_match=True).conditions
                )
            )
        assert (await bucket.usage()).uploads == 1
        await bucket.submit(bucket.kit.complete(upload, parts))

    run(scenario)


def test_abort_leaves_nothing_but_garbage(run):
    """s3 rule 4.11.10: parts that come later must not bring the upload back."""

    async def scenario(bucket):
        upload, parts = await bucket.upload(7, 8)
        abort = bucket.kit.make(AbortUpload, key=KEY, upload_id=upload.upload_id)
        await bucket.submit(abort)
        assert len(await bucket.garbage()) == 2
        assert await bucket.usage() == Usage()
        for command in (
            bucket.kit.put_part(upload, 3, 7),
            bucket.kit.complete(upload, parts),
            bucket.kit.make(AbortUpload, key=KEY, upload_id=upload.upload_id),
        ):
            with pytest.raises(NoSuchUpload):
                await bucket.submit(command)

    run(scenario)


def test_a_part_that_is_sent_again_replaces(run):
    """s3 rule 4.11.3; the bytes of the first become garbage, small ones vanish with their row."""

    async def scenario(bucket):
        upload, parts = await bucket.upload(7)
        small = bucket.kit.put_part(upload, 1, 3, body=InlineBody(b"abc"))
        await bucket.submit(small)
        assert await bucket.garbage() == [parts[0].body.extent]
        assert (await bucket.usage()).part_bytes == 3
        found = await bucket.catalog.find_parts(bucket.record, KEY, upload.upload_id, [1])
        assert found[0].body == InlineBody(b"abc")
        listed = await bucket.catalog.list_parts(
            bucket.record, KEY, upload.upload_id, after=0, limit=10
        )
        assert [part.size for part in listed] == [3]

    run(scenario)


def test_a_bucket_is_fenced_before_it_goes(run):
    """DeleteBucket: a write behind the fence must fail, an object in front of it must keep the bucket."""

    async def scenario(bucket):
        await bucket.put(b"x")
        with pytest.raises(BucketNotEmpty):
            await bucket.all(CloseShard)
        await bucket.all(ReopenShard)
        await bucket.delete()
        await bucket.upload(7)
        await bucket.all(CloseShard)
        with pytest.raises(NoSuchBucket):
            await bucket.put(b"x")
        with pytest.raises(NoSuchBucket):
            await bucket.get()
        await bucket.all(DropShard)
        with pytest.raises(NoSuchBucket):
            await bucket.usage()
        assert len(await bucket.garbage()) == 1

    run(scenario)


def test_garbage_is_queued_once_and_forgotten_when_told(run):
    """Replaced bytes on drives must neither leak nor be deleted before their row is gone (reliability rule T9)."""

    async def scenario(bucket):
        command = bucket.kit.put_extent(KEY, 100)
        await bucket.submit(command)
        assert await bucket.garbage() == []
        await bucket.put(b"x")
        [(partition, entry)] = await bucket.catalog.garbage(before_ms=2**50, limit=10)
        assert entry.extent == command.version.body.extent
        assert await bucket.catalog.garbage(before_ms=bucket.kit.at, limit=10) == []
        forget = bucket.kit.make(ForgetGarbage, sequences=(entry.sequence,))
        await bucket.catalog.submit_to(partition, forget)
        assert await bucket.garbage() == []

    run(scenario)


def test_lost_shards_are_queued_for_repair_with_the_commit(run):
    """A write on fewer drives than wished is recorded in the same commit, and ends with the repair."""

    async def scenario(bucket):
        command = bucket.kit.put_extent(KEY, 100, lost=True)
        await bucket.submit(command)
        extent = command.version.body.extent
        [(_, item)] = await bucket.catalog.repairs(limit=10)
        assert (item.key, item.version_id, item.extent) == (KEY, "null", extent)
        await bucket.submit(
            bucket.kit.make(
                MoveShards,
                key=KEY,
                version_id=item.version_id,
                upload_id=None,
                data_id=extent.data_id,
                part=extent.part,
                misplaced=extent.misplaced[1:],
            )
        )
        assert await bucket.catalog.repairs(limit=10) == []
        body = (await bucket.get()).body
        assert isinstance(body, ExtentBody)
        assert body.extent.misplaced == extent.misplaced[1:]

    run(scenario)


def test_data_older_than_the_fence_is_refused(run):
    """A sweep deletes unreferenced data behind the fence; a late commit must not refer to it (reliability rule T9)."""

    async def scenario(bucket):
        late = bucket.kit.put_extent(KEY, 100)
        fence = bucket.kit.make(RaiseFence, stamp=bucket.kit.at + 1)
        await bucket.catalog.submit_to(partition_of(bucket.record.bucket_id, 4, KEY), fence)
        with pytest.raises(OperationAborted):
            await bucket.submit(late)
        bucket.kit.at += 2
        await bucket.submit(bucket.kit.put_extent(KEY, 100))

    run(scenario)
