"""Who may do what, before there are policies: root everything, users their own buckets, nobody
else.

Deny is the default: a row of the operations table without a bucket, a bucket of somebody else, a
caller who did not sign, all end in `AccessDenied`. One exception needs no identity at all: CORS
preflight, which browsers never sign (s3 rule 6.5.2).
"""

from __future__ import annotations

import re
from typing import Final

from objstore.model.errors import AccessDenied, InvalidBucketOwnerAccountId
from objstore.model.objects import BucketRecord, Identity
from objstore.s3.operation import Access, Operation

__all__ = ["authorise", "check_expected_owner"]

_ACCOUNT_ID: Final = re.compile(r"[0-9]{12}", re.ASCII)


def authorise(identity: Identity, operation: Operation, bucket: BucketRecord | None) -> None:
    """Let the request through or raise `AccessDenied`.

    `bucket` is None where the operation addresses none that exists: the service, or a bucket that
    is to be made.
    """
    if operation.access is Access.PUBLIC:
        return
    if identity.is_anonymous:
        raise AccessDenied
    if identity.is_root or operation.access is Access.ACCOUNT:
        return
    if bucket is None or bucket.owner != identity.canonical_id:
        raise AccessDenied


def check_expected_owner(expected: str | None, bucket: BucketRecord) -> None:
    """Hold `x-amz-expected-bucket-owner` against the bucket (s3 rule 1.4.6); None = header absent.

    Raises `InvalidBucketOwnerAccountId` unless it is 12 digits, `AccessDenied` if it is another's.
    """
    if expected is None:
        return
    if _ACCOUNT_ID.fullmatch(expected) is None:
        raise InvalidBucketOwnerAccountId
    if expected != bucket.owner_account:
        raise AccessDenied
