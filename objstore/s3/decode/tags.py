"""Decoders of the tag documents (s3 rule 4.8)."""

from __future__ import annotations

from objstore.s3.decode.address import bucket_of, document_of, key_of, version_of
from objstore.s3.inputs import PutBucketTaggingInput, PutObjectTaggingInput
from objstore.s3.request import S3Request
from objstore.s3.tagging import bucket_tags, object_tags
from objstore.s3.xml import Element

__all__ = ["put_bucket_tagging", "put_object_tagging"]


def put_bucket_tagging(request: S3Request, document: Element | None) -> PutBucketTaggingInput:
    """Read PutBucketTagging."""
    return PutBucketTaggingInput(bucket_of(request), bucket_tags(document_of(document, "Tagging")))


def put_object_tagging(request: S3Request, document: Element | None) -> PutObjectTaggingInput:
    """Read PutObjectTagging."""
    return PutObjectTaggingInput(
        bucket_of(request),
        key_of(request),
        version_of(request),
        object_tags(document_of(document, "Tagging")),
    )
