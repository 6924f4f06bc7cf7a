"""`objstore-node check`: are the copies of everything there, whole and the same? For stores of three and more directories.

It reads files and changes nothing, so that it runs beside a server as well as without one. Beside a server that is written
to, replicas are a moment behind, and a shard may be named that was deleted in the meantime: look again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw
import msgspec

from objstore.cluster.control_reader import ControlReader
from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.metadata.reader import CatalogReader, ExtentPosition
from objstore.metadata.replica_check import Agreement, ReplicaReading, judge, read_replicas
from objstore.model.errors import Corrupt, DriveUnavailable, ObjstoreError, ShardMissing
from objstore.model.names import DriveId, PartitionId
from objstore.model.objects import Extent
from objstore.placement import Ring
from objstore.replication.homes import located, shard_ids
from objstore.server.drive_sites import DriveRecord
from objstore.server.drives import DataRings
from objstore.server.refusal import StartRefused
from objstore.storage.layout import read_identity
from objstore.storage.shard_directory import ShardDirectory
from objstore.storage.system import SYSTEM

__all__ = ["CheckedDirectory", "StoreCheck", "check_store"]

_BATCH: Final = 1_000
_FINDINGS_SHOWN: Final = 20


@dataclass(slots=True)
class CheckedDirectory:
    """What a directory holds, of what it should."""

    directory: Path
    problem: str = ""
    """Why it cannot be checked."""
    shards: int = 0
    """Found and verified, byte by byte."""
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


@dataclass(slots=True)
class StoreCheck:
    """The outcome."""

    directories: list[CheckedDirectory]
    partitions: Counter[Agreement] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    """Replicas that are not the same."""

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is wrong; replicas that are behind are not wrong."""
        faults = (Agreement.DIFFERENT, Agreement.MISSING, Agreement.DAMAGED)
        return not any(self.partitions[kind] for kind in faults) and not any(
            d.problem or d.missing or d.damaged for d in self.directories
        )

    def lines(self) -> Iterator[str]:
        """Yield the outcome as text."""
        for checked in self.directories:
            text = checked.problem or (
                f"{checked.shards} shards verified, {len(checked.missing)} missing, "
                f"{len(checked.damaged)} damaged"
            )
            yield f"{checked.directory}: {text}"
            yield from (f"  missing {name}" for name in checked.missing[:_FINDINGS_SHOWN])
            yield from (f"  damaged {name}" for name in checked.damaged[:_FINDINGS_SHOWN])
        counts = ", ".join(f"{self.partitions[kind]} {kind.value}" for kind in Agreement)
        yield f"partitions of the catalogue by their replicas: {counts}"
        yield from (f"  {finding}" for finding in self.findings[:_FINDINGS_SHOWN])


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the control store says."""

    metadata: Ring
    data: DataRings
    records: Mapping[DriveId, DriveRecord]


def check_store(directories: Sequence[Path]) -> StoreCheck:
    """Check all directories of a store; blocks. Raises `StartRefused` where nothing can be said."""
    layout = _layout(directories)
    result = StoreCheck([CheckedDirectory(directory) for directory in directories])
    readings: dict[DriveId, dict[PartitionId, ReplicaReading]] = {}
    files: dict[DriveId, Path] = {}
    by_slot: dict[DriveId, tuple[CheckedDirectory, ShardDirectory]] = {}
    for checked in result.directories:
        try:
            record = _record(layout, checked.directory)
            files[record.drive_id] = checked.directory / CATALOG_FILE_NAME
            shards = ShardDirectory(
                checked.directory, record.drive_id, reserve_bytes=None, system=SYSTEM
            )
            by_slot[DriveId(record.slot or record.drive_id)] = checked, shards
            readings[record.drive_id] = read_replicas(files[record.drive_id])
        except (ObjstoreError, apsw.Error, OSError) as error:
            checked.problem = str(error)
    for partition, agreement, text in judge(_homes(layout.metadata), readings):
        result.partitions[agreement] += 1
        if agreement is not Agreement.SAME:
            result.findings.append(f"partition {partition}: {agreement.value} ({text})")
    for extent in _extents(readings, files):
        _check_extent(layout.data, extent, by_slot)
    return result


def _layout(directories: Sequence[Path]) -> _Layout:
    """Read the newest copy of the control store."""
    newest: tuple[int, int] = (-1, 0)
    found: _Layout | None = None
    for directory in directories:
        path = directory / CONTROL_FILE_NAME
        with (
            suppress(ObjstoreError, apsw.Error, ValueError, KeyError),
            closing(ControlReader(path)) as reader,
        ):
            term = reader.get("control/term")
            age = (0 if term is None else int(term.value), reader.revision())
            if age > newest:
                newest, found = age, _decode(reader)
    if found is None:
        raise StartRefused(
            "no directory has a control store with the rings of a replicated catalogue",
            next_step="name all directories of a store that has three or more",
        )
    return found


def _decode(reader: ControlReader) -> _Layout:
    metadata = [Ring.decode(i.value) for i in reader.list("rings/metadata/", after="", limit=0)]
    data = [Ring.decode(i.value) for i in reader.list("rings/data/", after="", limit=0)]
    records = [
        msgspec.json.decode(item.value, type=DriveRecord)
        for item in reader.list("drives/", after="", limit=0)
    ]
    return _Layout(
        max(metadata, key=lambda ring: ring.version),
        DataRings({ring.version: ring for ring in data}),
        {record.drive_id: record for record in records},
    )


def _record(layout: _Layout, directory: Path) -> DriveRecord:
    identity = read_identity(directory)
    if identity is None:
        raise DriveUnavailable("no drive: it is empty, or not mounted")
    record = layout.records.get(identity.drive_id)
    if record is None:
        raise DriveUnavailable("its drive does not belong to the store", drive=identity.drive_id)
    return record


def _homes(ring: Ring) -> dict[PartitionId, frozenset[DriveId]]:
    numbers = map(PartitionId, range(ring.partitions_count))
    return {partition: frozenset(ring.homes(partition)) for partition in numbers}


def _extents(
    readings: Mapping[DriveId, Mapping[PartitionId, ReplicaReading]],
    files: Mapping[DriveId, Path],
) -> Iterator[Extent]:
    """Yield what objects and parts consist of, each partition from the undamaged replica that has applied most."""
    best: dict[PartitionId, DriveId] = {}
    for drive, replicas in readings.items():
        for partition, reading in replicas.items():
            known = best.get(partition)
            is_newer = known is None or readings[known][partition].applied < reading.applied
            if not reading.damage and is_newer:
                best[partition] = drive
    for drive, path in files.items():
        mine = sorted(partition for partition, holder in best.items() if holder == drive)
        if mine:
            with closing(CatalogReader(path)) as reader:
                for partition in mine:
                    yield from _extents_of(reader, partition)


def _extents_of(reader: CatalogReader, partition: PartitionId) -> Iterator[Extent]:
    position: ExtentPosition | None = ExtentPosition()
    while position is not None:
        found, position = reader.extents(partition, position, _BATCH)
        yield from found


def _check_extent(
    rings: DataRings,
    extent: Extent,
    by_slot: Mapping[DriveId, tuple[CheckedDirectory, ShardDirectory]],
) -> None:
    for block in range(extent.blocks_count):
        for shard_id, slot in zip(
            shard_ids(extent, block), located(rings, extent, block), strict=True
        ):
            if slot is None or slot not in by_slot:
                continue
            checked, shards = by_slot[slot]
            try:
                shards.verify(shard_id)
            except ShardMissing:
                checked.missing.append(shard_id.name)
            except (Corrupt, DriveUnavailable) as error:
                checked.damaged.append(f"{shard_id.name}: {error}")
            else:
                checked.shards += 1
