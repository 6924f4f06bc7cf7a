"""What a request names: its bucket, its key, its version."""

from __future__ import annotations

from typing import TypeVar

from objstore.model.errors import InvariantError, MalformedXml
from objstore.model.names import BucketName, ObjectKey, UploadId, VersionId
from objstore.s3.arguments import parse_version_id
from objstore.s3.request import S3Request
from objstore.s3.xml import Element

__all__ = ["bucket_of", "document_of", "key_of", "required", "upload_of", "version_of"]

Thing = TypeVar("Thing")


def bucket_of(request: S3Request) -> BucketName:
    """Return the bucket; resolution made sure that there is one."""
    if request.bucket is None:
        raise InvariantError("a bucket operation came without a bucket")
    return BucketName(request.bucket)


def key_of(request: S3Request) -> ObjectKey:
    """Return the key; resolution made sure that there is one."""
    if request.key is None:
        raise InvariantError("an object operation came without a key")
    return request.key


def version_of(request: S3Request) -> VersionId | None:
    """Return `versionId`. Raises `InvalidArgument` for a malformed one (s3 rule 4.15.6)."""
    text = request.query.get("versionId")
    return None if text is None else parse_version_id(text)


def upload_of(request: S3Request) -> UploadId:
    """Return `uploadId` as it came: one that was never given out does not exist, whatever its form."""
    return UploadId(request.query.get("uploadId") or "")


def document_of(document: Element | None, root: str) -> Element:
    """Return the document. Raises `MalformedXml` without one, or for another root (s3 rule 1.6.4)."""
    if document is None or document.name != root:
        raise MalformedXml
    return document


def required(part: Thing | None) -> Thing:
    """Return a piece of a document that has to be there. Raises `MalformedXml` when it is not."""
    if part is None:
        raise MalformedXml
    return part
