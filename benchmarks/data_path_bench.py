"""How fast bytes come to the drives and back, without a gateway. Prints one JSON line per
measurement.

    python benchmarks/data_path_bench.py DIR [--size-mib 64] [--rounds 5]

DIR must be on the filesystem that is to be measured; drives are formatted below it and removed at
the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from objstore.model.instant import Instant
from objstore.model.limits import KIB, MIB
from objstore.model.names import DataId, DriveId
from objstore.model.objects import Scheme
from objstore.replication import DataStore
from objstore.storage import DriveIdentity, DriveSettings, PosixDrive, format_drive

BLOCKS = (1 * MIB, 4 * MIB, 8 * MIB, 16 * MIB)
SCHEMES = (Scheme(1, 2), Scheme(4, 2))


class WallClock:
    def now(self) -> Instant:
        return Instant(time.time_ns() // 1_000_000)

    def monotonic_s(self) -> float:
        return time.monotonic()


class OneRing:
    version = 1

    def __init__(self, drives: list[DriveId]) -> None:
        self._drives = drives

    def homes(self, block: bytes, ring_version: int) -> list[DriveId]:  # noqa: ARG002 -- a port
        turn = block[-1] % len(self._drives)
        return self._drives[turn:] + self._drives[:turn]


class Memory:
    def __init__(self, data: bytes) -> None:
        self.size: int | None = len(data)
        self._view = memoryview(data)

    async def read_into(self, buffer: memoryview) -> int:
        piece, self._view = self._view[: len(buffer)], self._view[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


@contextlib.asynccontextmanager
async def opened(root: Path, scheme: Scheme, block_bytes: int) -> AsyncIterator[DataStore]:
    drives = {}
    for number in range(scheme.width):
        drive_id = DriveId(f"d{number}")
        format_drive(root / drive_id, DriveIdentity("bench", drive_id, Instant(0)))
        drives[drive_id] = PosixDrive.open(
            root / drive_id, cluster_id="bench", clock=WallClock(), settings=DriveSettings()
        )
    homes = OneRing(list(drives))
    store = DataStore(
        drives, homes, scheme=scheme, on_damage=lambda *_: None, block_bytes=block_bytes
    )
    async with store:
        yield store
    for drive in drives.values():
        drive.close()
    shutil.rmtree(root)


async def measure(root: Path, scheme: Scheme, block_bytes: int, size: int, rounds: int) -> None:
    data = os.urandom(size)
    writes, reads = [], []
    async with opened(root, scheme, block_bytes) as store:
        for _ in range(rounds):
            start = time.perf_counter()
            extent = await store.write(DataId(os.urandom(16)), 0, Memory(data))
            writes.append(time.perf_counter() - start)
            start = time.perf_counter()
            async for _piece in store.read(extent, 0, size):
                pass
            reads.append(time.perf_counter() - start)
            await store.remove(extent, at_once=True)
    print(
        json.dumps(
            {
                "bench": "data_path",
                "scheme": f"{scheme.k}+{scheme.m}",
                "block_mib": block_bytes / MIB,
                "size_kib": size // KIB,
                "write_mb_s": round(size / statistics.median(writes) / 1e6, 1),
                "read_mb_s": round(size / statistics.median(reads) / 1e6, 1),
                "write_ms": round(statistics.median(writes) * 1e3, 3),
                "read_ms": round(statistics.median(reads) * 1e3, 3),
            }
        ),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--size-mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.directory))
    size = arguments.size_mib * MIB
    for block_bytes in BLOCKS:
        anyio.run(measure, root / "one", Scheme(1, 0), block_bytes, size, arguments.rounds)
    for scheme in SCHEMES:
        for block_bytes in BLOCKS[1:3]:
            anyio.run(measure, root / "many", scheme, block_bytes, size, arguments.rounds)
    anyio.run(measure, root / "one", Scheme(1, 0), 8 * MIB, 64 * KIB, 20 * arguments.rounds)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
