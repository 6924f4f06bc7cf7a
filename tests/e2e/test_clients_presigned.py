"""URLs that boto3 presigns, in its default version and in version 4, used by a client that has no keys."""

from __future__ import annotations

import boto3
import pytest
import urllib3
from botocore.config import Config

pytestmark = pytest.mark.client

EXPECTED = {None: "Signature=", "s3v4": "X-Amz-Signature="}


@pytest.fixture(params=EXPECTED, ids=["default", "s3v4"])
def presign(request, server):
    """Make a URL with one of the two signature versions; boto3's default for a store of one's own is version 2."""
    config = Config(signature_version=request.param) if request.param else None
    client = boto3.client("s3", **server.client_arguments(), config=config)

    def url(operation: str, **parameters) -> str:
        made = client.generate_presigned_url(operation, Params=parameters, ExpiresIn=60)
        assert EXPECTED[request.param] in made
        return made

    return url


@pytest.fixture
def http(server):
    """Connections without keys."""
    trusted = {"ca_certs": str(server.tls.authority)} if server.tls else {}
    with urllib3.PoolManager(**trusted) as manager:
        yield manager


def test_get_and_head(presign, http, s3, bucket, pattern):
    """The link reads its object, as the signer wants it shown, and in ranges."""
    body = pattern(100_000)
    key = "a b+c/\u00e9?&=x"
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    link = presign(
        "get_object",
        Bucket=bucket,
        Key=key,
        ResponseContentDisposition='attachment; filename="a b.txt"',
        ResponseContentType="text/x",
    )
    got = http.request("GET", link)
    assert (got.status, got.data) == (200, body)
    assert got.headers["content-disposition"] == 'attachment; filename="a b.txt"'
    assert got.headers["content-type"] == "text/x"
    part = http.request("GET", link, headers={"Range": "bytes=5-9"})
    assert (part.status, part.data) == (206, body[5:10])
    assert http.request("HEAD", presign("head_object", Bucket=bucket, Key=key)).status == 200


def test_put_with_what_was_signed(presign, http, s3, bucket):
    """A link to upload carries type and metadata; another type or an addition is refused and stores nothing."""
    link = presign(
        "put_object", Bucket=bucket, Key="up", ContentType="text/x", Metadata={"by": "me"}
    )
    wrong = http.request("PUT", link, body=b"x", headers={"Content-Type": "text/html"})
    assert (wrong.status, b"SignatureDoesNotMatch" in wrong.data) == (403, True)
    # Version 4 signs the names of headers, not only values: the uploader repeats what was signed.
    signed = {"Content-Type": "text/x", "x-amz-meta-by": "me"}
    added = http.request("PUT", link, body=b"x", headers=signed | {"x-amz-acl": "private"})
    assert added.status == 403
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert http.request("PUT", link, body=b"anyone", headers=signed).status == 200
    head = s3.head_object(Bucket=bucket, Key="up")
    assert (head["ContentType"], head["Metadata"], head["ContentLength"]) == (
        "text/x",
        {"by": "me"},
        6,
    )


def test_versions_parts_listings_and_deletes(presign, http, s3, bucket):
    """Sub-resources are part of what is signed, and a link works for its own operation only."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"two")
    link = presign("get_object", Bucket=bucket, Key="k", VersionId=first)
    assert http.request("GET", link).data == b"one"
    listing = http.request("GET", presign("list_objects_v2", Bucket=bucket, Prefix="k", MaxKeys=5))
    assert (listing.status, b"<Key>k</Key>" in listing.data) == (200, True)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="mp")["UploadId"]
    part = presign("upload_part", Bucket=bucket, Key="mp", UploadId=upload, PartNumber=1)
    tag = http.request("PUT", part, body=b"a part").headers["etag"]
    parts = {"Parts": [{"ETag": tag, "PartNumber": 1}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="mp", UploadId=upload, MultipartUpload=parts)
    assert s3.get_object(Bucket=bucket, Key="mp")["Body"].read() == b"a part"
    plain = presign("get_object", Bucket=bucket, Key="k")
    for addition in ("&tagging", "&attributes", "&retention", "&acl"):
        assert http.request("GET", plain + addition).status == 403
    assert http.request("DELETE", plain).status == 403
    assert http.request("DELETE", presign("delete_object", Bucket=bucket, Key="k")).status == 204
    assert http.request("GET", plain).status == 404


def respelled(link: str) -> str:
    """Write the names of the signature in another way: they mean the same, so the signature still holds."""
    changed = link.replace("AWSAccessKeyId", "AWS%41ccessKeyId").replace("Signature", "Sign%61ture")
    assert changed != link
    return changed


def test_a_respelled_link_keeps_what_was_signed(server, http, s3, bucket):
    """Version 2 keeps headers in the query: a bearer who escapes a letter elsewhere can shed neither metadata nor source."""
    s3.put_object(Bucket=bucket, Key="source", Body=b"the source")
    client = boto3.client("s3", **server.client_arguments())
    put = {"Bucket": bucket, "Key": "up", "Metadata": {"by": "me"}}
    link = client.generate_presigned_url("put_object", Params=put, ExpiresIn=60)
    assert http.request("PUT", respelled(link), body=b"anyone").status == 200
    assert s3.head_object(Bucket=bucket, Key="up")["Metadata"] == {"by": "me"}
    copy = {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/source"}
    link = client.generate_presigned_url("copy_object", Params=copy, ExpiresIn=60)
    assert http.request("PUT", respelled(link), body=b"of the bearer").status == 400
    assert http.request("PUT", respelled(link)).status == 200
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"the source"
