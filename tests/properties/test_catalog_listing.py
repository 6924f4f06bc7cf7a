"""Pages of listings against a twin that looks at every row: all prefixes, delimiters, markers and page sizes."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.metadata import CatalogStore, SqlCatalog
from objstore.metadata.commands import OpenShard, SetVersioning
from objstore.metadata.listing import Position, start_after, successor, walk
from objstore.model.objects import Versioning
from objstore.testing.catalog_kit import CommandKit, bucket_record

LETTERS = st.sampled_from(["a", "b", "/", "é", "\U0001f600", "\x01"])
KEYS = st.text(LETTERS, min_size=1, max_size=5).map(str.encode)
PREFIXES = st.text(LETTERS, max_size=2).map(str.encode)
DELIMITERS = st.sampled_from([b"", b"/", b"a", b"//", b"b/", "é".encode()])


class ListCursor:
    """Rows (key, sub) in a sorted list."""

    def __init__(self, rows):
        self.rows = sorted(rows)
        self.scans = 0

    def scan(self, start, upper, limit):
        self.scans += 1
        found = [row for row in self.rows if self.is_behind(row, start) and row[0] < upper]
        return found[:limit]

    @staticmethod
    def is_behind(row, start):
        if start.sub is None:
            return row[0] >= start.key
        return row > (start.key, start.sub)


def finish(steps):
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def dumb_page(rows, prefix, delimiter, after, limit):
    """Look at every row. `after` is (key, sub or None). Return entries and whether something remains."""
    entries = []
    for row in sorted(rows):
        key = row[0]
        if not key.startswith(prefix):
            continue
        common = None
        if delimiter and delimiter in key[len(prefix) :]:
            common = key[: key.index(delimiter, len(prefix)) + len(delimiter)]
        if common is not None:
            if common > after[0] and common not in entries:
                entries.append(common)
        elif key > after[0] or (key == after[0] and after[1] is not None and row > after):
            entries.append(row)
    return entries[:limit], len(entries) > limit


def entries_of(page):
    """Merge the two lists of a page again."""
    return sorted(
        [*page.rows, *page.common_prefixes],
        key=lambda entry: (entry, 0) if isinstance(entry, bytes) else entry,
    )


@settings(max_examples=200, deadline=None)
@given(
    keys=st.lists(st.tuples(KEYS, st.integers(0, 3)), max_size=40),
    prefix=PREFIXES,
    delimiter=DELIMITERS,
    marker=st.text(LETTERS, max_size=4).map(str.encode) | st.integers(0, 39),
    sub=st.none() | st.integers(0, 3),
    limit=st.integers(1, 12),
)
def test_a_page_equals_the_page_of_the_twin(keys, prefix, delimiter, marker, sub, limit):
    """A key that is skipped or repeated at a page's edge is lost to a client that copies a bucket (s3 rules 5.1, 5.2.1)."""
    rows = set(keys)
    if isinstance(marker, int):
        # Markers that clients send are keys that they saw.
        marker = keys[marker % len(keys)][0] if keys else b""
    after = (marker, sub)
    start = start_after(after[0], prefix=prefix, delimiter=delimiter, sub=after[1])
    page = finish(walk(ListCursor(rows), start, prefix=prefix, delimiter=delimiter, limit=limit))
    expected, is_truncated = dumb_page(rows, prefix, delimiter, after, limit)
    assert entries_of(page) == expected
    assert page.is_truncated == is_truncated
    if expected:
        assert page.last == expected[-1]


def test_a_common_prefix_costs_one_scan_not_its_keys():
    """A bucket of ten folders with a thousand keys each must not read ten thousand rows (s3 rule 5.1.4)."""
    rows = [(b"%d/%04d" % (folder, number), 0) for folder in range(10) for number in range(1000)]
    cursor = ListCursor(rows)
    page = finish(walk(cursor, Position(b""), prefix=b"", delimiter=b"/", limit=1000))
    assert len(page.common_prefixes) == 10
    assert cursor.scans <= 12


def test_the_successor_of_a_prefix_is_the_first_key_behind_it():
    """The bound of every scan and skip; 0xff has no successor and is dropped."""
    assert successor(b"a/") == b"a0"
    assert successor(b"a\xff") == b"b"
    assert successor(b"\xff") == b"\xff"


async def collect(read, marker, limit, pages_max):
    """Follow a listing to its end, page by page."""
    entries = []
    for _ in range(pages_max):
        page_entries, marker = await read(marker, limit)
        entries += page_entries
        if marker is None:
            return entries
        assert page_entries
    raise AssertionError("the listing does not end")


def in_order(rows, common_prefixes):
    """Merge rows (stable within a key) and prefixes."""
    merged = [(row[0], row) for row in rows] + [(prefix, prefix) for prefix in common_prefixes]
    return [entry for _, entry in sorted(merged, key=lambda item: item[0])]


async def check_catalog(keys, spread, prefix, delimiter, limit):
    with tempfile.TemporaryDirectory() as directory:
        store = CatalogStore(Path(directory) / "catalog.sqlite", on_fatal=lambda _error: None)
        async with store:
            catalog = SqlCatalog([store])
            bucket = bucket_record(spread=spread)
            kit = CommandKit(bucket.bucket_id)
            await catalog.submit_all(bucket, OpenShard, op_id=kit.next_id(), at=kit.at)
            await catalog.submit_all(
                bucket,
                SetVersioning,
                op_id=kit.next_id(),
                at=kit.at,
                versioning=Versioning.ENABLED,
            )
            versions, uploads = [], []
            for number, (key, kind) in enumerate(keys):
                if kind == "upload":
                    command = kit.create_upload(key)
                    uploads.append((key, command.upload.upload_id))
                else:
                    command = kit.put(key) if kind == "put" else kit.delete(key)
                    version = command.version if kind == "put" else command.marker
                    versions.append((key, -number, version.version_id, kind == "delete"))
                await catalog.submit(bucket, key, command)
            arguments = {"prefix": prefix, "delimiter": delimiter}
            await check_current(catalog, bucket, versions, arguments, limit)
            await check_versions(catalog, bucket, versions, arguments, limit)
            await check_uploads(catalog, bucket, uploads, arguments, limit)


def newest(versions):
    latest = {}
    for row in sorted(versions, reverse=True):
        latest[row[0]] = row
    return latest


async def check_current(catalog, bucket, versions, arguments, limit):
    async def read(marker, limit):
        page = await catalog.list_current(bucket, after=marker, limit=limit, **arguments)
        keys = [(row[0],) for row in page.rows]
        return in_order(keys, page.common_prefixes), page.next_after

    rows = [(key,) for key, row in newest(versions).items() if not row[3]]
    expected, _ = dumb_page(rows, *arguments.values(), (b"", None), 10_000)
    assert await collect(read, b"", limit, 100) == expected


async def check_versions(catalog, bucket, versions, arguments, limit):
    async def read(marker, limit):
        page = await catalog.list_versions(bucket, after=marker, limit=limit, **arguments)
        found = [(row[0], row[8], row[9], row[10]) for row in page.rows]
        return in_order(found, page.common_prefixes), page.next_marker

    latest = newest(versions)
    expected, _ = dumb_page(versions, *arguments.values(), (b"", None), 10_000)
    shown = [
        entry
        if isinstance(entry, bytes)
        else (entry[0], entry[2], entry == latest[entry[0]], entry[3])
        for entry in expected
    ]
    assert await collect(read, (b"", None), limit, 200) == shown


async def check_uploads(catalog, bucket, uploads, arguments, limit):
    async def read(marker, limit):
        page = await catalog.list_uploads(bucket, after=marker, limit=limit, **arguments)
        found = [(upload.key, upload.upload_id) for upload in page.uploads]
        marker = page.last_marker if page.is_truncated else None
        return in_order(found, page.common_prefixes), marker

    expected, _ = dumb_page(uploads, *arguments.values(), (b"", None), 10_000)
    assert await collect(read, (b"", None), limit, 100) == expected


@settings(max_examples=40, deadline=None)
@given(
    keys=st.lists(
        st.tuples(KEYS, st.sampled_from(["put", "put", "delete", "upload"])), max_size=25
    ),
    spread=st.sampled_from([1, 4]),
    prefix=PREFIXES,
    delimiter=DELIMITERS,
    limit=st.integers(1, 7),
)
def test_the_pages_of_a_bucket_together_are_the_bucket(keys, spread, prefix, delimiter, limit):
    """Objects, versions and uploads, over one partition and merged over four (s3 rules 5.1 to 5.5)."""
    asyncio.run(check_catalog(keys, spread, prefix, delimiter, limit))
