"""Several processes over three and more directories: a worker reads a leader's file, and leaders move while it does."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import uuid
from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from objstore.testing import S3Server

BUCKET = "load"
PROCESSES = 3
WORKERS = ["--workers", str(PROCESSES)]


def client_of(server, *, attempts=0):
    """Return a client that opens a connection for every request: the kernel spreads them over the processes."""
    config = Config(
        retries={"total_max_attempts": attempts + 1, "mode": "standard"},
        s3={"addressing_style": "path"},
        connect_timeout=20,
        read_timeout=40,
    )
    client = boto3.client("s3", **server.client_arguments(), config=config)
    client.meta.events.register(
        "before-send.s3", lambda request, **_: request.headers.update({"Connection": "close"})
    )
    return client


def places(top, count):
    """Return the directories of a server."""
    return [top / f"d{number}" for number in range(count)]


def wait_for(condition, what, deadline_s=30.0):
    """Return when a condition holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def workers_of(server):
    """Return the process ids of the workers that run below a server."""
    with open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="ascii") as children:
        return [int(pid) for pid in children.read().split()]


def is_ready(server):
    """Tell whether the node says that it is ready."""
    try:
        return server.get("/_/health/ready")[0] == 200
    except OSError:
        return False


def value_of(server, name):
    """Return a gauge of the node."""
    lines = server.get("/_/metrics")[1].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def wipe(directory):
    """Remove everything in a directory while it is served."""
    for entry in directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


class Register(threading.Thread):
    """Writes numbers that only grow under one key, and reads after every write: a stale answer is a smaller number."""

    def __init__(self, server, key):
        super().__init__()
        self.client = client_of(server, attempts=12)
        self.key = key
        self.stopping = threading.Event()
        self.acknowledged = 0
        self.readers = set()
        self.faults = []

    def run(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            try:
                self._step(number)
            except (BotoCoreError, ClientError, OSError) as error:
                self.faults.append(repr(error))

    def _step(self, number):
        self.client.put_object(Bucket=BUCKET, Key=self.key, Body=b"%d" % number)
        self.acknowledged = number
        for _ in range(3):
            got = self.client.get_object(Bucket=BUCKET, Key=self.key)
            self.readers.add(got["ResponseMetadata"]["RequestId"][:8])
            found = int(got["Body"].read())
            if found != number:
                self.faults.append(f"{self.key}: {found} after {number}")
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.key)["Contents"]
        if listed[0]["Size"] != len(str(number)):
            self.faults.append(f"{self.key}: an old size in a listing")


@contextmanager
def registers_on(server, count=3):
    """Keep registers going for the length of the block; none of their answers may be wrong or stale."""
    threads = [Register(server, f"register-{number}/") for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join()
    assert [thread.faults for thread in threads] == [[]] * count
    assert len(set().union(*(thread.readers for thread in threads))) == PROCESSES


def go_on(threads, steps=8):
    """Return when every register has come further."""
    goals = [(thread, thread.acknowledged + steps) for thread in threads]
    wait_for(lambda: all(thread.acknowledged >= goal for thread, goal in goals), "no progress", 60)


@pytest.mark.parametrize("count", [3, 6])
def test_a_write_is_read_in_every_process_wherever_its_leader_moves(tmp_path, count):
    """Wipe one directory after the other: leaders move, files vanish and come back, and no process ever answers from the past."""
    directories = places(tmp_path, count)
    with S3Server(directories, buckets=[BUCKET], arguments=WORKERS) as server:
        with registers_on(server) as threads:
            go_on(threads)
            for directory in directories[:3]:
                wipe(directory)
                go_on(threads)
                wait_for(lambda d=directory: (d / "catalog.sqlite").exists(), "not formatted")
                wait_for(
                    lambda: (
                        value_of(server, "objstore_metadata_partitions_to_align") == 0
                        and value_of(server, "objstore_metadata_replicas_offline") == 0
                    ),
                    "not whole again",
                    60,
                )
            go_on(threads)
        assert server.stop() == 0


def test_a_worker_starts_while_the_first_directory_is_gone(tmp_path):
    """No directory is special: neither what a worker is told nor what it opens may hang on the first one."""
    directories = places(tmp_path, 3)
    with S3Server(directories, buckets=[BUCKET], arguments=WORKERS) as server:
        client = client_of(server, attempts=8)
        body = os.urandom(300_000)
        client.put_object(Bucket=BUCKET, Key="k", Body=body)
        directories[0].rename(tmp_path / "away")
        wait_for(lambda: "drive_lost" in server.log_tail(), "not seen")
        for victim in workers_of(server):
            os.kill(victim, signal.SIGKILL)
            wait_for(
                lambda v=victim: v not in (now := workers_of(server)) and len(now) == 2,
                "no new worker",
            )
        wait_for(lambda: is_ready(server), "not ready")
        for number in range(20):
            client.put_object(Bucket=BUCKET, Key=f"n{number}", Body=body)
            assert client.get_object(Bucket=BUCKET, Key="k")["Body"].read() == body
        (tmp_path / "away").rename(directories[0])
        wait_for(lambda: "drive_returned" in server.log_tail(), "not back")
        for number in range(20):
            assert client.get_object(Bucket=BUCKET, Key=f"n{number}")["Body"].read() == body


def test_buckets_are_the_same_in_every_process_after_a_drive_is_lost(tmp_path):
    """The control store has lost a copy: workers must go on reading what counts, not what a file has."""
    directories = places(tmp_path, 3)
    with S3Server(directories, arguments=WORKERS) as server:
        client = client_of(server)
        for number in range(30):
            if number == 10:
                wipe(directories[0])
            name = f"b-{uuid.uuid4().hex[:16]}"
            client.create_bucket(Bucket=name)
            client.head_bucket(Bucket=name)
            for tag in ("1", "2"):
                tags = {"TagSet": [{"Key": "n", "Value": tag}]}
                client.put_bucket_tagging(Bucket=name, Tagging=tags)
                assert client.get_bucket_tagging(Bucket=name)["TagSet"] == tags["TagSet"]
            client.delete_bucket(Bucket=name)
            with pytest.raises(ClientError, match="404|NoSuchBucket"):
                client.head_bucket(Bucket=name)


def test_nothing_acknowledged_is_lost_when_the_owner_is_killed(tmp_path):
    """Workers end with it; the next start finds what any process acknowledged."""
    with S3Server(places(tmp_path, 3), buckets=[BUCKET], arguments=WORKERS) as server:
        for _ in range(3):
            threads = [Register(server, f"killed-{number}/") for number in range(3)]
            for thread in threads:
                thread.client = client_of(server)
                thread.start()
            go_on(threads)
            os.kill(server.pid, signal.SIGKILL)
            for thread in threads:
                thread.stopping.set()
            for thread in threads:
                thread.join()
            server.kill()
            server.start()
            client = client_of(server)
            for thread in threads:
                found = int(client.get_object(Bucket=BUCKET, Key=thread.key)["Body"].read())
                assert found >= thread.acknowledged
