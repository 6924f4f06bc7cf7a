"""Commands on the versions of a key. Pure.

Where a version is kept
    `objects`    the current version of a key, where that is an object
    `versions`   all others: noncurrent objects, and delete markers, current or not

so a listing of current objects crosses nothing else. Invariant: a row in `objects` has the largest sequence of its key;
if there is none, the newest row of `versions` is a delete marker, or the key has no versions.

Order of steps of each command: read, judge (conditions, records that must decode), then write.
"""

from __future__ import annotations

from typing import Final

import msgspec

from objstore.metadata.commands import (
    Deleted,
    DeleteKey,
    DeleteVersion,
    PutVersion,
    SetTags,
    Written,
)
from objstore.metadata.records import (
    EMPTY_INLINE,
    RepairItem,
    VersionRow,
    version_of,
    version_row,
)
from objstore.metadata.state import CatalogState, Shard
from objstore.model.errors import (
    DeleteMarkerNotAllowed,
    NoSuchKey,
    NoSuchVersion,
    OperationAborted,
    PreconditionFailed,
)
from objstore.model.instant import Instant
from objstore.model.names import NULL_VERSION, ObjectKey, VersionId, stamp_of
from objstore.model.objects import (
    Body,
    Conditions,
    Extent,
    ExtentBody,
    InlineBody,
    ObjectVersion,
    PartsBody,
    Versioning,
)

__all__ = [
    "check_fence",
    "delete_key",
    "delete_version",
    "has_lost_shards",
    "install",
    "judge",
    "key_text",
    "put_version",
    "set_tags",
]

NOTHING_DELETED: Final = Deleted(found=False, is_delete_marker=False, version_id=None)
replace = msgspec.structs.replace


def put_version(state: CatalogState, shard: Shard, command: PutVersion) -> Written:
    """Write an object, if its conditions hold (s3 rules 4.5, 4.15)."""
    version = command.version
    if type(version.body) is ExtentBody:
        check_fence(state, version.body.extent)
    current = state.current(shard, version.key)
    judge(command.conditions, current, version.key)
    return install(state, shard, version, current=current, at=command.at)


def judge(conditions: Conditions, current: VersionRow | None, key: ObjectKey) -> None:
    """Raise the refusal of a conditional write, judged against the current object only (s3 rule 4.5.3)."""
    if conditions.if_none_match and current is not None:
        raise PreconditionFailed(condition="If-None-Match")
    if conditions.if_match is not None:
        if current is None:
            raise NoSuchKey(key=key_text(key))
        if conditions.if_match not in {"*", current.etag}:
            raise PreconditionFailed(condition="If-Match")


def install(
    state: CatalogState,
    shard: Shard,
    version: ObjectVersion,
    *,
    current: VersionRow | None,
    at: Instant,
) -> Written:
    """Make a version the current one; the versioning state says what happens to the one before."""
    key = version.key
    version_id = version.version_id if shard.versioning is Versioning.ENABLED else NULL_VERSION
    latest = current or _newest_hidden(state, shard, key)
    replaced = _replaced_null(state, shard, key, current)
    body_lost = None if replaced is None else _body_of(replaced)
    # Writes begin here.
    sequence = state.next_sequence()
    last_modified = _after(latest, at)
    body = version.body
    inline = body.data if type(body) is InlineBody else b""
    final = replace(
        version,
        version_id=version_id,
        last_modified=last_modified,
        sequence=sequence,
        body=EMPTY_INLINE if inline else body,
    )
    if current is not None and current is not replaced:
        state.put_noncurrent(shard, current)
    if replaced is not None:
        _forget(state, shard, replaced, body_lost, at)
        if replaced is not current:
            state.remove_noncurrent(shard, replaced)
    state.put_current(shard, version_row(final, state.add_inline(inline) if inline else None))
    usage = shard.usage
    usage.objects += current is None
    usage.versions += 1
    usage.size_bytes += version.size
    _finish(state, shard, key)
    if type(body) is ExtentBody and has_lost_shards(body.extent):
        item = RepairItem(at, shard.bucket_id, key, version_id, None, body.extent)
        state.put_repair(shard, item)
    return Written(
        version_id=version_id,
        last_modified=last_modified,
        versioning=shard.versioning,
        sequence=sequence,
    )


def delete_key(state: CatalogState, shard: Shard, command: DeleteKey) -> Deleted:
    """Delete without a version: remove, or leave a marker (s3 rules 4.14.2, 4.15.3, 4.15.4)."""
    key = command.key
    current = state.current(shard, key)
    judge(command.conditions, current, key)
    if shard.versioning is not Versioning.UNSET:
        return _leave_marker(state, shard, command, current)
    if current is None:
        return NOTHING_DELETED
    body = _body_of(current)
    state.remove_current(shard, key)
    shard.usage.objects -= 1
    _forget(state, shard, current, body, command.at)
    _finish(state, shard, key)
    return Deleted(found=True, is_delete_marker=False, version_id=None)


def _leave_marker(
    state: CatalogState, shard: Shard, command: DeleteKey, current: VersionRow | None
) -> Deleted:
    key = command.key
    is_enabled = shard.versioning is Versioning.ENABLED
    version_id = command.marker.version_id if is_enabled else NULL_VERSION
    latest = current or _newest_hidden(state, shard, key)
    replaced = _replaced_null(state, shard, key, current)
    body_lost = None if replaced is None else _body_of(replaced)
    # Writes begin here.
    marker = replace(
        command.marker,
        version_id=version_id,
        last_modified=_after(latest, command.at),
        sequence=state.next_sequence(),
        is_delete_marker=True,
    )
    if current is not None:
        state.remove_current(shard, key)
        shard.usage.objects -= 1
        if current is not replaced:
            state.put_noncurrent(shard, current)
    if replaced is not None:
        _forget(state, shard, replaced, body_lost, command.at)
        if replaced is not current:
            state.remove_noncurrent(shard, replaced)
    state.put_noncurrent(shard, version_row(marker, None))
    shard.usage.delete_markers += 1
    _finish(state, shard, key)
    return Deleted(found=current is not None, is_delete_marker=True, version_id=version_id)


def delete_version(state: CatalogState, shard: Shard, command: DeleteVersion) -> Deleted:
    """Remove one version for good; if it was the current one, the newest that remains takes its place."""
    key = command.key
    current = state.current(shard, key)
    is_current = current is not None and current.version_id == command.version_id
    row = current if is_current else state.noncurrent(shard, key, command.version_id)
    if row is None:
        return NOTHING_DELETED
    if command.etag is not None and command.etag != row.etag:
        raise PreconditionFailed(condition="If-Match")
    body = _body_of(row)
    # Writes begin here.
    if is_current:
        state.remove_current(shard, key)
        shard.usage.objects -= 1
    else:
        state.remove_noncurrent(shard, row)
    _forget(state, shard, row, body, command.at)
    if is_current or current is None:
        _promote(state, shard, key)
        _finish(state, shard, key)
    else:
        state.save_shard(shard)
    return Deleted(
        found=True, is_delete_marker=bool(row.is_delete_marker), version_id=command.version_id
    )


def set_tags(state: CatalogState, shard: Shard, command: SetTags) -> Written:
    """Replace the tags of a version; neither ETag nor last modified change (s3 rule 3.6.3)."""
    row, is_current = _find(state, shard, command.key, command.version_id)
    version = replace(version_of(row), tags=command.tags)
    changed = version_row(version, row.inline_id)
    if is_current:
        state.put_current(shard, changed)
    else:
        state.put_noncurrent(shard, changed)
    return Written(
        version_id=version.version_id,
        last_modified=version.last_modified,
        versioning=shard.versioning,
        sequence=version.sequence,
    )


def check_fence(state: CatalogState, extent: Extent) -> None:
    """Refuse data that is older than the fence of the garbage collection (trap T9)."""
    if stamp_of(extent.data_id) < state.fence:
        raise OperationAborted("the data is older than the fence of the garbage collection")


def has_lost_shards(extent: Extent) -> bool:
    """Tell whether a shard of the extent exists nowhere."""
    return any(shard.drive is None for shard in extent.misplaced)


def key_text(key: ObjectKey) -> str:
    """Return a key as errors show it."""
    return key.decode("utf-8", "replace")


def _find(
    state: CatalogState, shard: Shard, key: ObjectKey, version_id: VersionId | None
) -> tuple[VersionRow, bool]:
    current = state.current(shard, key)
    if current is not None and version_id in {None, current.version_id}:
        return current, True
    if version_id is None:
        raise NoSuchKey(key=key_text(key))
    row = state.noncurrent(shard, key, version_id)
    if row is None:
        raise NoSuchVersion(key=key_text(key), version_id=version_id)
    if row.is_delete_marker:
        raise DeleteMarkerNotAllowed(resource_type="DeleteMarker")
    return row, False


def _newest_hidden(state: CatalogState, shard: Shard, key: ObjectKey) -> VersionRow | None:
    """Return the marker that is current where no object is; a bucket without versioning has none."""
    if shard.versioning is Versioning.UNSET:
        return None
    return state.newest_noncurrent(shard, key)


def _replaced_null(
    state: CatalogState, shard: Shard, key: ObjectKey, current: VersionRow | None
) -> VersionRow | None:
    """Return the null version that a write without versioning takes the place of (s3 rule 4.15.3)."""
    if shard.versioning is Versioning.ENABLED:
        return None
    if current is not None and current.version_id == NULL_VERSION:
        return current
    if shard.versioning is Versioning.UNSET:
        return None
    return state.noncurrent(shard, key, NULL_VERSION)


def _after(latest: VersionRow | None, at: Instant) -> Instant:
    """Return the last modified time of a new version: versions of a key never step back (trap T12)."""
    return at if latest is None or latest.last_modified < at else Instant(latest.last_modified + 1)


def _body_of(row: VersionRow) -> Body | None:
    """Return what a version's removal makes garbage, None if its row says so; raises for a damaged record."""
    if row.inline_id is not None or row.is_delete_marker:
        return None
    return version_of(row).body


def _forget(
    state: CatalogState, shard: Shard, row: VersionRow, body: Body | None, at: Instant
) -> None:
    """Count a version out and let go of its bytes."""
    usage = shard.usage
    if row.is_delete_marker:
        usage.delete_markers -= 1
        return
    usage.versions -= 1
    usage.size_bytes -= row.size
    if row.inline_id is not None:
        state.remove_inline(row.inline_id)
    elif type(body) is ExtentBody:
        state.add_garbage(body.extent, at)
    elif type(body) is PartsBody:
        state.remove_parts(shard, body.upload_id, numbers=None, since=at)


def _promote(state: CatalogState, shard: Shard, key: ObjectKey) -> None:
    newest = state.newest_noncurrent(shard, key)
    if newest is not None and not newest.is_delete_marker:
        state.remove_noncurrent(shard, newest)
        state.put_current(shard, newest)
        shard.usage.objects += 1


def _finish(state: CatalogState, shard: Shard, key: ObjectKey) -> None:
    """Save the counters and tell open uploads of the key that it changed (s3 rule 4.5.6)."""
    if shard.usage.uploads:
        state.touch_uploads(shard, key)
    state.save_shard(shard)
