"""Faults of one of six directories under load: whichever it is, a client sees a pause of at most 2 s, nothing else.

Each directory is an ext4 filesystem of its own, and the kernel makes the faults. Each test goes through all six, so that
the one that leads the bucket is among them, those that follow, and those that hold nothing of it but shards.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config

from objstore.server.store_check import check_store
from objstore.testing import S3Server
from objstore.testing.loop_drives import LoopDrives
from objstore.testing.replica_directories import roles_of

BUCKET = "faults"
COUNT = 6
PAUSE_S = 2.0
"""The longest that one request may take while a drive fails."""
RESERVE_BYTES = 16 << 20
RETURN_S = 20.0
EVEN_S = 60.0
"""Leaders move back to directories that returned; that is over after so long, and then nobody writes."""
CLIENTS = 3
TURN_S = 0.01
"""A client rests so long after each request: the test is about faults, not about load."""

pytestmark = pytest.mark.timeout(240)


class Load:
    """Clients that write, overwrite, delete and read back, each its own keys, and remember what was acknowledged."""

    def __init__(self, server, seed=1):
        self.server = server
        self.expected = {}
        self.errors = []
        self.wrong = []
        self.slowest_s = 0.0
        self.machine_s = 0.0
        """The longest that a thread of this process did not run although it could: a pause that nobody's drive made."""
        self.done = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, seed)) for number in range(CLIENTS)
        ]
        self._threads.append(threading.Thread(target=self._look_at_machine))

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

    def _look_at_machine(self):
        while not self._stop.is_set():
            started = time.monotonic()
            self._stop.wait(TURN_S)
            self.machine_s = max(self.machine_s, time.monotonic() - started - TURN_S)

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


def wait_until_it_goes_on(server):
    """Wait until no drive is suspended."""
    deadline = time.monotonic() + RETURN_S
    while told(server).count("drive_hangs") > told(server).count("drive_goes_on"):
        assert time.monotonic() < deadline, told(server)
        time.sleep(0.05)


def wait_until_returned(server, directory):
    """Wait until a drive has returned in a directory: what it should hold is copied from now on."""
    deadline = time.monotonic() + RETURN_S
    while True:
        _, returned, rest = told(server).rpartition("drive_returned")
        if returned and directory in rest.partition("\n")[0]:
            return
        assert time.monotonic() < deadline, told(server)
        time.sleep(0.005)


def wait_until_rebuilt(server, count):
    """Wait until so many rebuilds have ended."""
    deadline = time.monotonic() + RETURN_S
    while server.log_path.read_text().count("rebuild_ended") < count:
        assert time.monotonic() < deadline, told(server)
        time.sleep(0.1)


@contextmanager
def serving(drives):
    environment = {
        "OBJSTORE_RESERVE_BYTES": str(RESERVE_BYTES),
        "OBJSTORE_TRASH_RETENTION_S": "2",
    }
    with S3Server(drives.directories, buckets=[BUCKET], environment=environment) as server:
        try:
            yield server
        finally:
            # A process does not end while it hangs in the kernel.
            drives.thaw_all()


def judge(load):
    assert load.errors == []
    assert load.wrong == []
    assert load.slowest_s - load.machine_s < PAUSE_S


FAULTS = {
    "wiped": (LoopDrives.wipe, None),
    "full": (LoopDrives.fill, LoopDrives.make_room),
    "read-only": (LoopDrives.fail_read_only, LoopDrives.repair),
    "hanging": (LoopDrives.freeze, LoopDrives.thaw),
    "unmounted": (LoopDrives.unmount, LoopDrives.mount),
    "without its catalogue": (lambda drives, n: forget(drives.directories[n], "catalog"), None),
    "without its control store": (lambda drives, n: forget(drives.directories[n], "control"), None),
}
REBUILT = {"wiped", "without its catalogue", "without its control store"}
LOAD = {"hanging": 120, "read-only": 100}
"""Requests while a drive fails, where 60 are over too soon to see all that happens."""


ANY = {"wiped", "full", "read-only", "hanging"}
"""The others go through three directories: a leader, one that follows it, one that does neither."""


def one_of_each_role(directories):
    """Return the numbers of three directories: the bucket's leader, a follower, one without a replica of it."""
    roles = roles_of(directories, BUCKET)
    return roles.leader, roles.followers[0], roles.others[0]


def let_fail(drives, load, fault, number):
    """Let one directory fail, and mend it after so many requests."""
    fail, mend = FAULTS[fault]
    fail(drives, number)
    load.reach(LOAD.get(fault, 60))
    if mend is not None:
        mend(drives, number)


def come_back(server, drives, fault, number, count):
    """Wait until the directory that failed as the `count`-th is a drive like the others again."""
    if fault in REBUILT:  # first: before the loss is noticed, everything looks whole
        wait_until_rebuilt(server, count)
    wait_until_whole(server, drives.directories[number])
    wait_until_it_goes_on(server)


def write_on(server, expected):
    """Write once all drives are back: a directory that holds none of these shards does not take part again.

    What was written before does not tell. A directory may have failed twice, and what it held may be overwritten since.
    """
    client = client_of(server)
    for number in range(30):
        key, body = f"afterwards/{number:03d}", random.Random(number).randbytes(60_000)
        client.put_object(Bucket=BUCKET, Key=key, Body=body)
        expected[key] = body


def check_copies(directories):
    """Replicas have the same state hash and the same rows, and every shard is in its place and whole."""
    deadline = time.monotonic() + EVEN_S
    while not (result := check_store(directories)).is_whole or result.findings:
        assert time.monotonic() < deadline, list(result.lines())
        time.sleep(0.1)
    assert all(checked.shards for checked in result.directories), list(result.lines())


def attempt(client, call):
    """Return what became of a call, and how long that took."""
    started = time.monotonic()
    try:
        call()
        answer = "done"
    except client.exceptions.ClientError as error:
        answer = error.response["Error"]["Code"]
    return answer, time.monotonic() - started


def put(client):
    client.put_object(Bucket=BUCKET, Key="k1", Body=bytes([1]) * 5_000)


def try_everything(client, keys):
    """Write, create buckets, delete."""
    puts = [attempt(client, lambda: put(client))]
    deadline = time.monotonic() + 4.0
    while puts[-1][0] != "InsufficientStorage" and time.monotonic() < deadline:
        puts.append(attempt(client, lambda: put(client)))  # drives are looked at twice a second
    puts += [attempt(client, lambda: put(client)) for _ in range(20)]
    buckets = [attempt(client, lambda: client.create_bucket(Bucket="another")) for _ in range(3)]
    deletes = [
        attempt(client, lambda key=key: client.delete_object(Bucket=BUCKET, Key=key))
        for key in keys
    ]
    return puts, buckets, deletes


TOLD_AT_ONCE = {"done", "InsufficientStorage", "ServiceUnavailable"}


def wait_until_written(client, server):
    """Wait until objects and buckets can be written again."""
    deadline = time.monotonic() + RETURN_S
    answers = {""}
    while not answers <= {"done", "BucketAlreadyOwnedByYou"}:
        assert time.monotonic() < deadline, told(server)
        time.sleep(0.1)
        answers = {
            attempt(client, lambda: put(client))[0],
            attempt(client, lambda: client.create_bucket(Bucket="other"))[0],
        }


def take_kept_room(directory):
    """Take what the server keeps for when somebody else fills a drive."""
    for path in directory.glob("*-room"):
        os.truncate(path, 0)


OPENING = """
import sys
from pathlib import Path
import apsw
from objstore.cluster.sqlite_file import open_writer
try:
    open_writer(Path(sys.argv[1]), application_id=7, cache_kib=1024)
except apsw.FullError:
    print("full")
"""


def forget(directory, name):
    (directory / f"{name}.sqlite").unlink()


@pytest.mark.parametrize("fault", FAULTS)
def test_any_directory_may_be(drives, fault):
    """One after the other, the leader's and the first included; each is whole again before the next one goes."""
    with serving(drives) as server:
        with Load(server) as load:
            load.reach(60)
            numbers = range(COUNT) if fault in ANY else one_of_each_role(drives.directories)
            for count, number in enumerate(numbers, 1):
                let_fail(drives, load, fault, number)
                come_back(server, drives, fault, number, count)
        judge(load)
        write_on(server, load.expected)
        check_all(server, load.expected)
        check_copies(drives.directories)
        server.kill()
        server.start()
        check_all(server, load.expected)


@pytest.mark.parametrize("fault", sorted(ANY))
def test_any_of_three_directories_may_be(three_drives, fault):
    """With three every one has a replica of everything and a shard of every block: the leader's fails, then a follower's."""
    drives = three_drives
    with serving(drives) as server:
        with Load(server) as load:
            load.reach(60)
            for count, role in enumerate(("leader", "follower"), 1):
                roles = roles_of(drives.directories, BUCKET)
                number = roles.leader if role == "leader" else roles.followers[0]
                let_fail(drives, load, fault, number)
                come_back(server, drives, fault, number, count)
        judge(load)
        write_on(server, load.expected)
        check_all(server, load.expected)
        check_copies(drives.directories)


def test_the_process_may_be_killed_while_one_of_three_is_rebuilt(three_drives):
    """SIGKILL soon after the leader's directory was wiped, twice; it is filled after the start, and any other may go then."""
    drives = three_drives
    rng = random.Random(3)
    with serving(drives) as server:
        client = client_of(server)
        bodies = {f"k{number}": rng.randbytes(20_000 if number % 2 else 50) for number in range(60)}
        for key, body in bodies.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body)
        for _ in range(2):
            leader = roles_of(drives.directories, BUCKET).leader
            drives.wipe(leader)
            wait_until_returned(server, str(drives.directories[leader]))
            server.kill()
            server.start()
            check_all(server, bodies)
            wait_until_whole(server, drives.directories[leader])
            check_copies(drives.directories)
        drives.wipe(roles_of(drives.directories, BUCKET).followers[0])
        check_all(server, bodies)


def test_full_drives_say_so_and_still_delete(drives):
    """Five of six at their reserve: small and large bodies get the error for it at once, deletes make room again."""
    with serving(drives) as server:
        client = client_of(server)
        for number in range(4):
            client.put_object(Bucket=BUCKET, Key=f"k{number}", Body=bytes(1000))
        for number in range(5):
            drives.fill(number, leaving_bytes=RESERVE_BYTES // 2)
        deadline = time.monotonic() + 5.0
        answers = []
        while not answers or "InsufficientStorage" not in answers[-1]:
            assert time.monotonic() < deadline, answers
            try:
                client.put_object(Bucket=BUCKET, Key="k0", Body=bytes(1000))
            except client.exceptions.ClientError as error:
                answers.append(error.response["Error"]["Code"])
        with pytest.raises(client.exceptions.ClientError, match="InsufficientStorage"):
            client.put_object(Bucket=BUCKET, Key="large", Body=bytes(200_000))
        assert read(client, "k1") == bytes(1000)
        for number in range(4):
            client.delete_object(Bucket=BUCKET, Key=f"k{number}")
        assert client.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


@pytest.mark.parametrize("has_room_of_its_own", [True, False], ids=["with its room", "without"])
def test_drives_filled_to_the_last_byte_by_somebody_else(drives, has_room_of_its_own):
    """That is told at once, everything can be read, deletes go as far as there is room, and it ends by itself.

    With the room that it keeps deletes work, new buckets, too. Where that is taken as well nothing has to, but for reads.
    """
    with serving(drives) as server:
        client = client_of(server)
        gone = [f"gone-{number}" for number in range(30)]
        bodies = {f"k{number}": bytes([number]) * 5_000 * number for number in range(8)}
        bodies |= dict.fromkeys(gone, b"x" * 3_000)
        for key, body in bodies.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body)
        process = server.pid
        for number in range(5):
            if not has_room_of_its_own:
                take_kept_room(drives.directories[number])
            drives.fill(number)

        for _ in range(2):
            puts, buckets, deletes = try_everything(client, gone)
            assert puts[-1][0] == "InsufficientStorage", puts
            if has_room_of_its_own:
                assert [answer for answer, _ in deletes[:5]] == ["done"] * 5, deletes
            answers = puts + buckets + deletes
            assert max(took_s for _, took_s in answers) < 4.0, f"{answers}\n{told(server)}"
            assert {answer for answer, _ in answers} <= TOLD_AT_ONCE, answers
            for key in ("k1", "k3", "k7"):
                assert read(client, key) == bodies[key]
            for number in range(5):
                drives.fill(number)  # what was given up is taken, too
        for number in range(5):
            drives.make_room(number)
        wait_until_written(client, server)
        for key in gone:
            client.delete_object(Bucket=BUCKET, Key=key)
            del bodies[key]
        check_all(server, bodies)
        assert server.pid == process
        server.kill()
        server.start()
        check_all(server, bodies)


def test_a_start_on_drives_that_somebody_else_filled(drives):
    """With the room that is kept: everything can be read, deletes and new buckets work."""
    with serving(drives) as server:
        client = client_of(server)
        bodies = {f"k{number}": bytes([number]) * 5_000 * number for number in range(8)}
        for key, body in bodies.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body)
        server.kill()
        for number in range(5):
            drives.fill(number)
        server.start()
        check_all(server, bodies)
        client.delete_object(Bucket=BUCKET, Key="k1")
        client.create_bucket(Bucket="another")
        del bodies["k1"]
        check_all(server, bodies)


def test_no_process_ends_where_an_index_of_a_file_has_no_blocks(drives):
    """Blocks of 1 KiB, as small filesystems have: SQLite's index is shared memory, and would be written where none is."""
    path = drives.directories[0] / "a.sqlite"
    for room_bytes in (30_000, 10_000, 0):
        drives.fill(0, leaving_bytes=room_bytes)
        done = subprocess.run(
            [sys.executable, "-c", OPENING, str(path)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (0, "full\n"), done


@pytest.mark.parametrize("number", [0, 3])
def test_the_process_may_be_killed_in_the_middle(drives, number):
    """SIGKILL while a wiped directory is being filled again: nothing is lost, and it is filled after the start."""
    directories = drives.directories
    rng = random.Random(number)
    with serving(drives) as server:
        expected = {}
        for turn in range(3):
            with Load(server, seed=10 * number + turn) as load:
                load.expected.update(expected)
                load.reach(80)
                drives.wipe(number)
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
            wait_until_whole(server, directories[number])
        other = (number + 1) % COUNT
        drives.wipe(other)
        check_all(server, expected)
        wait_until_whole(server, directories[other])
        check_all(server, expected)
