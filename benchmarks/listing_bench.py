"""Time of pages in large buckets: JSON lines, one per place in a listing.

    python benchmarks/listing_bench.py [--directory DIR] [--keys 1000000] [--prefixes 100000] [--rounds 20]

Two buckets of a server are filled behind its back, through `SqlCatalog`, while it is stopped: one with keys, the other with
prefixes that hold three keys each. Then pages of 1,000 are timed at the start, in the middle and at the end of each, in the
process that holds the catalogue and over HTTP. What is promised is that the place and the size of the bucket do not matter:
run it with a tenth of the keys and compare.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter

from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME, SqliteControlStore
from objstore.metadata import CatalogStore, SqlCatalog
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.model.objects import BucketRecord
from objstore.service.ports import Ids
from objstore.service.registry import BucketRegistry
from objstore.testing.catalog_kit import CommandKit
from objstore.testing.raw_client import RawCall, RawClient
from objstore.testing.server import S3Server

PAGE = 1_000
KEYS_OF_A_PREFIX = 3
IN_FLIGHT = 500
BUCKETS = {"keys": b"", "prefixes": b"/"}
"""Name of the bucket, and the delimiter of its listing."""


def names(bucket: str, count: int) -> Iterator[bytes]:
    if bucket == "keys":
        yield from (b"year=2026/part-%09d" % number for number in range(count))
        return
    for number in range(count):
        yield from (b"dir-%07d/%d" % (number, inner) for inner in range(KEYS_OF_A_PREFIX))


def place_of(bucket: str, number: int) -> bytes:
    """Return the marker after which a page begins."""
    if number < 0:
        return b""
    return b"year=2026/part-%09d" % number if bucket == "keys" else b"dir-%07d/" % number


def places(count: int) -> dict[str, int]:
    return {"start": -1, "middle": count // 2, "end": count - PAGE - 1}


async def fill(catalog: SqlCatalog, record: BucketRecord, bucket: str, count: int) -> None:
    kit = CommandKit(record.bucket_id, at=record.created + 1)
    keys = names(bucket, count)
    started = perf_counter()
    stored = 0
    while batch := list(islice(keys, IN_FLIGHT)):
        await asyncio.gather(*(catalog.submit(record, key, kit.put(key)) for key in batch))
        stored += len(batch)
    rate = round(stored / (perf_counter() - started))
    print(json.dumps({"case": f"fill {bucket}", "keys": stored, "per_s": rate}), flush=True)


def report(case: str, where: str, times: list[float], got: int) -> None:
    line = {
        "case": case,
        "where": where,
        "entries": got,
        "p50_ms": round(1000 * statistics.median(times), 2),
        "max_ms": round(1000 * max(times), 2),
    }
    print(json.dumps(line), flush=True)


async def in_process(catalog: SqlCatalog, record: BucketRecord, count: int, rounds: int) -> None:
    bucket = record.name
    for where, number in places(count).items():
        times, got = [], 0
        for _ in range(rounds):
            started = perf_counter()
            page = await catalog.list_current(
                record,
                prefix=b"",
                delimiter=BUCKETS[bucket],
                after=place_of(bucket, number),
                limit=PAGE,
            )
            times.append(perf_counter() - started)
            got = len(page.rows) + len(page.common_prefixes)
        report(f"{bucket}, catalogue", where, times, got)


def over_http(server: S3Server, bucket: str, count: int, rounds: int) -> None:
    with RawClient.of(server) as client:
        for where, number in places(count).items():
            query = (
                ("delimiter", BUCKETS[bucket].decode()),
                ("list-type", "2"),
                ("start-after", place_of(bucket, number).decode()),
            )
            times, got = [], 0
            for _ in range(rounds):
                call = client.signed(RawCall("GET", f"/{bucket}", query))
                started = perf_counter()
                answer = client.send(call)
                times.append(perf_counter() - started)
                got = answer.body.count(b"<Contents>") + answer.body.count(b"<CommonPrefixes>")
            report(f"{bucket}, HTTP", where, times, got)


async def behind_the_back(data: Path, counts: dict[str, int], rounds: int) -> None:
    store = CatalogStore(data / CATALOG_FILE_NAME, on_fatal=print)
    control = SqliteControlStore(data / CONTROL_FILE_NAME, on_fatal=print)
    async with store, control:
        catalog = SqlCatalog([store])
        registry = BucketRegistry(control, catalog, Ids(os.urandom))
        for bucket, count in counts.items():
            record = await registry.find(bucket)
            await fill(catalog, record, bucket, count)
            await in_process(catalog, record, count, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--prefixes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    counts = {"keys": arguments.keys, "prefixes": arguments.prefixes}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as place:
        data = Path(place, "data")
        with S3Server([data], buckets=tuple(counts)) as server:
            server.stop()
            asyncio.run(behind_the_back(data, counts, arguments.rounds))
            server.start()
            for bucket, count in counts.items():
                over_http(server, bucket, count, arguments.rounds)


if __name__ == "__main__":
    main()
