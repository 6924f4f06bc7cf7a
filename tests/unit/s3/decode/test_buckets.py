"""Decoding of operations on buckets."""

import pytest

from objstore.model.errors import (
    IllegalVersioningConfiguration,
    InvalidArgument,
    InvalidBucketName,
    InvalidTag,
    MalformedXml,
    NotImplementedByStore,
    TooManyTags,
)
from objstore.model.objects import Versioning
from objstore.s3.inputs import BucketInput, CreateBucketInput, ListBucketsInput
from objstore.s3.tokens import bucket_listing, encode_token


def test_a_new_bucket_needs_no_document(decode):
    """Most clients send none (s3 rule 1.3.7)."""
    assert decode("CreateBucket", method="PUT") == CreateBucketInput("bucket")


def test_a_new_bucket_takes_any_region_and_tags(decode):
    """A single-region store is lenient about the constraint (s3 rules 1.3.7, 6.11.1)."""
    xml = (
        "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint>"
        "<Tags><Tag><Key>a</Key><Value>1</Value></Tag></Tags></CreateBucketConfiguration>"
    )
    assert decode("CreateBucket", xml=xml) == CreateBucketInput(
        "bucket", "eu-west-1", (("a", "1"),)
    )
    empty = "<CreateBucketConfiguration><LocationConstraint/></CreateBucketConfiguration>"
    assert decode("CreateBucket", xml=empty) == CreateBucketInput("bucket")
    with pytest.raises(InvalidTag, match="System tags"):
        decode("CreateBucket", xml=xml.replace("<Key>a", "<Key>aws:a"))


@pytest.mark.parametrize("name", ["ab", "Bucket", "a..b", "a.-b", "1.2.3.4", "x--x-s3", "xn--a"])
def test_bad_names_are_refused_on_create(decode, name):
    """Names of directory buckets would switch clients to another protocol (s3 rules 1.3.1 to 1.3.3)."""
    with pytest.raises(InvalidBucketName) as caught:
        decode("CreateBucket", bucket=name)
    assert caught.value.detail == {"bucket_name": name}


def test_buckets_with_what_this_store_lacks_are_refused(decode):
    """A bucket believed to be locked, or to take ACLs, must not come about silently (s3 rule 1.3.8)."""
    refused = [
        ("x-amz-bucket-object-lock-enabled", "true"),
        ("x-amz-object-ownership", "ObjectWriter"),
        ("x-amz-bucket-namespace", "account-regional"),
    ]
    for name, value in refused:
        with pytest.raises(NotImplementedByStore) as caught:
            decode("CreateBucket", headers={name: value})
        assert caught.value.detail == {"header": name}
    accepted = [
        ("x-amz-bucket-object-lock-enabled", "false"),
        ("x-amz-object-ownership", "BucketOwnerEnforced"),
        ("x-amz-bucket-namespace", "global"),
    ]
    for name, value in accepted:
        assert decode("CreateBucket", headers={name: value})
    for value in ("", "bucketownerenforced"):
        with pytest.raises(InvalidArgument, match="Invalid x-amz-object-ownership header"):
            decode("CreateBucket", headers={"x-amz-object-ownership": value})
    with pytest.raises(NotImplementedByStore):
        decode(
            "CreateBucket", xml="<CreateBucketConfiguration><Bucket/></CreateBucketConfiguration>"
        )


def test_list_buckets_pages_by_its_token(decode):
    """An empty token means the first page, a foreign one is refused (s3 rule 5.6.2)."""
    token = encode_token(b"one", context=bucket_listing("o"))
    query = {"max-buckets": "10000", "continuation-token": token, "prefix": "o"}
    assert decode("ListBuckets", query=query) == ListBucketsInput(10000, "one", "o", None)
    assert decode("ListBuckets", query={"continuation-token": ""}).after is None
    with pytest.raises(InvalidArgument):
        decode("ListBuckets", query=query | {"prefix": "p"})


@pytest.mark.parametrize("text", ["0", "10001", "-1", "", "x", "00001000000"])
def test_list_buckets_bounds_its_page(decode, text):
    """The text is the one that S3 was recorded with (s3 rule 5.6.2)."""
    with pytest.raises(InvalidArgument) as caught:
        decode("ListBuckets", query={"max-buckets": text})
    assert caught.value.message == "Argument max-buckets must be an integer between 1 and 10000."


def test_versioning_has_two_spellings_and_no_more(decode):
    """There is no way back to never set, and enums are case-sensitive (s3 rule 4.15.1)."""

    def attempt(inner):
        xml = f"<VersioningConfiguration>{inner}</VersioningConfiguration>"
        return decode("PutBucketVersioning", xml=xml).versioning

    assert attempt("<Status>Enabled</Status>") is Versioning.ENABLED
    disabled = "<MfaDelete>Disabled</MfaDelete>"
    assert attempt(f"<Status>Suspended</Status>{disabled}") is Versioning.SUSPENDED
    for inner in (
        "<Status>enabled</Status>",
        "<Status>Disabled</Status>",
        "<State>Enabled</State>",
    ):
        with pytest.raises(MalformedXml):
            attempt(inner)
    for inner in ("", "<Status/>", disabled):
        with pytest.raises(IllegalVersioningConfiguration, match="must be specified"):
            attempt(inner)
    with pytest.raises(NotImplementedByStore):
        attempt("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>")


@pytest.mark.parametrize(
    ("operation", "count", "error"),
    [("PutBucketTagging", 51, TooManyTags), ("PutObjectTagging", 11, TooManyTags)],
)
def test_tag_documents_are_bounded(decode, operation, count, error):
    """Fifty tags for a bucket, ten for an object (s3 rules 4.8.1, 4.8.3)."""

    def attempt(number):
        tags = "".join(f"<Tag><Key>k{i}</Key><Value/></Tag>" for i in range(number))
        xml = f"<Tagging><TagSet>{tags}</TagSet></Tagging>"
        return decode(operation, xml=xml).tags

    assert len(attempt(count - 1)) == count - 1
    assert attempt(0) == ()
    with pytest.raises(error):
        attempt(count)


def test_operations_on_a_bucket_alone(decode):
    """They share one input."""
    for operation in ("DeleteBucket", "GetBucketTagging", "GetBucketLocation", "HeadBucket"):
        assert decode(operation) == BucketInput("bucket")


def test_a_document_that_has_to_be_there(decode):
    """An empty body is no document (s3 rule 1.6.4)."""
    for operation in ("PutBucketVersioning", "PutBucketTagging", "PutObjectTagging"):
        with pytest.raises(MalformedXml):
            decode(operation)


@pytest.mark.parametrize(
    "operation", ["CreateBucket", "PutBucketVersioning", "PutBucketTagging", "PutObjectTagging"]
)
def test_a_document_for_something_else_is_refused(decode, operation):
    """The names of roots are fixed (s3 rule 1.6.4)."""
    with pytest.raises(MalformedXml):
        decode(operation, xml="<Delete><TagSet/><Status>Enabled</Status></Delete>")
