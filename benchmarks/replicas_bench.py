"""What three replicas of the catalogue cost beside one: puts of 4 KiB inline and look-ups, at the port of the catalogue.

Processor time is what to compare on a machine that does other work, too.

Usage: replicas_bench.py [DIRECTORY]; files go into a temporary directory there.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from objstore.metadata import Catalog, CatalogStore, SqlCatalog
from objstore.metadata.commands import OpenShard
from objstore.model.names import ObjectKey
from objstore.testing.catalog_kit import CommandKit, bucket_record
from objstore.testing.replica_group import open_group

WRITERS = ((1, 400), (16, 100), (64, 100))
READS = 3_000


async def measure(name: str, catalog: Catalog) -> None:
    """Print puts a second and their processor time for each number of writers, and look-ups a second."""
    bucket = bucket_record()
    kit = CommandKit(bucket.bucket_id)
    await catalog.submit_all(bucket, OpenShard, op_id=kit.next_id(), at=kit.at)

    async def write(writers: int, number: int, count: int) -> None:
        for index in range(count):
            key = ObjectKey(b"%d-%d-%d" % (writers, number, index))
            await catalog.submit(bucket, key, kit.put(key, b"x" * 4096))

    for writers, count in WRITERS:
        started, begun = perf_counter(), process_time()
        await asyncio.gather(*(write(writers, number, count) for number in range(writers)))
        seconds, busy_s = perf_counter() - started, process_time() - begun
        puts = writers * count
        print(
            f"{name:14} {writers:3} writers {puts / seconds:8.0f} puts/s "
            f"{seconds / count * 1000:7.2f} ms {busy_s / puts * 1e6:7.0f} us of processor time"
        )
    started = perf_counter()
    for index in range(READS):
        await catalog.find(bucket, ObjectKey(b"1-0-%d" % (index % 200)))
    print(f"{name:14}             {READS / (perf_counter() - started):8.0f} look-ups/s")


async def main(directory: str | None) -> None:
    """Measure one replica, then three."""
    with tempfile.TemporaryDirectory(dir=directory) as place:
        path = Path(place)
        async with CatalogStore(path / "catalog.sqlite", on_fatal=print) as store:
            await measure("one replica", SqlCatalog([store]))
        async with open_group(path) as group:
            await measure("three replicas", group.catalog)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
