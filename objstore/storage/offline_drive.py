"""A drive that cannot be reached: every call says why. Stands in for a directory that lost its identity."""

from __future__ import annotations

from collections.abc import Sequence

from objstore.model.errors import DriveUnavailable
from objstore.model.instant import Instant
from objstore.model.names import DriveId
from objstore.storage.drive import DriveUsage, TrashReport
from objstore.storage.format import Buffer, NewShard, ShardHeader, ShardId

__all__ = ["OfflineDrive"]


class OfflineDrive:
    """Satisfies `Drive` by refusing."""

    def __init__(self, drive_id: DriveId, cause: str) -> None:
        self.drive_id = drive_id
        self._cause = cause

    async def ping(self) -> None:
        """Refuse."""
        raise self._refusal()

    async def usage(self) -> DriveUsage:
        """Refuse."""
        raise self._refusal()

    async def write(self, shards: Sequence[NewShard]) -> None:  # noqa: ARG002 - the shape of the port
        """Refuse."""
        raise self._refusal()

    async def read(self, shard_id: ShardId, *, start: int, length: int) -> Buffer:  # noqa: ARG002
        """Refuse."""
        raise self._refusal()

    def read_cached(self, shard_id: ShardId, *, start: int, length: int) -> Buffer | None:  # noqa: ARG002
        """Have nothing at hand; `read` refuses."""
        return None

    async def stat(self, shard_id: ShardId) -> ShardHeader:  # noqa: ARG002 - the shape of the port
        """Refuse."""
        raise self._refusal()

    async def verify(self, shard_id: ShardId) -> ShardHeader:  # noqa: ARG002
        """Refuse."""
        raise self._refusal()

    async def delete(self, shard_ids: Sequence[ShardId], *, at_once: bool = False) -> int:  # noqa: ARG002
        """Refuse."""
        raise self._refusal()

    async def purge_trash(self, deleted_before: Instant) -> TrashReport:  # noqa: ARG002
        """Refuse."""
        raise self._refusal()

    async def list_names(self, directory: int) -> tuple[str, ...]:  # noqa: ARG002
        """Refuse."""
        raise self._refusal()

    def _refusal(self) -> DriveUnavailable:
        return DriveUnavailable(self._cause, drive=self.drive_id)
