"""Multipart uploads: what the service decides before and after the catalogue."""

from __future__ import annotations

import hashlib

import pytest

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.digests import DigestSet
from objstore.model.errors import (
    BadRequestError,
    InvalidArgument,
    InvalidPartNumber,
    InvariantError,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
)
from objstore.model.limits import COPY_SOURCE_BYTES_MAX, PART_BYTES_MIN
from objstore.model.names import ObjectKey, UploadId
from objstore.model.objects import Conditions, Versioning
from objstore.s3.inputs import (
    AbortMultipartUploadInput,
    CompletedPart,
    CompleteMultipartUploadInput,
    CopySource,
    CreateMultipartUploadInput,
    GetObjectAttributesInput,
    GetObjectInput,
    ListMultipartUploadsInput,
    ListPartsInput,
    ListQuery,
    NewObject,
    ReadConditions,
    UploadPartCopyInput,
    UploadPartInput,
)
from objstore.service.multipart import _copy_span

KEY = ObjectKey(b"m")
SHA, CRC = ChecksumAlgorithm.SHA256, ChecksumAlgorithm.CRC32
FULL, COMPOSITE = ChecksumType.FULL_OBJECT, ChecksumType.COMPOSITE
ROOMY = {"block_bytes": 1 << 20}


def crc_of(algorithm, data):
    digests = DigestSet(md5=False, algorithms=(algorithm,))
    digests.update(data)
    return digests.digest(algorithm)


class Session:
    """One upload in one bucket."""

    def __init__(self, world, bucket):
        self.world, self.bucket = world, bucket
        self.upload_id = UploadId("")
        self.done = []

    async def create(self, algorithm=None, kind=None, key=KEY, **conditions):
        request = CreateMultipartUploadInput(
            self.bucket.name,
            key,
            NewObject(user=(("a", "b"),)),
            algorithm,
            kind,
            Conditions(**conditions),
        )
        answer = await self.world.uploads.create_multipart_upload(
            self.world.call(self.bucket), request
        )
        self.upload_id = answer.upload_id
        return answer

    async def part(self, number, data, **body):
        call = self.world.call(self.bucket, self.world.body(data, **body))
        request = UploadPartInput(self.bucket.name, KEY, self.upload_id, number)
        answer = await self.world.uploads.upload_part(call, request)
        checksums = (
            ()
            if answer.checksum is None
            else ((answer.checksum.algorithm, answer.checksum.digest),)
        )
        self.done.append(CompletedPart(number, answer.etag, checksums))
        return answer

    async def copy(self, number, key=b"k", span=None, **conditions):
        source = CopySource(self.bucket.name, ObjectKey(key), None, ReadConditions(**conditions))
        request = UploadPartCopyInput(self.bucket.name, KEY, self.upload_id, number, source, span)
        return await self.world.uploads.upload_part_copy(self.world.call(self.bucket), request)

    async def complete(self, parts=None, **conditions):
        request = CompleteMultipartUploadInput(
            self.bucket.name,
            KEY,
            self.upload_id,
            tuple(self.done if parts is None else parts),
            Conditions(**conditions),
        )
        return await self.world.uploads.complete_multipart_upload(
            self.world.call(self.bucket), request
        )

    async def abort(self):
        request = AbortMultipartUploadInput(self.bucket.name, KEY, self.upload_id)
        await self.world.uploads.abort_multipart_upload(self.world.call(self.bucket), request)

    async def parts(self, limit=1000, after=0):
        request = ListPartsInput(self.bucket.name, KEY, self.upload_id, limit, after)
        return await self.world.uploads.list_parts(self.world.call(self.bucket), request)


async def session_in(world, **options):
    return Session(world, await world.bucket(**options))


def test_upload_becomes_an_object(run):
    """Metadata of Create, bytes of the parts, ETag over the parts (s3 rules 4.11.1 to 4.11.6)."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()
        data = (b"a" * PART_BYTES_MIN, b"tail")
        for number, piece in enumerate(data, 1):
            await upload.part(number, piece)
        answer = await upload.complete()
        md5s = b"".join(hashlib.md5(piece).digest() for piece in data)
        assert answer.etag == f"{hashlib.md5(md5s).hexdigest()}-2"
        assert answer.location == "http://store/box/m"
        assert answer.version_id is None
        assert await world.get(upload.bucket, KEY) == b"".join(data)
        version = (await world.catalog.find(upload.bucket, KEY)).version
        assert version.user == (("a", "b"),)
        assert version.owner == upload.bucket.owner
        assert (await upload.complete()).etag == answer.etag

    run(story, **ROOMY)


def test_location_carries_the_key_encoded(run):
    """It is a URL (s3 rule 4.11.6)."""

    async def story(world):
        upload = await session_in(world)
        key = ObjectKey("a b/ü".encode())
        await upload.create(key=key)
        call = world.call(upload.bucket, world.body(b"x"))
        part = await world.uploads.upload_part(
            call, UploadPartInput(upload.bucket.name, key, upload.upload_id, 1)
        )
        answer = await world.uploads.complete_multipart_upload(
            world.call(upload.bucket),
            CompleteMultipartUploadInput(
                upload.bucket.name, key, upload.upload_id, (CompletedPart(1, part.etag),)
            ),
        )
        assert answer.location == "http://store/box/a%20b/%C3%BC"

    run(story)


@pytest.mark.parametrize(
    ("kind", "sent", "error"),
    [
        (COMPOSITE, None, "expected checksum Type: crc32, actual checksum Type: null"),
        (COMPOSITE, SHA, "expected checksum Type: crc32, actual checksum Type: sha256"),
        (FULL, SHA, "expected checksum Type: crc32, actual checksum Type: sha256"),
        (FULL, None, ""),
        (FULL, CRC, ""),
        (COMPOSITE, CRC, ""),
    ],
)
def test_checksum_of_a_part_fits_the_upload(run, kind, sent, error):
    """Another algorithm is refused; none at all only for a composite (s3 rule 3.5.2)."""

    async def story(world):
        upload = await session_in(world)
        made = await upload.create(CRC, kind)
        assert (made.checksum_algorithm, made.checksum_type) == (CRC, kind)
        body = {} if sent is None else {"checksum": (sent, crc_of(sent, b"part"))}
        if error:
            with pytest.raises(BadRequestError, match=error):
                await upload.part(1, b"part", **body)
            assert (await upload.parts()).parts == []
            return
        answer = await upload.part(1, b"part", **body)
        assert answer.checksum == Checksum(CRC, FULL, crc_of(CRC, b"part"))

    run(story)


def test_upload_without_an_algorithm_echoes_and_forgets(run):
    """A part's checksum is verified and shown, but neither stored nor listed (s3 rule 3.5.3)."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()
        sent = Checksum(SHA, FULL, hashlib.sha256(b"part").digest())
        answer = await upload.part(1, b"part", checksum=(SHA, sent.digest))
        assert answer.checksum == sent
        (part,) = (await upload.parts()).parts
        assert part.checksum is None
        assert (await upload.part(2, b"part")).checksum is None

    run(story)


def test_null_mode_ends_with_crc64nvme(run):
    """Whatever the upload computed on the way (s3 rule 3.5.9)."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()
        await upload.part(1, b"part")
        upload.done = [CompletedPart(1, upload.done[0].etag)]
        answer = await upload.complete()
        nvme = ChecksumAlgorithm.CRC64NVME
        assert answer.checksum == Checksum(nvme, FULL, crc_of(nvme, b"part"))

    run(story)


def test_upload_in_crc64nvme_computes_it_once(run):
    """The algorithm of the upload may be the one that is computed anyway (s3 rule 3.5.2)."""

    async def story(world):
        upload = await session_in(world)
        nvme = ChecksumAlgorithm.CRC64NVME
        await upload.create(nvme, FULL)
        answer = await upload.part(1, b"part")
        assert answer.checksum == Checksum(nvme, FULL, crc_of(nvme, b"part"))

    run(story)


def test_unknown_upload_is_told_before_the_body_is_read(run):
    """Also for another key's upload (s3 rule 4.11.2)."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()
        other = UploadPartInput(upload.bucket.name, ObjectKey(b"other"), upload.upload_id, 1)
        with pytest.raises(NoSuchUpload):
            await world.uploads.upload_part(world.call(upload.bucket, world.body(b"x")), other)
        await upload.abort()
        for action in (upload.parts(), upload.part(1, b"x" * 10_000), upload.abort()):
            with pytest.raises(NoSuchUpload):
                await action
        assert world.files_count() == 0

    run(story)


def test_part_that_arrives_after_the_abort_leaves_nothing(run):
    """Parts in flight must not resurrect the upload, nor keep their bytes (s3 rule 4.11.10)."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()
        body = world.body(b"x" * 10_000)
        finish = body.finish

        async def abort_first():
            digests = await finish()
            await upload.abort()
            return digests

        body.finish = abort_first
        with pytest.raises(NoSuchUpload):
            await world.uploads.upload_part(
                world.call(upload.bucket, body),
                UploadPartInput(upload.bucket.name, KEY, upload.upload_id, 1),
            )
        assert world.files_count() == 0

    run(story)


def test_replaced_part_has_bytes_of_its_own(run):
    """The second attempt can never be mixed with the first (s3 rule 4.11.3)."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()
        await upload.part(1, b"1" * 10_000)
        await upload.part(1, b"2" * 10_000)
        await upload.complete([upload.done[1]])
        assert await world.get(upload.bucket, KEY) == b"2" * 10_000

    run(story)


# --- copies of parts ---------------------------------------------------------------------------------------------


def test_part_takes_a_range_of_an_object(run):
    """Both ends count; the whole without a range (s3 rules 4.10.1, 4.10.2, 3.5.10)."""

    async def story(world):
        upload = await session_in(world)
        whole = bytes(range(256)) * 40
        await world.put(upload.bucket, b"k", whole)
        await upload.create(CRC, FULL)
        answer = await upload.copy(1, span=(10, 5000))
        assert answer.etag == hashlib.md5(whole[10:5001]).hexdigest()
        assert answer.checksum == Checksum(CRC, FULL, crc_of(CRC, whole[10:5001]))
        assert answer.source_version_id is None
        assert (await upload.copy(2)).etag == hashlib.md5(whole).hexdigest()
        assert (await upload.copy(2, span=(3, 3))).etag == hashlib.md5(whole[3:4]).hexdigest()

    run(story)


def test_range_beyond_the_source_is_not_clipped(run):
    """Unlike a GET (s3 rule 4.10.1)."""

    async def story(world):
        upload = await session_in(world)
        await world.put(upload.bucket, b"k", b"0123456789")
        await upload.create()
        with pytest.raises(InvalidArgument):
            await upload.copy(1, span=(5, 10))
        with pytest.raises(PreconditionFailed):
            await upload.copy(1, if_match=("other",))
        assert (await upload.parts()).parts == []

    run(story)


def test_source_above_the_limit_needs_a_range():
    """5 GiB at most in one piece (s3 rules 1.6.3, 4.10.1)."""
    source = CopySource("b", ObjectKey(b"k"), None, ReadConditions())
    request = UploadPartCopyInput("b", KEY, UploadId("u"), 1, source, None)
    assert _copy_span(request, COPY_SOURCE_BYTES_MAX) == (0, COPY_SOURCE_BYTES_MAX)
    with pytest.raises(BadRequestError):
        _copy_span(request, COPY_SOURCE_BYTES_MAX + 1)


# --- complete ----------------------------------------------------------------------------------------------------


def test_condition_of_complete_is_told_early_and_spares_the_upload(run):
    """412, and the upload stays as it is (s3 rules 4.5.5 and 4.5.7)."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()
        await upload.part(1, b"part")
        await world.put(upload.bucket, KEY, b"there")
        with pytest.raises(PreconditionFailed):
            await upload.complete(if_none_match=True)
        with pytest.raises(PreconditionFailed):
            await upload.complete(if_match="other")
        assert len((await upload.parts()).parts) == 1

    run(story)


def test_repeat_of_a_conditional_complete_finds_its_first_result(run):
    """Its own object must not make the retry fail (s3 rule 4.11.8)."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()
        await upload.part(1, b"part")
        first = await upload.complete(if_none_match=True)
        assert await upload.complete(if_none_match=True) == first

    run(story)


def test_condition_of_create_is_told_early(run):
    """A client that sends it with Create learns at once that Complete would fail (s3 rule 4.5.5)."""

    async def story(world):
        upload = await session_in(world)
        await world.put(upload.bucket, KEY, b"there")
        with pytest.raises(PreconditionFailed):
            await upload.create(if_none_match=True)
        with pytest.raises(NoSuchKey):
            await upload.create(key=ObjectKey(b"absent"), if_match="x")
        await upload.create(key=ObjectKey(b"absent"), if_none_match=True)

    run(story)


def test_complete_in_a_versioned_bucket_shows_its_version(run):
    """Given at Complete, not before (s3 rule 4.11.11)."""

    async def story(world):
        upload = await session_in(world, versioning=Versioning.ENABLED)
        await upload.create()
        await upload.part(1, b"part")
        answer = await upload.complete()
        state = await world.catalog.find(upload.bucket, KEY)
        assert answer.version_id == state.version.version_id

    run(story)


def test_unexpected_answer_to_a_complete_is_a_bug(run):
    """And never a success."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()

        class Odd:
            def __getattr__(self, name):
                return getattr(world.catalog, name)

            async def submit(self, *_):
                return None

        world.uploads._catalog = Odd()
        with pytest.raises(InvariantError):
            await upload.complete([CompletedPart(1, "x")])

    run(story)


# --- parts of the finished object, listings ------------------------------------------------------------------------


async def _numbered(world, algorithm, kind):
    """Store an object of parts 2, 4, 6."""
    upload = await session_in(world)
    await upload.create(algorithm, kind)
    for number, data in ((2, b"a" * PART_BYTES_MIN), (4, b"b" * PART_BYTES_MIN), (6, b"end")):
        body = {} if algorithm is None else {"checksum": (algorithm, crc_of(algorithm, data))}
        await upload.part(number, data, **body)
    await upload.complete()
    return upload.bucket


def test_parts_are_read_by_their_position(run):
    """206 with the count, and the part's own checksum where the upload had an algorithm (s3 rules 4.2.5, 3.4.4)."""

    async def story(world):
        bucket = await _numbered(world, SHA, COMPOSITE)

        async def head(position):
            request = GetObjectInput(bucket.name, KEY, part_number=position, wants_checksum=True)
            return await world.objects.head_object(world.call(bucket), request)

        last = await head(3)
        assert (last.start, last.length, last.is_partial) == (2 * PART_BYTES_MIN, 3, True)
        assert last.parts_count == 3
        assert last.checksum.digest == hashlib.sha256(b"end").digest()
        assert await world.get(bucket, KEY, part_number=3) == b"end"
        with pytest.raises(InvalidPartNumber):
            await head(4)

    run(story, **ROOMY)


@pytest.mark.parametrize("algorithm", [SHA, None], ids=["with checksums", "null mode"])
def test_attributes_page_through_the_parts(run, algorithm):
    """Details only where the upload had an explicit algorithm (s3 rule 4.13.3)."""

    async def story(world):
        kind = None if algorithm is None else COMPOSITE
        bucket = await _numbered(world, algorithm, kind)

        async def page(limit, after):
            request = GetObjectAttributesInput(
                bucket.name, KEY, None, ("ObjectParts",), limit, after
            )
            return await world.objects.get_object_attributes(world.call(bucket), request)

        first = await page(2, 0)
        assert first.parts_count == 3
        if algorithm is None:
            assert (first.parts, first.is_truncated) == (None, False)
            return
        assert [part.number for part in first.parts] == [2, 4]
        assert first.is_truncated
        rest = await page(2, 4)
        assert ([part.number for part in rest.parts], rest.is_truncated) == ([6], False)
        beyond = await page(2, 6)
        assert (list(beyond.parts), beyond.is_truncated) == ([], False)

    run(story, **ROOMY)


def test_parts_of_an_open_upload_are_listed_in_pages(run):
    """A page of none is never truncated (s3 rule 4.12)."""

    async def story(world):
        upload = await session_in(world)
        await upload.create()
        for number in (3, 1, 2):
            await upload.part(number, b"x%d" % number)
        first = await upload.parts(limit=2)
        assert ([part.number for part in first.parts], first.is_truncated) == ([1, 2], True)
        rest = await upload.parts(limit=2, after=2)
        assert ([part.number for part in rest.parts], rest.is_truncated) == ([3], False)
        none = await upload.parts(limit=0)
        assert (list(none.parts), none.is_truncated) == ([], False)

    run(story)


def test_open_uploads_are_listed(run):
    """By key, then by initiation (s3 rule 5.5)."""

    async def story(world):
        upload = await session_in(world)
        first = (await upload.create(key=ObjectKey(b"b"))).upload_id
        second = (await upload.create(key=ObjectKey(b"a/1"))).upload_id
        request = ListMultipartUploadsInput(upload.bucket.name, ListQuery(max_keys=1))
        page = await world.uploads.list_multipart_uploads(world.call(upload.bucket), request)
        assert [item.upload_id for item in page.uploads] == [second]
        assert page.is_truncated
        key_marker, id_marker = page.next_marker
        rest = await world.uploads.list_multipart_uploads(
            world.call(upload.bucket),
            ListMultipartUploadsInput(
                upload.bucket.name, ListQuery(max_keys=5), key_marker, id_marker
            ),
        )
        assert [item.upload_id for item in rest.uploads] == [first]

    run(story)
