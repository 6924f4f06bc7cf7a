"""From typed outputs to replies: status, headers and documents of every success answer.

Encoders decide nothing: whether a version shows, whether a page is truncated, whether a checksum may be told is in
the output. Errors are written elsewhere. The bytes of an object never come here; GET and HEAD share one encoder and
the caller streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from objstore.s3.encode import buckets, listing, multipart, objects, settings
from objstore.s3.reply import Reply
from objstore.s3.request import S3Request
from objstore.s3.unset import DELETES_OF_NOTHING, UNSET_SETTINGS

__all__ = ["ENCODERS", "Encoder"]

Encoder: TypeAlias = Callable[[Any, S3Request], Reply]
"""Takes the output class of its operation."""

ENCODERS: Final[Mapping[str, Encoder]] = {
    "AbortMultipartUpload": objects.done_without_content,
    "CompleteMultipartUpload": multipart.complete_multipart_upload,
    "CopyObject": objects.copy_object,
    "CreateBucket": buckets.create_bucket,
    "CreateMultipartUpload": multipart.create_multipart_upload,
    "DeleteBucket": objects.done_without_content,
    "DeleteBucketTagging": objects.done_without_content,
    "DeleteObject": objects.delete_object,
    "DeleteObjectTagging": objects.done_without_content,
    "DeleteObjects": objects.delete_objects,
    "GetBucketAcl": settings.acl,
    "GetBucketLocation": buckets.get_bucket_location,
    "GetBucketTagging": objects.tagging,
    "GetBucketVersioning": buckets.get_bucket_versioning,
    "GetObject": objects.object_head,
    "GetObjectAcl": settings.acl,
    "GetObjectAttributes": objects.get_object_attributes,
    "GetObjectLegalHold": objects.done,
    "GetObjectRetention": objects.done,
    "GetObjectTagging": objects.tagging,
    "HeadBucket": buckets.head_bucket,
    "HeadObject": objects.object_head,
    "ListBuckets": buckets.list_buckets,
    "ListMultipartUploads": listing.list_multipart_uploads,
    "ListObjectVersions": listing.list_object_versions,
    "ListObjects": listing.list_objects,
    "ListObjectsV2": listing.list_objects,
    "ListParts": multipart.list_parts,
    "PreflightRequest": objects.done,
    "PutBucketAcl": objects.done,
    "PutBucketLogging": objects.done,
    "PutBucketNotificationConfiguration": objects.done,
    "PutBucketRequestPayment": objects.done,
    "PutBucketTagging": objects.done_without_content,
    "PutBucketVersioning": objects.done,
    "PutObject": objects.put_object,
    "PutObjectAcl": objects.done,
    "PutObjectLegalHold": objects.done,
    "PutObjectRetention": objects.done,
    "PutObjectTagging": objects.done,
    "UploadPart": multipart.upload_part,
    "UploadPartCopy": multipart.upload_part_copy,
    **dict.fromkeys((row.get for row in UNSET_SETTINGS), settings.unset_setting),
    **dict.fromkeys(DELETES_OF_NOTHING, objects.done_without_content),
}
"""By the name of the operation."""
