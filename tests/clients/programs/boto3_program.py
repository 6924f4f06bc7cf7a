"""A day of a boto3 user, the same for every release of boto3. Reads the endpoint from the environment.

Arguments: a bucket name that nobody uses, and the release that must be running.
"""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1024 * 1024
SECURE = os.environ["AWS_ENDPOINT_URL"].startswith("https:")
RELEASE = tuple(int(part) for part in boto3.__version__.split("."))
CHECKSUMS_BY_DEFAULT = RELEASE >= (1, 36)
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)


class Sent:
    """Keeps the headers of the requests that a client sent, by operation."""

    def __init__(self, s3: Any) -> None:
        self.headers: dict[str, dict[str, str]] = {}
        self.extra: dict[str, str] = {}
        s3.meta.events.register("before-send.s3", self._keep)
        s3.meta.events.register("before-call.s3.PutObject", self._add)

    def _keep(self, request: Any, event_name: str, **_: Any) -> None:
        found = {}
        for name, value in request.headers.items():
            found[name.lower()] = value.decode() if isinstance(value, bytes) else str(value)
        self.headers[event_name.rpartition(".")[2]] = found

    def _add(self, params: Any, **_: Any) -> None:
        params["headers"].update(self.extra)


def body_of(size: int, seed: int = 0) -> bytes:
    """Return bytes whose place shows."""
    return b"".join((index + seed).to_bytes(8, "big") for index in range(size // 8 + 1))[:size]


def code_of(call: Any, **arguments: Any) -> tuple[str, int]:
    """Return the S3 code and the HTTP status of a call that must fail."""
    try:
        call(**arguments)
    except ClientError as error:
        answer = error.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError(f"{call} did not fail")


def main(bucket: str, release: str) -> None:
    """Exercise the store; any difference ends the program with an error."""
    assert boto3.__version__ == release, boto3.__version__
    config = Config(
        retries={"max_attempts": 0}, s3={"addressing_style": "path"}, signature_version="s3v4"
    )
    s3 = boto3.client("s3", config=config)
    sent = Sent(s3)
    s3.create_bucket(Bucket=bucket)
    s3.get_waiter("bucket_exists").wait(Bucket=bucket)
    objects(s3, bucket)
    checksums(s3, bucket, sent)
    copies(s3, bucket)
    transfers(s3, bucket)
    listings(s3, bucket)
    conditions(s3, bucket, sent)
    tags(s3, bucket)
    links(s3, bucket)
    deletions(s3, bucket, sent)
    versions(s3, bucket)
    s3.delete_bucket(Bucket=bucket)
    assert code_of(s3.head_bucket, Bucket=bucket) == ("404", 404)


def objects(s3: Any, bucket: str) -> None:
    """Put, get and head, whole and in ranges, with metadata."""
    for size in (0, 1, 17_000, 6 * MIB + 1):
        body = body_of(size, seed=size)
        tag = s3.put_object(Bucket=bucket, Key=f"o/{size}", Body=body, Metadata={"Colour": "blue"})[
            "ETag"
        ]
        assert tag.strip('"') == hashlib.md5(body).hexdigest()
        got = s3.get_object(Bucket=bucket, Key=f"o/{size}")
        assert got["Body"].read() == body
        head = s3.head_object(Bucket=bucket, Key=f"o/{size}")
        assert (head["ETag"], head["ContentLength"]) == (tag, size)
        assert head["Metadata"] == {"colour": "blue"}
    body = body_of(6 * MIB + 1, seed=6 * MIB + 1)
    key = f"o/{6 * MIB + 1}"
    for text, expected in (
        ("bytes=0-0", body[:1]),
        ("bytes=1000-2000000", body[1000:2_000_001]),
        ("bytes=-5", body[-5:]),
    ):
        assert s3.get_object(Bucket=bucket, Key=key, Range=text)["Body"].read() == expected
    assert code_of(s3.get_object, Bucket=bucket, Key="none") == ("NoSuchKey", 404)
    assert code_of(s3.head_object, Bucket=bucket, Key="none") == ("404", 404)
    tree = b"".join(s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(70_001))
    assert tree == body


def checksums(s3: Any, bucket: str, sent: Sent) -> None:
    """Releases from 1.36 on send CRC32 unasked, in a trailer over https; all of them send what is asked for."""
    body = body_of(100_000)
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    s3.put_object(Bucket=bucket, Key="c", Body=body)
    headers = sent.headers["PutObject"]
    unasked = headers.get("x-amz-checksum-crc32") == crc
    trailer = headers.get("x-amz-trailer") == "x-amz-checksum-crc32"
    assert unasked == (CHECKSUMS_BY_DEFAULT and not SECURE)
    assert trailer == (CHECKSUMS_BY_DEFAULT and SECURE)
    head = s3.head_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")
    if CHECKSUMS_BY_DEFAULT:
        assert head["ChecksumCRC32"] == crc
    else:
        assert "x-amz-checksum-crc64nvme" in head["ResponseMetadata"]["HTTPHeaders"]
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    s3.put_object(Bucket=bucket, Key="c", Body=body, ChecksumAlgorithm="SHA256")
    head = s3.head_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == digest
    got = s3.get_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")
    assert got["Body"].read() == body
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    s3.put_object(Bucket=bucket, Key="c", Body=body, ContentMD5=md5)
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    refused = code_of(s3.put_object, Bucket=bucket, Key="c", Body=body, ContentMD5=wrong)
    assert refused == ("BadDigest", 400)
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="c", ObjectAttributes=["ETag", "ObjectSize"]
    )
    assert attributes["ObjectSize"] == len(body)


def copies(s3: Any, bucket: str) -> None:
    """Copy with the old and with new metadata, and onto itself."""
    source = {"Bucket": bucket, "Key": "c"}
    s3.copy_object(Bucket=bucket, Key="copy \u00e9+1", CopySource=source)
    assert s3.get_object(Bucket=bucket, Key="copy \u00e9+1")["Body"].read() == body_of(100_000)
    s3.copy_object(
        Bucket=bucket, Key="c", CopySource=source, Metadata={"a": "b"}, MetadataDirective="REPLACE"
    )
    assert s3.head_object(Bucket=bucket, Key="c")["Metadata"] == {"a": "b"}
    assert code_of(s3.copy_object, Bucket=bucket, Key="c", CopySource=source)[0] == "InvalidRequest"


def transfers(s3: Any, bucket: str) -> None:
    """The transfer manager: up, across and down in parts, and whole."""
    body = body_of(17 * MIB + 3)
    Path("large").write_bytes(body)
    s3.upload_file("large", bucket, "t/large", Config=PARTS, ExtraArgs={"ContentType": "x/y"})
    head = s3.head_object(Bucket=bucket, Key="t/large")
    assert head["ETag"].endswith('-4"')
    assert head["ContentType"] == "x/y"
    s3.copy({"Bucket": bucket, "Key": "t/large"}, bucket, "t/across", Config=PARTS)
    for key in ("t/large", "t/across"):
        s3.download_file(bucket, key, "back", Config=PARTS)
        assert Path("back").read_bytes() == body
    Path("small").write_bytes(b"small")
    s3.upload_file("small", bucket, "t/small", Config=PARTS)
    with Path("back").open("wb") as sink:
        s3.download_fileobj(bucket, "t/small", sink)
    assert Path("back").read_bytes() == b"small"
    with Path("large").open("rb") as source:
        s3.upload_fileobj(source, bucket, "t/stream", Config=PARTS)
    got = s3.get_object(Bucket=bucket, Key="t/stream", PartNumber=4)
    assert got["Body"].read() == body[15 * MIB :]
    assert got["PartsCount"] == 4
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="t/left")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="t/left", UploadId=upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="t/left", UploadId=upload)
    assert code_of(s3.list_parts, Bucket=bucket, Key="t/left", UploadId=upload)[0] == "NoSuchUpload"


def listings(s3: Any, bucket: str) -> None:
    """Both versions of the listing through their paginators, flat, by folder, with odd names."""
    names = [f"l/{folder}/{index:02d}" for folder in ("a", "b c", "d+\u00e9") for index in range(9)]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    names.sort(key=lambda name: name.encode())
    for operation in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(operation)
        one = list(pages.paginate(Bucket=bucket, Prefix="l/", PaginationConfig={"PageSize": 4}))
        assert len(one) == 7
        assert [entry["Key"] for page in one for entry in page["Contents"]] == names
        found = pages.paginate(
            Bucket=bucket, Prefix="l/", Delimiter="/", PaginationConfig={"PageSize": 1}
        )
        folders = [entry["Prefix"] for entry in found.search("CommonPrefixes")]
        assert folders == ["l/a/", "l/b c/", "l/d+\u00e9/"]
    after = s3.list_objects_v2(Bucket=bucket, Prefix="l/", StartAfter=names[20])
    assert [entry["Key"] for entry in after["Contents"]] == names[21:]
    assert after["KeyCount"] == 6
    assert bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]


def conditions(s3: Any, bucket: str, sent: Sent) -> None:
    """Read and write only if; releases that lack the parameters send the headers as their users do."""
    first = s3.put_object(Bucket=bucket, Key="if", Body=b"1")["ETag"]
    assert code_of(s3.get_object, Bucket=bucket, Key="if", IfNoneMatch=first) == ("304", 304)
    stale = code_of(s3.get_object, Bucket=bucket, Key="if", IfMatch='"0"')
    assert stale == ("PreconditionFailed", 412)
    known = s3.meta.service_model.operation_model("PutObject").input_shape.members

    def put(body: bytes, name: str, value: str) -> tuple[str, int]:
        given = {name: value} if name in known else {}
        sent.extra = {} if given else {{"IfMatch": "If-Match"}.get(name, "If-None-Match"): value}
        try:
            s3.put_object(Bucket=bucket, Key="if", Body=body, **given)
        except ClientError as error:
            return error.response["Error"]["Code"], 412
        finally:
            sent.extra = {}
        return "", 200

    assert put(b"2", "IfNoneMatch", "*") == ("PreconditionFailed", 412)
    assert put(b"3", "IfMatch", first) == ("", 200)
    assert put(b"4", "IfMatch", first) == ("PreconditionFailed", 412)
    assert s3.get_object(Bucket=bucket, Key="if")["Body"].read() == b"3"
    s3.delete_object(Bucket=bucket, Key="if")
    assert put(b"5", "IfMatch", first) == ("NoSuchKey", 412)
    assert put(b"6", "IfNoneMatch", "*") == ("", 200)
    assert s3.get_object(Bucket=bucket, Key="if")["Body"].read() == b"6"


def tags(s3: Any, bucket: str) -> None:
    """Tags with the object, on the object, on the bucket."""
    s3.put_object(Bucket=bucket, Key="tagged", Body=b"", Tagging="a=1&b=two%20words")
    found = s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"]
    assert found == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "two words"}]
    wanted = {"TagSet": [{"Key": "c", "Value": "\u00e9"}]}
    s3.put_object_tagging(Bucket=bucket, Key="tagged", Tagging=wanted)
    assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == wanted["TagSet"]
    s3.delete_object_tagging(Bucket=bucket, Key="tagged")
    assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == []
    s3.put_bucket_tagging(Bucket=bucket, Tagging=wanted)
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == wanted["TagSet"]
    s3.delete_bucket_tagging(Bucket=bucket)
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)


def links(s3: Any, bucket: str) -> None:
    """Presigned links to read and to write, used by somebody without keys; an altered one is refused."""
    authority = os.environ.get("AWS_CA_BUNDLE")
    context = ssl.create_default_context(cafile=authority) if SECURE else None

    def ask(link: str, method: str, body: bytes | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(link, data=body, method=method)
        request.add_header("Content-Type", "")
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    parameters = {"Bucket": bucket, "Key": "linked \u00e9"}
    write = s3.generate_presigned_url("put_object", Params=parameters, ExpiresIn=60)
    assert ask(write, "PUT", b"by link")[0] == 200
    read = s3.generate_presigned_url("get_object", Params=parameters, ExpiresIn=60)
    assert ask(read, "GET") == (200, b"by link")
    assert ask(read.replace("linked", "linker"), "GET")[0] == 403
    assert ask(read, "PUT", b"other")[0] == 403
    assert s3.get_object(**parameters)["Body"].read() == b"by link"


def deletions(s3: Any, bucket: str, sent: Sent) -> None:
    """Delete many at once: Content-MD5 in older releases, a checksum in newer ones; the last page ends it."""
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 10}
    ):
        entries = [{"Key": entry["Key"]} for entry in page["Contents"]]
        said = s3.delete_objects(Bucket=bucket, Delete={"Objects": entries})
        assert sorted(entry["Key"] for entry in said["Deleted"]) == [
            entry["Key"] for entry in entries
        ]
        assert "Errors" not in said
    headers = sent.headers["DeleteObjects"]
    assert ("content-md5" in headers) == (not CHECKSUMS_BY_DEFAULT)
    assert ("x-amz-checksum-crc32" in headers) == CHECKSUMS_BY_DEFAULT
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def versions(s3: Any, bucket: str) -> None:
    """Versions of a key, a delete marker, reading and restoring an old one, deleting all."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    ids = [
        s3.put_object(Bucket=bucket, Key="v", Body=b"%d" % number)["VersionId"]
        for number in range(5)
    ]
    assert s3.delete_object(Bucket=bucket, Key="v")["DeleteMarker"]
    assert code_of(s3.get_object, Bucket=bucket, Key="v") == ("NoSuchKey", 404)
    old = s3.get_object(Bucket=bucket, Key="v", VersionId=ids[1])
    assert (old["Body"].read(), old["VersionId"]) == (b"1", ids[1])
    source = {"Bucket": bucket, "Key": "v", "VersionId": ids[1]}
    restored = s3.copy_object(Bucket=bucket, Key="v", CopySource=source)
    assert restored["CopySourceVersionId"] == ids[1]
    assert s3.get_object(Bucket=bucket, Key="v")["Body"].read() == b"1"
    pages = list(
        s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": 2}
        )
    )
    assert len(pages) == 4
    listed = [entry["VersionId"] for page in pages for entry in page.get("Versions", [])]
    assert listed == [restored["VersionId"], *reversed(ids)]
    markers = [entry["VersionId"] for page in pages for entry in page.get("DeleteMarkers", [])]
    every = [{"Key": "v", "VersionId": version} for version in listed + markers]
    said = s3.delete_objects(Bucket=bucket, Delete={"Objects": every, "Quiet": True})
    assert "Deleted" not in said
    assert "Errors" not in said
    left = s3.list_object_versions(Bucket=bucket)
    assert "Versions" not in left
    assert "DeleteMarkers" not in left


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
