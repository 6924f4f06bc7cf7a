"""`objstore-node check`: an operator sees whether all copies are there, whole and the same."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing

import apsw
import boto3
import pytest

from objstore.server.refusal import StartRefused
from objstore.server.store_check import check_store
from objstore.testing import S3Server

BUCKET = "check"


def write(server):
    client = boto3.client("s3", **server.client_arguments())
    for number in range(20):
        client.put_object(Bucket=BUCKET, Key=f"small-{number}", Body=b"x" * 100)
    for number in range(3):
        client.put_object(Bucket=BUCKET, Key=f"large-{number}", Body=bytes([number]) * 300_000)


def settled(directories):
    """Return the outcome when the last followers have applied and the last shards have arrived."""
    deadline = time.monotonic() + 20
    while True:
        result = check_store(directories)
        is_settled = result.is_whole and not result.findings
        if is_settled or time.monotonic() > deadline:
            return result
        time.sleep(0.1)


def test_what_is_whole_and_what_is_not(tmp_path):
    """Beside a server and without one; a lost shard, a changed shard and a changed row are each told."""
    directories = [tmp_path / f"d{number}" for number in range(3)]
    with S3Server(directories, buckets=[BUCKET]) as server:
        write(server)
        result = settled(directories)
        assert result.is_whole, list(result.lines())
        assert [checked.shards for checked in result.directories] == [3, 3, 3]
        server.stop()
    lost, changed, catalogue = directories
    next(lost.glob("shards/*/*")).unlink()
    shard = next(changed.glob("shards/*/*"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with closing(apsw.Connection(str(catalogue / "catalog.sqlite"))) as connection:
        connection.execute("UPDATE objects SET size=size+1 WHERE key=?", (b"small-3",))
    result = check_store(directories)
    assert [len(checked.missing) for checked in result.directories] == [1, 0, 0]
    assert [len(checked.damaged) for checked in result.directories] == [0, 1, 0]
    assert [finding.split(" (")[0].split(": ")[1] for finding in result.findings] == ["different"]
    program = [sys.executable, "-m", "objstore.server.main", "check", *map(str, directories)]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{lost}: 2 shards verified, 1 missing, 0 damaged" in done.stdout
    assert "1 different" in done.stdout


def test_directories_of_no_store_are_refused(tmp_path):
    """Nothing can be said of them, and "nothing is wrong" would be a lie."""
    with pytest.raises(StartRefused):
        check_store([tmp_path])
