"""Brings one block back to full strength.

Order: verify every shard where it is recorded -> read k good ones whole -> rebuild the others ->
check the block against its checksum -> write each to its home, or to a spare while the home does
not take it -> verify it there -> tell the caller what to record. Nothing is deleted: a shard that
came home leaves its copy on the spare to the sweep, after the record has changed. Nothing is
written when too few good shards are left: damaged data is kept for an operator.

A damaged file under a shard's name is moved to quarantine by the drive when the rebuilt shard takes
the name.
"""

from __future__ import annotations

from functools import partial

import anyio.to_thread
import msgspec
import xxhash

from objstore.model.errors import (
    Corrupt,
    DriveUnavailable,
    ObjstoreError,
    Unavailable,
    UnknownFormat,
    UnreadableData,
    check,
)
from objstore.model.names import DriveId
from objstore.model.objects import Extent, Misplaced
from objstore.replication.coding import decode, encode
from objstore.replication.gather import gather
from objstore.replication.homes import Drives, Homes, block_id, located, shard_ids, spares_for
from objstore.storage import Buffer, NewShard, ShardHeader

__all__ = ["BlockRepair"]


class BlockRepair:
    """One run over one block."""

    def __init__(
        self,
        extent: Extent,
        block: int,
        *,
        drives: Drives,
        homes: Homes,
        lost_drives: tuple[DriveId, ...],
    ) -> None:
        self._extent = extent
        self._block = block
        self._drives = drives
        self._lost_drives = lost_drives
        self._name = block_id(extent.data_id, extent.part, block)
        width = extent.scheme.width
        self._homes = tuple(homes.homes(self._name, extent.ring_version)[:width])
        self._places = located(homes, extent, block)
        self._ids = shard_ids(extent, block)

    async def run(self) -> tuple[Misplaced, ...]:
        """Repair and return the misplaced shards of the block; see `DataStore.repair`."""
        states = await gather(
            partial(self._examine, shard) for shard in range(self._extent.scheme.width)
        )
        good = {
            shard: state for shard, state in enumerate(states) if isinstance(state, ShardHeader)
        }
        wanted = [shard for shard, state in enumerate(states) if self._is_wanted(shard, state)]
        if wanted:
            await self._rebuild(wanted, good, states)
        return self._misplaced()

    async def _examine(self, shard: int) -> ShardHeader | ObjstoreError:
        """Return the header of a good shard, or what is wrong with it."""
        drive_id = self._places[shard]
        if drive_id is None:
            return UnreadableData("shard was never stored", shard=shard)
        drive = self._drives.get(drive_id)
        if drive is None:
            return DriveUnavailable("drive cannot be reached", drive=drive_id)
        try:
            return await drive.verify(self._ids[shard])
        except (Corrupt, Unavailable) as error:
            return error

    def _is_wanted(self, shard: int, state: ShardHeader | ObjstoreError) -> bool:
        """Tell whether a shard is to be written.

        Missing, damaged, lost, or away from a home that is there.
        """
        place, home = self._places[shard], self._home(shard)
        if isinstance(state, ShardHeader):
            return place != home and home in self._drives and home not in self._lost_drives
        if isinstance(state, UnknownFormat):
            return False
        return isinstance(state, Corrupt) or place in self._lost_drives

    async def _rebuild(
        self,
        wanted: list[int],
        good: dict[int, ShardHeader],
        states: list[ShardHeader | ObjstoreError],
    ) -> None:
        scheme = self._extent.scheme
        if len(good) < scheme.k:
            away = [state for state in states if isinstance(state, DriveUnavailable)]
            if len(good) + len(away) >= scheme.k:
                raise away[0]
            raise UnreadableData(
                "too few intact shards are left", shards=len(good), shards_needed=scheme.k
            )
        header = good[min(good)]
        sources = sorted(good)[: scheme.k]
        payloads = await gather(partial(self._fetch, shard, good[shard]) for shard in sources)
        shards = await anyio.to_thread.run_sync(
            partial(self._recode, header, dict(zip(sources, payloads, strict=True)))
        )
        for shard in wanted:
            new = NewShard(
                msgspec.structs.replace(header, shard_id=self._ids[shard]), shards[shard]
            )
            candidates = self._candidates(shard, is_good=shard in good)
            if not await self._place(shard, new, candidates) and shard not in good:
                self._places[shard] = None

    async def _fetch(self, shard: int, header: ShardHeader) -> Buffer:
        place = self._places[shard]
        check(place is not None, "a good shard is somewhere")
        drive = self._drives[DriveId(str(place))]
        return await drive.read(self._ids[shard], start=0, length=header.payload_bytes)

    def _recode(self, header: ShardHeader, payloads: dict[int, Buffer]) -> list[Buffer]:
        scheme = self._extent.scheme
        data = decode(scheme, payloads, header.block_bytes)
        if scheme.k > 1 and xxhash.xxh3_64_digest(data) != header.block_checksum:
            raise UnreadableData("intact shards do not make the block that was written")
        return encode(scheme, data)

    async def _place(self, shard: int, new: NewShard, candidates: list[DriveId]) -> bool:
        """Write a shard to the first drive that takes it; False when none does."""
        for drive_id in candidates:
            drive = self._drives.get(drive_id)
            if drive is None:
                continue
            try:
                await drive.write([new])
                await drive.verify(self._ids[shard])
            except (Corrupt, Unavailable):
                continue
            self._places[shard] = drive_id
            return True
        return False

    def _candidates(self, shard: int, *, is_good: bool) -> list[DriveId]:
        """Home first; for a shard that exists nowhere intact also its place and the spares."""
        home, place = self._home(shard), self._places[shard]
        wished = [home]
        if not is_good:
            taken = [drive for drive in self._places if drive is not None]
            spares = spares_for(self._drives, (*self._homes, *taken), self._name)
            wished.extend((place, *spares))
        return [
            drive
            for drive in dict.fromkeys(wished)
            if drive is not None and drive not in self._lost_drives
        ]

    def _home(self, shard: int) -> DriveId | None:
        return self._homes[shard] if shard < len(self._homes) else None

    def _misplaced(self) -> tuple[Misplaced, ...]:
        return tuple(
            Misplaced(self._block, shard, place)
            for shard, place in enumerate(self._places)
            if place is None or place != self._home(shard)
        )
