"""Speed of the catalogue alone: JSON lines, one per case.

    python benchmarks/catalog_bench.py [--directory DIR] [--seconds S]

Everything goes through `SqlCatalog` in one process, as a server uses it; bodies are 4 KiB inline.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from itertools import count
from pathlib import Path
from time import perf_counter

from objstore.metadata import CatalogStore, SqlCatalog
from objstore.metadata.commands import OpenShard, SetVersioning
from objstore.model.limits import PART_BYTES_MIN, PARTS_MAX
from objstore.model.objects import Versioning
from objstore.testing.catalog_kit import CommandKit, bucket_record

BODY = bytes(range(256)) * 16
OBJECTS = 20_000


def report(case: str, operations: int, elapsed_s: float, **more: object) -> None:
    rate = round(operations / elapsed_s, 1)
    line = {"case": case, "per_s": rate, "ms": round(1000 * elapsed_s / operations, 4), **more}
    print(json.dumps(line), flush=True)


class Bench:
    def __init__(self, store: CatalogStore, seconds: float) -> None:
        self.store = store
        self.catalog = SqlCatalog([store])
        self.seconds = seconds
        self.numbers = count(100)

    async def bucket(self, number: int, versioning: Versioning = Versioning.UNSET):
        record = bucket_record(number)
        kit = CommandKit(record.bucket_id)
        await self.catalog.submit_all(record, OpenShard, op_id=kit.next_id(), at=kit.at)
        await self.catalog.submit_all(
            record, SetVersioning, op_id=kit.next_id(), at=kit.at, versioning=versioning
        )
        return record, kit

    async def writes(self, case: str, clients: int, make) -> None:
        record, kit = await self.bucket(next(self.numbers))
        numbers = count()
        stats = self.store.stats
        before = (stats.batches, stats.commands, stats.commit_s)
        end = perf_counter() + self.seconds

        async def client() -> int:
            done = 0
            while perf_counter() < end:
                key = b"prefix/%08x" % (next(numbers) * 2654435761 % 2**32)
                await self.catalog.submit(record, key, make(kit, key))
                done += 1
            return done

        started = perf_counter()
        done = sum(await asyncio.gather(*(client() for _ in range(clients))))
        elapsed = perf_counter() - started
        batches = stats.batches - before[0]
        commit_ms = round(1000 * (stats.commit_s - before[2]) / batches, 3)
        report(case, done, elapsed, per_commit=round(done / batches, 1), commit_ms=commit_ms)

    async def reads(self) -> None:
        record, kit = await self.bucket(1)
        keys = [b"obj/%06d" % number for number in range(OBJECTS)]
        for start in range(0, OBJECTS, 500):
            await asyncio.gather(
                *(
                    self.catalog.submit(record, key, kit.put(key, BODY))
                    for key in keys[start : start + 500]
                )
            )
        started = perf_counter()
        for key in keys:
            await self.catalog.find(record, key)
        report("find 4K", len(keys), perf_counter() - started)
        started = perf_counter()
        for number in range(100):
            await self.catalog.list_current(
                record, prefix=b"", delimiter=b"", after=keys[number * 100], limit=1000
            )
        report("list 1000", 100, perf_counter() - started)
        started = perf_counter()
        for _ in range(20):
            await self.catalog.list_versions(
                record, prefix=b"", delimiter=b"", after=(keys[500], None), limit=1000
            )
        report("list versions 1000", 20, perf_counter() - started)

    async def folders(self) -> None:
        record, kit = await self.bucket(2)
        keys = [b"%04d/%d" % (number // 10, number) for number in range(10_000)]
        await asyncio.gather(
            *(self.catalog.submit(record, key, kit.put(key, b"x")) for key in keys[:5000])
        )
        await asyncio.gather(
            *(self.catalog.submit(record, key, kit.put(key, b"x")) for key in keys[5000:])
        )
        started = perf_counter()
        for _ in range(10):
            await self.catalog.list_current(
                record, prefix=b"", delimiter=b"/", after=b"", limit=1000
            )
        report("list 1000 folders of 10", 10, perf_counter() - started)

    async def many_versions(self) -> None:
        record, kit = await self.bucket(3, Versioning.ENABLED)
        for _ in range(20):
            await asyncio.gather(
                *(self.catalog.submit(record, b"k", kit.put(b"k", b"x")) for _ in range(500))
            )
        page = await self.catalog.list_versions(
            record, prefix=b"", delimiter=b"", after=(b"", None), limit=1000
        )
        ids = [row[8] for row in page.rows]
        started = perf_counter()
        for version_id in ids:
            await self.catalog.find(record, b"k", version_id)
        report("find by version id of 10,000", len(ids), perf_counter() - started)
        started = perf_counter()
        for _ in range(100):
            await self.catalog.submit(record, b"k", kit.put(b"k", b"x"))
        report("put on 10,000 versions, 1 client", 100, perf_counter() - started)

    async def complete(self, parts_count: int) -> None:
        record, kit = await self.bucket(next(self.numbers))
        created = kit.create_upload(b"k")
        await self.catalog.submit(record, b"k", created)
        parts = []
        for start in range(1, parts_count + 1, 500):
            numbers = range(start, min(start + 500, parts_count + 1))
            commands = [
                kit.put_part(created.upload, number, PART_BYTES_MIN, crc64nvme=bytes(8))
                for number in numbers
            ]
            await asyncio.gather(
                *(self.catalog.submit(record, b"k", command) for command in commands)
            )
            parts += [command.part for command in commands]
        command = kit.complete(created.upload, parts)
        started = perf_counter()
        await self.catalog.submit(record, b"k", command)
        report(f"complete {parts_count} parts", 1, perf_counter() - started)
        started = perf_counter()
        await self.catalog.submit(record, b"k", kit.delete(b"k"))
        report(f"delete of {parts_count} parts", 1, perf_counter() - started)


async def main(directory: Path, seconds: float) -> None:
    started = perf_counter()
    store = CatalogStore(directory / "catalog.sqlite", on_fatal=print)
    report("create", 1, perf_counter() - started)
    async with store:
        bench = Bench(store, seconds)
        for clients in (1, 16, 64):
            await bench.writes(f"put 4K c{clients}", clients, lambda kit, key: kit.put(key, BODY))
        await bench.writes("put 16K c16", 16, lambda kit, key: kit.put(key, BODY * 4))
        await bench.writes("put 1M (extent) c16", 16, lambda kit, key: kit.put_extent(key, 1 << 20))
        await bench.reads()
        await bench.folders()
        await bench.many_versions()
        for parts_count in (10, 1_000, PARTS_MAX):
            await bench.complete(parts_count)
    started = perf_counter()
    CatalogStore(directory / "catalog.sqlite", on_fatal=print)
    report("open again", 1, perf_counter() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as place:
        asyncio.run(main(Path(place), arguments.seconds))
