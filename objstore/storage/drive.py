"""The drive port: what the rest of the store may ask of one drive, wherever it is.

A drive keeps shards under their ids and promises
    durable    when `write` returns, all its shards survive a power failure; before, none is visible
    in part verified   `read` returns bytes that match their checksums, or raises; never anything
    else itself     it serves nothing while its identity is missing, changed or foreign late       a
    deleted shard still answers reads until the trash is purged, so that a download that
               began before the delete can end

It does not know blocks, schemes or rings. Adapters: `PosixDrive` (a directory), the memory drive of
the test kit, and drives of other nodes behind the peer protocol. One conformance suite runs on all
of them.

Cancelling a call stops the waiting, not the work: a write that was cancelled may or may not have
happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from objstore.model.instant import Instant
from objstore.model.names import DriveId
from objstore.storage.format import Buffer, NewShard, ShardHeader, ShardId

__all__ = ["Drive", "DriveIdentity", "DriveUsage", "TrashReport"]


class DriveIdentity(msgspec.Struct, frozen=True):
    """Which drive of which cluster a directory is; written once, when it is formatted."""

    cluster_id: str
    drive_id: DriveId
    created: Instant


class DriveUsage(msgspec.Struct, frozen=True):
    """Room on a drive. The reserve is kept free for deletes, the catalogue and repairs."""

    total_bytes: int
    free_bytes: int
    reserve_bytes: int
    total_files: int
    """0 where the filesystem does not limit them."""
    free_files: int
    reserve_files: int

    def takes(self, size_bytes: int) -> bool:
        """Tell whether new shards of that size leave the reserve alone."""
        return self.free_bytes - size_bytes >= self.reserve_bytes and (
            self.total_files == 0 or self.free_files > self.reserve_files
        )


class TrashReport(msgspec.Struct, frozen=True):
    """What a purge removed."""

    shards_count: int
    size_bytes: int


class Drive(Protocol):
    """One place that keeps shards. Every method may raise `DriveUnavailable`."""

    @property
    def drive_id(self) -> DriveId:
        """The id that rings and extents name it by."""
        ...

    async def ping(self) -> None:
        """Return when the drive is in service: identity intact, not failed, answering."""
        ...

    async def usage(self) -> DriveUsage:
        """Return the room that is left."""
        ...

    async def write(self, shards: Sequence[NewShard]) -> None:
        """Make shards durable and visible; one directory sync serves all of one directory.

        Writing a shard that is there already in the same form succeeds; a damaged one under the
        name goes to quarantine and is replaced. Raises `StorageFull` before anything is kept, and
        `CorruptShard` when an intact but different shard has the name. After an error, shards of
        the batch may or may not be there.
        """
        ...

    async def read(self, shard_id: ShardId, *, start: int, length: int) -> Buffer:
        """Return `length` verified bytes of the payload from `start`.

        Raises `ShardMissing` when there is no such shard, `CorruptShard` when the bytes, the ids or
        the length do not fit, `UnknownFormat` for a shard of a newer version.
        """
        ...

    def read_cached(self, shard_id: ShardId, *, start: int, length: int) -> Buffer | None:
        """Return what `read` would, where that needs no wait; None where it might, or where anything is in doubt.

        Only short ranges are. Called on the event loop, which it holds up for less than a hop into a thread would cost.
        """
        ...

    async def stat(self, shard_id: ShardId) -> ShardHeader:
        """Return the verified header of a shard that is not deleted; errors as `read`."""
        ...

    async def verify(self, shard_id: ShardId) -> ShardHeader:
        """Read and verify every byte of a shard that is not deleted; errors as `read`."""
        ...

    async def delete(self, shard_ids: Sequence[ShardId], *, at_once: bool = False) -> int:
        """Move shards to the trash and return how many were there.

        `at_once` skips the trash, for shards that nobody can have seen. Works on a full drive.
        """
        ...

    async def purge_trash(self, deleted_before: Instant) -> TrashReport:
        """Remove for good what was deleted before that time."""
        ...

    async def list_names(self, directory: int) -> tuple[str, ...]:
        """Return the file names of one of the `DIRECTORIES_COUNT` directories, sorted.

        Names that are no shard's are listed too: a checker reports them.
        """
        ...
