"""Objects: what put, get, head, delete and attributes decide."""

from __future__ import annotations

import hashlib

import anyio
import pytest

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.errors import (
    ClientDisconnected,
    InvalidPartNumber,
    InvalidRange,
    InvariantError,
    NoSuchKey,
    PreconditionFailed,
)
from objstore.model.names import ObjectKey
from objstore.model.objects import Conditions, Versioning
from objstore.s3.inputs import (
    DeleteEntry,
    DeleteObjectsInput,
    GetObjectAttributesInput,
    GetObjectInput,
    NewObject,
    PutObjectInput,
    RangeSpec,
    ReadConditions,
)


def get_of(bucket, key=b"k", **fields):
    return GetObjectInput(bucket.name, ObjectKey(key), **fields)


async def _head(world, bucket, key=b"k", **fields):
    return await world.objects.head_object(world.call(bucket), get_of(bucket, key, **fields))


async def _delete_all(world, bucket, *entries, is_quiet=False):
    request = DeleteObjectsInput(bucket.name, tuple(entries), is_quiet)
    return await world.objects.delete_objects(world.call(bucket), request)


# --- put ------------------------------------------------------------------------------------------------------


def test_put_without_a_checksum_gets_one(run):
    """CRC64NVME, stored and shown (s3 rule 3.4.1)."""

    async def story(world):
        bucket = await world.bucket()
        answer = await world.put(bucket, b"k", b"")
        assert answer.checksum == Checksum(
            ChecksumAlgorithm.CRC64NVME, ChecksumType.FULL_OBJECT, bytes(8)
        )
        assert answer.etag == hashlib.md5(b"").hexdigest()
        head = await _head(world, bucket, wants_checksum=True)
        assert head.checksum == answer.checksum
        assert (await _head(world, bucket)).checksum is None

    run(story)


def test_put_keeps_the_checksum_that_the_client_chose(run):
    """No other is computed in its place (s3 rule 3.4.1)."""

    async def story(world):
        bucket = await world.bucket()
        digest = hashlib.sha256(b"bytes").digest()
        body = world.body(b"bytes", checksum=(ChecksumAlgorithm.SHA256, digest))
        answer = await world.objects.put_object(
            world.call(bucket, body), PutObjectInput(bucket.name, b"k", NewObject())
        )
        assert answer.checksum == Checksum(
            ChecksumAlgorithm.SHA256, ChecksumType.FULL_OBJECT, digest
        )

    run(story)


@pytest.mark.parametrize(
    ("conditions", "exists", "error"),
    [
        ({"if_none_match": True}, True, PreconditionFailed),
        ({"if_match": "wrong"}, True, PreconditionFailed),
        ({"if_match": "wrong"}, False, NoSuchKey),
    ],
)
def test_false_condition_is_told_before_the_body_is_read(run, conditions, exists, error):
    """Five gigabytes must not be sent in vain (s3 rule 4.5.5)."""

    async def story(world):
        bucket = await world.bucket()
        if exists:
            await world.put(bucket, b"k", b"there")

        async def receive():
            raise AssertionError("the body was read")

        body = world.body(b"x" * 10_000)
        body._receive = receive
        with pytest.raises(error):
            await world.objects.put_object(
                world.call(bucket, body),
                PutObjectInput(bucket.name, b"k", NewObject(), Conditions(**conditions)),
            )

    run(story)


def test_condition_counts_at_the_commit(run):
    """Of two writers with If-None-Match one wins, and the other leaves no bytes (s3 rule 4.5.4)."""

    async def story(world):
        bucket = await world.bucket()
        outcomes = []

        async def put(letter):
            try:
                await world.put(bucket, b"k", letter * 10_000, if_none_match=True)
                outcomes.append(letter)
            except PreconditionFailed:
                outcomes.append(None)

        async with anyio.create_task_group() as group:
            for letter in (b"a", b"b", b"c"):
                group.start_soon(put, letter)
        winners = [letter for letter in outcomes if letter is not None]
        assert len(winners) == 1
        assert await world.get(bucket) == winners[0] * 10_000
        assert world.files_count() == 3

    run(story)


def test_marker_does_not_count_as_an_object(run):
    """If-None-Match holds over a delete marker, If-Match does not (s3 rule 4.5.3)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        await world.put(bucket, b"k", b"v")
        await world.delete(bucket, b"k")
        with pytest.raises(NoSuchKey):
            await world.put(bucket, b"k", b"w", if_match="x")
        await world.put(bucket, b"k", b"w", if_none_match=True)
        current = (await _head(world, bucket)).version.etag
        await world.put(bucket, b"k", b"z", if_match=current)
        assert await world.get(bucket) == b"z"

    run(story)


def test_owner_of_an_object_is_the_owner_of_its_bucket(run, people):
    """Whoever wrote it."""

    async def story(world):
        ann, _, root = people
        bucket = await world.bucket(who=ann)
        call = world.call(bucket, world.body(b"v"), who=root)
        await world.objects.put_object(call, PutObjectInput(bucket.name, b"k", NewObject()))
        assert (await _head(world, bucket)).version.owner == ann.canonical_id

    run(story)


def test_put_whose_client_leaves_stores_nothing(run):
    """Half an object is no object."""

    async def story(world):
        bucket = await world.bucket()
        body = world.body(pieces=[], size=10_000)
        messages = iter(
            [
                {"type": "http.request", "body": b"x" * 9_000, "more_body": True},
                {"type": "http.disconnect"},
            ]
        )

        async def receive():
            return next(messages)

        body._receive = receive
        with pytest.raises(ClientDisconnected):
            await world.objects.put_object(
                world.call(bucket, body), PutObjectInput(bucket.name, b"k", NewObject())
            )
        assert world.files_count() == 0
        with pytest.raises(NoSuchKey):
            await world.get(bucket)

    run(story)


# --- get and head --------------------------------------------------------------------------------------------


def test_not_modified_has_validators_and_no_bytes(run):
    """304 is an answer about the object, not an error about the request (s3 rule 4.1.5)."""

    async def story(world):
        bucket = await world.bucket()
        etag = (await world.put(bucket, b"k", b"bytes")).etag
        conditions = ReadConditions(if_none_match=(etag,))
        answer = await world.objects.get_object(
            world.call(bucket), get_of(bucket, conditions=conditions, range=RangeSpec(99, None, ""))
        )
        assert answer.head.is_not_modified
        assert answer.inline == b""
        with pytest.raises(PreconditionFailed):
            await _head(world, bucket, conditions=ReadConditions(if_match=("other",)))

    run(story)


def test_range_of_a_head_is_that_of_a_get(run):
    """HEAD says what GET would send (s3 rules 4.2.1 to 4.2.4)."""

    async def story(world):
        bucket = await world.bucket()
        etag = (await world.put(bucket, b"k", b"0123456789")).etag

        async def head(spec, **fields):
            head = await _head(world, bucket, range=spec, wants_checksum=True, **fields)
            return head.start, head.length, head.is_partial, head.checksum is not None

        assert await head(None) == (0, 10, False, True)
        assert await head(RangeSpec(2, 4, "")) == (2, 3, True, False)
        assert await head(RangeSpec(0, 99, "")) == (0, 10, True, True)
        assert await head(RangeSpec(2, 4, ""), if_range=f'"{etag}"') == (2, 3, True, False)
        assert await head(RangeSpec(2, 4, ""), if_range='"other"') == (0, 10, False, True)
        with pytest.raises(InvalidRange):
            await head(RangeSpec(10, None, ""))

    run(story)


def test_single_part_object_has_one_part(run):
    """The whole as a 206, without a count; a second part is not there (s3 rules 4.2.6, 4.2.7)."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"0123456789")
        head = await _head(world, bucket, part_number=1, wants_checksum=True)
        assert (head.start, head.length, head.is_partial, head.parts_count) == (0, 10, True, None)
        assert head.checksum is not None
        with pytest.raises(InvalidPartNumber) as error:
            await _head(world, bucket, part_number=2)
        assert error.value.detail == {"actual_part_count": 1, "part_number_requested": 2}

    run(story)


# --- delete --------------------------------------------------------------------------------------------------


def test_delete_tells_what_it_left(run, versioning):
    """Nothing, a new marker, or a null marker (s3 rules 4.15.3, 4.15.4)."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"v")
        if versioning is not Versioning.UNSET:
            await world.set_versioning(bucket, versioning)
        answer = await world.delete(bucket, b"k")
        assert answer.is_delete_marker is (versioning is not Versioning.UNSET)
        if versioning is Versioning.UNSET:
            assert answer.version_id is None
        elif versioning is Versioning.SUSPENDED:
            assert answer.version_id == "null"
        else:
            assert len(answer.version_id) == 32
        with pytest.raises(NoSuchKey):
            await world.get(bucket)
        assert (await world.delete(bucket, b"absent")).is_delete_marker is answer.is_delete_marker

    run(story)


def test_delete_of_a_marker_brings_the_object_back(run):
    """The previous version becomes current (s3 rule 4.15.4)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        await world.put(bucket, b"k", b"v")
        marker = (await world.delete(bucket, b"k")).version_id
        answer = await world.delete(bucket, b"k", marker)
        assert (answer.is_delete_marker, answer.version_id) == (True, marker)
        assert await world.get(bucket) == b"v"

    run(story)


def test_condition_of_a_delete_is_judged(run):
    """An ETag that is not the present one keeps the object (s3 rule 4.14.2)."""

    async def story(world):
        bucket = await world.bucket()
        etag = (await world.put(bucket, b"k", b"v")).etag
        with pytest.raises(PreconditionFailed):
            await world.delete(bucket, b"k", if_match="other")
        await world.delete(bucket, b"k", if_match=etag)
        with pytest.raises(NoSuchKey):
            await world.delete(bucket, b"k", if_match="*")

    run(story)


def test_results_stand_in_the_order_of_the_request(run):
    """More keys than are deleted at a time; every one has its own line (s3 rule 4.14.4)."""

    async def story(world):
        bucket = await world.bucket()
        keys = [b"k%03d" % (number * 37 % 150) for number in range(150)]
        for key in keys[::2]:
            await world.put(bucket, key, b"v")
        answer = await _delete_all(
            world, bucket, *(DeleteEntry(key) for key in keys), is_quiet=True
        )
        assert [result.key for result in answer.results] == keys
        assert answer.is_quiet
        assert all(result.error is None for result in answer.results)
        assert (await world.plain_catalog.usage(bucket)).objects == 0

    run(story)


def test_each_key_fails_for_itself(run):
    """One bad line must not keep the others from being deleted (s3 rules 4.14.4, 4.15.6)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        for key in (b"a", b"b", b"c"):
            await world.put(bucket, key, b"v")
        version = (await world.put(bucket, b"d", b"v")).version_id
        answer = await _delete_all(
            world,
            bucket,
            DeleteEntry(b"a"),
            DeleteEntry(b"b", "not a version\n"),
            DeleteEntry(b"c", "0" * 32),
            DeleteEntry(b"c", "null"),
            DeleteEntry(b"d", version),
        )
        codes = [result.error and result.error[0] for result in answer.results]
        assert codes == [None, "InvalidArgument", "NoSuchVersion", None, None]
        assert answer.results[0].is_delete_marker
        assert answer.results[0].delete_marker_version_id is not None
        assert answer.results[4].version_id == version
        assert await world.get(bucket, b"b") == b"v"
        with pytest.raises(NoSuchKey):
            await world.get(bucket, b"d")

    run(story)


def test_repeated_key_is_deleted_in_order(run):
    """The second line sees what the first one left (s3 rule 4.14.4)."""

    async def story(world):
        bucket = await world.bucket()
        etag = (await world.put(bucket, b"k", b"v")).etag
        answer = await _delete_all(
            world,
            bucket,
            DeleteEntry(b"k", etag="wrong"),
            DeleteEntry(b"k", etag=etag),
            DeleteEntry(b"k", etag=etag),
        )
        codes = [result.error and result.error[0] for result in answer.results]
        assert codes == ["PreconditionFailed", None, "NoSuchKey"]

    run(story)


def test_marker_named_by_its_id_is_reported_as_one(run):
    """DeleteMarker and its id (s3 rule 4.14.6)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        marker = (await world.delete(bucket, b"k")).version_id
        (result,) = (await _delete_all(world, bucket, DeleteEntry(b"k", marker))).results
        assert result.is_delete_marker
        assert result.delete_marker_version_id == result.version_id == marker

    run(story)


class Answering:
    """A catalogue that answers every command with one and the same thing."""

    def __init__(self, inner, answer):
        self._inner = inner
        self._answer = answer

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def submit(self, _bucket, _key, _command):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_faults_of_ours_keep_their_text_to_themselves(run):
    """What an internal error says is for the log, not for the client (s3 rule 4.14.4)."""

    async def story(world):
        bucket = await world.bucket()
        fault = InvariantError("row 7 of /secret/place is odd")
        world.objects._catalog = Answering(world.catalog, fault)
        (result,) = (await _delete_all(world, bucket, DeleteEntry(b"k"))).results
        assert result.error[0] == "InternalError"
        assert "secret" not in result.error[1]

    run(story)


def test_unexpected_answer_of_the_catalogue_is_a_bug(run):
    """And never a success."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"v")
        world.objects._catalog = Answering(world.catalog, None)
        with pytest.raises(InvariantError):
            await world.put(bucket, b"k", b"v")
        with pytest.raises(InvariantError):
            await world.delete(bucket, b"k")

    run(story)


def test_attributes_of_a_plain_object(run, versioning):
    """No parts, no count of parts (s3 rule 4.13.3)."""

    async def story(world):
        bucket = await world.bucket()
        if versioning is not Versioning.UNSET:
            await world.set_versioning(bucket, versioning)
        await world.put(bucket, b"k", b"v")
        request = GetObjectAttributesInput(bucket.name, b"k", None, ("ETag",), 1000, 0)
        answer = await world.objects.get_object_attributes(world.call(bucket), request)
        assert (answer.parts_count, answer.parts, answer.is_truncated) == (None, None, False)
        assert (answer.version_id is None) is (versioning is Versioning.UNSET)
        assert answer.version.size == 1

    run(story)
