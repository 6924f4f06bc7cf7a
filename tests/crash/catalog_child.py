"""A process that commits to a catalogue and prints what was acknowledged, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from objstore.metadata import CatalogStore, SqlCatalog
from objstore.metadata.commands import OpenShard
from objstore.testing.catalog_kit import CommandKit, bucket_record


async def main(directory: Path, round_number: int) -> None:
    """Put keys of this round from eight writers at once."""
    bucket = bucket_record()
    kit = CommandKit(bucket.bucket_id, at=1_000_000 + round_number)
    async with CatalogStore(directory / "catalog.sqlite", on_fatal=lambda _error: None) as store:
        catalog = SqlCatalog([store])
        await catalog.submit_all(bucket, OpenShard, op_id=kit.next_id(), at=kit.at)

        async def write(writer: int) -> None:
            for number in range(100_000):
                key = f"{round_number}/{writer}/{number}".encode()
                await catalog.submit(bucket, key, kit.put(key, key * 100))
                sys.stdout.write(f"{key.decode()}\n")
                sys.stdout.flush()

        await asyncio.gather(*(write(writer) for writer in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
