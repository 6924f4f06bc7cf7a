"""When a block is durable: the pure coordinator of one block's write.

    running  -> durable   `durable_shards_min` shards are on as many different drives running  ->
    lost      what is stored or under way can no longer reach that number, and no spare is left
    durable  -> settled   nothing is under way any more

Every shard starts at its home. A drive that fails, and one that does not answer in time while the
block is not durable, is replaced by the next spare. The quorum is never lowered. Shards that end
elsewhere than at home, or nowhere, are told by `misplaced`; shards on drives where nobody will look
for them by `strays`.

Pure: the driver (`objstore.replication.block_writer`) sends, waits and keeps the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from objstore.model.errors import ObjstoreError, QuorumNotReached, StorageFull, check
from objstore.model.names import DriveId
from objstore.model.objects import Misplaced, Scheme

__all__ = ["BlockWrite", "Send"]


class Send(msgspec.Struct, frozen=True):
    """Write this shard to this drive, and tell what came of it."""

    shard: int
    drive: DriveId


class BlockWrite:
    """The write of one block; see the module for its states."""

    def __init__(self, scheme: Scheme, homes: Sequence[DriveId], spares: Sequence[DriveId]) -> None:
        check(
            len(dict.fromkeys((*homes, *spares))) == len(homes) + len(spares),
            "a drive is named twice",
        )
        self._scheme = scheme
        self._homes = tuple(homes[: scheme.width])
        self._spares = list(reversed(spares))
        self._under_way: dict[Send, None] = {}
        self._stored: dict[int, list[DriveId]] = {}
        self._errors: list[ObjstoreError] = []

    def start(self) -> tuple[Send, ...]:
        """Return the first sends.

        Each shard to its home, to a spare where the ring names too few.
        """
        sends = [Send(shard, drive) for shard, drive in enumerate(self._homes)]
        self._under_way.update(dict.fromkeys(sends))
        for shard in range(len(self._homes), self._scheme.width):
            sends.extend(self._send_to_spare(shard))
        return tuple(sends)

    def on_stored(self, send: Send) -> None:
        """A shard is durable on a drive."""
        self._under_way.pop(send)
        self._stored.setdefault(send.shard, []).append(send.drive)

    def on_failed(self, send: Send, error: ObjstoreError) -> tuple[Send, ...]:
        """A drive did not take a shard; return where to send it instead."""
        self._under_way.pop(send)
        self._errors.append(error)
        if send.shard in self._stored or self._is_under_way(send.shard):
            return ()
        return self._send_to_spare(send.shard)

    def on_slow(self) -> tuple[Send, ...]:
        """Drives keep the block from being durable; return second sends for what they owe."""
        if self.is_durable:
            return ()
        owed = dict.fromkeys(send.shard for send in self._under_way)
        return tuple(
            send
            for shard in owed
            if shard not in self._stored
            for send in self._send_to_spare(shard)
        )

    @property
    def is_durable(self) -> bool:
        """Tell whether the block may be acknowledged."""
        return len(self._stored) >= self._scheme.durable_shards_min

    @property
    def is_lost(self) -> bool:
        """Tell whether the block can no longer become durable."""
        possible = dict.fromkeys((*self._stored, *(send.shard for send in self._under_way)))
        return len(possible) < self._scheme.durable_shards_min

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing is under way."""
        return not self._under_way

    def misplaced(self, block: int) -> tuple[Misplaced, ...]:
        """Return the shards that are not at home, as the extent records them."""
        found = []
        for shard in range(self._scheme.width):
            drive = self._location(shard)
            if drive is None or drive != self._home(shard):
                found.append(Misplaced(block, shard, drive))
        return tuple(found)

    def strays(self) -> tuple[Send, ...]:
        """Return the stored shards that the extent does not name: second copies on spares."""
        return tuple(
            Send(shard, drive)
            for shard, drives in self._stored.items()
            for drive in drives
            if drive != self._location(shard)
        )

    def wanted(self) -> tuple[Send, ...]:
        """Return every send whose shard the extent leads to, or whose home would find it late."""
        return tuple(
            Send(shard, drive)
            for shard in range(self._scheme.width)
            if (drive := self._location(shard) or self._home(shard)) is not None
        )

    def stored(self) -> tuple[Send, ...]:
        """Return all that is stored, to be taken back when the write fails."""
        return tuple(
            Send(shard, drive) for shard, drives in self._stored.items() for drive in drives
        )

    def failure(self) -> ObjstoreError:
        """Return the error of a write that did not become durable.

        The cause where all drives say the same.
        """
        if self._errors and all(isinstance(error, StorageFull) for error in self._errors):
            return self._errors[-1]
        if len(self._errors) == 1 and self._scheme.width == 1:
            return self._errors[0]
        return QuorumNotReached(
            "too few drives took their shard",
            shards=len(self._stored),
            shards_needed=self._scheme.durable_shards_min,
            reason=str(self._errors[-1]) if self._errors else "no answer in time",
        )

    def _home(self, shard: int) -> DriveId | None:
        return self._homes[shard] if shard < len(self._homes) else None

    def _location(self, shard: int) -> DriveId | None:
        drives = self._stored.get(shard)
        if not drives:
            return None
        home = self._home(shard)
        return home if home is not None and home in drives else drives[0]

    def _is_under_way(self, shard: int) -> bool:
        return any(send.shard == shard for send in self._under_way)

    def _send_to_spare(self, shard: int) -> tuple[Send, ...]:
        if not self._spares:
            return ()
        send = Send(shard, self._spares.pop())
        self._under_way[send] = None
        return (send,)
