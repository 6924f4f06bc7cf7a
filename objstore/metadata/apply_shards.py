"""Commands on the shard of a bucket: the fence of DeleteBucket, and versioning. Pure."""

from __future__ import annotations

from objstore.metadata.commands import (
    CloseShard,
    Done,
    DropShard,
    OpenShard,
    ReopenShard,
    SetVersioning,
)
from objstore.metadata.state import CatalogState, Shard
from objstore.model.errors import (
    BucketNotEmpty,
    IllegalVersioningConfiguration,
    NoSuchBucket,
    OperationAborted,
)
from objstore.model.objects import Versioning

__all__ = ["close_shard", "drop_shard", "open_shard", "reopen_shard", "set_versioning"]

DONE = Done()


def open_shard(state: CatalogState, command: OpenShard) -> Done:
    """Make a bucket known; one that is known stays as it is, closed or not."""
    if state.shard(command.bucket_id) is None:
        state.add_shard(command.bucket_id)
    return DONE


def close_shard(state: CatalogState, command: CloseShard) -> Done:
    """Fence a shard without versions and markers; its open uploads are aborted."""
    shard = state.shard(command.bucket_id)
    if shard is None:
        raise NoSuchBucket
    usage = shard.usage
    if usage.versions or usage.delete_markers:
        raise BucketNotEmpty
    if usage.uploads:
        state.remove_uploads(shard, command.at)
        usage.uploads = 0
        usage.part_bytes = 0
    shard.is_open = False
    state.save_shard(shard)
    return DONE


def reopen_shard(state: CatalogState, command: ReopenShard) -> Done:
    """Take the fence away; a shard that is open or gone stays as it is."""
    shard = state.shard(command.bucket_id)
    if shard is not None and not shard.is_open:
        shard.is_open = True
        state.save_shard(shard)
    return DONE


def drop_shard(state: CatalogState, command: DropShard) -> Done:
    """Forget a closed shard; one that is gone is forgotten already."""
    shard = state.shard(command.bucket_id)
    if shard is not None:
        if shard.is_open:
            raise OperationAborted("the shard is not closed")
        state.drop_shard(shard)
    return DONE


def set_versioning(state: CatalogState, shard: Shard, command: SetVersioning) -> Done:
    """Change the versioning state; there is no way back to unset (s3 rule 4.15.1)."""
    if command.versioning is Versioning.UNSET and shard.versioning is not Versioning.UNSET:
        raise IllegalVersioningConfiguration
    shard.versioning = command.versioning
    state.save_shard(shard)
    return DONE
