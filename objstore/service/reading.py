"""From a version to its bytes: which parts a range touches, and the stream over them.

Parts of a multipart object are located by their runs (`PartsBody`), so that a range in the middle of 10,000 parts looks at
no more rows than it reads.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass

from objstore.metadata.catalog import Catalog
from objstore.model.errors import UnreadableData
from objstore.model.objects import (
    BucketRecord,
    ExtentBody,
    InlineBody,
    ObjectVersion,
    PartsBody,
)
from objstore.service.ports import Buffer, DataStore

__all__ = ["ObjectReader", "PartSlice", "part_span", "slices"]

_PARTS_PER_LOOKUP = 64


@dataclass(frozen=True, slots=True)
class PartSlice:
    """The bytes [start, start + length) of one part."""

    number: int
    start: int
    length: int


def slices(body: PartsBody, start: int, length: int) -> Iterator[PartSlice]:
    """Yield what a range of the object touches, in order; empty parts are passed over."""
    if not length:
        return
    offset = 0
    end = start + length
    for run in body.runs:
        run_bytes = run.count * run.size
        if run.size and offset + run_bytes > start:
            skipped = max(0, (start - offset) // run.size)
            for index in range(skipped, run.count):
                part_start = offset + index * run.size
                if part_start >= end:
                    return
                first = max(0, start - part_start)
                last = min(run.size, end - part_start)
                yield PartSlice(run.first_number + index, first, last - first)
        offset += run_bytes
        if offset >= end:
            return


def part_span(body: PartsBody, position: int) -> tuple[int, int, int]:
    """Return (start, size, number) of the part at a 1-based position (s3 rule 4.2.7); position must exist."""
    offset = 0
    for run in body.runs:
        if position <= run.count:
            return offset + (position - 1) * run.size, run.size, run.first_number + position - 1
        position -= run.count
        offset += run.count * run.size
    raise IndexError(position)


class ObjectReader:
    """Opens verified streams over stored versions."""

    def __init__(self, catalog: Catalog, data: DataStore) -> None:
        self._catalog = catalog
        self._data = data

    def inline(self, version: ObjectVersion, start: int, length: int) -> Buffer | None:
        """Return the bytes when they are at hand already, else None."""
        if length == 0:
            return b""
        if isinstance(version.body, InlineBody):
            data = version.body.data
            return data if length == len(data) else memoryview(data)[start : start + length]
        return None

    async def at_once(self, version: ObjectVersion, start: int, length: int) -> Buffer | None:
        """Read the bytes where they are one piece on the drives, else return None."""
        if isinstance(version.body, ExtentBody):
            return await self._data.read_at_once(version.body.extent, start, length)
        return None

    async def open(
        self, bucket: BucketRecord, version: ObjectVersion, start: int, length: int
    ) -> AsyncGenerator[Buffer, None]:
        """Return a stream of the bytes; the first piece is verified before this returns. Whoever ends early closes it.

        Raises `UnreadableData` where nothing was yielded yet can still become an error answer.
        """
        pieces = self._pieces(bucket, version, start, length)
        first = await anext(pieces, None)
        if first is None:
            raise UnreadableData("object has fewer bytes than its record says")
        return _resumed(first, pieces)

    async def _pieces(
        self, bucket: BucketRecord, version: ObjectVersion, start: int, length: int
    ) -> AsyncGenerator[Buffer, None]:
        body = version.body
        if isinstance(body, PartsBody):
            async with aclosing(self._parts(bucket, version, start, length)) as pieces:
                async for piece in pieces:
                    yield piece
        elif isinstance(body, ExtentBody):
            async with aclosing(self._data.read(body.extent, start, length)) as pieces:
                async for piece in pieces:
                    yield piece
        else:
            yield memoryview(body.data)[start : start + length]

    async def _parts(
        self, bucket: BucketRecord, version: ObjectVersion, start: int, length: int
    ) -> AsyncGenerator[Buffer, None]:
        body = version.body
        if not isinstance(body, PartsBody):
            return
        for batch in _batches(slices(body, start, length), _PARTS_PER_LOOKUP):
            numbers = [piece.number for piece in batch]
            rows = await self._catalog.find_parts(bucket, version.key, body.upload_id, numbers)
            found = {part.number: part for part in rows}
            for wanted in batch:
                part = found.get(wanted.number)
                if part is None:
                    raise UnreadableData("a part has no record", part_number=wanted.number)
                if isinstance(part.body, InlineBody):
                    yield memoryview(part.body.data)[wanted.start : wanted.start + wanted.length]
                else:
                    stream = self._data.read(part.body.extent, wanted.start, wanted.length)
                    async with aclosing(stream) as pieces:
                        async for piece in pieces:
                            yield piece


async def _resumed(
    first: Buffer, rest: AsyncGenerator[Buffer, None]
) -> AsyncGenerator[Buffer, None]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


def _batches(pieces: Iterator[PartSlice], size: int) -> Iterator[list[PartSlice]]:
    batch: list[PartSlice] = []
    for piece in pieces:
        batch.append(piece)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
