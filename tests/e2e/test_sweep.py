"""Uploads that a SIGKILL cut off: their bytes are nobody's, and the disk gets them back (reliability rule T9)."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time

import boto3
import pytest
from botocore.config import Config

from objstore.testing import S3Server
from objstore.testing.raw_client import RawCall, RawClient

MIB = 1024 * 1024
DEADLINE_S = 60.0
AGE_S = 2
BUSY_SWEEPS = ("--sweep-age-s", str(AGE_S), "--sweep-every-s", "1", "--trash-retention-s", "0")


def client_of(server):
    """A client that shows every fault."""
    return boto3.client(
        "s3", **server.client_arguments(), config=Config(retries={"max_attempts": 0})
    )


def bytes_on(directories):
    """Return the bytes of all shard files, those in the trash as well."""
    total = 0
    for directory in directories:
        for pattern in ("shards/*/*", "trash/*", "trash/*/*"):
            for path in directory.glob(pattern):
                with contextlib.suppress(FileNotFoundError):
                    total += path.stat().st_size if path.is_file() else 0
    return total


def wait_until(condition):
    """Look again and again until something is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def sweep_ended_s(server):
    """Return when the last sweep ended, as the server tells."""
    lines = server.get("/_/metrics")[1].decode().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith("objstore_sweep_ended"))
    return float(value)


def wait_for_a_whole_sweep(server):
    """Wait until a sweep has ended that began after now: the second one that ends."""
    for _ in range(2):
        before_s = sweep_ended_s(server)
        wait_until(lambda before_s=before_s: sweep_ended_s(server) > before_s)


class Unfinished:
    """A body whose last bytes do not come until the test is over."""

    def __init__(self, size, over):
        self._left = size
        self._over = over

    def read(self, size=-1):
        if self._left <= MIB:
            self._over.wait(DEADLINE_S)
            return b""
        count = min(size, self._left - MIB)
        self._left -= count
        return b"z" * count


def send_unfinished(server, key, over):
    """Upload and be cut off."""
    size = 40 * MIB
    call = RawCall("PUT", f"/box/{key}").with_headers(("content-length", str(size)))
    with RawClient.of(server) as raw, contextlib.suppress(OSError, http.client.HTTPException):
        raw.send_stream(raw.signed(call, payload="UNSIGNED-PAYLOAD"), Unfinished(size, over))


@pytest.mark.parametrize("count", [1, 3])
def test_disk_gets_back_what_killed_uploads_left(tmp_path, pattern, count):
    """Kill during three large uploads; after the next start only the bytes of finished objects are left, and they read."""
    directories = [tmp_path / f"d{index}" for index in range(count)]
    bodies = {f"kept{number}": pattern(9 * MIB + number, seed=number) for number in range(2)}
    over = threading.Event()
    with S3Server(directories, buckets=["box"]) as server:
        client = client_of(server)
        for key, body in bodies.items():
            client.put_object(Bucket="box", Key=key, Body=body)
        upload = client.create_multipart_upload(Bucket="box", Key="open")["UploadId"]
        part = client.upload_part(
            Bucket="box", Key="open", UploadId=upload, PartNumber=1, Body=bodies["kept0"]
        )
        accounted = bytes_on(directories)
        senders = [
            threading.Thread(target=send_unfinished, args=(server, f"cut{number}", over))
            for number in range(3)
        ]
        for sender in senders:
            sender.start()
        wait_until(lambda: bytes_on(directories) > accounted + 60 * MIB)
        server.kill()
        over.set()
        for sender in senders:
            sender.join()
    assert bytes_on(directories) > accounted + 40 * MIB
    with S3Server(directories, buckets=["box"], arguments=BUSY_SWEEPS) as server:
        wait_until(lambda: bytes_on(directories) == accounted)
        client = client_of(server)
        for key, body in bodies.items():
            assert client.get_object(Bucket="box", Key=key)["Body"].read() == body
        assert [item["Key"] for item in client.list_objects_v2(Bucket="box")["Contents"]] == [
            *bodies
        ]
        client.complete_multipart_upload(
            Bucket="box",
            Key="open",
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        )
        assert client.get_object(Bucket="box", Key="open")["Body"].read() == bodies["kept0"]
        assert b"objstore_sweep_trashed_bytes" in server.get("/_/metrics")[1]


def test_upload_that_is_slower_than_the_sweep_allows_is_refused(tmp_path):
    """It is told so, nothing of it is stored, and a new attempt succeeds."""
    with S3Server([tmp_path / "d"], buckets=["box"], arguments=BUSY_SWEEPS) as server:

        class Slow:
            left = 12 * MIB

            def read(self, size=-1):
                if self.left == MIB:  # more was sent than sockets hold: the server has begun
                    old_s = time.monotonic() + AGE_S + 1
                    wait_until(lambda: time.monotonic() > old_s)
                    wait_for_a_whole_sweep(server)
                count = min(MIB, self.left)
                self.left -= count
                return b"s" * count

        call = RawCall("PUT", "/box/slow").with_headers(("content-length", str(12 * MIB)))
        with RawClient.of(server) as raw:
            answer = raw.send_stream(raw.signed(call, payload="UNSIGNED-PAYLOAD"), Slow())
        assert (answer.status, answer.code) == (409, "OperationAborted")
        wait_until(lambda: bytes_on([tmp_path / "d"]) == 0)
        client = client_of(server)
        assert "Contents" not in client.list_objects_v2(Bucket="box")
        # Small enough to be quicker than the two seconds of these sweeps, on a busy machine as well.
        client.put_object(Bucket="box", Key="slow", Body=b"f" * MIB)
        assert client.head_object(Bucket="box", Key="slow")["ContentLength"] == MIB
