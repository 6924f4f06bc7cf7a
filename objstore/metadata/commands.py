"""Commands of the catalogue's state machine, and what they return. Pure data.

A command carries everything that `apply` must not decide by itself: the time, fresh ids, the identity of the writer.
Every command has an op-id; a command that arrives a second time returns the first result (reliability rule T7).
All commands of one bucket shard go through one partition log, so their order is the order of commits.

A *bucket shard* is the part of a bucket that one partition holds. Its record carries what writes are judged by: that the
bucket exists (it is the fence of DeleteBucket) and its versioning state.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.instant import Instant
from objstore.model.names import BucketId, DataId, ObjectKey, OpId, UploadId, VersionId
from objstore.model.objects import (
    Conditions,
    Extent,
    InlineBody,
    Misplaced,
    ObjectVersion,
    Part,
    Tags,
    Upload,
    Versioning,
)

__all__ = [
    "AbortUpload",
    "CloseShard",
    "Command",
    "CommandResult",
    "CompletePart",
    "CompleteUpload",
    "CompletedUpload",
    "CreateUpload",
    "DeleteKey",
    "DeleteVersion",
    "Deleted",
    "Done",
    "DropShard",
    "ForgetGarbage",
    "Garbage",
    "MoveShards",
    "OpenShard",
    "PutPart",
    "PutVersion",
    "RaiseFence",
    "ReopenShard",
    "SetTags",
    "SetVersioning",
    "Written",
    "weight_of",
]


class Command(msgspec.Struct, frozen=True, array_like=True, tag=True, kw_only=True):
    """What all commands carry."""

    op_id: OpId
    at: Instant
    """When the gateway proposed it. Orders nothing; becomes last modified unless that would step back."""
    bucket_id: BucketId


class OpenShard(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Make the bucket known to this partition; repeating it changes nothing. -> `Done`."""


class CloseShard(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Fence an empty shard against writes, aborting its open uploads. -> `Done` | `BucketNotEmpty`."""


class ReopenShard(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Take a `CloseShard` back because another shard was not empty. -> `Done`."""


class DropShard(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Forget a closed shard for ever. -> `Done`."""


class SetVersioning(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Change the versioning state of the shard. -> `Done`."""

    versioning: Versioning


class PutVersion(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Write an object (PutObject, CopyObject). -> `Written`.

    `version.version_id` is a fresh id; the shard's versioning state decides whether it or `null` is used.
    """

    version: ObjectVersion
    conditions: Conditions = Conditions()


class DeleteKey(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """DeleteObject without a version (s3 rules 4.14, 4.15.3, 4.15.4). -> `Deleted`."""

    key: ObjectKey
    marker: ObjectVersion
    """The delete marker to leave where versioning asks for one; carries a fresh version id."""
    conditions: Conditions = Conditions()


class DeleteVersion(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Remove one version for good. -> `Deleted`; an unknown version: `Deleted(found=False)`."""

    key: ObjectKey
    version_id: VersionId
    etag: str | None = None
    """Condition of DeleteObjects on the version's ETag."""


class SetTags(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Replace the tags of a version (None = current). -> `Written`."""

    key: ObjectKey
    version_id: VersionId | None
    tags: Tags


class CreateUpload(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Open a multipart upload. -> `Done`."""

    upload: Upload


class PutPart(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Add or replace a part; the replaced part's bytes become garbage. -> `Done` | `NoSuchUpload`."""

    key: ObjectKey
    upload_id: UploadId
    part: Part


class CompletePart(msgspec.Struct, frozen=True, array_like=True):
    """A part as the client lists it."""

    number: int
    etag: str
    checksums: tuple[tuple[ChecksumAlgorithm, bytes], ...] = ()


class CompleteUpload(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Turn an upload into an object (s3 rules 4.11.4 to 4.11.9, 3.5). -> `CompletedUpload`.

    Idempotent by upload id for seven days: the same part list returns the first result.
    """

    key: ObjectKey
    upload_id: UploadId
    parts: tuple[CompletePart, ...]
    version_id: VersionId
    conditions: Conditions = Conditions()
    checksum: Checksum | None = None
    checksum_type: ChecksumType | None = None
    object_size: int | None = None


class AbortUpload(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Drop an open upload and its parts. -> `Done` | `NoSuchUpload`."""

    key: ObjectKey
    upload_id: UploadId


class ForgetGarbage(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Remove entries from the GC queue whose shards are in the trash. -> `Done`."""

    sequences: tuple[int, ...]


class MoveShards(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Record where shards of an extent are after a repair. -> `Done`; an extent that is gone is no error.

    The extent is that of a version of the key, or of a part if `upload_id` is given. `misplaced` replaces the extent's.
    """

    key: ObjectKey
    version_id: VersionId | None
    upload_id: UploadId | None
    data_id: DataId
    part: int
    misplaced: tuple[Misplaced, ...]


class RaiseFence(Command, frozen=True, array_like=True, tag=True, kw_only=True):
    """Refuse from now on all data whose id carries an older stamp (trap T9). Never goes back. -> `Done`."""

    stamp: Instant


class Done(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """It holds now."""


class Written(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A version stands."""

    version_id: VersionId
    last_modified: Instant
    versioning: Versioning
    sequence: int


class Deleted(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What a delete did. `version_id` is the marker's or the removed version's id, None where S3 shows none."""

    found: bool
    is_delete_marker: bool
    version_id: VersionId | None


class CompletedUpload(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The finished object of an upload."""

    etag: str
    size: int
    checksum: Checksum | None
    version_id: VersionId
    last_modified: Instant
    versioning: Versioning


CommandResult: TypeAlias = Done | Written | Deleted | CompletedUpload


class Garbage(msgspec.Struct, frozen=True, array_like=True):
    """An extent that nothing refers to any more."""

    sequence: int
    since: Instant
    extent: Extent


COMMAND_BYTES: Final = 512
"""What a command weighs in a queue without its inline bytes."""


def weight_of(command: Command) -> int:
    """Return what a command weighs in a queue, in bytes."""
    if type(command) is PutVersion:
        body = command.version.body
    elif type(command) is PutPart:
        body = command.part.body
    else:
        return COMMAND_BYTES
    return COMMAND_BYTES + (len(body.data) if type(body) is InlineBody else 0)
