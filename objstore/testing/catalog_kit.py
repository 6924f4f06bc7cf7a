"""Commands of the catalogue with little ceremony, for tests and benchmarks. Ids count up; nothing is random."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

from objstore.metadata.commands import (
    Command,
    CompletePart,
    CompleteUpload,
    CreateUpload,
    DeleteKey,
    DeleteVersion,
    PutPart,
    PutVersion,
)
from objstore.model.instant import Instant
from objstore.model.names import (
    AccountId,
    BucketId,
    BucketName,
    CanonicalId,
    DataId,
    DriveId,
    ObjectKey,
    OpId,
    UploadId,
    VersionId,
    make_stamped_id,
)
from objstore.model.objects import (
    BucketRecord,
    Conditions,
    Extent,
    ExtentBody,
    InlineBody,
    Misplaced,
    ObjectVersion,
    Part,
    Scheme,
    Upload,
)

C = TypeVar("C", bound=Command)

__all__ = ["OWNER", "CommandKit", "bucket_record", "md5_of"]

OWNER = CanonicalId("a" * 64)


def md5_of(data: bytes) -> str:
    """Return the ETag of bytes."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def bucket_record(number: int = 1, *, spread: int = 1) -> BucketRecord:
    """Return a bucket."""
    return BucketRecord(
        name=BucketName(f"bucket-{number}"),
        bucket_id=BucketId(number.to_bytes(16, "big")),
        owner=OWNER,
        owner_account=AccountId("1" * 12),
        created=Instant(1),
        region="us-east-1",
        spread=spread,
    )


class CommandKit:
    """Makes commands for one bucket. The clock is `at` and moves only when it is set."""

    def __init__(self, bucket_id: BucketId, *, at: int = 1_000_000) -> None:
        self.bucket_id = bucket_id
        self.at = Instant(at)
        self._count = 0

    def next_id(self) -> bytes:
        """Return 16 bytes that were never returned before; they carry the time as their stamp."""
        self._count += 1
        return make_stamped_id(self.at, self.bucket_id[-4:] + self._count.to_bytes(6, "big"))

    def make(self, kind: type[C], **fields: Any) -> C:
        """Return a command of a kind."""
        named: dict[str, Any] = {
            "op_id": OpId(self.next_id()),
            "at": self.at,
            "bucket_id": self.bucket_id,
            **fields,
        }
        return kind(**named)

    def extent(self, size: int, *, part: int = 0, lost: bool = False) -> Extent:
        """Return the extent of fresh bytes; one of its shards may exist nowhere."""
        return Extent(
            data_id=DataId(self.next_id()),
            part=part,
            size=size,
            block_size=1 << 20,
            scheme=Scheme(1, 2),
            ring_version=1,
            misplaced=(Misplaced(0, 1, None), Misplaced(0, 2, DriveId("d3"))) if lost else (),
        )

    def version(self, key: bytes, data: bytes = b"", **fields: Any) -> ObjectVersion:
        """Return an object with inline bytes."""
        fields = {"size": len(data), "etag": md5_of(data), "body": InlineBody(data), **fields}
        return ObjectVersion(
            key=ObjectKey(key),
            version_id=VersionId(self.next_id().hex()),
            last_modified=self.at,
            owner=OWNER,
            **fields,
        )

    def put(self, key: bytes, data: bytes = b"", **conditions: Any) -> PutVersion:
        """Return a write of inline bytes."""
        return self.make(
            PutVersion, version=self.version(key, data), conditions=Conditions(**conditions)
        )

    def put_extent(self, key: bytes, size: int, *, lost: bool = False) -> PutVersion:
        """Return a write of bytes on drives."""
        body = ExtentBody(self.extent(size, lost=lost))
        return self.make(PutVersion, version=self.version(key, size=size, body=body))

    def delete(self, key: bytes, **conditions: Any) -> DeleteKey:
        """Return a delete without a version."""
        return self.make(
            DeleteKey,
            key=ObjectKey(key),
            marker=self.version(key, is_delete_marker=True, etag=""),
            conditions=Conditions(**conditions),
        )

    def delete_version(self, key: bytes, version_id: str, etag: str | None = None) -> Command:
        """Return a delete of one version."""
        return self.make(
            DeleteVersion, key=ObjectKey(key), version_id=VersionId(version_id), etag=etag
        )

    def create_upload(self, key: bytes, **fields: Any) -> CreateUpload:
        """Return the opening of an upload."""
        upload = Upload(
            upload_id=UploadId(self.next_id().hex()),
            key=ObjectKey(key),
            initiated=self.at,
            owner=OWNER,
            initiator=OWNER,
            **fields,
        )
        return self.make(CreateUpload, upload=upload)

    def put_part(self, upload: Upload, number: int, size: int, **fields: Any) -> PutPart:
        """Return a part on drives; its ETag follows from number and size."""
        fields = {"body": ExtentBody(self.extent(size, part=number)), **fields}
        part = Part(
            number=number,
            size=size,
            etag=md5_of(b"%d %d" % (number, size)),
            last_modified=self.at,
            **fields,
        )
        return self.make(PutPart, key=upload.key, upload_id=upload.upload_id, part=part)

    def complete(self, upload: Upload, parts: list[Part], **fields: Any) -> CompleteUpload:
        """Return the Complete of an upload with these parts."""
        return self.make(
            CompleteUpload,
            key=upload.key,
            upload_id=upload.upload_id,
            parts=tuple(CompletePart(part.number, part.etag) for part in parts),
            version_id=VersionId(self.next_id().hex()),
            **fields,
        )
