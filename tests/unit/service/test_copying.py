"""Copies: what they take from the source, what from the request, and what they refuse."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.errors import (
    AccessDenied,
    BadRequestError,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    PreconditionFailed,
    UnreadableData,
)
from objstore.model.limits import COPY_SOURCE_BYTES_MAX
from objstore.model.names import BucketName, ObjectKey, VersionId
from objstore.model.objects import Conditions, ExtentBody, SystemMetadata, Versioning
from objstore.s3.inputs import (
    CopyDestination,
    CopyObjectInput,
    CopySource,
    NewObject,
    ReadConditions,
)
from objstore.service.copying import StoredSource, _judge_source

PLAIN = CopyDestination(
    NewObject(),
    replaces_metadata=False,
    replaces_tags=False,
    has_storage_class=False,
    has_redirect=False,
    checksum_algorithm=None,
)


def source_of(key=b"k", *, bucket="box", version_id=None, owner=None, **conditions):
    return CopySource(
        BucketName(bucket), ObjectKey(key), version_id, ReadConditions(**conditions), owner
    )


def request_of(key=b"copy", *, source=None, destination=PLAIN, bucket="box", **conditions):
    return CopyObjectInput(
        BucketName(bucket),
        ObjectKey(key),
        source or source_of(),
        destination,
        Conditions(**conditions),
    )


def changed(**fields):
    new = NewObject(
        **{n: fields.pop(n) for n in ("system", "user", "tags", "storage_class") if n in fields}
    )
    values = {name: getattr(PLAIN, name) for name in PLAIN.__slots__}
    return CopyDestination(**{**values, "new": new, **fields})


async def _copy(world, bucket, request):
    return await world.copies.copy_object(world.call(bucket), request)


async def _found(world, bucket, key):
    return (await world.catalog.find(bucket, ObjectKey(key))).version


# --- StoredSource -----------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=8),
    st.lists(st.integers(1, 30), max_size=20),
)
def test_stored_source_gives_exact_sizes_for_any_split(pieces, sizes):
    """Blocks are cut by size; what a read returns must not depend on how the bytes arrive."""
    whole = b"".join(pieces)

    async def chunks():
        for piece in pieces:
            yield piece

    async def scenario():
        source = StoredSource(chunks(), len(whole), pool)
        source.require(ChecksumAlgorithm.SHA256)
        assert source.size == len(whole)
        assert source.claimed is None
        got = []
        for size in [*sizes, len(whole) + 1]:
            piece = bytes(await source.read(size))
            offset = sum(map(len, got))
            assert piece == whole[offset : offset + size]
            got.append(piece)
        digests = await source.finish()
        assert digests is await source.finish()
        return digests

    with ThreadPoolExecutor(1) as pool:
        digests = asyncio.run(scenario())
    assert digests.size == len(whole)
    assert digests.md5 == hashlib.md5(whole).digest()
    assert digests.values == {ChecksumAlgorithm.SHA256: hashlib.sha256(whole).digest()}


def test_source_that_ends_early_is_no_copy(run):
    """A copy with fewer bytes than its source would be a silent loss."""

    async def story(world):
        async def chunks():
            yield b"12345"

        source = StoredSource(chunks(), 6, world.pool)
        assert await source.read(10) == b"12345"
        with pytest.raises(UnreadableData):
            await source.finish()

    run(story)


# --- CopyObject --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 10, 10_000])
def test_copy_has_bytes_of_its_own(run, size):
    """Deleting the source must not touch the copy (s3 rule 4.9)."""

    async def story(world):
        bucket = await world.bucket()
        data = bytes(size)
        await world.put(bucket, b"k", data)
        answer = await _copy(world, bucket, request_of())
        assert answer.etag == hashlib.md5(data).hexdigest()
        source = await _found(world, bucket, b"k")
        await world.delete(bucket, b"k")
        if isinstance(source.body, ExtentBody):
            await world.store.remove(source.body.extent, at_once=True)
        assert await world.get(bucket, b"copy") == data

    run(story)


def test_source_that_is_missing_is_named(run, people):
    """404 with the source's own name (s3 rule 4.9.2)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        await world.put(bucket, b"k", b"v")
        marker = await world.delete(bucket, b"gone")
        cases = [
            (source_of(bucket="nowhere"), NoSuchBucket),
            (source_of(b"missing"), NoSuchKey),
            (source_of(b"k", version_id=VersionId("0" * 32)), NoSuchVersion),
            (source_of(b"gone"), NoSuchKey),
            (source_of(b"gone", version_id=marker.version_id), BadRequestError),
            (source_of(b"k", owner="2" * 12), AccessDenied),
        ]
        for source, error in cases:
            with pytest.raises(error):
                await _copy(world, bucket, request_of(source=source))
        with pytest.raises(NoSuchKey):
            await world.get(bucket, b"copy")

    run(story)


def test_reading_the_source_is_authorised_by_its_own_action(run):
    """GetObject, or GetObjectVersion where a version is named (s3 rule 4.9.7)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        written = await world.put(bucket, b"k", b"v")
        await _copy(world, bucket, request_of())
        answer = await _copy(
            world, bucket, request_of(source=source_of(version_id=written.version_id))
        )
        assert world.asked == [
            ("ann", "s3:GetObject", "box"),
            ("ann", "s3:GetObjectVersion", "box"),
        ]
        assert answer.source_version_id == written.version_id

    run(story)


def test_conditions_of_source_and_destination_both_count(run):
    """The source's fail with 412, the destination's before any byte is read (s3 rules 4.1.6, 4.9.7, 4.5.5)."""

    async def story(world):
        bucket = await world.bucket()
        etag = (await world.put(bucket, b"k", b"x" * 10_000)).etag
        files = world.files_count()
        with pytest.raises(PreconditionFailed):
            await _copy(world, bucket, request_of(source=source_of(if_match=("other",))))
        with pytest.raises(PreconditionFailed):
            await _copy(world, bucket, request_of(source=source_of(if_none_match=(etag,))))
        await world.put(bucket, b"copy", b"there")
        with pytest.raises(PreconditionFailed):
            await _copy(world, bucket, request_of(if_none_match=True))
        with pytest.raises(NoSuchKey):
            await _copy(world, bucket, request_of(b"absent", if_match="x"))
        assert world.files_count() == files
        await _copy(world, bucket, request_of(b"absent", if_none_match=True))

    run(story)


@pytest.mark.parametrize(
    "destination",
    [
        changed(replaces_metadata=True),
        changed(has_redirect=True, system=SystemMetadata(website_redirect_location="/x")),
        changed(has_storage_class=True, storage_class="STANDARD_IA"),
        changed(checksum_algorithm=ChecksumAlgorithm.SHA1),
    ],
    ids=["metadata", "redirect", "class", "checksum"],
)
def test_copy_to_itself_must_change_something(run, destination):
    """The very same object again is refused, with each of these changes it is allowed (s3 rule 4.9.5)."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"v")
        same = (
            PLAIN,
            changed(replaces_tags=True),
            changed(has_storage_class=True),
            changed(checksum_algorithm=ChecksumAlgorithm.CRC64NVME),
        )
        for useless in same:
            with pytest.raises(BadRequestError, match="without changing"):
                await _copy(world, bucket, request_of(b"k", destination=useless))
        await _copy(world, bucket, request_of(b"k", destination=destination))
        assert await world.get(bucket) == b"v"

    run(story)


def test_named_version_may_be_brought_back_onto_its_key(run):
    """That is how an old version is restored (s3 rule 4.9.5)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        old = await world.put(bucket, b"k", b"old")
        await world.put(bucket, b"k", b"new")
        await _copy(world, bucket, request_of(b"k", source=source_of(version_id=old.version_id)))
        assert await world.get(bucket) == b"old"

    run(story)


def test_source_above_the_limit_is_refused(run):
    """Clients then copy it in parts (s3 rule 1.6.3)."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"v")
        version = await _found(world, bucket, b"k")
        _judge_source(request_of(), msgspec.structs.replace(version, size=COPY_SOURCE_BYTES_MAX))
        with pytest.raises(BadRequestError, match="maximum allowable size"):
            _judge_source(
                request_of(), msgspec.structs.replace(version, size=COPY_SOURCE_BYTES_MAX + 1)
            )

    run(story)


def test_directives_choose_between_source_and_request(run):
    """COPY takes all of the source but redirect and class; REPLACE takes all of the request (s3 rules 4.9.3, 4.9.4)."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(
            bucket,
            b"k",
            b"v",
            system=SystemMetadata(content_type="text/old", website_redirect_location="/old"),
            user=(("a", "old"),),
            tags=(("t", "old"),),
        )
        fresh = {
            "system": SystemMetadata(content_type="text/new", website_redirect_location="/new"),
            "user": (("a", "new"),),
            "tags": (("t", "new"),),
            "storage_class": "STANDARD_IA",
        }
        await _copy(world, bucket, request_of(b"c1", destination=changed(**fresh)))
        await _copy(
            world,
            bucket,
            request_of(
                b"c2", destination=changed(**fresh, replaces_metadata=True, replaces_tags=True)
            ),
        )
        kept, new = await _found(world, bucket, b"c1"), await _found(world, bucket, b"c2")
        assert kept.system == SystemMetadata("text/old", website_redirect_location="/new")
        assert (kept.user, kept.tags) == ((("a", "old"),), (("t", "old"),))
        assert new.system == fresh["system"]
        assert (new.user, new.tags) == (fresh["user"], fresh["tags"])
        assert kept.storage_class == new.storage_class == "STANDARD_IA"

    run(story)


def test_checksum_of_a_copy_is_of_the_whole(run):
    """Asked for, else the source's algorithm, else CRC64NVME; never composite (s3 rule 3.5.11)."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"v")
        wanted = changed(checksum_algorithm=ChecksumAlgorithm.SHA1)
        answer = await _copy(world, bucket, request_of(b"c1", destination=wanted))
        digest = hashlib.sha1(b"v").digest()
        assert answer.checksum == Checksum(ChecksumAlgorithm.SHA1, ChecksumType.FULL_OBJECT, digest)
        again = await _copy(world, bucket, request_of(b"c2", source=source_of(b"c1")))
        assert again.checksum == answer.checksum

        class WithoutChecksum:
            def __getattr__(self, name):
                return getattr(world.catalog, name)

            async def find(self, *arguments):
                state = await world.catalog.find(*arguments)
                return type(state)(
                    state.versioning, msgspec.structs.replace(state.version, checksum=None)
                )

        world.sources._catalog = WithoutChecksum()
        plain = await _copy(world, bucket, request_of(b"c3"))
        assert plain.checksum.algorithm is ChecksumAlgorithm.CRC64NVME

    run(story)


def test_suspended_bucket_shows_null_for_a_copy(run, versioning):
    """Although PutObject shows nothing there (s3 rule 4.9.6)."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"v")
        if versioning is not Versioning.UNSET:
            await world.set_versioning(bucket, versioning)
        answer = await _copy(world, bucket, request_of())
        if versioning is Versioning.UNSET:
            assert (answer.version_id, answer.source_version_id) == (None, None)
        elif versioning is Versioning.SUSPENDED:
            assert (answer.version_id, answer.source_version_id) == ("null", "null")
        else:
            assert len(answer.version_id) == 32

    run(story)
