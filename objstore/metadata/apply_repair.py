"""Commands of the background work: moved shards, collected garbage, the fence of the sweep. Pure."""

from __future__ import annotations

import msgspec

from objstore.metadata.apply_objects import has_lost_shards
from objstore.metadata.commands import Done, ForgetGarbage, MoveShards, RaiseFence
from objstore.metadata.records import (
    PART_CODEC,
    RepairItem,
    part_row,
    version_of,
    version_row,
)
from objstore.metadata.state import CatalogState, Shard
from objstore.model.objects import Body, Extent, ExtentBody

__all__ = ["forget_garbage", "move_shards", "raise_fence"]

DONE = Done()
replace = msgspec.structs.replace


def forget_garbage(state: CatalogState, command: ForgetGarbage) -> Done:
    """Take entries out of the GC queue; those that are gone are no error."""
    state.remove_garbage(command.sequences)
    return DONE


def raise_fence(state: CatalogState, command: RaiseFence) -> Done:
    """Refuse older data from now on (trap T9)."""
    if command.stamp > state.fence:
        state.raise_fence(command.stamp)
    return DONE


def move_shards(state: CatalogState, shard: Shard, command: MoveShards) -> Done:
    """Write down where the shards of an extent are, and end its repair when none is lost."""
    extent = (
        _move_in_version(state, shard, command)
        if command.upload_id is None
        else _move_in_part(state, shard, command)
    )
    if extent is None:
        return DONE
    if has_lost_shards(extent):
        state.put_repair(
            shard,
            RepairItem(
                command.at,
                shard.bucket_id,
                command.key,
                command.version_id,
                command.upload_id,
                extent,
            ),
        )
    else:
        state.remove_repair(command.data_id, command.part)
    return DONE


def _move_in_version(state: CatalogState, shard: Shard, command: MoveShards) -> Extent | None:
    current = state.current(shard, command.key)
    is_current = current is not None and command.version_id in {None, current.version_id}
    row = current
    if not is_current:
        if command.version_id is None:
            return None
        row = state.noncurrent(shard, command.key, command.version_id)
    if row is None or row.is_delete_marker:
        return None
    version = version_of(row)
    extent = _moved(version.body, command)
    if extent is None:
        return None
    changed = version_row(replace(version, body=ExtentBody(extent)), row.inline_id)
    if is_current:
        state.put_current(shard, changed)
    else:
        state.put_noncurrent(shard, changed)
    return extent


def _move_in_part(state: CatalogState, shard: Shard, command: MoveShards) -> Extent | None:
    if command.upload_id is None:
        return None
    row = state.part(shard, command.upload_id, command.part)
    if row is None:
        return None
    part = PART_CODEC.decode(row.record)
    extent = _moved(part.body, command)
    if extent is None:
        return None
    body = ExtentBody(extent)
    state.put_part(shard, command.upload_id, part_row(replace(part, body=body), row.inline_id))
    return extent


def _moved(body: Body, command: MoveShards) -> Extent | None:
    """Return the extent with its new exceptions, None if the body is another one by now."""
    if type(body) is not ExtentBody:
        return None
    extent = body.extent
    if (extent.data_id, extent.part) != (command.data_id, command.part):
        return None
    return replace(extent, misplaced=command.misplaced)
