"""Are the replicas of a catalogue the same? Reads their files, also beside a server that has them open, and changes nothing.

Two replicas that have applied the same entries must have the same rolling hash of all results, and the same rows. One that
has applied less is behind, which is no fault: followers apply late.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from objstore.metadata.catalog_file import open_catalog_reader
from objstore.metadata.snapshot import SliceDigest, read_slices, verify
from objstore.model.errors import Corrupt
from objstore.model.names import DriveId, PartitionId

__all__ = ["Agreement", "ReplicaReading", "judge", "read_replicas"]

_CURSORS = "SELECT partition, applied, state_hash FROM partitions WHERE partition>=0"


class ReplicaReading(NamedTuple):
    """One replica as its file shows it."""

    applied: int
    state_hash: bytes
    rows: bytes
    """Digest of all rows."""
    damage: str = ""
    """What is wrong with a row; empty if each carries its own checksum."""


class Agreement(Enum):
    """What the replicas of a partition are to each other."""

    SAME = "the same"
    BEHIND = "behind"
    DIFFERENT = "different"
    MISSING = "missing"
    DAMAGED = "damaged"


def read_replicas(path: Path) -> dict[PartitionId, ReplicaReading]:
    """Return the replicas in a file; raises `apsw.Error` or `UnknownFormat` where it cannot be opened."""
    with closing(open_catalog_reader(path)) as connection:
        cursors: list[Any] = connection.execute(_CURSORS).fetchall()
        return {PartitionId(partition): _read(connection, partition) for partition, _, _ in cursors}


def _read(connection: apsw.Connection, partition: int) -> ReplicaReading:
    """Read one replica in one snapshot."""
    connection.execute("BEGIN")
    applied, state_hash = 0, b""
    digest = SliceDigest()
    try:
        row: Any = connection.execute(f"{_CURSORS} AND partition=?", (partition,)).fetchone()
        _, applied, state_hash = row
        for piece in read_slices(connection, partition):
            verify(piece)
            digest.add(piece)
    except (Corrupt, apsw.Error) as error:
        return ReplicaReading(applied, state_hash, b"", str(error))
    finally:
        connection.execute("COMMIT")
    return ReplicaReading(applied, state_hash, digest.value())


def judge(
    homes: Mapping[PartitionId, frozenset[DriveId]],
    readings: Mapping[DriveId, Mapping[PartitionId, ReplicaReading]],
) -> Iterator[tuple[PartitionId, Agreement, str]]:
    """Yield what the replicas of each partition are to each other, and which drive or why; a fresh partition has none."""
    for partition, drives in sorted(homes.items()):
        found = {
            drive: readings[drive][partition]
            for drive in sorted(drives)
            if partition in readings.get(drive, {})
        }
        if found:
            yield partition, *_agreement(found, drives)


def _agreement(
    found: Mapping[DriveId, ReplicaReading], drives: frozenset[DriveId]
) -> tuple[Agreement, str]:
    damaged = [f"{drive}: {reading.damage}" for drive, reading in found.items() if reading.damage]
    if damaged:
        return Agreement.DAMAGED, "; ".join(damaged)
    states: dict[int, set[tuple[bytes, bytes]]] = {}
    for reading in found.values():
        states.setdefault(reading.applied, set()).add((reading.state_hash, reading.rows))
    if any(len(same) > 1 for same in states.values()):
        return Agreement.DIFFERENT, ", ".join(found)
    if found.keys() != drives:
        return Agreement.MISSING, ", ".join(sorted(drives - found.keys()))
    if len(states) > 1:
        newest = max(states)
        return Agreement.BEHIND, ", ".join(d for d, r in found.items() if r.applied < newest)
    return Agreement.SAME, ""
