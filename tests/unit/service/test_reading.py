"""A range touches the parts that it must and no others; a stream is verified, complete, or an error."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.errors import UnreadableData
from objstore.model.names import UploadId
from objstore.model.objects import PartRun, PartsBody
from objstore.s3.inputs import (
    CompletedPart,
    CompleteMultipartUploadInput,
    CreateMultipartUploadInput,
    NewObject,
    RangeSpec,
    UploadPartInput,
)
from objstore.service.reading import PartSlice, part_span, slices

UPLOAD = UploadId("u")
RUNS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=6)


def body_of(sizes):
    """Return a body of runs; numbers have gaps between runs."""
    runs, number = [], 1
    for count, size in sizes:
        runs.append(PartRun(number, count, size))
        number += count + 2
    return PartsBody(UPLOAD, tuple(runs))


def numbered_sizes(body):
    """Every part by itself: the dumb twin."""
    return [(run.first_number + index, run.size) for run in body.runs for index in range(run.count)]


def dumb_slices(body, start, length):
    """Walk over all bytes one by one."""
    touched = {}
    offset = 0
    for number, size in numbered_sizes(body):
        for index in range(size):
            if start <= offset < start + length:
                touched.setdefault(number, []).append(index)
            offset += 1
    return [PartSlice(number, found[0], len(found)) for number, found in touched.items()]


@settings(max_examples=200)
@given(RUNS, st.data())
def test_slices_are_those_of_a_walk_over_all_bytes(sizes, data):
    """Runs are skipped by arithmetic; the result is that of counting bytes."""
    body = body_of(sizes)
    total = sum(size for _, size in numbered_sizes(body))
    start = data.draw(st.integers(0, total))
    length = data.draw(st.integers(0, total - start))
    assert list(slices(body, start, length)) == dumb_slices(body, start, length)


@settings(max_examples=100)
@given(RUNS)
def test_part_spans_follow_each_other(sizes):
    """Position n is the nth part, whatever its number (s3 rule 4.2.7)."""
    body = body_of(sizes)
    offset = 0
    for position, (number, size) in enumerate(numbered_sizes(body), 1):
        assert part_span(body, position) == (offset, size, number)
        offset += size
    with pytest.raises(IndexError):
        part_span(body, body.parts_count + 1)


PART_BYTES = 5 * 1024 * 1024
PARTS = (b"a" * PART_BYTES, b"b" * PART_BYTES, b"last one")


async def _complete(world, bucket, parts=PARTS):
    """Store a multipart object with part numbers 1, 3, 5, ...; return its upload id."""
    made = await world.uploads.create_multipart_upload(
        world.call(bucket), CreateMultipartUploadInput(bucket.name, b"m", NewObject())
    )
    done = []
    for index, data in enumerate(parts):
        number = 2 * index + 1
        call = world.call(bucket, world.body(data))
        part = await world.uploads.upload_part(
            call, UploadPartInput(bucket.name, b"m", made.upload_id, number)
        )
        done.append(CompletedPart(number, part.etag))
    await world.uploads.complete_multipart_upload(
        world.call(bucket),
        CompleteMultipartUploadInput(bucket.name, b"m", made.upload_id, tuple(done)),
    )
    return made.upload_id


def test_ranges_over_every_kind_of_body(run):
    """Inline, on drives, in parts: the same bytes as a slice of the whole (s3 rule 4.2.1)."""

    async def story(world):
        bucket = await world.bucket()
        bodies = {b"i": bytes(range(60)), b"e": bytes(range(256)) * 50, b"m": b"".join(PARTS)}
        await world.put(bucket, b"i", bodies[b"i"])
        await world.put(bucket, b"e", bodies[b"e"])
        await _complete(world, bucket)
        for key, whole in bodies.items():
            assert await world.get(bucket, key) == whole
            cuts = [(0, 0), (3, 17), (len(whole) - 9, len(whole) - 1), (1, len(whole) - 2)]
            if key == b"m":
                cuts.append((PART_BYTES - 2, PART_BYTES + 1))
            for first, last in cuts:
                got = await world.get(bucket, key, range=RangeSpec(first, last, ""))
                assert got == whole[first : last + 1]

    run(story, block_bytes=1 << 20)


def test_empty_object_has_no_stream(run):
    """No byte, no drive, no error (s3 rule 4.2.7)."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"")
        assert await world.get(bucket) == b""

    run(story)


class WithoutParts:
    """A catalogue that lost rows of parts."""

    def __init__(self, inner, lost):
        self._inner = inner
        self._lost = lost

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def find_parts(self, bucket, key, upload_id, numbers):
        rows = await self._inner.find_parts(bucket, key, upload_id, numbers)
        return [part for part in rows if part.number not in self._lost]


@pytest.mark.parametrize("lost", [1, 5], ids=["first", "last"])
def test_part_without_a_row_is_an_error_and_never_a_gap(run, lost):
    """The object must not be served shorter: before the first byte an error, later a broken stream."""

    async def story(world):
        bucket = await world.bucket()
        await _complete(world, bucket)
        world.reader._catalog = WithoutParts(world.catalog, {lost})
        with pytest.raises(UnreadableData):
            await world.get(bucket, b"m")

    run(story, block_bytes=1 << 20)


def test_unreadable_object_fails_before_the_first_byte(run):
    """A GET of lost bytes can still be answered with an error, so it must be."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"x" * 10_000)
        world.drives[0].files.clear()
        with pytest.raises(UnreadableData):
            await world.get(bucket)
        assert world.damage

    run(story)


def test_record_that_promises_bytes_which_nobody_has_is_unreadable(run):
    """A body that yields nothing at all is not an empty object."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"abc")
        state = await world.catalog.find(bucket, b"k")
        broken = msgspec.structs.replace(
            state.version, size=10, body=PartsBody(UPLOAD, (PartRun(1, 1, 0),))
        )
        with pytest.raises(UnreadableData):
            await world.reader.open(bucket, broken, 0, 10)

    run(story)


class Watched:
    """A data store that tells whether its streams were closed."""

    def __init__(self, inner):
        self._inner = inner
        self.closed = 0

    async def read(self, extent, start, length):
        try:
            async for piece in self._inner.read(extent, start, length):
                yield piece
        finally:
            self.closed += 1


def test_stream_that_is_given_up_is_closed_at_once(run):
    """A client that goes away must not leave reads of drives behind until the collector finds them."""

    async def story(world):
        bucket = await world.bucket()
        await world.put(bucket, b"k", b"x" * 10_000)
        await _complete(world, bucket)
        watched = world.reader._data = Watched(world.store)
        for number, key in enumerate((b"k", b"m"), 1):
            version = (await world.catalog.find(bucket, key)).version
            stream = await world.reader.open(bucket, version, 0, version.size)
            assert await anext(stream)
            await stream.aclose()
            assert watched.closed == number

    run(story, block_bytes=1 << 20)
