"""The state machine of the catalogue: one command in, one result out. Pure: no clock, no randomness, no SQL.

    apply(state, command) -> result      or raises the error leaf that refuses the command

The same command on the same state gives the same result and the same rows on every replica. A command is judged
completely before its first write, so that a refusal leaves no trace; nothing needs a savepoint. Deduplication by
op-id, cursors and transactions are the log driver's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from objstore.metadata.apply_objects import (
    delete_key,
    delete_version,
    put_version,
    set_tags,
)
from objstore.metadata.apply_repair import forget_garbage, move_shards, raise_fence
from objstore.metadata.apply_shards import (
    close_shard,
    drop_shard,
    open_shard,
    reopen_shard,
    set_versioning,
)
from objstore.metadata.apply_uploads import abort_upload, complete_upload, create_upload, put_part
from objstore.metadata.commands import (
    AbortUpload,
    CloseShard,
    Command,
    CommandResult,
    CompleteUpload,
    CreateUpload,
    DeleteKey,
    DeleteVersion,
    DropShard,
    ForgetGarbage,
    MoveShards,
    OpenShard,
    PutPart,
    PutVersion,
    RaiseFence,
    ReopenShard,
    SetTags,
    SetVersioning,
)
from objstore.metadata.state import CatalogState, Shard
from objstore.model.errors import NoSuchBucket

__all__ = ["apply"]

# Each function takes exactly the command that stands before it.
_ON_STATE: Final[dict[type[Command], Callable[[CatalogState, Any], CommandResult]]] = {
    OpenShard: open_shard,
    CloseShard: close_shard,
    ReopenShard: reopen_shard,
    DropShard: drop_shard,
    ForgetGarbage: forget_garbage,
    RaiseFence: raise_fence,
}
_ON_SHARD: Final[dict[type[Command], Callable[[CatalogState, Shard, Any], CommandResult]]] = {
    SetVersioning: set_versioning,
    PutVersion: put_version,
    DeleteKey: delete_key,
    DeleteVersion: delete_version,
    SetTags: set_tags,
    CreateUpload: create_upload,
    PutPart: put_part,
    CompleteUpload: complete_upload,
    AbortUpload: abort_upload,
    MoveShards: move_shards,
}


def apply(state: CatalogState, command: Command) -> CommandResult:
    """Carry a command out and return its result; raise the leaf that refuses it, before any write."""
    on_shard = _ON_SHARD.get(type(command))
    if on_shard is None:
        return _ON_STATE[type(command)](state, command)
    shard = state.shard(command.bucket_id)
    if shard is None or not shard.is_open:
        raise NoSuchBucket
    return on_shard(state, shard, command)
