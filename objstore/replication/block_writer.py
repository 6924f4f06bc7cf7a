"""Drives `BlockWrite`: sends shards to drives in parallel, waits no longer than it must, cleans up
after a failure.

The wait ends when all shards are stored, or when the block is durable and the grace for the
stragglers is over. Writes under way are never cancelled, because a cancelled write may still
happen; they end in the background, and what they store after the decision is removed unless the
extent names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import anyio
import msgspec

from objstore.model.errors import DriveUnavailable, ObjstoreError
from objstore.model.names import DriveId
from objstore.model.objects import Misplaced
from objstore.replication.background import Background
from objstore.replication.homes import Drives
from objstore.replication.write import BlockWrite, Send
from objstore.storage import NewShard

__all__ = ["BlockWriter", "WriteTimes"]


class WriteTimes(msgspec.Struct, frozen=True):
    """How long a write waits for whom."""

    slow_s: float = 3.0
    """After this a drive that keeps the block from being durable is doubled by a spare."""
    grace_s: float = 0.5
    """How long a durable block waits for its last shards; without them it goes to repair."""
    deadline_s: float = 30.0
    """After this a block that is not durable has failed."""


class BlockWriter:
    """Writes the shards of blocks."""

    def __init__(self, drives: Drives, background: Background, times: WriteTimes) -> None:
        self._drives = drives
        self._background = background
        self._times = times

    async def write(
        self,
        shards: Sequence[NewShard],
        homes: Sequence[DriveId],
        spares: Sequence[DriveId],
    ) -> tuple[Misplaced, ...]:
        """Return once the block is durable, with its shards that are not at home.

        Raises `StorageFull`, `DriveUnavailable` or `QuorumNotReached`; nothing stays behind then,
        apart from drives that cannot be reached to remove it. Cancelling leaves the clean-up to the
        background.
        """
        header = shards[0].header
        if header.scheme.width == 1 and not spares and homes[0] in self._drives:
            # One shard, one drive: nothing to decide. Saves the tasks on a single machine's hot
            # path.
            await self._write_alone(homes[0], shards)
            return ()
        core = BlockWrite(header.scheme, homes, spares)
        flight = _Flight(core, shards, self._drives, self._background)
        try:
            await self._wait(core, flight)
        except BaseException:
            flight.give_up()
            raise
        if not core.is_durable:
            flight.give_up()
            raise core.failure()
        flight.accept()
        return core.misplaced(header.shard_id.block)

    async def _write_alone(self, drive_id: DriveId, shards: Sequence[NewShard]) -> None:
        """Write without a task of its own; what a drive stores after the deadline is the sweep's."""
        try:
            async with asyncio.timeout(self._times.deadline_s):
                await self._drives[drive_id].write(shards)
        except TimeoutError as error:
            raise DriveUnavailable("drive did not answer in time", drive=drive_id) from error

    async def _wait(self, core: BlockWrite, flight: _Flight) -> None:
        flight.follow(core.start())
        await flight.until(_is_decided, self._times.slow_s)
        if not _is_decided(core):
            flight.follow(core.on_slow())
            await flight.until(_is_decided, self._times.deadline_s - self._times.slow_s)
        if core.is_durable:
            await flight.until(_is_settled, self._times.grace_s)


class _Flight:
    """The sends of one block and what became of them."""

    def __init__(
        self,
        core: BlockWrite,
        shards: Sequence[NewShard],
        drives: Drives,
        background: Background,
    ) -> None:
        self._core = core
        self._shards = shards
        self._drives = drives
        self._background = background
        self._changed = anyio.Event()
        self._kept: tuple[Send, ...] | None = None
        """What the record names, once it is decided; sends that end later are judged by it."""

    def follow(self, sends: Iterable[Send]) -> None:
        """Start sends."""
        for send in sends:
            self._background.start(partial(self._send, send))

    async def until(self, condition: Callable[[BlockWrite], bool], timeout_s: float) -> None:
        """Wait until the condition holds or the time is over."""
        with anyio.move_on_after(timeout_s):
            while not condition(self._core):
                await self._changed.wait()

    def accept(self) -> None:
        """The block is durable as recorded.

        Second copies go, late shards may stay at their recorded place.
        """
        strays = self._core.strays()
        self._kept = self._core.wanted()
        self._remove(strays)

    def give_up(self) -> None:
        """The write failed: remove what is stored, and what will be."""
        self._kept = ()
        self._remove(self._core.stored())

    async def _send(self, send: Send) -> None:
        try:
            drive = self._drives.get(send.drive)
            if drive is None:
                raise DriveUnavailable("drive cannot be reached", drive=send.drive)
            await drive.write([self._shards[send.shard]])
        except ObjstoreError as error:
            sends = self._core.on_failed(send, error)
            if self._kept is None:
                self.follow(sends)
        else:
            self._core.on_stored(send)
            if self._kept is not None and send not in self._kept:
                self._remove((send,))
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def _remove(self, sends: Iterable[Send]) -> None:
        for send in sends:
            self._background.start(partial(self._remove_one, send))

    async def _remove_one(self, send: Send) -> None:
        drive = self._drives.get(send.drive)
        if drive is not None:
            await drive.delete([self._shards[send.shard].header.shard_id], at_once=True)


def _is_decided(core: BlockWrite) -> bool:
    return core.is_durable or core.is_lost


def _is_settled(core: BlockWrite) -> bool:
    return core.is_settled
