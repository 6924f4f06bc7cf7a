"""What must outlive the process: uploads, versions, buckets asked for at start. And what must not grow in it: memory."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from objstore.testing import S3Server
from objstore.testing.raw_client import RawCall, RawClient

MIB = 1024 * 1024


def client_of(server: S3Server):
    """A client that shows every fault."""
    return boto3.client(
        "s3", **server.client_arguments(), config=Config(retries={"max_attempts": 0})
    )


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


class Pattern:
    """A readable body of any size that is never held in memory; its digest is known afterwards."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.position = 0
        self.unit = hashlib.sha256(b"unit").digest() * 32_768
        self.md5 = hashlib.md5(usedforsecurity=False)

    def read(self, size: int = -1) -> bytes:
        left = self.size - self.position
        count = min(left, len(self.unit) if size is None or size < 0 else size, len(self.unit))
        piece = self.unit[:count]
        self.md5.update(piece)
        self.position += count
        return piece

    def __len__(self) -> int:
        return self.size


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_uploads_resume_after_a_restart(how, pattern):
    """s3 rule 4.12: ListParts after a restart shows what is there, and the upload completes with it."""
    body = pattern(12 * MIB)
    with S3Server(buckets=["uploads"]) as server:
        client = client_of(server)
        where = {"Bucket": "uploads", "Key": "resumed"}
        upload = client.create_multipart_upload(**where, Metadata={"a": "b"})["UploadId"]
        first = client.upload_part(**where, UploadId=upload, PartNumber=1, Body=body[: 6 * MIB])
        getattr(server, how)()
        server.start()
        client = client_of(server)
        listed = client.list_parts(**where, UploadId=upload)["Parts"]
        assert [(part["PartNumber"], part["ETag"]) for part in listed] == [(1, first["ETag"])]
        assert client.list_multipart_uploads(Bucket="uploads")["Uploads"][0]["UploadId"] == upload
        client.upload_part(**where, UploadId=upload, PartNumber=2, Body=body[6 * MIB :])
        parts = client.list_parts(**where, UploadId=upload)["Parts"]
        document = {"Parts": [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in parts]}
        done = client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=document)
        server.restart()
        client = client_of(server)
        again = client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=document)
        assert again["ETag"] == done["ETag"]
        got = client.get_object(**where)
        assert got["Body"].read() == body
        assert got["Metadata"] == {"a": "b"}


def test_everything_that_was_told_is_there_after_a_restart():
    """Versions, markers, tags and versioning states are part of the data, not of the process."""
    with S3Server(buckets=["keep"]) as server:
        client = client_of(server)
        client.put_bucket_versioning(Bucket="keep", VersioningConfiguration={"Status": "Enabled"})
        client.put_bucket_tagging(Bucket="keep", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
        ids = [
            client.put_object(Bucket="keep", Key="a", Body=b"%d" % n)["VersionId"] for n in range(3)
        ]
        client.delete_object(Bucket="keep", Key="a")
        before = client.list_object_versions(Bucket="keep")
        server.kill()
        server.start()
        client = client_of(server)
        after = client.list_object_versions(Bucket="keep")
        for field in ("Versions", "DeleteMarkers"):
            assert after[field] == before[field]
        assert [v["VersionId"] for v in after["Versions"]] == ids[::-1]
        assert client.get_bucket_versioning(Bucket="keep")["Status"] == "Enabled"
        assert client.get_bucket_tagging(Bucket="keep")["TagSet"] == [{"Key": "k", "Value": "v"}]


def test_memory_does_not_grow_with_the_size_of_objects():
    """A body passes through in blocks: 512 MiB up and down cost a bounded amount, whatever the size."""
    with S3Server(buckets=["big"]) as server:
        client = client_of(server)
        client.put_object(Bucket="big", Key="warm", Body=b"x" * MIB)
        before = resident_mib(server.pid)
        peak = before
        is_done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not is_done.wait(0.02):
                peak = max(peak, resident_mib(server.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            body = Pattern(512 * MIB)
            call = RawCall("PUT", "/big/huge").with_headers(("content-length", str(body.size)))
            with RawClient.of(server) as raw:
                answer = raw.send_stream(raw.signed(call, payload="UNSIGNED-PAYLOAD"), body)
            assert answer.status == 200, answer.body
            assert answer.headers["etag"] == f'"{body.md5.hexdigest()}"'
            digest = hashlib.md5(usedforsecurity=False)
            for piece in client.get_object(Bucket="big", Key="huge")["Body"].iter_chunks(MIB):
                digest.update(piece)
            assert digest.hexdigest() == body.md5.hexdigest()
        finally:
            is_done.set()
            watcher.join()
        assert peak - before < 96, f"grew from {before:.0f} to {peak:.0f} MiB"


def test_buckets_asked_for_exist_before_ready():
    """Ready means ready: a client that starts at the first 200 finds its buckets, at every start."""
    with S3Server(buckets=["one", "two"]) as server:
        assert [b["Name"] for b in client_of(server).list_buckets()["Buckets"]] == ["one", "two"]
        client_of(server).put_object(Bucket="one", Key="k", Body=b"v")
        server.restart()
        assert client_of(server).get_object(Bucket="one", Key="k")["Body"].read() == b"v"


def test_virtual_hosts_name_buckets():
    """s3 rule 1.1.2: with a base domain, the host in front of it is the bucket, and path style still works."""
    with (
        S3Server(arguments=["--domain", "s3.test"], buckets=["photos"]) as server,
        RawClient.of(server) as raw,
    ):
        host = f"photos.s3.test:{server.port}"
        put = RawCall("PUT", "/a/b.txt", body=b"virtual")
        assert raw.send(raw.signed(put, host=host)).status == 200
        got = raw.send(raw.signed(RawCall("GET", "/a/b.txt"), host=host))
        assert got.body == b"virtual"
        assert raw.send(raw.signed(RawCall("GET", "/photos/a/b.txt"))).body == b"virtual"
        listed = raw.send(raw.signed(RawCall("GET", "/", query=(("list-type", "2"),)), host=host))
        assert b"<Key>a/b.txt</Key>" in listed.body


def test_users_own_what_they_make():
    """Static users: each owns the buckets that it creates and is denied the rest; root sees all."""
    users = "".join(
        f'[[users]]\nname = "{name}"\naccess_key = "{name}-key-01"\nsecret_key = "{name}-secret-01"\n'
        for name in ("ada", "bob")
    )
    with S3Server(config=users) as server:
        arguments = server.client_arguments()

        def login(name: str):
            keys = {
                "aws_access_key_id": f"{name}-key-01",
                "aws_secret_access_key": f"{name}-secret-01",
            }
            return boto3.client(
                "s3", **(arguments | keys), config=Config(retries={"max_attempts": 0})
            )

        ada, bob, root = login("ada"), login("bob"), client_of(server)
        ada.create_bucket(Bucket="adas")
        ada.put_object(Bucket="adas", Key="k", Body=b"hers")
        for attempt in (
            lambda: bob.get_object(Bucket="adas", Key="k"),
            lambda: bob.put_object(Bucket="adas", Key="k", Body=b"his"),
            lambda: bob.delete_object(Bucket="adas", Key="k"),
            lambda: bob.list_objects_v2(Bucket="adas"),
            lambda: bob.delete_bucket(Bucket="adas"),
            lambda: bob.copy_object(Bucket="bobs", Key="c", CopySource="adas/k"),
        ):
            if "bobs" not in [b["Name"] for b in bob.list_buckets()["Buckets"]]:
                bob.create_bucket(Bucket="bobs")
            with pytest.raises(ClientError) as excinfo:
                attempt()
            assert excinfo.value.response["Error"]["Code"] == "AccessDenied"
        with pytest.raises(ClientError) as excinfo:
            bob.create_bucket(Bucket="adas")
        assert excinfo.value.response["Error"]["Code"] == "BucketAlreadyExists"
        assert [b["Name"] for b in ada.list_buckets()["Buckets"]] == ["adas"]
        assert [b["Name"] for b in root.list_buckets()["Buckets"]] == ["adas", "bobs"]
        assert root.get_object(Bucket="adas", Key="k")["Body"].read() == b"hers"
