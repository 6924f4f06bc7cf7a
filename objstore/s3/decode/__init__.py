"""From requests to typed inputs: every rule about arguments, headers and documents, with S3's own refusals.

A decoder takes the request and its document, parsed and with its digests verified, or None where there is none. It
judges form only: what exists, and who may, is decided elsewhere. Parameters of a presigned URL that stand for
headers are in `request.headers` by then. Bodies of objects never come here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from objstore.s3 import inputs
from objstore.s3.decode import buckets, listing, multipart, objects, settings, tags
from objstore.s3.request import S3Request
from objstore.s3.xml import Element

__all__ = ["DECODERS", "Decoder", "OperationInput"]

OperationInput: TypeAlias = (
    inputs.AbortMultipartUploadInput
    | inputs.AclInput
    | inputs.BucketInput
    | inputs.CompleteMultipartUploadInput
    | inputs.CopyObjectInput
    | inputs.CreateBucketInput
    | inputs.CreateMultipartUploadInput
    | inputs.DeleteObjectInput
    | inputs.DeleteObjectsInput
    | inputs.GetObjectAttributesInput
    | inputs.GetObjectInput
    | inputs.ListBucketsInput
    | inputs.ListMultipartUploadsInput
    | inputs.ListObjectVersionsInput
    | inputs.ListObjectsInput
    | inputs.ListPartsInput
    | inputs.ObjectInput
    | inputs.PreflightInput
    | inputs.PutBucketTaggingInput
    | inputs.PutBucketVersioningInput
    | inputs.PutObjectInput
    | inputs.PutObjectTaggingInput
    | inputs.UnsetSettingInput
    | inputs.UploadPartCopyInput
    | inputs.UploadPartInput
)

Decoder: TypeAlias = Callable[[S3Request, Element | None], OperationInput]

DECODERS: Final[Mapping[str, Decoder]] = {
    "AbortMultipartUpload": multipart.abort_multipart_upload,
    "CompleteMultipartUpload": multipart.complete_multipart_upload,
    "CopyObject": objects.copy_object,
    "CreateBucket": buckets.create_bucket,
    "CreateMultipartUpload": multipart.create_multipart_upload,
    "DeleteBucket": buckets.bucket_input,
    "DeleteBucketTagging": buckets.bucket_input,
    "DeleteObject": objects.delete_object,
    "DeleteObjectTagging": objects.object_input,
    "DeleteObjects": objects.delete_objects,
    "GetBucketAcl": buckets.bucket_input,
    "GetBucketLocation": buckets.bucket_input,
    "GetBucketTagging": buckets.bucket_input,
    "GetBucketVersioning": buckets.bucket_input,
    "GetObject": objects.get_object,
    "GetObjectAcl": objects.object_input,
    "GetObjectAttributes": objects.get_object_attributes,
    "GetObjectLegalHold": objects.object_input,
    "GetObjectRetention": objects.object_input,
    "GetObjectTagging": objects.object_input,
    "HeadBucket": buckets.bucket_input,
    "HeadObject": objects.get_object,
    "ListBuckets": buckets.list_buckets,
    "ListMultipartUploads": listing.list_multipart_uploads,
    "ListObjectVersions": listing.list_object_versions,
    "ListObjects": listing.list_objects,
    "ListObjectsV2": listing.list_objects,
    "ListParts": multipart.list_parts,
    "PreflightRequest": settings.preflight,
    "PutBucketAcl": settings.put_acl,
    "PutBucketLogging": settings.put_logging,
    "PutBucketNotificationConfiguration": settings.put_notification,
    "PutBucketRequestPayment": settings.put_request_payment,
    "PutBucketTagging": tags.put_bucket_tagging,
    "PutBucketVersioning": buckets.put_bucket_versioning,
    "PutObject": objects.put_object,
    "PutObjectAcl": settings.put_acl,
    "PutObjectLegalHold": objects.object_input,
    "PutObjectRetention": objects.object_input,
    "PutObjectTagging": tags.put_object_tagging,
    "UploadPart": multipart.upload_part,
    "UploadPartCopy": multipart.upload_part_copy,
    **settings.UNSET_DECODERS,
}
"""By the name of the operation."""
