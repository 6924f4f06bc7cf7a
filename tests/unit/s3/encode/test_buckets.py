"""Answers about buckets, as boto clients read them."""

from datetime import UTC, datetime

import pytest

from objstore.model.objects import BucketRecord, Versioning
from objstore.s3.outputs import (
    CreateBucketOutput,
    GetBucketLocationOutput,
    GetBucketVersioningOutput,
    HeadBucketOutput,
    ListBucketsOutput,
)
from objstore.s3.tokens import bucket_listing, decode_token


def test_buckets_are_listed_with_region_and_arn(seen_by_client):
    """Newer clients read both, and page by the token (s3 rules 5.6.1, 5.6.2)."""
    bucket = BucketRecord("one", b"", "0" * 64, "0" * 12, 1_767_323_045_678, "eu-west-1")
    seen = seen_by_client("ListBuckets", ListBucketsOutput([bucket], "me", "o", "one"))
    token = seen.pop("ContinuationToken")
    assert decode_token(token, context=bucket_listing("o")) == b"one"
    assert seen == {
        "Buckets": [
            {
                "Name": "one",
                "CreationDate": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
                "BucketRegion": "eu-west-1",
                "BucketArn": "arn:aws:s3:::one",
            }
        ],
        "Owner": {"ID": "me"},
        "Prefix": "o",
    }
    assert seen_by_client("ListBuckets", ListBucketsOutput([], "me")) == {
        "Buckets": [],
        "Owner": {"ID": "me"},
    }


def test_create_and_head_answer_in_headers(seen_by_client):
    """Boto reads region and location from there (s3 rules 1.3.6, 1.3.10)."""
    created = seen_by_client("CreateBucket", CreateBucketOutput("one", "us-east-1"))
    assert created == {"Location": "/one", "BucketArn": "arn:aws:s3:::one"}
    assert seen_by_client("HeadBucket", HeadBucketOutput("one", "r")) == {
        "BucketRegion": "r",
        "AccessPointAlias": False,
        "BucketArn": "arn:aws:s3:::one",
    }


@pytest.mark.parametrize(("region", "shown"), [("us-east-1", b"/>"), ("eu-west-1", b">eu-west-1<")])
def test_location_of_the_first_region_is_empty(encode, region, shown):
    """Clients derive the signing region from it (s3 rules 1.7.13, 6.2.1)."""
    body = encode("GetBucketLocation", GetBucketLocationOutput(region)).body
    assert b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"' + shown in body


@pytest.mark.parametrize("state", list(Versioning))
def test_versioning_never_set_has_no_status(seen_by_client, state):
    """Terraform tells never set from suspended by it (s3 rule 4.15.1)."""
    seen = seen_by_client("GetBucketVersioning", GetBucketVersioningOutput(state))
    assert seen == ({"Status": state.value} if state.value else {})
