"""Decoders of the operations on buckets: create, list, versioning."""

from __future__ import annotations

import re
from typing import Final

from objstore.model.errors import (
    IllegalVersioningConfiguration,
    InvalidBucketName,
    MalformedXml,
    NotImplementedByStore,
)
from objstore.model.limits import BUCKETS_PER_PAGE_MAX
from objstore.model.names import is_bucket_name
from objstore.model.objects import Tags, Versioning
from objstore.s3.arguments import invalid_argument
from objstore.s3.decode import refusals
from objstore.s3.decode.address import bucket_of, document_of
from objstore.s3.inputs import (
    BucketInput,
    CreateBucketInput,
    ListBucketsInput,
    PutBucketVersioningInput,
)
from objstore.s3.request import Headers, S3Request
from objstore.s3.tagging import tag_set_of
from objstore.s3.tokens import bucket_listing, decode_token
from objstore.s3.xml import Element

__all__ = [
    "bucket_input",
    "create_bucket",
    "list_buckets",
    "put_bucket_versioning",
]

_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_OWNERSHIP: Final = "x-amz-object-ownership"
_LOCK_ENABLED: Final = "x-amz-bucket-object-lock-enabled"
_NAMESPACE: Final = "x-amz-bucket-namespace"


def bucket_input(request: S3Request, _document: Element | None) -> BucketInput:
    """Read the bucket."""
    return BucketInput(bucket_of(request))


def list_buckets(request: S3Request, _document: Element | None) -> ListBucketsInput:
    """Read ListBuckets; an empty token means the first page (s3 rule 5.6.2)."""
    query = request.query
    prefix, token = query.get("prefix"), query.get("continuation-token")
    after = None
    if token:
        after = decode_token(token, context=bucket_listing(prefix)).decode()
    return ListBucketsInput(
        max_buckets=_max_buckets(query.get("max-buckets")),
        after=after,
        prefix=prefix,
        bucket_region=query.get("bucket-region"),
    )


def _max_buckets(text: str | None) -> int | None:
    if text is None:
        return None
    if _DIGITS.fullmatch(text) is None or not 1 <= int(text) <= BUCKETS_PER_PAGE_MAX:
        raise invalid_argument(
            f"Argument max-buckets must be an integer between 1 and {BUCKETS_PER_PAGE_MAX}.",
            name="max-buckets",
            value=text,
        )
    return int(text)


def create_bucket(request: S3Request, document: Element | None) -> CreateBucketInput:
    """Read CreateBucket (s3 rule 1.3); the document is optional and any region's name is taken."""
    name = bucket_of(request)
    if not is_bucket_name(name):
        raise InvalidBucketName(bucket_name=name)
    headers = request.headers
    refusals.refuse(headers, refusals.ACCESS_HEADERS)
    _judge_lock(headers)
    _judge_ownership(headers)
    if headers.get(_NAMESPACE, "global") != "global":
        raise refusals.not_implemented(_NAMESPACE)
    location, tags = _configuration(document)
    return CreateBucketInput(name, location, tags)


def _judge_lock(headers: Headers) -> None:
    """Let `false` through, which is what every bucket is."""
    value = headers.get(_LOCK_ENABLED)
    if value is None or value.lower() == "false":
        return
    if value.lower() == "true":
        raise refusals.not_implemented(_LOCK_ENABLED)
    raise invalid_argument(
        f"Invalid {_LOCK_ENABLED} header: {value}", name=_LOCK_ENABLED, value=value
    )


def _judge_ownership(headers: Headers) -> None:
    """Let BucketOwnerEnforced through, which is what every bucket is (s3 rule 1.3.8)."""
    value = headers.get(_OWNERSHIP)
    if value is None or value == "BucketOwnerEnforced":
        return
    if value in {"BucketOwnerPreferred", "ObjectWriter"}:
        raise refusals.not_implemented(_OWNERSHIP)
    raise invalid_argument(f"Invalid {_OWNERSHIP} header: {value}", name=_OWNERSHIP, value=value)


def _configuration(document: Element | None) -> tuple[str | None, Tags]:
    """Read CreateBucketConfiguration: location and tags. Directory buckets are not offered (s3 rule 1.3.7)."""
    if document is None:
        return None, ()
    document_of(document, "CreateBucketConfiguration")
    if document.child("Location") is not None or document.child("Bucket") is not None:
        raise NotImplementedByStore(operation="CreateBucket of a directory bucket")
    tags = document.child("Tags")
    location = document.text_of("LocationConstraint")
    return (location or "").strip() or None, () if tags is None else tag_set_of(tags)


def put_bucket_versioning(request: S3Request, document: Element | None) -> PutBucketVersioningInput:
    """Read PutBucketVersioning (s3 rule 4.15.1). Deletes guarded by a device (`MfaDelete`) are not offered."""
    root = document_of(document, "VersioningConfiguration")
    root.only(("Status", "MfaDelete", "MFADelete"))
    for name in ("MfaDelete", "MFADelete"):
        if root.text_of(name) not in {None, "Disabled"}:
            raise NotImplementedByStore(operation=name)
    status = root.text_of("Status")
    if not status:
        raise IllegalVersioningConfiguration("The Versioning element must be specified")
    if status not in {Versioning.ENABLED.value, Versioning.SUSPENDED.value}:
        raise MalformedXml
    return PutBucketVersioningInput(bucket_of(request), Versioning(status))
