"""Encoders of the operations on buckets."""

from __future__ import annotations

from typing import Final

from objstore.model.names import BucketName
from objstore.model.objects import BucketRecord, Versioning
from objstore.s3.dates import iso_date
from objstore.s3.encode.documents import xml_reply
from objstore.s3.outputs import (
    CreateBucketOutput,
    GetBucketLocationOutput,
    GetBucketVersioningOutput,
    HeadBucketOutput,
    ListBucketsOutput,
)
from objstore.s3.reply import Reply
from objstore.s3.request import S3Request
from objstore.s3.tokens import bucket_listing, encode_token
from objstore.s3.xml import tag

__all__ = [
    "create_bucket",
    "get_bucket_location",
    "get_bucket_versioning",
    "head_bucket",
    "list_buckets",
]

_REGION_WITHOUT_NAME: Final = "us-east-1"
"""The region that GetBucketLocation shows as an empty element (s3 rule 1.7.13)."""


def list_buckets(output: ListBucketsOutput, _request: S3Request) -> Reply:
    """Write ListBuckets (s3 rule 5.6.1); a token only when more remain."""
    inner = f"<Buckets>{''.join([_bucket(bucket) for bucket in output.buckets])}</Buckets>"
    inner += f"<Owner>{tag('ID', output.owner)}</Owner>"
    if output.next_after is not None:
        context = bucket_listing(output.prefix)
        token = encode_token(output.next_after.encode(), context=context)
        inner += tag("ContinuationToken", token)
    if output.prefix is not None:
        inner += tag("Prefix", output.prefix)
    return xml_reply("ListAllMyBucketsResult", inner)


def _bucket(bucket: BucketRecord) -> str:
    return (
        f"<Bucket><Name>{bucket.name}</Name><CreationDate>{iso_date(bucket.created)}"
        f"</CreationDate>{tag('BucketRegion', bucket.region)}"
        f"<BucketArn>{_arn(bucket.name)}</BucketArn></Bucket>"
    )


def create_bucket(output: CreateBucketOutput, _request: S3Request) -> Reply:
    """Answer CreateBucket (s3 rule 1.3.6)."""
    return Reply(
        200,
        [
            (b"Location", f"/{output.bucket}".encode()),
            (b"x-amz-bucket-arn", _arn(output.bucket).encode()),
        ],
    )


def head_bucket(output: HeadBucketOutput, _request: S3Request) -> Reply:
    """Answer HeadBucket (s3 rule 1.3.10)."""
    return Reply(
        200,
        [
            (b"x-amz-bucket-region", output.region.encode()),
            (b"x-amz-access-point-alias", b"false"),
            (b"x-amz-bucket-arn", _arn(output.bucket).encode()),
            (b"Content-Type", b"application/xml"),
        ],
    )


def get_bucket_location(output: GetBucketLocationOutput, _request: S3Request) -> Reply:
    """Write the region, or an empty element for us-east-1 (s3 rule 6.2.1)."""
    region = "" if output.region == _REGION_WITHOUT_NAME else output.region
    return xml_reply("LocationConstraint", region)


def get_bucket_versioning(output: GetBucketVersioningOutput, _request: S3Request) -> Reply:
    """Write the state; without Status where versioning was never set (s3 rule 4.15.1)."""
    status = output.versioning
    inner = "" if status is Versioning.UNSET else tag("Status", status.value)
    return xml_reply("VersioningConfiguration", inner)


def _arn(bucket: BucketName) -> str:
    return f"arn:aws:s3:::{bucket}"
