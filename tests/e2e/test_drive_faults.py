"""Faults of one of six directories under load: whichever it is, a client that retries sees a pause, nothing else.

Each directory is a small filesystem in memory of its own, so that it can be filled and wiped alone.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager

import boto3
import pytest
from botocore.config import Config

from objstore.testing import S3Server

BUCKET = "faults"
COUNT = 6
PAUSE_S = 2.0
"""The longest that one request may take while a drive fails."""
SLACK_S = 1.5
"""What a busy machine that runs other tests beside this one may add to it."""
RETURN_S = 20.0
CLIENTS = 3
SIZE_MIB = 512
TURN_S = 0.01
"""A client rests so long after each request: the test is about faults, not about load."""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root"),
    pytest.mark.timeout(240),
]


class Load:
    """Clients that write, overwrite, delete and read back, each its own keys, and remember what was acknowledged."""

    def __init__(self, server, seed=1):
        self.server = server
        self.expected = {}
        self.errors = []
        self.wrong = []
        self.slowest_s = 0.0
        self.done = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, seed)) for number in range(CLIENTS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def reach(self, count):
        """Wait until so many more requests were answered."""
        goal = self.done + count
        deadline = time.monotonic() + RETURN_S
        while self.done < goal:
            assert time.monotonic() < deadline, f"the load stands still: {self.errors[-3:]}"
            time.sleep(0.02)

    def _run(self, number, seed):
        rng = random.Random(seed * 1000 + number)
        client = client_of(self.server)
        while not self._stop.is_set():
            key = f"c{number}/{rng.randrange(40):03d}"
            body = rng.randbytes(rng.choice((20, 3_000, 60_000)))
            started = time.monotonic()
            try:
                self._request(client, rng, key, body)
            except Exception as error:  # noqa: BLE001 - whatever a client sees is judged at the end
                self.errors.append(f"{key}: {error!r}")
                self.expected.pop(key, None)
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self.done += 1
            self._stop.wait(TURN_S)

    def _request(self, client, rng, key, body):
        choice = rng.random()
        if choice < 0.5:
            client.put_object(Bucket=BUCKET, Key=key, Body=body)
            self.expected[key] = body
        elif choice < 0.6:
            client.delete_object(Bucket=BUCKET, Key=key)
            self.expected[key] = None
        elif key in self.expected:
            found = read(client, key)
            if found != self.expected[key]:
                self.wrong.append(key)


def client_of(server):
    """A client that shows every fault: it never tries again by itself."""
    config = Config(retries={"max_attempts": 0}, read_timeout=30)
    return boto3.client("s3", **server.client_arguments(), config=config)


def read(client, key):
    try:
        return client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey:
        return None


def check_all(server, expected):
    """Every acknowledged write is there, LIST is exactly the set of them."""
    client = client_of(server)
    for key, body in expected.items():
        assert read(client, key) == body, key
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    listed = {item["Key"] for page in pages for item in page.get("Contents", [])}
    assert listed == {key for key, body in expected.items() if body is not None}


def metric(server, name):
    for line in server.get("/_/metrics")[1].decode().splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def told(server):
    """What the server said of anything but requests."""
    lines = server.log_path.read_text().splitlines()
    return "\n".join(line for line in lines if "request" not in line)


def wait_until_whole(server, directory, *, kinds=("objstore_metadata_partitions_to_align",)):
    """Wait until the directory is a drive again, and its replicas are where the ring wants them."""
    deadline = time.monotonic() + RETURN_S
    while time.monotonic() < deadline:
        if (directory / "objstore-drive.json").exists() and not any(
            metric(server, kind) for kind in (*kinds, "objstore_metadata_replicas_offline")
        ):
            return
        time.sleep(0.1)
    raise AssertionError(f"{directory} did not come back\n{told(server)}")


def wait_until_rebuilt(server, count):
    """Wait until so many rebuilds have ended."""
    deadline = time.monotonic() + RETURN_S
    while server.log_path.read_text().count("rebuild_ended") < count:
        assert time.monotonic() < deadline, told(server)
        time.sleep(0.1)


def wipe(directory):
    """Remove everything in a directory, as a person with a wrong command does."""
    for entry in list(directory.iterdir()):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


@pytest.fixture
def directories(tmp_path):
    """Six filesystems of their own."""
    with ExitStack() as stack:
        found = [tmp_path / f"d{number}" for number in range(COUNT)]
        for directory in found:
            directory.mkdir()
            mount("-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(directory))
            stack.callback(subprocess.run, ["umount", "-l", str(directory)], check=False)
        yield found


@contextmanager
def serving(directories):
    environment = {"OBJSTORE_RESERVE_BYTES": "16777216", "OBJSTORE_TRASH_RETENTION_S": "2"}
    with S3Server(directories, buckets=[BUCKET], environment=environment) as server:
        yield server


def judge(load):
    assert load.errors == []
    assert load.wrong == []
    assert load.slowest_s < PAUSE_S + SLACK_S


def test_any_directory_may_be_wiped(directories):
    """One after the other, the leader's and the first included; each is whole again before the next one goes."""
    with serving(directories) as server:
        with Load(server) as load:
            load.reach(100)
            for count, directory in enumerate(directories, 1):
                wipe(directory)
                load.reach(60)
                wait_until_whole(server, directory)
                wait_until_rebuilt(server, count)
        judge(load)
        check_all(server, load.expected)
        server.kill()
        server.start()
        check_all(server, load.expected)


@pytest.mark.parametrize("number", range(COUNT))
def test_any_directory_may_be_full(directories, number):
    """A full drive serves nobody and loses nothing; with room again it catches up."""
    directory = directories[number]
    with serving(directories) as server:
        with Load(server, seed=number) as load:
            load.reach(60)
            filler = directory / "somebody-elses-file"
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(1 << 16))
                except OSError:
                    pass
            load.reach(200)
            filler.unlink()
            wait_until_whole(server, directory)
            load.reach(60)
        judge(load)
        check_all(server, load.expected)


@pytest.mark.parametrize("number", [0, 3])
def test_the_process_may_be_killed_in_the_middle(directories, number):
    """SIGKILL while a wiped directory is being filled again: nothing is lost, and it is filled after the start."""
    directory = directories[number]
    rng = random.Random(number)
    with serving(directories) as server:
        expected = {}
        for turn in range(4):
            with Load(server, seed=10 * number + turn) as load:
                load.expected.update(expected)
                load.reach(80)
                wipe(directory)
                time.sleep(rng.random() * 2.0)
                keys = dict(load.expected)
                load._stop.set()
                server.kill()
            # What was under way when the process died is unknown; everything else is not.
            unknown = {error.split(":")[0] for error in load.errors}
            expected = {k: v for k, v in keys.items() if k not in unknown and k in load.expected}
            expected = {k: load.expected[k] for k in expected}
            server.start()
            client = client_of(server)
            for key in unknown:
                client.delete_object(Bucket=BUCKET, Key=key)
            listed = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
            for item in listed:
                if item["Key"] not in expected:
                    client.delete_object(Bucket=BUCKET, Key=item["Key"])
            check_all(server, expected)
            wait_until_whole(server, directory)
        other = directories[(number + 1) % COUNT]
        wipe(other)
        check_all(server, expected)
        wait_until_whole(server, other)
        check_all(server, expected)
