"""Buckets as their owners see them."""

from __future__ import annotations

import pytest

from objstore.model.errors import (
    BucketNotEmpty,
    IllegalVersioningConfiguration,
    InvalidArgument,
    InvalidBucketName,
    NoSuchTagSet,
)
from objstore.model.names import BucketName
from objstore.model.objects import Versioning
from objstore.s3.inputs import (
    BucketInput,
    CreateBucketInput,
    ListBucketsInput,
    PutBucketTaggingInput,
)


async def _listed(world, who, **fields):
    request = ListBucketsInput(
        **{"max_buckets": None, "after": None, "prefix": None, "bucket_region": None, **fields}
    )
    return await world.buckets.list_buckets(world.call(who=who), request)


def _names(page):
    return [bucket.name for bucket in page.buckets]


def test_everybody_sees_their_own_buckets_and_root_all(run, people):
    """Names of others are nobody's business (s3 rule 5.6.4)."""

    async def story(world):
        ann, ben, root = people
        for name, who in (("bb1", ben), ("aa1", ann), ("aa2", ann), ("cc1", root)):
            await world.bucket(name, who=who)
        assert _names(await _listed(world, ann)) == ["aa1", "aa2"]
        assert _names(await _listed(world, ben)) == ["bb1"]
        assert _names(await _listed(world, root)) == ["aa1", "aa2", "bb1", "cc1"]
        assert (await _listed(world, ann)).owner == ann.canonical_id

    run(story)


def test_pages_of_buckets_meet_without_gap_or_overlap(run, people):
    """Buckets of others between one's own must neither shorten a page nor end the listing (s3 rule 5.6.2)."""

    async def story(world):
        ann, ben, _ = people
        own = [f"box{number:02}" for number in range(7)]
        for number in range(20):
            name = f"box{number:02}"
            await world.bucket(name, who=ann if name in own or number > 17 else ben)
        wanted = [*own, "box18", "box19"]
        found, after, pages = [], None, 0
        while True:
            page = await _listed(world, ann, max_buckets=4, after=after)
            found += _names(page)
            pages += 1
            after = page.next_after
            if after is None:
                break
            assert len(page.buckets) == 4
        assert found == wanted
        assert pages == 3

    run(story)


def test_prefix_selects_names(run, people):
    """Case-sensitive, from the first letter on (s3 rule 5.6.2)."""

    async def story(world):
        for name in ("logs-a", "logs-b", "data"):
            await world.bucket(name)
        page = await _listed(world, people[0], prefix="logs")
        assert _names(page) == ["logs-a", "logs-b"]
        assert page.prefix == "logs"
        assert _names(await _listed(world, people[0], bucket_region="us-east-1", prefix="d")) == [
            "data"
        ]
        with pytest.raises(InvalidArgument):
            await _listed(world, people[0], bucket_region="mars-1")

    run(story)


def test_name_that_breaks_the_rules_makes_no_bucket(run):
    """Judged before anything is written (s3 rules 1.3.1 and 1.3.2)."""

    async def story(world):
        with pytest.raises(InvalidBucketName):
            await world.buckets.create_bucket(world.call(), CreateBucketInput(BucketName("A_b")))
        assert await world.registry.list(prefix="", after="", limit=0) == []

    run(story)


def test_bucket_says_where_it_is(run):
    """Clients sign for that region afterwards (s3 rules 1.3.10 and 1.7.13)."""

    async def story(world):
        bucket = await world.bucket()
        call, request = world.call(bucket), BucketInput(bucket.name)
        assert (await world.buckets.head_bucket(call, request)).region == "us-east-1"
        assert (await world.buckets.get_bucket_location(call, request)).region == "us-east-1"

    run(story)


def test_versioning_is_remembered_and_has_no_way_back(run):
    """There is no way back to never set (s3 rule 4.15.1)."""

    async def story(world):
        bucket = await world.bucket()

        async def state():
            call = world.call(bucket)
            return (
                await world.buckets.get_bucket_versioning(call, BucketInput(bucket.name))
            ).versioning

        assert await state() is Versioning.UNSET
        for wanted in (Versioning.ENABLED, Versioning.SUSPENDED, Versioning.ENABLED):
            await world.set_versioning(bucket, wanted)
            assert await state() is wanted
        with pytest.raises(IllegalVersioningConfiguration):
            await world.set_versioning(bucket, Versioning.UNSET)

    run(story)


def test_tags_of_a_bucket_come_and_go(run):
    """Unset tags are an error of their own; an empty set counts as unset (s3 rule 4.8.6)."""

    async def story(world):
        bucket = await world.bucket()

        async def call():
            return world.call(await world.registry.find("box"))

        async def tags():
            return (
                await world.buckets.get_bucket_tagging(await call(), BucketInput(bucket.name))
            ).tags

        with pytest.raises(NoSuchTagSet):
            await tags()
        for wanted in ((("a", "1"), ("b", "")), (("c", "2"),)):
            await world.buckets.put_bucket_tagging(
                await call(), PutBucketTaggingInput(bucket.name, wanted)
            )
            assert await tags() == wanted
        await world.buckets.delete_bucket_tagging(await call(), BucketInput(bucket.name))
        with pytest.raises(NoSuchTagSet):
            await tags()

    run(story)


def test_noncurrent_versions_and_markers_keep_a_bucket(run):
    """A bucket that looks empty may still hold the only copy of something (s3 rule 1.3.9)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        first = await world.put(bucket, b"k", b"v")
        marker = await world.delete(bucket, b"k")
        for version_id in (first.version_id, marker.version_id):
            with pytest.raises(BucketNotEmpty):
                await world.delete_bucket(bucket)
            await world.delete(bucket, b"k", version_id)
        await world.delete_bucket(bucket)
        assert await world.registry.find("box") is None

    run(story)
