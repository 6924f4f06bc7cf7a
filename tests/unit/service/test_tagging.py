"""Tags of objects."""

from __future__ import annotations

import pytest

from objstore.model.errors import DeleteMarkerNotAllowed, NoSuchKey, NoSuchVersion
from objstore.model.names import ObjectKey, VersionId
from objstore.model.objects import Versioning
from objstore.s3.inputs import ObjectInput, PutObjectTaggingInput


def _input(bucket, key=b"k", version_id=None):
    return ObjectInput(bucket.name, ObjectKey(key), version_id)


async def _tags(world, bucket, version_id=None):
    return await world.tagging.get_object_tagging(
        world.call(bucket), _input(bucket, version_id=version_id)
    )


async def _set(world, bucket, tags, version_id=None, key=b"k"):
    request = PutObjectTaggingInput(bucket.name, ObjectKey(key), version_id, tags)
    return await world.tagging.put_object_tagging(world.call(bucket), request)


def test_whole_set_is_replaced(run):
    """In the order given; an untagged object has none and that is no error (s3 rules 4.8.4, 4.8.5)."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"v")
        assert (await _tags(world, bucket)).tags == ()
        await _set(world, bucket, (("b", "1"), ("a", "2")))
        assert (await _tags(world, bucket)).tags == (("b", "1"), ("a", "2"))
        await _set(world, bucket, (("c", "3"),))
        assert (await _tags(world, bucket)).tags == (("c", "3"),)
        await world.tagging.delete_object_tagging(world.call(bucket), _input(bucket))
        assert (await _tags(world, bucket)).tags == ()
        assert await world.get(bucket) == b"v"

    run(story)


def test_each_version_has_its_own_tags(run):
    """And answers say which version was meant (s3 rule 4.8.4)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        old = (await world.put(bucket, b"k", b"1")).version_id
        new = (await world.put(bucket, b"k", b"2")).version_id
        assert (await _set(world, bucket, (("a", "old"),), old)).version_id == old
        assert (await _set(world, bucket, (("a", "new"),))).version_id == new
        assert (await _tags(world, bucket, old)).tags == (("a", "old"),)
        current = await _tags(world, bucket)
        assert (current.tags, current.version_id) == ((("a", "new"),), new)

    run(story)


def test_markers_and_absent_objects_take_no_tags(run):
    """A marker is 405, current or by its id; anything missing 404 (s3 rule 4.8.4)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        marker = (await world.delete(bucket, b"k")).version_id
        for version_id in (None, marker):
            with pytest.raises(DeleteMarkerNotAllowed):
                await _tags(world, bucket, version_id)
            with pytest.raises(DeleteMarkerNotAllowed):
                await _set(world, bucket, (), version_id)
            with pytest.raises(DeleteMarkerNotAllowed):
                await world.tagging.delete_object_tagging(
                    world.call(bucket), _input(bucket, version_id=version_id)
                )
        with pytest.raises(NoSuchKey):
            await _set(world, bucket, (), key=b"absent")
        with pytest.raises(NoSuchVersion):
            await _tags(world, bucket, VersionId("0" * 32))

    run(story)
