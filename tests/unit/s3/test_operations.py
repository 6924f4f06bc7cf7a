"""The operations table is complete and sound."""

from __future__ import annotations

import dataclasses

import pytest

from objstore.model.errors import InvariantError, NotImplementedByStore
from objstore.s3 import operations as table
from objstore.s3.decode import DECODERS
from objstore.s3.encode import ENCODERS
from objstore.s3.operation import Access, BodyKind, Scope, row
from objstore.s3.operations import (
    OPERATIONS,
    OPERATIONS_BY_NAME,
    SUBRESOURCES,
    check_table,
    handler_of,
    require_sound_table,
)

UNSET = [
    *("DeleteBucketAnalyticsConfiguration", "DeleteBucketCors", "DeleteBucketEncryption"),
    *("DeleteBucketIntelligentTieringConfiguration", "DeleteBucketInventoryConfiguration"),
    *("DeleteBucketLifecycle", "DeleteBucketMetricsConfiguration", "DeleteBucketOwnershipControls"),
    *("DeleteBucketPolicy", "DeleteBucketReplication", "DeleteBucketWebsite"),
    *("DeletePublicAccessBlock", "GetBucketAccelerateConfiguration"),
    *("GetBucketAnalyticsConfiguration", "GetBucketCors", "GetBucketEncryption"),
    *("GetBucketIntelligentTieringConfiguration", "GetBucketInventoryConfiguration"),
    *("GetBucketLifecycleConfiguration", "GetBucketLogging", "GetBucketMetricsConfiguration"),
    *("GetBucketNotificationConfiguration", "GetBucketOwnershipControls", "GetBucketPolicy"),
    *("GetBucketPolicyStatus", "GetBucketReplication", "GetBucketRequestPayment"),
    *("GetBucketWebsite", "GetObjectLockConfiguration", "GetPublicAccessBlock"),
    *("ListBucketAnalyticsConfigurations", "ListBucketIntelligentTieringConfigurations"),
    *("ListBucketInventoryConfigurations", "ListBucketMetricsConfigurations"),
]
"""What is answered as by a bucket that nobody configured; one handler for the reads, one for the removals."""
SHARED = {
    "PutBucketLogging": "put_unset_setting",
    "PutBucketNotificationConfiguration": "put_unset_setting",
    "PutBucketRequestPayment": "put_unset_setting",
    "GetObjectLegalHold": "refuse_without_object_lock",
    "GetObjectRetention": "refuse_without_object_lock",
    "PutObjectLegalHold": "refuse_without_object_lock",
    "PutObjectRetention": "refuse_without_object_lock",
}
BUILT = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteBucketTagging",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjects",
    "GetBucketAcl",
    "GetBucketLocation",
    "GetBucketTagging",
    "GetBucketVersioning",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectTagging",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjectVersions",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "PreflightRequest",
    "PutBucketAcl",
    "PutBucketTagging",
    "PutBucketVersioning",
    "PutObject",
    "PutObjectAcl",
    "PutObjectTagging",
    "UploadPart",
    "UploadPartCopy",
]


def test_the_table_is_sound() -> None:
    """No two rows for one request, no row without permission, no handler without its parts."""
    assert check_table() == []
    require_sound_table()


def test_all_operations_of_the_model_and_two_more_have_a_row() -> None:
    """116 in the model, plus browser upload and preflight (s3 rule 1.5)."""
    scopes = [operation.scope for operation in OPERATIONS]
    assert len(OPERATIONS) == len(OPERATIONS_BY_NAME) == 118
    assert scopes.count(Scope.SERVICE) == 3
    assert scopes.count(Scope.BUCKET) == 83 + 2
    assert scopes.count(Scope.OBJECT) == 30


def test_nine_rows_catch_everything_without_discriminator() -> None:
    """These are the rows that a sub-resource must never reach; a tenth needs a thought."""
    catch_all = {row.name for row in OPERATIONS if not row.discriminators_count}
    assert catch_all - {"PreflightRequest"} == {
        "ListBuckets",
        "HeadBucket",
        "ListObjects",
        "CreateBucket",
        "DeleteBucket",
        "GetObject",
        "HeadObject",
        "PutObject",
        "DeleteObject",
    }


def test_what_is_built_has_handler_decoder_and_encoder() -> None:
    """A decoder without a row, or a row without a decoder, is a misspelt name."""
    names = {*BUILT, *UNSET, *SHARED}
    assert {row.name for row in OPERATIONS if row.handler is not None} == names
    assert set(DECODERS) == set(ENCODERS) == names


def test_handler_names_are_the_operation_names_in_snake_case() -> None:
    """The name is how the composition root finds the method; both listings share one."""
    for name in BUILT:
        handler = OPERATIONS_BY_NAME[name].handler or ""
        assert handler.replace("_", "") == name.removesuffix("V2").lower()
    for name, shared in SHARED.items():
        assert OPERATIONS_BY_NAME[name].handler == shared
    for name in UNSET:
        verb = "delete" if name.startswith("Delete") else "get"
        assert OPERATIONS_BY_NAME[name].handler == f"{verb}_unset_setting"


def test_what_is_not_built_says_so_by_name() -> None:
    """A client must learn which operation is missing (s3 rule 1.4.5)."""
    with pytest.raises(NotImplementedByStore) as caught:
        handler_of(OPERATIONS_BY_NAME["PutBucketCors"])
    assert caught.value.detail == {"operation": "PutBucketCors"}
    assert handler_of(OPERATIONS_BY_NAME["PutObject"]) == "put_object"


def test_reads_and_deletes_take_no_body() -> None:
    """A body of GET or DELETE has no meaning."""
    assert all(
        row.body is BodyKind.NONE
        for row in OPERATIONS
        if row.method in {"GET", "HEAD", "DELETE", "OPTIONS"}
    )


def test_late_errors_are_where_the_work_takes_minutes() -> None:
    """Only these three may start their answer before they know how it ends (s3 rule 4.11.7)."""
    assert {row.name for row in OPERATIONS if row.late_errors} == {
        "CompleteMultipartUpload",
        "CopyObject",
        "UploadPartCopy",
    }


def test_configuration_belongs_to_the_owner() -> None:
    """A policy, an ACL or a lifecycle that anybody could write would give the bucket away."""
    for operation in OPERATIONS:
        if operation.scope is Scope.BUCKET and operation.body is BodyKind.XML:
            allowed = {Access.OWNER}
            if operation.name == "DeleteObjects":
                allowed = {Access.WRITE}
            if operation.name == "CreateBucket":
                allowed = {Access.ACCOUNT}
            assert operation.access in allowed, operation.name


def test_subresources_cover_every_flag_of_the_table() -> None:
    """The guard of the catch-all rows is built from the table itself."""
    assert {
        "acl",
        "policy",
        "uploads",
        "delete",
        "tagging",
        "select",
        "renameObject",
    } <= SUBRESOURCES
    assert "uploadId" not in SUBRESOURCES


def test_a_request_line_is_read_into_its_discriminators() -> None:
    """The notation of the table: flags, {required}, name=value."""
    built = row(
        "X", "POST /B/K?select&select-type=2&{id}", "s3:X", Access.READ, headers=("x-amz-x",)
    )
    assert (built.flags, built.values, built.query) == (
        ("select",),
        (("select-type", "2"),),
        ("id",),
    )
    assert built.discriminators_count == 4
    assert row("Y", "GET /", "s3:Y", Access.READ, content_type="a/b").discriminators_count == 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"action": ""}, "no action"),
        ({"name": "Other"}, "same request as"),
        ({"method": "PATCH"}, "two rows"),
        ({"success_status": 404}, "no success status"),
        ({"body": BodyKind.XML}, "limit"),
        ({"needs_checksum": True}, "checksum of no body"),
        ({"superseded_by": "Nobody"}, "does not take its requests"),
        ({"superseded_by": "GetBucketAcl"}, "can never be reached"),
        ({"decode": None}, "without decoder"),
        ({"encode": None}, "without encoder"),
        ({"flags": ("acl", "policy")}, "more than one sub-resource"),
    ],
)
def test_every_kind_of_fault_is_found(changes: dict[str, object], problem: str) -> None:
    """A server must not start with a table that routes wrongly, so the check must see it."""
    wrong = dataclasses.replace(OPERATIONS_BY_NAME["GetObject"], **changes)
    assert any(problem in text for text in check_table((*OPERATIONS, wrong)))


def test_a_faulty_table_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The composition root calls this and must not get past it."""
    monkeypatch.setattr(table, "check_table", lambda: ["X: two rows"])
    with pytest.raises(InvariantError):
        require_sound_table()
