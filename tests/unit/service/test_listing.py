"""Listings pass the request's terms on and tell where the next page begins."""

from __future__ import annotations

from objstore.model.objects import Versioning
from objstore.s3.inputs import ListObjectsInput, ListObjectVersionsInput, ListQuery

KEYS = [b"a/1", b"a/2", b"b", b"c/1", b"d"]


def test_pages_of_objects_follow_each_other(run):
    """Prefixes count as items; nothing is listed twice (s3 rules 5.1 and 5.2.1)."""

    async def story(world):
        bucket = await world.bucket()
        for key in KEYS:
            await world.put(bucket, key, key)
        query = ListQuery(delimiter=b"/", max_keys=2)
        after, pages = b"", []
        while after is not None:
            request = ListObjectsInput(bucket.name, query, is_v2=True, after=after)
            page = await world.listings.list_objects(world.call(bucket), request)
            assert page.request is request
            pages.append(([row[0] for row in page.rows], list(page.common_prefixes)))
            after = page.next_after
        assert pages == [([b"b"], [b"a/"]), ([b"d"], [b"c/"])]

    run(story)


def test_prefix_and_position_narrow_a_listing(run):
    """Strictly after the position (s3 rule 5.2.1)."""

    async def story(world):
        bucket = await world.bucket()
        for key in KEYS:
            await world.put(bucket, key, key)
        request = ListObjectsInput(bucket.name, ListQuery(prefix=b"a/"), is_v2=False, after=b"a/1")
        page = await world.listings.list_objects(world.call(bucket), request)
        assert [row[0] for row in page.rows] == [b"a/2"]
        assert page.next_after is None

    run(story)


def test_pages_of_versions_go_on_after_the_marker(run):
    """Newest first within a key; a marker of both parts names one version (s3 rule 5.4)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        first = (await world.put(bucket, b"k", b"1")).version_id
        second = (await world.put(bucket, b"k", b"2")).version_id
        marker = (await world.delete(bucket, b"k")).version_id
        position, seen = (b"", None), []
        while position is not None:
            request = ListObjectVersionsInput(bucket.name, ListQuery(max_keys=2), *position)
            page = await world.listings.list_object_versions(world.call(bucket), request)
            seen += [(row[8], row[9], row[10]) for row in page.rows]
            position = page.next_marker
        assert seen == [(marker, True, True), (second, False, False), (first, False, False)]

    run(story)
