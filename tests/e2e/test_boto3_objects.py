"""What a boto3 user does every day, against the real server over http and https."""

from __future__ import annotations

import io

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

MIB = 1024 * 1024


def error_of(excinfo) -> tuple[str, int]:
    """Return S3 code and HTTP status of a client error."""
    response = excinfo.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    "size", [0, 1, 4096, 128 * 1024, 128 * 1024 + 1, 3 * MIB + 17, 20 * MIB + 5]
)
def test_bytes_come_back_as_they_went(s3, bucket, pattern, size):
    """Inline, single-block and multi-block objects all return exactly what was stored."""
    body = pattern(size, seed=size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == body
    assert got["ETag"] == put["ETag"]
    assert got["ContentLength"] == size
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size


def test_ranges_read_just_what_they_name(s3, bucket, pattern):
    """s3 rule 4.2.1: ranges across block and inline borders, clipped ends, suffixes."""
    body = pattern(17 * MIB)
    s3.put_object(Bucket=bucket, Key="big", Body=body)
    for text, expected in [
        ("bytes=0-0", body[:1]),
        (f"bytes={8 * MIB - 3}-{8 * MIB + 2}", body[8 * MIB - 3 : 8 * MIB + 3]),
        (f"bytes={16 * MIB}-", body[16 * MIB :]),
        ("bytes=-5", body[-5:]),
        (f"bytes=100-{100 * MIB}", body[100:]),
    ]:
        got = s3.get_object(Bucket=bucket, Key="big", Range=text)
        assert got["Body"].read() == expected, text
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    with pytest.raises(ClientError) as excinfo:
        s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={17 * MIB}-")
    assert error_of(excinfo) == ("InvalidRange", 416)


def test_metadata_travels_with_the_object(s3, bucket):
    """s3 rules 4.4 and 4.6: system headers verbatim, user metadata lower case."""
    s3.put_object(
        Bucket=bucket,
        Key="m",
        Body=b"x",
        ContentType="text/weird",
        CacheControl="max-age=5",
        ContentDisposition='attachment; filename="a b"',
        ContentEncoding="gzip",
        ContentLanguage="nl",
        Metadata={"Colour": "blue", "two": "a b"},
        Tagging="k1=v1&k2=v%202",
    )
    head = s3.head_object(Bucket=bucket, Key="m")
    assert head["ContentType"] == "text/weird"
    assert head["CacheControl"] == "max-age=5"
    assert head["ContentDisposition"] == 'attachment; filename="a b"'
    assert head["ContentEncoding"] == "gzip"
    assert head["ContentLanguage"] == "nl"
    assert head["Metadata"] == {"colour": "blue", "two": "a b"}
    tags = s3.get_object_tagging(Bucket=bucket, Key="m")["TagSet"]
    assert tags == [{"Key": "k1", "Value": "v1"}, {"Key": "k2", "Value": "v 2"}]


def test_a_managed_upload_is_multipart_and_whole(s3, bucket, pattern):
    """The transfer manager uploads parts out of order and in parallel; the object is their sum."""
    body = pattern(33 * MIB + 11, seed=7)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "mp", Config=config)
    assert s3.head_object(Bucket=bucket, Key="mp")["ETag"].endswith('-5"')
    sink = io.BytesIO()
    s3.download_fileobj(bucket, "mp", sink, Config=config)
    assert sink.getvalue() == body
    second = s3.get_object(Bucket=bucket, Key="mp", PartNumber=2)
    assert second["PartsCount"] == 5
    assert second["Body"].read() == body[8 * MIB : 16 * MIB]


def test_copies_have_bytes_of_their_own(s3, bucket, pattern):
    """s3 rule 4.9: a copy survives the deletion of its source."""
    body = pattern(9 * MIB)
    s3.put_object(Bucket=bucket, Key="a b+c/é?x", Body=body, Metadata={"m": "1"})
    source = {"Bucket": bucket, "Key": "a b+c/é?x"}
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    s3.delete_object(Bucket=bucket, Key="a b+c/é?x")
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert got["Body"].read() == body
    assert got["Metadata"] == {"m": "1"}
    assert got["ETag"] == copied["CopyObjectResult"]["ETag"]


def test_versions_stack_and_delete_markers_hide(s3, bucket):
    """s3 rule 4.15: versions keep their bytes, a marker hides the key, removing it brings the key back."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="v", Body=b"one")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="v", Body=b"two")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="v")
    assert marker["DeleteMarker"] is True
    with pytest.raises(ClientError) as excinfo:
        s3.get_object(Bucket=bucket, Key="v")
    assert error_of(excinfo) == ("NoSuchKey", 404)
    headers = excinfo.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-delete-marker"] == "true"
    with pytest.raises(ClientError) as excinfo:
        s3.get_object(Bucket=bucket, Key="v", VersionId=marker["VersionId"])
    assert error_of(excinfo) == ("MethodNotAllowed", 405)
    listed = s3.list_object_versions(Bucket=bucket)
    assert [v["VersionId"] for v in listed["Versions"]] == [second, first]
    assert listed["DeleteMarkers"][0]["IsLatest"] is True
    s3.delete_object(Bucket=bucket, Key="v", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket=bucket, Key="v")["Body"].read() == b"two"
    assert s3.get_object(Bucket=bucket, Key="v", VersionId=first)["Body"].read() == b"one"


def test_odd_keys_live_side_by_side(s3, bucket):
    """s3 rule 1.2.4: keys are opaque; neighbours of every shape keep their own bytes and are all listed."""
    keys = [
        "a",
        "a/",
        "a/b",
        "a//b",
        "//",
        "/lead",
        "..",
        "../x",
        "a/../b",
        "é",
        "e\u0301",
        " ",
        "a b+c%2F",
        "x" * 1024,
    ]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in keys:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(keys, key=lambda key: key.encode())


def test_listing_pages_cover_everything_once(s3, bucket):
    """s3 rules 5.1 to 5.3: every page size gives the same union, prefixes are grouped once."""
    keys = [f"{folder}/{index:03d}" for folder in ("a", "b", "c") for index in range(7)] + ["top"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for page_size in (1, 2, 5, 22, 1000):
        paginator = s3.get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=bucket, PaginationConfig={"PageSize": page_size})
        assert [item["Key"] for page in pages for item in page.get("Contents", [])] == sorted(keys)
        grouped = paginator.paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": page_size}
        )
        found = list(grouped)
        prefixes = [p["Prefix"] for page in found for p in page.get("CommonPrefixes", [])]
        assert prefixes == ["a/", "b/", "c/"]
        assert [i["Key"] for page in found for i in page.get("Contents", [])] == ["top"]


def test_many_deletes_in_one_request(s3, bucket):
    """s3 rule 4.14.4: missing keys count as deleted, the answer names every key."""
    for index in range(25):
        s3.put_object(Bucket=bucket, Key=f"d{index}", Body=b"x")
    objects = [{"Key": f"d{index}"} for index in range(30)]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [item["Key"] for item in answer["Deleted"]] == [item["Key"] for item in objects]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_conditional_writes_decide_a_race(s3, bucket):
    """s3 rule 4.5.3: If-None-Match creates once, If-Match replaces only what was seen."""
    first = s3.put_object(Bucket=bucket, Key="c", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as excinfo:
        s3.put_object(Bucket=bucket, Key="c", Body=b"2", IfNoneMatch="*")
    assert error_of(excinfo) == ("PreconditionFailed", 412)
    s3.put_object(Bucket=bucket, Key="c", Body=b"3", IfMatch=first["ETag"])
    with pytest.raises(ClientError) as excinfo:
        s3.put_object(Bucket=bucket, Key="c", Body=b"4", IfMatch=first["ETag"])
    assert error_of(excinfo) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as excinfo:
        s3.put_object(Bucket=bucket, Key="none", Body=b"4", IfMatch=first["ETag"])
    assert error_of(excinfo) == ("NoSuchKey", 404)


def test_buckets_have_a_life(s3, bucket):
    """s3 rule 1.3: a bucket with content stays, an empty one goes, and its name is free again."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(ClientError) as excinfo:
        s3.delete_bucket(Bucket=bucket)
    assert error_of(excinfo) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError) as excinfo:
        s3.list_objects_v2(Bucket=bucket)
    assert error_of(excinfo) == ("NoSuchBucket", 404)
    s3.create_bucket(Bucket=bucket)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
