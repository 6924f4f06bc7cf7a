"""Commands on multipart uploads. Pure.

    open --PutPart*--> open --CompleteUpload--> finished (an object; remembered for its retries)
                       open --AbortUpload--> gone

Parts are rows of their own and stay after Complete: the object refers to them by upload id and number. Complete moves
no data and writes one version; parts that the client did not list become garbage. Completing is one command, so that
two Completes, or Complete and Abort, cannot meet halfway (s3 rule 4.11.9).
"""

from __future__ import annotations

import msgspec
import xxhash

from objstore.metadata.apply_objects import (
    check_fence,
    has_lost_shards,
    install,
    judge,
    key_text,
)
from objstore.metadata.commands import (
    AbortUpload,
    CompletedUpload,
    CompletePart,
    CompleteUpload,
    CreateUpload,
    Done,
    PutPart,
)
from objstore.metadata.completion import Completion, judge_completion
from objstore.metadata.records import Finished, RepairItem, part_row
from objstore.metadata.state import CatalogState, Shard
from objstore.model.errors import ConditionalRequestConflict, NoSuchUpload
from objstore.model.instant import Instant
from objstore.model.limits import DONE_UPLOAD_KEPT_MS
from objstore.model.objects import Conditions, ExtentBody, InlineBody, ObjectVersion, Upload

__all__ = ["abort_upload", "complete_upload", "create_upload", "put_part"]

DONE = Done()


def create_upload(state: CatalogState, shard: Shard, command: CreateUpload) -> Done:
    """Open an upload; its id is fresh, so one that is known is the same command again."""
    upload = command.upload
    if state.upload(shard, upload.key, upload.upload_id) is None:
        state.add_upload(shard, upload)
        shard.usage.uploads += 1
        state.save_shard(shard)
    return DONE


def put_part(state: CatalogState, shard: Shard, command: PutPart) -> Done:
    """Add a part, or put it in the place of the one with its number."""
    part = command.part
    body = part.body
    if type(body) is ExtentBody:
        check_fence(state, body.extent)
    if state.upload(shard, command.key, command.upload_id) is None:
        raise NoSuchUpload(upload_id=command.upload_id)
    previous = state.part(shard, command.upload_id, part.number)
    # Writes begin here.
    if previous is not None:
        state.remove_parts(shard, command.upload_id, numbers=[part.number], since=command.at)
        shard.usage.part_bytes -= previous.size
    inline = body.data if type(body) is InlineBody else b""
    inline_id = state.add_inline(inline) if inline else None
    state.put_part(shard, command.upload_id, part_row(part, inline_id))
    shard.usage.part_bytes += part.size
    state.save_shard(shard)
    if type(body) is ExtentBody and has_lost_shards(body.extent):
        state.put_repair(
            shard,
            RepairItem(
                command.at, shard.bucket_id, command.key, None, command.upload_id, body.extent
            ),
        )
    return DONE


def abort_upload(state: CatalogState, shard: Shard, command: AbortUpload) -> Done:
    """Drop an open upload; a finished one is no longer there to be aborted."""
    row = state.upload(shard, command.key, command.upload_id)
    if row is None:
        raise NoSuchUpload(upload_id=command.upload_id)
    heads = state.part_heads(shard, command.upload_id)
    state.remove_parts(shard, command.upload_id, numbers=None, since=command.at)
    _close(state, shard, row.upload, sum(head.size for head in heads))
    state.save_shard(shard)
    return DONE


def complete_upload(state: CatalogState, shard: Shard, command: CompleteUpload) -> CompletedUpload:
    """Turn an upload into an object, or answer a retry as the first time."""
    parts_digest = _digest(command.parts)
    finished = state.finished(shard, command.upload_id)
    if finished is not None:
        if (finished.key, finished.parts_digest) != (command.key, parts_digest):
            raise NoSuchUpload(upload_id=command.upload_id)
        return finished.result
    row = state.upload(shard, command.key, command.upload_id)
    if row is None:
        raise NoSuchUpload(upload_id=command.upload_id)
    heads = state.part_heads(shard, command.upload_id)
    completion = judge_completion(row.upload, heads, command)
    current = state.current(shard, command.key)
    judge(command.conditions, current, command.key)
    _judge_race(command, is_touched=row.is_touched)
    # Writes begin here.
    if completion.unlisted:
        state.remove_parts(shard, command.upload_id, numbers=completion.unlisted, since=command.at)
    _close(state, shard, row.upload, sum(head.size for head in heads))
    version = _version(row.upload, command, completion)
    written = install(state, shard, version, current=current, at=command.at)
    result = CompletedUpload(
        etag=completion.etag,
        size=completion.size,
        checksum=completion.checksum,
        version_id=written.version_id,
        last_modified=written.last_modified,
        versioning=written.versioning,
    )
    state.forget_finished(Instant(command.at - DONE_UPLOAD_KEPT_MS))
    state.add_finished(
        shard, command.upload_id, Finished(command.key, parts_digest, result), command.at
    )
    return result


def _judge_race(command: CompleteUpload, *, is_touched: bool) -> None:
    """Refuse a conditional Complete whose key changed since the upload began (s3 rule 4.5.6)."""
    if not is_touched or command.conditions == Conditions():
        return
    condition = "If-None-Match" if command.conditions.if_none_match else "If-Match"
    raise ConditionalRequestConflict(condition=condition, key=key_text(command.key))


def _close(state: CatalogState, shard: Shard, upload: Upload, part_bytes: int) -> None:
    state.remove_upload(shard, upload)
    shard.usage.uploads -= 1
    shard.usage.part_bytes -= part_bytes


def _version(upload: Upload, command: CompleteUpload, completion: Completion) -> ObjectVersion:
    return ObjectVersion(
        key=upload.key,
        version_id=command.version_id,
        last_modified=command.at,
        owner=upload.owner,
        size=completion.size,
        etag=completion.etag,
        body=completion.body,
        checksum=completion.checksum,
        system=upload.system,
        user=upload.user,
        tags=upload.tags,
        storage_class=upload.storage_class,
    )


def _digest(parts: tuple[CompletePart, ...]) -> bytes:
    return xxhash.xxh3_128_digest(msgspec.msgpack.encode(parts))
