"""Prints how even placement is, and what adding one drive moves, beside rings of points and
rendezvous hashing.

python benchmarks/placement_table.py
"""

from __future__ import annotations

import time
from bisect import bisect_right

import xxhash

from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement import Member, Ring, assign

KEYS = [f"key-{number}".encode() for number in range(4096)]
WIDTH = 3
Table = list[list[str]]


def cluster(count: int) -> list[Member]:
    return [
        Member(DriveId(f"drive-{at:02}"), NodeId(f"node-{at:02}"), Zone("zone"))
        for at in range(count)
    ]


def ring_of_points(drives: list[str], points_each: int) -> Table:
    points = sorted(
        (xxhash.xxh3_64_intdigest(f"{drive}/{number}".encode()), drive)
        for drive in drives
        for number in range(points_each)
    )
    positions = [position for position, _ in points]
    table = []
    for key in KEYS:
        at = bisect_right(positions, xxhash.xxh3_64_intdigest(key))
        homes: dict[str, None] = {}
        while len(homes) < WIDTH:
            homes[points[at % len(points)][1]] = None
            at += 1
        table.append(list(homes))
    return table


def rendezvous(drives: list[str], partitions_count: int) -> Table:
    table = []
    for partition in range(partitions_count):
        seed = partition.to_bytes(4, "big")
        table.append(
            sorted(drives, key=lambda d: xxhash.xxh3_64_intdigest(seed + d.encode()))[:WIDTH]
        )
    return table


def explicit(ring: Ring) -> Table:
    return [[ring.members[index].drive for index in row] for row in ring.rows()]


def unevenness(table: Table, drives_count: int) -> float:
    loads: dict[str, int] = {}
    for homes in table:
        for drive in homes:
            loads[drive] = loads.get(drive, 0) + 1
    return max(loads.values()) / (len(table) * WIDTH / drives_count)


def moved(before: Table, after: Table) -> float:
    return sum(
        drive not in old for old, new in zip(before, after, strict=True) for drive in new
    ) / (len(after) * WIDTH)


def both(scheme, count: int) -> tuple[float, float, float]:
    names = [member.drive for member in cluster(count + 1)]
    begin = time.perf_counter()
    before, after = scheme(names[:-1]), scheme(names)
    return unevenness(before, count), moved(before, after), time.perf_counter() - begin


def explicit_both(count: int, partitions_count: int) -> tuple[float, float, float]:
    begin = time.perf_counter()
    sizes = {"partitions_count": partitions_count, "width": WIDTH}
    first = assign(cluster(count), None, version=1, **sizes)
    second = assign(cluster(count + 1), first, version=2, **sizes)
    took_s = time.perf_counter() - begin
    before, after = explicit(first), explicit(second)
    return unevenness(before, count), moved(before, after), took_s


def print_table() -> None:
    print("| drives | scheme | max/mean | moved when adding one | fair share |")
    print("|---:|---|---:|---:|---:|")
    for count in (3, 6, 12, 60):
        rows = [
            ("table, 256 partitions", explicit_both(count, 256)),
            ("table, 4096 partitions", explicit_both(count, 4096)),
            *(
                (
                    f"ring, {points} points a drive",
                    both(lambda d, n=points: ring_of_points(d, n), count),
                )
                for points in (16, 128, 1024)
            ),
            ("rendezvous, 256 partitions", both(lambda d: rendezvous(d, 256), count)),
            ("rendezvous, 4096 partitions", both(lambda d: rendezvous(d, 4096), count)),
        ]
        for name, (ratio, fraction, _) in rows:
            print(f"| {count} | {name} | {ratio:.3f} | {fraction:.4f} | {1 / (count + 1):.4f} |")


def print_times() -> None:
    print()
    print("| what | time |")
    print("|---|---:|")
    for drives, partitions_count, width in ((3, 256, 3), (12, 4096, 11), (60, 4096, 12)):
        sizes = {"partitions_count": partitions_count, "width": width}
        begin = time.perf_counter()
        ring = assign(cluster(drives), None, version=1, **sizes)
        first_s = time.perf_counter() - begin
        begin = time.perf_counter()
        assign(cluster(drives + 1), ring, version=2, **sizes)
        next_s = time.perf_counter() - begin
        print(f"| first ring, {partitions_count} x {width} on {drives} | {first_s * 1e3:.1f} ms |")
        print(f"| the next, with one drive more | {next_s * 1e3:.1f} ms |")
    begin = time.perf_counter()
    for key in KEYS:
        ring.homes(ring.partition_for(key))
    one_s = (time.perf_counter() - begin) / len(KEYS)
    begin = time.perf_counter()
    ring.homes_for(KEYS)
    batch_s = (time.perf_counter() - begin) / len(KEYS)
    print(f"| lookup of one key | {one_s * 1e6:.2f} us |")
    print(f"| lookup in a batch, each | {batch_s * 1e6:.2f} us |")


if __name__ == "__main__":
    print_table()
    print_times()
