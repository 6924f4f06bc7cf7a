"""The operations that address an object: all 30 of the service model, built or not."""

from __future__ import annotations

from typing import Final

from objstore.model.limits import COMPLETE_XML_BYTES_MAX
from objstore.s3.operation import Access, BodyKind, Operation, row

__all__ = ["OBJECT_OPERATIONS"]

READ = Access.READ
WRITE = Access.WRITE
OWNER = Access.OWNER
XML = BodyKind.XML
STREAM = BodyKind.STREAM

_READ_PARAMETERS = (
    "response-cache-control response-content-disposition response-content-encoding "
    "response-content-language response-content-type response-expires versionId partNumber"
)

OBJECT_OPERATIONS: Final[tuple[Operation, ...]] = (
    row(
        "AbortMultipartUpload",
        "DELETE /B/K?{uploadId}",
        "s3:AbortMultipartUpload",
        WRITE,
        success_status=204,
        handler="abort_multipart_upload",
    ),
    row(
        "DeleteObject",
        "DELETE /B/K",
        "s3:DeleteObject",
        WRITE,
        parameters="versionId",
        success_status=204,
        handler="delete_object",
    ),
    row(
        "GetObject",
        "GET /B/K",
        "s3:GetObject",
        READ,
        parameters=_READ_PARAMETERS,
        handler="get_object",
    ),
    row(
        "ListParts",
        "GET /B/K?{uploadId}",
        "s3:ListMultipartUploadParts",
        READ,
        parameters="max-parts part-number-marker",
        handler="list_parts",
    ),
    row(
        "HeadObject",
        "HEAD /B/K",
        "s3:GetObject",
        READ,
        parameters=_READ_PARAMETERS,
        handler="head_object",
    ),
    row(
        "CompleteMultipartUpload",
        "POST /B/K?{uploadId}",
        "s3:PutObject",
        WRITE,
        body=XML,
        body_bytes_max=COMPLETE_XML_BYTES_MAX,
        late_errors=True,
        handler="complete_multipart_upload",
    ),
    row(
        "CopyObject",
        "PUT /B/K",
        "s3:PutObject",
        WRITE,
        headers=("x-amz-copy-source",),
        late_errors=True,
        handler="copy_object",
    ),
    row("PutObject", "PUT /B/K", "s3:PutObject", WRITE, body=STREAM, handler="put_object"),
    row(
        "UploadPart",
        "PUT /B/K?{partNumber}&{uploadId}",
        "s3:PutObject",
        WRITE,
        body=STREAM,
        handler="upload_part",
    ),
    row(
        "UploadPartCopy",
        "PUT /B/K?{partNumber}&{uploadId}",
        "s3:PutObject",
        WRITE,
        headers=("x-amz-copy-source",),
        late_errors=True,
        handler="upload_part_copy",
    ),
    row(
        "GetObjectAcl",
        "GET /B/K?acl",
        "s3:GetObjectAcl",
        OWNER,
        parameters="versionId",
        handler="get_object_acl",
    ),
    row(
        "PutObjectAcl",
        "PUT /B/K?acl",
        "s3:PutObjectAcl",
        OWNER,
        parameters="versionId",
        body=XML,
        needs_checksum=True,
        handler="put_object_acl",
    ),
    row(
        "DeleteObjectAnnotation",
        "DELETE /B/K?annotation&{annotationName}",
        "s3:DeleteObjectAnnotation",
        WRITE,
        parameters="versionId",
        success_status=204,
    ),
    row(
        "GetObjectAnnotation",
        "GET /B/K?annotation&{annotationName}",
        "s3:GetObjectAnnotation",
        READ,
        parameters="versionId",
    ),
    row(
        "ListObjectAnnotations",
        "GET /B/K?annotation",
        "s3:ListObjectAnnotations",
        READ,
        parameters="versionId max-annotation-results annotation-prefix continuation-token",
    ),
    row(
        "PutObjectAnnotation",
        "PUT /B/K?annotation&{annotationName}",
        "s3:PutObjectAnnotation",
        WRITE,
        parameters="versionId",
        body=STREAM,
    ),
    row(
        "GetObjectAttributes",
        "GET /B/K?attributes",
        "s3:GetObjectAttributes",
        READ,
        parameters="versionId",
        handler="get_object_attributes",
    ),
    row(
        "UpdateObjectEncryption",
        "PUT /B/K?encryption",
        "s3:UpdateObjectEncryption",
        WRITE,
        parameters="versionId",
        body=XML,
        needs_checksum=True,
    ),
    row(
        "GetObjectLegalHold",
        "GET /B/K?legal-hold",
        "s3:GetObjectLegalHold",
        READ,
        parameters="versionId",
        handler="refuse_without_object_lock",
    ),
    row(
        "PutObjectLegalHold",
        "PUT /B/K?legal-hold",
        "s3:PutObjectLegalHold",
        WRITE,
        parameters="versionId",
        body=XML,
        needs_checksum=True,
        handler="refuse_without_object_lock",
    ),
    row(
        "RenameObject",
        "PUT /B/K?renameObject",
        "s3:PutObject",
        WRITE,
        headers=("x-amz-rename-source",),
    ),
    row(
        "RestoreObject",
        "POST /B/K?restore",
        "s3:RestoreObject",
        WRITE,
        parameters="versionId",
        body=XML,
        success_status=202,
    ),
    row(
        "GetObjectRetention",
        "GET /B/K?retention",
        "s3:GetObjectRetention",
        READ,
        parameters="versionId",
        handler="refuse_without_object_lock",
    ),
    row(
        "PutObjectRetention",
        "PUT /B/K?retention",
        "s3:PutObjectRetention",
        WRITE,
        parameters="versionId",
        body=XML,
        needs_checksum=True,
        handler="refuse_without_object_lock",
    ),
    row("SelectObjectContent", "POST /B/K?select&select-type=2", "s3:GetObject", READ, body=XML),
    row(
        "DeleteObjectTagging",
        "DELETE /B/K?tagging",
        "s3:DeleteObjectTagging",
        WRITE,
        parameters="versionId",
        success_status=204,
        handler="delete_object_tagging",
    ),
    row(
        "GetObjectTagging",
        "GET /B/K?tagging",
        "s3:GetObjectTagging",
        READ,
        parameters="versionId",
        handler="get_object_tagging",
    ),
    row(
        "PutObjectTagging",
        "PUT /B/K?tagging",
        "s3:PutObjectTagging",
        WRITE,
        parameters="versionId",
        body=XML,
        needs_checksum=True,
        handler="put_object_tagging",
    ),
    row("GetObjectTorrent", "GET /B/K?torrent", "s3:GetObjectTorrent", READ),
    row(
        "CreateMultipartUpload",
        "POST /B/K?uploads",
        "s3:PutObject",
        WRITE,
        handler="create_multipart_upload",
    ),
)
