"""Who may do what, for every operation of the table."""

from __future__ import annotations

import pytest

from objstore.model.errors import AccessDenied, InvalidBucketOwnerAccountId
from objstore.model.instant import Instant
from objstore.model.names import AccountId, BucketId, BucketName, CanonicalId
from objstore.model.objects import BucketRecord, Identity
from objstore.s3.access import authorise, check_expected_owner
from objstore.s3.operation import Access, Operation, Scope
from objstore.s3.operations import OPERATIONS, OPERATIONS_BY_NAME

ROOT = Identity("root", "AKROOT", CanonicalId("0" * 64), AccountId("000000000000"), is_root=True)
ALICE = Identity("alice", "AKALICE", CanonicalId("a" * 64), AccountId("111111111111"))
BOB = Identity("bob", "AKBOB", CanonicalId("b" * 64), AccountId("222222222222"))
NOBODY = Identity("", "", CanonicalId(""), AccountId(""))
BUCKET = BucketRecord(
    name=BucketName("photos"),
    bucket_id=BucketId(b"i" * 16),
    owner=ALICE.canonical_id,
    owner_account=ALICE.account_id,
    created=Instant(0),
    region="us-east-1",
)


def is_allowed(identity: Identity, operation: Operation, bucket: BucketRecord | None) -> bool:
    try:
        authorise(identity, operation, bucket)
    except AccessDenied:
        return False
    return True


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda row: row.name)
def test_root_may_everything_and_nobody_nothing_but_preflight(operation: Operation) -> None:
    """There is no public access yet; browsers cannot sign a preflight (s3 rules 2.1.4, 6.5.2)."""
    assert is_allowed(ROOT, operation, BUCKET)
    assert is_allowed(ROOT, operation, None)
    expected = operation.name == "PreflightRequest"
    assert is_allowed(NOBODY, operation, BUCKET) is expected
    assert is_allowed(NOBODY, operation, None) is expected


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda row: row.name)
def test_users_have_their_own_buckets_only(operation: Operation) -> None:
    """The owner may all that concerns the bucket; another user nothing of it."""
    concerns_account = operation.access in (Access.ACCOUNT, Access.PUBLIC)
    assert is_allowed(ALICE, operation, BUCKET)
    assert is_allowed(BOB, operation, BUCKET) is concerns_account
    assert is_allowed(ALICE, operation, None) is concerns_account


def test_only_what_needs_no_bucket_is_open_to_every_account() -> None:
    """A bucket operation marked ACCOUNT by mistake would open everybody's buckets."""
    open_rows = {row.name for row in OPERATIONS if row.access is Access.ACCOUNT}
    assert open_rows == {
        "ListBuckets",
        "ListDirectoryBuckets",
        "CreateBucket",
        "WriteGetObjectResponse",
    }
    assert all(
        OPERATIONS_BY_NAME[name].scope is Scope.SERVICE for name in open_rows - {"CreateBucket"}
    )


def test_an_anonymous_owner_does_not_exist() -> None:
    """A damaged record without owner must not belong to whoever does not sign."""
    ownerless = BucketRecord(
        name=BucketName("lost"),
        bucket_id=BucketId(b"i" * 16),
        owner=CanonicalId(""),
        owner_account=AccountId(""),
        created=Instant(0),
        region="us-east-1",
    )
    assert not is_allowed(NOBODY, OPERATIONS_BY_NAME["GetObject"], ownerless)


def test_the_expected_owner_protects_against_a_taken_over_bucket() -> None:
    """A client that names the owner must not write to somebody else's bucket (s3 rule 1.4.6)."""
    check_expected_owner(None, BUCKET)
    check_expected_owner("111111111111", BUCKET)
    with pytest.raises(AccessDenied):
        check_expected_owner("222222222222", BUCKET)


@pytest.mark.parametrize("value", ["", "1", "11111111111a", "1111111111111", "\u0661" * 12])
def test_an_expected_owner_is_twelve_digits(value: str) -> None:
    """Anything else is a mistake of the client, and must not count as absent (s3 rule 1.4.6)."""
    with pytest.raises(InvalidBucketOwnerAccountId):
        check_expected_owner(value, BUCKET)
