"""A row or a page of one replica's catalogue is damaged: clients get the right answer, and the replica is made anew."""

from __future__ import annotations

import time
from contextlib import closing

import apsw
import boto3
import pytest
from botocore.config import Config

from objstore.testing import S3Server
from objstore.testing.replica_directories import roles_of

BUCKET = "damage"
KEYS = [f"key-{number:03d}" for number in range(60)]
BODY = b"body of " * 40
RETURN_S = 60.0


def client_of(server):
    """A client that shows every fault."""
    config = Config(retries={"max_attempts": 0}, read_timeout=30)
    return boto3.client("s3", **server.client_arguments(), config=config)


def read(client, key):
    return client.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def catalogue(directory):
    return directory / "catalog.sqlite"


def damage_row(path, table, column, key):
    """Change one byte of a value, as a drive does that reads back something else than was written. Nobody may have it open."""
    with closing(apsw.Connection(str(path))) as connection:
        where = {
            "objects": "key=?",
            "inline": "id=(SELECT inline_id FROM objects WHERE key=?)",
        }[table]
        select = f"SELECT {column} FROM {table} WHERE {where}"
        value = bytearray(connection.execute(select, (key.encode(),)).get)
        value[-1] ^= 1
        connection.execute(
            f"UPDATE {table} SET {column}=? WHERE {where}", (bytes(value), key.encode())
        )


def damage_pages(path, key):
    """Overwrite every page of the file that holds a key; return how many. Nobody may have it open."""
    with closing(apsw.Connection(str(path))) as connection:
        size = connection.pragma("page_size")
    data = bytearray(path.read_bytes())
    found = [
        start
        for start in range(size, len(data), size)
        if key.encode() in data[start : start + size]
    ]
    for start in found:
        data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    return len(found)


def wait_until_renewed(server, directory):
    """Wait until the directory has a new catalogue that is whole."""
    deadline = time.monotonic() + RETURN_S
    while time.monotonic() < deadline:
        returned = [
            line
            for line in server.log_path.read_text().splitlines()
            if "drive_returned" in line and str(directory) in line
        ]
        if returned and _metric(server, "objstore_metadata_partitions_to_align") == 0:
            return
        time.sleep(0.1)
    raise AssertionError(server.log_tail())


def _metric(server, name):
    for line in server.get("/_/metrics")[1].decode().splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise AssertionError(name)


def check_everything(server):
    """Every object reads right, without a single error."""
    client = client_of(server)
    assert {key for key in KEYS if read(client, key) != BODY + key.encode()} == set()
    listed = client.list_objects_v2(Bucket=BUCKET)
    assert [item["Key"] for item in listed["Contents"]] == KEYS


@pytest.fixture
def stopped(tmp_path):
    """A server with three directories and objects that is not running; the directories, the leader's first."""
    directories = [tmp_path / f"d{number}" for number in range(3)]
    with S3Server(directories, buckets=[BUCKET]) as server:
        client = client_of(server)
        for key in KEYS:
            client.put_object(Bucket=BUCKET, Key=key, Body=BODY + key.encode())
        server.stop()
        leader = directories[roles_of(directories, BUCKET).leader]
        yield server, sorted(directories, key=lambda directory: directory != leader)


def start(server, leader):
    """Start until that directory leads: leaders are named as before, unless a busy machine makes a drive look slow."""
    server.start()
    while server.directories[roles_of(server.directories, BUCKET).leader] != leader:
        server.restart()


@pytest.mark.parametrize(("table", "column"), [("objects", "record"), ("inline", "data")])
def test_a_damaged_row_of_the_leader_is_answered_by_another_replica(stopped, table, column):
    """A checksum shows it; the leader steps aside, the request waits for that, and the catalogue is copied anew."""
    server, (leader, *_) = stopped
    damage_row(catalogue(leader), table, column, KEYS[7])
    start(server, leader)
    started = time.monotonic()
    assert read(client_of(server), KEYS[7]) == BODY + KEYS[7].encode()
    assert time.monotonic() - started < 2.0
    check_everything(server)
    wait_until_renewed(server, leader)
    check_everything(server)
    assert "replica_unreadable" in server.log_path.read_text()


def test_a_damaged_page_of_the_leader_is_answered_by_another_replica(stopped):
    """SQLite says that the file is malformed: the same."""
    server, (leader, *_) = stopped
    assert damage_pages(catalogue(leader), KEYS[30]) > 0
    start(server, leader)
    check_everything(server)
    wait_until_renewed(server, leader)
    check_everything(server)


def test_a_row_that_is_damaged_everywhere_is_told_at_once(stopped):
    """Nobody can answer it: the client is told so and does not wait, everything else goes on, nothing is made anew."""
    server, directories = stopped
    for directory in directories:
        damage_row(catalogue(directory), "objects", "record", KEYS[7])
    start(server, directories[0])
    client = client_of(server)
    for _ in range(3):
        started = time.monotonic()
        with pytest.raises(client.exceptions.ClientError, match="InternalError"):
            read(client, KEYS[7])
        assert time.monotonic() - started < 2.0
    assert read(client, KEYS[8]) == BODY + KEYS[8].encode()
    client.put_object(Bucket=BUCKET, Key="after", Body=b"x")
    time.sleep(1.5)
    assert "drive_lost" not in server.log_path.read_text()
