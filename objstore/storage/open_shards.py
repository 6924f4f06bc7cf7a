"""Shard files that stay open between reads, with their prefix already decoded.

A read of a few chunks costs less than finding, opening and judging the file that holds them. Shards never change under
their name, so a descriptor can be used again as long as its file is still what was opened: before each use its links,
size and time are compared. A file that was removed, cut or written over is let go, and its name decides again. A
shard in the trash goes on answering, as it does under its name.

A descriptor closes when nobody refers to it any more, never while a thread reads from it. Kept are at most two generations
of `GENERATION_MAX`: what one generation did not use goes with it. `forget_idle` begins a generation; whoever owns the
cache calls it now and then, because a file that another process removed keeps its room until its descriptor is closed.
Safe in several threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from threading import Lock
from typing import Final

from objstore.model.errors import check
from objstore.storage.format import (
    CHUNK_BYTES,
    PREFIX_BYTES,
    ShardId,
    ShardPrefix,
    check_identity,
    decode_prefix,
)

__all__ = ["GENERATION_MAX", "OpenShard", "OpenShards"]

GENERATION_MAX: Final = 256
"""Two generations are 512 files a drive, at most; a node raises its limit as far as the machine lets it."""


class OpenShard:
    """One open file; closes with its last reference."""

    __slots__ = ("_fd", "_prefix", "_stamp")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._prefix: ShardPrefix | None = None
        self._stamp = (0, 0)

    def __del__(self) -> None:
        os.close(self._fd)

    @property
    def prefix(self) -> ShardPrefix:
        """What the file says about itself; known after the first `fill`."""
        check(self._prefix is not None, "a shard was not read yet")
        return self._prefix  # type: ignore[return-value]  # checked in the line above

    @property
    def is_current(self) -> bool:
        """Tell whether the file is still linked, and as it was when its prefix was read; raises `OSError`."""
        status = os.fstat(self._fd)
        return status.st_nlink > 0 and (status.st_size, status.st_mtime_ns) == self._stamp

    def fill(self, shard_id: ShardId, room: memoryview, first_chunk: int) -> int:
        """Read the payload from a chunk on into `room`; return the number of bytes.

        The first call also reads the prefix and raises `CorruptShard` or `UnknownFormat` unless it is this shard's.
        Nothing of the payload is verified here.
        """
        start = PREFIX_BYTES + first_chunk * CHUNK_BYTES
        if self._prefix is not None:
            return os.preadv(self._fd, (room,), start)
        head = bytearray(PREFIX_BYTES)
        if first_chunk:
            count = os.preadv(self._fd, (head,), 0)
            self._accept(shard_id, memoryview(head)[:count])
            return os.preadv(self._fd, (room,), start)
        # Prefix and payload lie side by side: one call reads both.
        count = os.preadv(self._fd, (head, room), 0)
        self._accept(shard_id, memoryview(head)[:count])
        return count - PREFIX_BYTES

    def fill_at_once(self, room: memoryview, first_chunk: int) -> int:
        """Read what is in the page cache, without waiting for the drive; raises `OSError` where nothing is, or no such way."""
        return os.preadv(self._fd, (room,), PREFIX_BYTES + first_chunk * CHUNK_BYTES, os.RWF_NOWAIT)

    def _accept(self, shard_id: ShardId, head: memoryview) -> None:
        prefix = decode_prefix(head)
        status = os.fstat(self._fd)
        check_identity(prefix, shard_id, status.st_size)
        self._prefix = prefix
        self._stamp = (status.st_size, status.st_mtime_ns)


class OpenShards:
    """The open files of one drive, by shard."""

    def __init__(self) -> None:
        self._recent: dict[ShardId, OpenShard] = {}
        self._older: dict[ShardId, OpenShard] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def get(self, shard_id: ShardId) -> OpenShard | None:
        """Return the open file of a shard if there is one and it is current."""
        with self._lock:
            found = self._recent.get(shard_id)
            if found is None:
                found = self._older.pop(shard_id, None)
                if found is None:
                    return None
                self._recent[shard_id] = found
        try:
            if found.is_current:
                return found
        except OSError:
            pass
        self.drop((shard_id,))
        return None

    def keep(self, shard_id: ShardId, opened: OpenShard) -> None:
        """Remember an open file that has been read from."""
        forgotten: dict[ShardId, OpenShard] = {}
        with self._lock:
            self._recent[shard_id] = opened
            if len(self._recent) >= GENERATION_MAX:
                forgotten = self._turn()
        forgotten.clear()

    def drop(self, shard_ids: Iterable[ShardId]) -> None:
        """Let go of files that are gone, or not to be trusted any more."""
        dropped = []
        with self._lock:
            for shard_id in shard_ids:
                dropped.append(self._recent.pop(shard_id, None))
                dropped.append(self._older.pop(shard_id, None))
        dropped.clear()  # closing, outside of the lock

    def forget_idle(self) -> None:
        """Begin a generation. Closing may block."""
        with self._lock:
            forgotten = self._turn()
        forgotten.clear()

    def forget_all(self) -> None:
        """Let go of all files."""
        self.forget_idle()
        self.forget_idle()

    def _turn(self) -> dict[ShardId, OpenShard]:
        forgotten, self._older, self._recent = self._older, self._recent, {}
        return forgotten
