"""What the sweep decides, without I/O: which shards nothing refers to, and which are on a drive too many.

References are kept as 64-bit hashes, by fan-out directory. Two extents of one hash keep each other's shards: an error on
the safe side, once in 2^64 pairs.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from objstore.model.instant import Instant
from objstore.model.names import DriveId, stamp_of
from objstore.model.objects import Extent
from objstore.storage import ShardId
from objstore.storage.format import DIRECTORIES_COUNT, extent_hash, parse_name

__all__ = ["REFERENCES_MAX", "Findings", "References", "judge_directory"]

REFERENCES_MAX: Final = 4_000_000
"""References in memory, 8 bytes each; beyond that the directories are swept in several passes."""


class References:
    """The extents that something refers to, for a range of fan-out directories that fits into memory."""

    def __init__(self, first: int, *, count_max: int = REFERENCES_MAX) -> None:
        self.first = first
        """First directory of the range."""
        self.stop = DIRECTORIES_COUNT
        """Behind the last one; moves down while the references are too many."""
        self.count = 0
        self._count_max = count_max
        self._hashes = [array("Q") for _ in range(DIRECTORIES_COUNT)]

    def add(self, extents: Iterable[Extent], *, before: Instant) -> None:
        """Note the extents with a stamp before a time."""
        for extent in extents:
            if stamp_of(extent.data_id) >= before:
                continue
            number = extent_hash(extent.data_id, extent.part)
            if self.first <= number % DIRECTORIES_COUNT < self.stop:
                self._hashes[number % DIRECTORIES_COUNT].append(number)
                self.count += 1
        while self.count > self._count_max and self.stop - self.first > 1:
            self._shrink()

    def of(self, directory: int) -> frozenset[int]:
        """Return the hashes of the extents in a directory of the range."""
        return frozenset(self._hashes[directory])

    def _shrink(self) -> None:
        middle = (self.first + self.stop) // 2
        for directory in range(middle, self.stop):
            self.count -= len(self._hashes[directory])
            self._hashes[directory] = array("Q")
        self.stop = middle


@dataclass(frozen=True, slots=True)
class Findings:
    """What lies in one fan-out directory of all drives and should perhaps not."""

    unreferenced: Mapping[DriveId, list[ShardId]]
    """Nothing refers to the extent."""
    doubled: Mapping[ShardId, tuple[DriveId, ...]]
    """Referred to, and on several drives; the catalogue knows one of them at most."""


def judge_directory(
    names: Mapping[DriveId, Collection[str]], referenced: Collection[int], *, before: Instant
) -> Findings:
    """Judge what drives hold in one directory; leaves alone what is not old and what is no shard's name."""
    unreferenced: dict[DriveId, list[ShardId]] = {}
    holders: dict[str, DriveId] = {}
    doubled: dict[ShardId, tuple[DriveId, ...]] = {}
    for drive, held in names.items():
        for name in held:
            shard = parse_name(name)
            if shard is None or stamp_of(shard.data_id) >= before:
                continue
            if extent_hash(shard.data_id, shard.part) not in referenced:
                unreferenced.setdefault(drive, []).append(shard)
                continue
            first = holders.setdefault(name, drive)
            if first != drive:
                doubled[shard] = (*doubled.get(shard, (first,)), drive)
    return Findings(unreferenced, doubled)
