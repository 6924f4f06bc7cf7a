"""Requests as botocore serialises them, decoded: what clients really send."""

from urllib.parse import parse_qsl, urlsplit

import botocore.handlers
import botocore.serialize
import botocore.session
import pytest

from objstore.model.checksum import ChecksumAlgorithm
from objstore.s3.inputs import CompletedPart, DeleteEntry


@pytest.fixture(scope="session", name="service_model")
def _service_model():
    return botocore.session.get_session().get_service_model("s3")


@pytest.fixture(name="decode_from_boto")
def _decode_from_boto(service_model, decode):
    """Serialise the parameters of a call and decode what comes out."""
    serializer = botocore.serialize.create_serializer("rest-xml")

    def call(operation, **parameters):
        parameters = {"Bucket": "bucket"} | parameters
        model = service_model.operation_model(operation)
        sent = serializer.serialize_to_request(parameters, model)
        headers = {name.lower(): str(value) for name, value in sent["headers"].items()}
        botocore.handlers.escape_xml_payload(sent)
        body = sent["body"]
        fixed_query = dict(parse_qsl(urlsplit(sent["url_path"]).query))
        return decode(
            operation,
            method=sent["method"],
            query=fixed_query | {name: str(value) for name, value in sent["query_string"].items()},
            headers=headers | {"x-amz-checksum-crc32": "AAAAAA=="},
            xml=body.decode() if body and b"<" in body else None,
        )

    return call


def test_complete(decode_from_boto):
    """Part numbers, ETags and checksums arrive (s3 rules 3.5.5, 4.11.4)."""
    parts = [
        {"PartNumber": 1, "ETag": '"a"', "ChecksumCRC32": "AAAAAA=="},
        {"PartNumber": 3, "ETag": "b"},
    ]
    found = decode_from_boto(
        "CompleteMultipartUpload",
        Key="key",
        UploadId="u1",
        MultipartUpload={"Parts": parts},
        IfNoneMatch="*",
        MpuObjectSize=7,
    )
    assert found.parts == (
        CompletedPart(1, "a", ((ChecksumAlgorithm.CRC32, bytes(4)),)),
        CompletedPart(3, "b"),
    )
    assert (found.upload_id, found.object_size) == ("u1", 7)
    assert found.conditions.if_none_match


def test_delete_objects(decode_from_boto):
    """Keys with blanks and line ends arrive unchanged (s3 rule 4.14.5)."""
    keys = [" ", "a\r\nb", "<&>\"'", "é☃", "\t"]
    objects = [{"Key": key, "VersionId": "v", "ETag": '"e"'} for key in keys]
    found = decode_from_boto("DeleteObjects", Delete={"Objects": objects, "Quiet": True})
    assert found.entries == tuple(DeleteEntry(key.encode(), "v", "e") for key in keys)
    assert found.is_quiet


def test_tags(decode_from_boto):
    """Both documents have one shape (s3 rule 4.8)."""
    tagging = {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": ""}]}
    for operation, extra in (("PutBucketTagging", {}), ("PutObjectTagging", {"Key": "key"})):
        found = decode_from_boto(operation, Tagging=tagging, **extra)
        assert found.tags == (("a", "1"), ("b c", ""))


def test_bucket_documents(decode_from_boto):
    """Region, tags and versioning (s3 rules 1.3.7, 4.15.1)."""
    created = decode_from_boto(
        "CreateBucket",
        CreateBucketConfiguration={
            "LocationConstraint": "eu-west-1",
            "Tags": [{"Key": "a", "Value": "1"}],
        },
    )
    assert (created.location_constraint, created.tags) == ("eu-west-1", (("a", "1"),))
    versioning = {"Status": "Suspended", "MFADelete": "Disabled"}
    found = decode_from_boto("PutBucketVersioning", VersioningConfiguration=versioning)
    assert found.versioning.value == "Suspended"


def test_listings(decode_from_boto):
    """Every parameter of the query arrives (s3 rules 5.3, 5.4)."""
    found = decode_from_boto(
        "ListObjectsV2", Prefix="p", Delimiter="/", StartAfter="s", MaxKeys=5, FetchOwner=True
    )
    query = found.query
    assert (query.prefix, query.delimiter, query.max_keys) == (b"p", b"/", 5)
    assert (found.start_after, found.fetch_owner) == (b"s", True)
    versions = decode_from_boto("ListObjectVersions", KeyMarker="k", VersionIdMarker="null")
    assert (versions.key_marker, versions.version_id_marker) == (b"k", "null")
