"""Answers about what nobody set, as boto clients read them."""

import pytest

from objstore.model.names import CanonicalId, VersionId
from objstore.s3.outputs import AclOutput, UnsetSettingOutput
from objstore.s3.unset import EMPTY_DOCUMENTS

SEEN = {
    "GetBucketPolicyStatus": {"PolicyStatus": {"IsPublic": False}},
    "GetBucketRequestPayment": {"Payer": "BucketOwner"},
    "ListBucketAnalyticsConfigurations": {"IsTruncated": False},
    "ListBucketIntelligentTieringConfigurations": {"IsTruncated": False},
    "ListBucketInventoryConfigurations": {"IsTruncated": False},
    "ListBucketMetricsConfigurations": {"IsTruncated": False},
}


@pytest.mark.parametrize("operation", EMPTY_DOCUMENTS)
def test_nothing_is_set(seen_by_client, operation):
    """A page of a list must say that it is the last (s3 rules 6.1, 6.10.2)."""
    assert seen_by_client(operation, UnsetSettingOutput(operation)) == SEEN.get(operation, {})


@pytest.mark.parametrize("operation", ["GetBucketAcl", "GetObjectAcl"])
def test_the_owner_may_do_everything(seen_by_client, encode, operation):
    """The type of the grantee is an attribute, which botocore reads (s3 rule 4.18.5)."""
    output = AclOutput(CanonicalId("me"), VersionId("v"))
    assert seen_by_client(operation, output) == {
        "Owner": {"ID": "me"},
        "Grants": [
            {"Grantee": {"ID": "me", "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
        ],
    }
    assert (b"x-amz-version-id", b"v") in encode(operation, output).headers
