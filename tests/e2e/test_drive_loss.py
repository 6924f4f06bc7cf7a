"""Several directories: losing the content of one that holds no metadata must not be visible to a client."""

from __future__ import annotations

import shutil

import boto3
import pytest
from botocore.config import Config

from objstore.testing import S3Server

MIB = 1024 * 1024


def client_of(server: S3Server):
    """A client that shows every fault."""
    return boto3.client(
        "s3", **server.client_arguments(), config=Config(retries={"max_attempts": 0})
    )


def empty(directory) -> None:
    """Remove everything in a directory, as a person with a wrong command does."""
    for entry in directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("while_running", [True, False])
def test_every_object_still_reads_right(tmp_path, pattern, count, while_running):
    """Wipe one directory, running or stopped: small, large and multipart objects and ranges read right, and writes go on."""
    directories = [tmp_path / f"d{index}" for index in range(count)]
    bodies = {
        f"k{size}": pattern(size, seed=size) for size in (10, 131_073, MIB, 9 * MIB + 7, 21 * MIB)
    }
    with S3Server(directories, buckets=["loss"]) as server:
        client = client_of(server)
        for key, body in bodies.items():
            client.put_object(Bucket="loss", Key=key, Body=body)
        if not while_running:
            server.stop()
        empty(directories[-1])
        if not while_running:
            server.start()
            client = client_of(server)
        for key, body in bodies.items():
            assert client.get_object(Bucket="loss", Key=key)["Body"].read() == body, key
        middle = client.get_object(Bucket="loss", Key=f"k{21 * MIB}", Range="bytes=9000000-9999999")
        assert middle["Body"].read() == bodies[f"k{21 * MIB}"][9_000_000:10_000_000]
        if count > 2:
            client.put_object(Bucket="loss", Key="after", Body=bodies[f"k{9 * MIB + 7}"])
            got = client.get_object(Bucket="loss", Key="after")["Body"].read()
            assert got == bodies[f"k{9 * MIB + 7}"]
