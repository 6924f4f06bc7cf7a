"""How the cost of a request grows with everything that can grow: JSON lines, one per point of a curve.

    python benchmarks/growth_bench.py [--case keys,versions,...] [--directory DIR] [--output FILE]
                                      [--largest N] [--requests N] [--rounds N]

Real servers with default settings, asked over a socket with 16 clients unless the clients are what grows. Each line has x,
the operation, the processor time of the server for one request, p50, and the memory of the server afterwards (in the memory
cases its peak). growth_plots.py makes tables and plots of the lines. All cases together take less than ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count as counting
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import uvloop
from e2e_bench import RESULTS
from growth_meter import (
    FILL_S_MAX,
    PAGE,
    Keys,
    Meter,
    Pairs,
    ask,
    cycle,
    enable_versioning,
    encoded,
    forget_peak,
    memory_mib,
    page,
    plain,
    play,
    put_again,
    put_part,
    read,
    read_range,
    target_of,
    times,
)

from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME, SqliteControlStore
from objstore.metadata import CatalogStore, SqlCatalog
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.model.limits import KIB, MIB
from objstore.model.names import ObjectKey, UploadId
from objstore.model.objects import BucketRecord, Upload
from objstore.s3.signature.canonical import canonical_query, encode_component
from objstore.server.bench.bodies import Bodies
from objstore.server.bench.bucket import elements
from objstore.server.bench.cases import complete_request
from objstore.server.bench.connection import Connection, open_connection
from objstore.server.bench.machine import commit, file_system, machine
from objstore.server.bench.request import Request, Script
from objstore.server.bench.signer import Signer
from objstore.server.clock import SystemClock
from objstore.service.ports import Ids
from objstore.service.registry import BucketRegistry
from objstore.testing.catalog_kit import OWNER, CommandKit, md5_of
from objstore.testing.server import S3Server

SMALL = 4 * KIB
KEYS = (1_000, 10_000, 100_000, 1_000_000)
VERSIONS = (1, 10, 100, 1_000, 10_000)
PARTS = (1, 10, 100, 1_000, 10_000)
CONNECTIONS = (1, 10, 100, 1_000)
DIRECTORIES = (1, 2, 3, 6, 12)
OBJECT_SIZES = (MIB, 8 * MIB, 64 * MIB, 512 * MIB)
MEMORY_CONNECTIONS = (1, 4, 16, 64, 256)
PART_BYTES = 5 * MIB
LAST_PART_BYTES = 1 * MIB
RANGE_BYTES = 64 * KIB
IN_FLIGHT = 2_000


class Run(NamedTuple):
    """What all cases need to know."""

    directory: Path
    output: Path
    largest: int
    requests: int
    rounds: int

    def points(self, all_points: tuple[int, ...], unit: int = 1) -> list[int]:
        return [point for point in all_points if point <= self.largest * unit]

    def place(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(dir=self.directory, prefix="objstore-growth-")


class Open(NamedTuple):
    """The files of a stopped server, open."""

    catalog: SqlCatalog
    registry: BucketRegistry


@contextlib.asynccontextmanager
async def behind_the_back(data: Path) -> AsyncIterator[Open]:
    store = CatalogStore(data / CATALOG_FILE_NAME, on_fatal=print)
    control = SqliteControlStore(data / CONTROL_FILE_NAME, on_fatal=print)
    async with store, control:
        catalog = SqlCatalog([store])
        yield Open(catalog, BucketRegistry(control, catalog, Ids(os.urandom)))


async def submit_all(catalog: SqlCatalog, record: BucketRecord, commands: Iterator) -> None:
    """Apply pairs of a key and its command."""
    while batch := list(islice(commands, IN_FLIGHT)):
        await asyncio.gather(*(catalog.submit(record, key, command) for key, command in batch))


def keys_case(run: Run) -> None:
    """One bucket grows to a million keys; another one of the same store keeps a thousand."""
    large, small = Meter("keys", run.output), Meter("store", run.output)
    held = 0
    with run.place() as place:
        data = Path(place, "data")
        with S3Server([data], buckets=("large", "small")) as server:
            for size in run.points(KEYS):
                server.stop()
                asyncio.run(fill_keys(data, "large", held, size))
                if not held:
                    asyncio.run(fill_keys(data, "small", 0, min(KEYS)))
                held = size
                server.start()
                for _ in range(run.rounds):
                    objects_round(run, server, large, (size, "large", size))
                    objects_round(run, server, small, (size, "small", min(KEYS)))
                large.flush()
                small.flush()


async def fill_keys(data: Path, bucket: str, start: int, end: int) -> None:
    async with behind_the_back(data) as files:
        record = await files.registry.find(bucket)
        kit = CommandKit(record.bucket_id, at=record.created + 1 + len(str(start)))
        keys = (b"%09d" % number for number in range(start, end))
        await submit_all(files.catalog, record, ((key, kit.put(key)) for key in keys))


def objects_round(run: Run, server: S3Server, meter: Meter, where: tuple[int, str, int]) -> None:
    """Pages of a bucket, then put, get, head and delete of objects spread over its keys."""
    x, bucket, held = where
    path = f"/{bucket}".encode()
    middle = held // 2 if held > 2 * PAGE else 0
    for name, after in {"list, first page": 0, "list, middle": middle}.items():
        pairs = encoded(("list-type", "2"), ("start-after", f"{after - 1:09d}" if after else ""))
        meter.measure(server, (x, name), pages_of(run, path, pairs, b"Key"))
    step = max(1, held // run.requests)
    bodies = Bodies(SMALL)
    bodies.warm()
    scripts = cycle(lambda: Keys(path + b"/", bodies, count=run.requests, step=step), run.requests)
    for operation, wanted in scripts.items():
        meter.measure(server, (x, operation), wanted)


def versions_case(run: Run) -> None:
    """Ten thousand versions in all, of many keys or of few; for the single version three rounds of keys."""
    meter = Meter("versions", run.output)
    bodies = Bodies(SMALL)
    bodies.warm()
    with run.place() as place, S3Server([Path(place, "data")], buckets=("versions",)) as server:
        enable_versioning(server, b"/versions")
        for versions in run.points(VERSIONS):
            keys_count = max(1, min(3 * run.requests, max(VERSIONS) // versions))
            load = Keys(b"/versions/%d/" % versions, bodies, count=keys_count)
            fill = (put_again(load, number) for number in range(keys_count * versions))
            play(server, fill, duration_s=FILL_S_MAX)
            stored = versions_of(server, f"{versions}/")
            numbers = counting()
            for _ in range(run.rounds):
                versions_round(run, server, meter, (versions, load, stored, numbers))
            for number in range(run.rounds):
                chosen = stored[number :: run.rounds][: run.requests // 5]
                delete = (
                    plain(Request(b"DELETE", f"/versions/{key}".encode(), pair(version)), 204)
                    for key, version in chosen
                )
                meter.measure(server, (versions, "delete a version"), delete)
            meter.flush()


def pair(version: str) -> bytes:
    return canonical_query(encoded(("versionId", version)))


def versions_of(server: S3Server, prefix: str) -> list[tuple[str, str]]:
    """Return key and id of all versions below a prefix, in the order of the listing."""
    found: list[tuple[str, str]] = []
    while True:
        pairs = [("prefix", prefix), ("versions", "")]
        if found:
            pairs += [("key-marker", found[-1][0]), ("version-id-marker", found[-1][1])]
        answer = ask(server, Request(b"GET", b"/versions", canonical_query(encoded(*pairs))))
        body = answer.body
        found += zip(elements(body, "Key"), elements(body, "VersionId"), strict=True)
        if answer.element(b"IsTruncated") != "true":
            return found


def versions_round(
    run: Run,
    server: S3Server,
    meter: Meter,
    where: tuple[int, Keys, list[tuple[str, str]], Iterator[int]],
) -> None:
    x, load, stored, numbers = where
    held = load.objects_count
    current = (
        read(load.path(number % held), b"", load, number % held) for number in range(run.requests)
    )
    meter.measure(server, (x, "get current"), current)
    chosen = (stored[number * 7_919 % len(stored)] for number in range(run.requests))
    old = (
        read(f"/versions/{key}".encode(), pair(version), load, int(key[-10:-1]))
        for key, version in chosen
    )
    meter.measure(server, (x, "get by version id"), old)
    put = (put_again(load, next(numbers)) for _ in range(run.requests))
    meter.measure(server, (x, "put"), put)
    middle = len(stored) // 2 if len(stored) > 2 * PAGE else 0
    markers = {"page of versions, first": (), "page of versions, middle": stored[middle]}
    for name, marker in markers.items():
        pairs = encoded(
            ("prefix", f"{x}/"),
            ("versions", ""),
            *zip(("key-marker", "version-id-marker"), marker, strict=False),
        )
        meter.measure(server, (x, name), pages_of(run, b"/versions", pairs, b"VersionId"))


def pages_of(run: Run, path: bytes, pairs: Pairs, element: bytes) -> Iterator[Script]:
    """Yield requests for the same page, fewer than others: each shows up to a thousand entries."""
    for _ in range(max(1, run.requests // 10)):
        yield page(path, pairs, element=element)


class Shape(NamedTuple):
    """What the parts of an upload look like."""

    count: int
    is_uneven: bool
    """Whether no two parts have the same size: the store keeps runs of equal sizes."""

    @property
    def sizes(self) -> list[int]:
        """Sizes of all parts but the last."""
        step = int(self.is_uneven)
        return [PART_BYTES + part * step for part in range(1, self.count)]

    @property
    def uploads_count(self) -> int:
        return max(3, min(100, max(PARTS) // self.count))

    def operation(self, name: str) -> str:
        return name + (", sizes differ" if self.is_uneven else "")


def parts_case(run: Run) -> None:
    """All parts but the last are rows only, stored behind the server's back: nothing reads their bytes."""
    meter = Meter("parts", run.output)
    with run.place() as place:
        data = Path(place, "data")
        with S3Server([data], buckets=("parts",)) as server:
            uploads = {
                shape: [create_upload(server, shape, turn) for turn in range(shape.uploads_count)]
                for count in run.points(PARTS)
                for shape in (Shape(count, is_uneven=False), Shape(count, is_uneven=True))
            }
            server.stop()
            asyncio.run(fill_parts(data, uploads))
            server.start()
            for shape, opened in uploads.items():
                parts_point(run, server, meter, (shape, opened))
                meter.flush()


def create_upload(server: S3Server, shape: Shape, turn: int) -> Upload:
    key = f"{shape.count}/{int(shape.is_uneven)}/{turn:05d}"
    answer = ask(server, Request(b"POST", f"/parts/{key}".encode(), b"uploads="))
    upload_id = UploadId(answer.element(b"UploadId"))
    return Upload(upload_id, ObjectKey(key.encode()), initiated=1, owner=OWNER, initiator=OWNER)


async def fill_parts(data: Path, uploads: dict[Shape, list[Upload]]) -> None:
    async with behind_the_back(data) as files:
        record = await files.registry.find("parts")
        kit = CommandKit(record.bucket_id, at=record.created + 1)
        commands = (
            (upload.key, kit.put_part(upload, part, size))
            for shape, opened in uploads.items()
            for upload in opened
            for part, size in enumerate(shape.sizes, start=1)
        )
        await submit_all(files.catalog, record, commands)


def parts_point(
    run: Run, server: S3Server, meter: Meter, where: tuple[Shape, list[Upload]]
) -> None:
    """List the parts of uploads, complete them, and read from their last parts."""
    shape, uploads = where
    count, sizes = shape.count, shape.sizes
    last = Bodies(LAST_PART_BYTES)
    last.warm()
    names = [
        (b"/parts/%b" % upload.key, encode_component(upload.upload_id.encode()))
        for upload in uploads
    ]
    play(server, (put_part(path, upload, count, last) for path, upload in names))
    if not shape.is_uneven:
        parts_pages(run, server, meter, (count, *names[0]))
    etags = [md5_of(b"%d %d" % part).encode() for part in enumerate(sizes, start=1)]
    etags.append(md5_of(bytes(last.window(0))).encode())
    completes = [plain(complete_request(*name, etags), 200) for name in names]
    if shape.is_uneven:
        play(server, completes)
    else:
        share = -(-len(names) // run.rounds)
        for start in range(0, len(names), share):
            some = completes[start : start + share]
            meter.measure(server, (count, "complete"), some, clients=1)
    at = sum(sizes) + LAST_PART_BYTES // 2
    for _ in range(run.rounds):
        paths = [names[turn % len(names)][0] for turn in range(run.requests)]
        heads = (plain(Request(b"HEAD", path), 200) for path in paths)
        meter.measure(server, (count, shape.operation("head")), heads)
        ranges = (read_range(path, at, RANGE_BYTES) for path in paths)
        meter.measure(server, (count, shape.operation("range of the last part")), ranges)


def parts_pages(run: Run, server: S3Server, meter: Meter, where: tuple[int, bytes, bytes]) -> None:
    count, path, upload = where
    for name, last in {"list parts, first page": 0, "list parts, last page": count}.items():
        pairs = [(b"part-number-marker", b"%d" % max(0, last - PAGE)), (b"uploadId", upload)]
        for _ in range(run.rounds):
            meter.measure(server, (count, name), pages_of(run, path, pairs, b"PartNumber"))


def connections_case(run: Run) -> None:
    """Memory of idle connections first, then the cost with all of them active."""
    meter, idle = Meter("connections", run.output), Meter("connections idle", run.output)
    bodies = Bodies(SMALL)
    bodies.warm()
    with run.place() as place, S3Server([Path(place, "data")], buckets=("bench",)) as server:
        play(server, times("put", Keys(b"/bench/old/", bodies, count=1), PAGE))
        before_mib = memory_mib(server, "VmRSS")
        for clients in run.points(CONNECTIONS):
            held_mib = uvloop.run(held_memory(server, clients))
            grown_kib = (held_mib - before_mib) * KIB
            each = {"kib_per_connection": round(grown_kib / clients, 1)}
            idle.write({"x": clients, "operation": "idle", "rss_mib": round(held_mib, 1)} | each)
        for clients in run.points(CONNECTIONS):
            number = max(run.requests, 5 * clients) if clients > 1 else run.requests
            for turn in range(run.rounds):
                path = b"/bench/%d-%d/" % (clients, turn)
                put = times("put", Keys(path, bodies, count=number), number)
                meter.measure(server, (clients, "put"), put, clients=clients)
                get = times("get", Keys(b"/bench/old/", bodies, count=PAGE), number)
                meter.measure(server, (clients, "get"), get, clients=clients)
        meter.flush()


async def held_memory(server: S3Server, clients: int) -> float:
    """Return the memory of a server while connections stand idle, each of which has asked once."""
    target = target_of(server)
    signer = Signer(target.credentials, target.host_header, SystemClock())
    opened: list[Connection] = []
    for _ in range(clients):
        answered = asyncio.get_running_loop().create_future()
        connection = await open_connection(
            target, signer, on_answer=answered.set_result, on_lost=print
        )
        opened.append(connection)
        connection.send(Request(b"HEAD", b"/bench/old/%09d-" % 1))
        await answered
    held_mib = memory_mib(server, "VmRSS")
    for connection in opened:
        connection.close()
    return held_mib


def directories_case(run: Run) -> None:
    meter = Meter("directories", run.output)
    for directories in run.points(DIRECTORIES):
        with run.place() as place:
            data = [Path(place, f"drive{number}") for number in range(directories)]
            with S3Server(data, buckets=("bench",)) as server:
                for size, number in {SMALL: run.requests, MIB: run.requests // 5}.items():
                    bodies = Bodies(size)
                    bodies.warm()
                    name = "4 KiB" if size == SMALL else "1 MiB"
                    for turn in range(run.rounds):
                        path = b"/bench/%d-%d/" % (size, turn)
                        for case in ("put", "get"):
                            scripts = times(case, Keys(path, bodies, count=number), number)
                            meter.measure(server, (directories, f"{case} {name}"), scripts)
        meter.flush()


def memory_case(run: Run) -> None:
    """Peaks of a fresh server: by size with four clients, and by clients with objects of 1 MiB."""
    sizes, clients = Meter("memory size", run.output), Meter("memory connections", run.output)
    for size in run.points(OBJECT_SIZES, MIB):
        number = max(4, min(64, 256 * MIB // size))
        memory_point(run, sizes, (size // MIB, size, 4, number))
    for count in run.points(MEMORY_CONNECTIONS):
        memory_point(run, clients, (count, MIB, count, max(32, 2 * count)))


def memory_point(run: Run, meter: Meter, where: tuple[int, int, int, int]) -> None:
    x, size, clients, number = where
    bodies = Bodies(size)
    bodies.warm()
    with run.place() as place, S3Server([Path(place, "data")], buckets=("bench",)) as server:
        for case in ("put", "get"):
            load = Keys(b"/bench/", bodies, count=number)
            forget_peak(server)
            meter.measure(server, (x, case), times(case, load, number), clients=clients)
            meter.peak(server, (x, case))
            server.restart()
    meter.flush()


CASES = {
    "keys": keys_case,
    "versions": versions_case,
    "parts": parts_case,
    "connections": connections_case,
    "directories": directories_case,
    "memory": memory_case,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--case", default=",".join(CASES), help="cases, separated by commas")
    parser.add_argument("--directory", type=Path, help="directory to put the data below")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--largest", type=int, default=10**6, help="leave out what is larger")
    parser.add_argument("--requests", type=int, default=PAGE)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    directory = arguments.directory or Path(tempfile.gettempdir())
    revision = commit()
    output = arguments.output or RESULTS / f"growth-{revision or 'unknown'}.jsonl"
    output.parent.mkdir(parents=True, exist_ok=True)
    facts = {"commit": revision, "machine": machine() | {"data_on": file_system(directory)}}
    Meter("facts", output).write(facts)
    run = Run(directory, output, arguments.largest, arguments.requests, arguments.rounds)
    for name in arguments.case.split(","):
        began_s = perf_counter()
        CASES[name](run)
        print(f"{name}: {perf_counter() - began_s:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
