"""Several processes on one port: every answer is right, whichever of them gives it, and each of them may die."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from objstore.testing import S3Server
from objstore.testing.certificates import make_certificates

PROCESSES = 3
PAIRS = 120
LARGE = 70_000


def client_of(server, *, attempts=0):
    """Return a client; without attempts a fault of the server is seen."""
    config = Config(
        retries={"total_max_attempts": attempts + 1, "mode": "standard"},
        s3={"addressing_style": "path"},
        connect_timeout=20,
        read_timeout=30,
        max_pool_connections=16,
    )
    return boto3.client("s3", **server.client_arguments(), config=config)


def client_of_new_connections(server):
    """Return a client that opens a connection for every request: the kernel spreads them over the processes."""
    client = client_of(server)
    client.meta.events.register("before-send.s3", close_after_answer)
    return client


def close_after_answer(request, **_):
    """Ask the server to close the connection."""
    request.headers["Connection"] = "close"


@pytest.fixture(scope="module", params=["http", "https", "three directories"])
def crew(request, tls_files, tmp_path_factory):
    """A server of three processes."""
    tls = tls_files if request.param == "https" else None
    replicated = request.param == "three directories"
    directories = places(tmp_path_factory.mktemp("crew"), 3) if replicated else ()
    with S3Server(directories, tls=tls, arguments=["--workers", str(PROCESSES)]) as running:
        yield running


def places(top, count):
    """Return directories for a server; with three and more, catalogue and control store are replicated."""
    return [top / f"d{number}" for number in range(count)]


@pytest.fixture
def scattered(crew):
    """A client that opens a new connection for every request, so that the kernel spreads them over the processes."""
    return client_of_new_connections(crew)


@pytest.fixture
def bucket(scattered):
    """A fresh bucket."""
    name = f"b-{uuid.uuid4().hex[:16]}"
    scattered.create_bucket(Bucket=name)
    return name


def absent(client, bucket, key):
    """Tell whether a key answers 404."""
    try:
        client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    return False


def workers_of(server):
    """Return the process ids of the workers that run below a server."""
    with open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="ascii") as children:
        return [int(pid) for pid in children.read().split()]


def wait_for(condition, what, deadline_s=20.0):
    """Return when a condition holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def is_ready(server):
    """Tell whether a process of the server says that the node is ready; between two lives nobody may answer."""
    try:
        return server.get("/_/health/ready")[0] == 200
    except OSError:
        return False


def answering_processes(client, bucket):
    """Return the first part of the request ids, which names the process that answered."""
    return {
        client.head_bucket(Bucket=bucket)["ResponseMetadata"]["RequestId"][:8] for _ in range(60)
    }


def test_all_processes_serve_and_request_ids_never_meet(scattered, bucket):
    """Otherwise the other tests here would prove nothing; two requests under one id cannot be told apart in a log."""
    assert len(answering_processes(scattered, bucket)) == PROCESSES
    ids = [scattered.head_bucket(Bucket=bucket)["ResponseMetadata"]["RequestId"] for _ in range(60)]
    assert len(set(ids)) == len(ids)


def test_a_write_is_seen_by_every_process_at_once(scattered, bucket):
    """Read your writes: the commit is durable before the answer, and every process reads what is durable."""
    for number in range(PAIRS):
        key, body = f"k{number}", b"%d" % number * (LARGE if number % 10 == 0 else 1)
        scattered.put_object(Bucket=bucket, Key=key, Body=body)
        assert scattered.get_object(Bucket=bucket, Key=key)["Body"].read() == body
        listed = scattered.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]
        assert [item["Key"] for item in listed if item["Key"] == key] == [key]
        scattered.put_object(Bucket=bucket, Key="same", Body=body)
        assert scattered.get_object(Bucket=bucket, Key="same")["Body"].read() == body
    for number in range(PAIRS):
        scattered.delete_object(Bucket=bucket, Key=f"k{number}")
        assert absent(scattered, bucket, f"k{number}")
    assert [item["Key"] for item in scattered.list_objects_v2(Bucket=bucket)["Contents"]] == [
        "same"
    ]


def test_a_bucket_that_comes_and_goes_is_never_mistaken(scattered):
    """A process that remembers a bucket of before would write into nothing, or deny the new one."""
    name = f"b-{uuid.uuid4().hex[:16]}"
    for number in range(40):
        scattered.create_bucket(Bucket=name)
        scattered.put_object(Bucket=name, Key="k", Body=b"%d" % number)
        assert scattered.get_object(Bucket=name, Key="k")["Body"].read() == b"%d" % number
        with pytest.raises(ClientError, match="BucketNotEmpty"):
            scattered.delete_bucket(Bucket=name)
        scattered.delete_object(Bucket=name, Key="k")
        scattered.delete_bucket(Bucket=name)
        with pytest.raises(ClientError, match="NoSuchBucket"):
            scattered.put_object(Bucket=name, Key="k", Body=b"late")
        assert name not in [item["Name"] for item in scattered.list_buckets()["Buckets"]]


def test_changes_of_a_bucket_hold_for_the_next_request(scattered, bucket):
    """Versioning and tags are in force for every request that begins after the answer (s3 rule 4.15.1)."""
    for number in range(30):
        tags = {"TagSet": [{"Key": "n", "Value": str(number)}]}
        scattered.put_bucket_tagging(Bucket=bucket, Tagging=tags)
        assert scattered.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags["TagSet"]
        for state in ("Enabled", "Suspended"):
            scattered.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": state}
            )
            assert scattered.get_bucket_versioning(Bucket=bucket)["Status"] == state
            put = scattered.put_object(Bucket=bucket, Key="k", Body=state.encode())
            assert (put.get("VersionId", "null") == "null") == (state == "Suspended")


def test_an_upload_may_come_through_all_processes(scattered, bucket):
    """Parts of one upload arrive over many connections; each may be another process's."""
    where = {"Bucket": bucket, "Key": "big"}
    upload = scattered.create_multipart_upload(**where)["UploadId"]
    pieces = [bytes([number]) * (5 << 20) for number in range(1, 4)] + [b"end"]
    parts = [
        {
            "PartNumber": number,
            "ETag": scattered.upload_part(**where, UploadId=upload, PartNumber=number, Body=piece)[
                "ETag"
            ],
        }
        for number, piece in enumerate(pieces, start=1)
    ]
    listed = scattered.list_parts(**where, UploadId=upload)["Parts"]
    assert [part["ETag"] for part in listed] == [part["ETag"] for part in parts]
    scattered.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    assert scattered.get_object(**where)["Body"].read() == b"".join(pieces)
    copied = scattered.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/big")
    assert (
        scattered.head_object(Bucket=bucket, Key="copy")["ETag"]
        == (copied["CopyObjectResult"]["ETag"])
    )


def test_refusals_are_the_same_everywhere(scattered, bucket):
    """A condition is judged at the owner's commit; the worker must hand its verdict on unchanged."""
    for _ in range(20):
        scattered.put_object(Bucket=bucket, Key="once", Body=b"1")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            scattered.put_object(Bucket=bucket, Key="once", Body=b"2", IfNoneMatch="*")
        with pytest.raises(ClientError, match="NoSuchUpload"):
            scattered.upload_part(
                Bucket=bucket, Key="once", UploadId="0" * 32, PartNumber=1, Body=b"x"
            )


def requests_total(crew, operation):
    """Return the number of requests of an operation that any process shows."""
    text = crew.get("/_/metrics")[1].decode()
    found = re.findall(rf'objstore_requests_total{{operation="{operation}",[^}}]*}} (\S+)', text)
    return sum(float(value) for value in found)


def test_every_process_shows_the_metrics_of_the_node(crew, scattered, bucket):
    """A scrape reaches one process by chance; counters that jump between them are worthless."""
    before = requests_total(crew, "GetBucketVersioning")
    for _ in range(30):
        scattered.get_bucket_versioning(Bucket=bucket)
    assert {requests_total(crew, "GetBucketVersioning") for _ in range(12)} == {before + 30}
    text = crew.get("/_/metrics")[1].decode()
    for worker in range(PROCESSES):
        assert f'process_open_fds{{worker="{worker}"}}' in text


def test_the_banner_tells_how_many_serve(crew):
    """Whoever started it should see what was started."""
    assert "3 processes serve S3" in crew.log_tail()


class Load(threading.Thread):
    """Writes and reads keys of its own with a client that retries, as real clients do."""

    def __init__(self, server, name):
        super().__init__()
        self.client = client_of(server, attempts=8)
        self.name = name
        self.stopping = threading.Event()
        self.written = {}
        self.faults = []

    def run(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            key = f"{self.name}-{number % 50}"
            body = f"{self.name}/{number}".encode() * (5_000 if number % 7 == 0 else 1)
            try:
                self.client.put_object(Bucket="load", Key=key, Body=body)
                self.written[key] = body
                if self.client.get_object(Bucket="load", Key=key)["Body"].read() != body:
                    self.faults.append(f"{key}: other bytes")
            except (BotoCoreError, ClientError, OSError) as error:
                self.faults.append(repr(error))


@contextmanager
def load_on(server):
    """Keep four clients busy for the length of the block; check that nothing acknowledged is lost."""
    threads = [Load(server, f"t{index}") for index in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join()
    assert [thread.faults for thread in threads] == [[]] * 4
    client = client_of(server)
    for thread in threads:
        assert thread.written
        for key, body in thread.written.items():
            assert client.get_object(Bucket="load", Key=key)["Body"].read() == body


def progress(threads):
    """Return how many writes were acknowledged so far, of distinct keys."""
    return sum(len(thread.written) for thread in threads)


@pytest.mark.parametrize("count", [1, 3])
def test_a_killed_worker_costs_its_connections_only(tmp_path, count):
    """Clients that retry see nothing; a new worker takes the place; acknowledged writes are there."""
    arguments = ["--workers", "3"]
    with S3Server(places(tmp_path, count), buckets=["load"], arguments=arguments) as server:
        with load_on(server) as threads:
            for _ in range(3):
                wait_for(lambda: progress(threads) >= 20, "no writes")
                victim = workers_of(server)[0]
                os.kill(victim, signal.SIGKILL)
                wait_for(
                    lambda victim=victim: (
                        victim not in (now := workers_of(server)) and len(now) == 2
                    ),
                    "no new worker",
                )
                wait_for(lambda: is_ready(server), "not ready again")
        assert len(answering_processes(client_of_new_connections(server), "load")) == 3
        assert server.stop() == 0


def test_counters_do_not_go_back_when_a_worker_ends():
    """A counter that falls looks like a restart of the node, and rates computed from it jump."""
    with S3Server(buckets=["load"], arguments=["--workers", "2"]) as server:
        client = client_of_new_connections(server)
        for _ in range(40):
            client.head_bucket(Bucket="load")
        before = requests_total(server, "HeadBucket")
        assert before == 40
        (victim,) = workers_of(server)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: workers_of(server) not in ([], [victim]), "no new worker")
        wait_for(lambda: is_ready(server), "not ready again")
        assert requests_total(server, "HeadBucket") == before


def test_readiness_is_the_nodes_answer():
    """With a worker missing the node is not what was asked for; every process says so."""
    with S3Server(arguments=["--workers", "2"]) as server:
        (worker,) = workers_of(server)
        os.kill(worker, signal.SIGKILL)
        seen = set()

        def fell_and_rose():
            try:
                status, _ = server.get("/_/health/ready")
            except OSError:
                return False
            seen.add(status)
            return status == 200 and workers_of(server) not in ([], [worker])

        wait_for(fell_and_rose, "never ready again")
        assert seen == {200, 503}


def is_running(pid):
    """Tell whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("count", [1, 3])
def test_workers_end_with_their_owner(tmp_path, count):
    """A worker without an owner could only fail requests, on a port that the next start needs."""
    arguments = ["--workers", "3"]
    with S3Server(places(tmp_path, count), buckets=["load"], arguments=arguments) as server:
        client_of(server).put_object(Bucket="load", Key="k", Body=b"kept")
        workers = workers_of(server)
        owner = server.pid
        os.kill(owner, signal.SIGKILL)
        wait_for(lambda: not any(map(is_running, workers)), "a worker outlived its owner")
        server.kill()
        server.start()
        got = client_of(server).get_object(Bucket="load", Key="k")["Body"].read()
        assert got == b"kept"


def test_a_termination_lets_all_processes_finish():
    """Requests in flight are answered, by whichever process; then everything ends with code 0."""
    with S3Server(buckets=["load"], arguments=["--workers", "3"]) as server:
        workers = workers_of(server)
        feeders = [SlowPut(server, f"slow-{index}") for index in range(12)]
        for feeder in feeders:
            feeder.begin()
        os.kill(server.pid, signal.SIGTERM)
        wait_for(lambda: "drain_started" in server.log_tail(), "no drain")
        for feeder in feeders:
            feeder.finish()
        assert [feeder.status for feeder in feeders] == [200] * 12
        wait_for(lambda: not any(map(is_running, [*workers, server.pid])), "still running")
        assert server.stop() == 0


class SlowPut:
    """A put whose body waits half-way."""

    def __init__(self, server, key):
        self.client = client_of(server)
        self.key = key
        self.status = None
        self.begun = threading.Event()
        self.released = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def begin(self):
        """Start, and return when the server has taken the head of the request."""
        self.thread.start()
        assert self.begun.wait(20)

    def finish(self):
        """Send the rest and wait for the answer."""
        self.released.set()
        self.thread.join()

    def _run(self):
        url = self.client.generate_presigned_url("put_object", {"Bucket": "load", "Key": self.key})
        import http.client
        from urllib.parse import urlsplit

        target = urlsplit(url)
        connection = http.client.HTTPConnection(target.netloc, timeout=30)
        connection.putrequest("PUT", f"{target.path}?{target.query}", skip_accept_encoding=True)
        connection.putheader("Content-Length", "10")
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        # "100 Continue" says that the request is being served, not only that its bytes lie in a queue.
        assert b"100" in connection.sock.recv(1024)
        connection.send(b"01234")
        self.begun.set()
        self.released.wait(20)
        connection.send(b"56789")
        self.status = connection.getresponse().status
        connection.close()


@pytest.mark.parametrize("count", [2, 3])
def test_damage_that_a_worker_reads_is_repaired(tmp_path, pattern, count):
    """Only the owner repairs; a worker that kept its finding to itself would leave the copy bad until the next scrub."""
    directories = places(tmp_path, count)
    body = pattern(300_000)
    with S3Server(directories, buckets=["load"], arguments=["--workers", "3"]) as server:
        client = client_of_new_connections(server)
        client.put_object(Bucket="load", Key="k", Body=body)
        copies = [path for top in directories for path in top.glob("shards/*/*")]
        # The first copy of a block is the one that is read first.
        first = min(copies, key=lambda path: path.name)
        intact = first.read_bytes()
        owner = owner_of(answering_processes(client, "load"))
        reader = owner
        while reader == owner:
            first.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
            got = client.get_object(Bucket="load", Key="k")
            assert got["Body"].read() == body
            reader = got["ResponseMetadata"]["RequestId"][:8]
            wait_for(lambda: first.exists() and first.read_bytes() == intact, "not repaired")


def owner_of(processes):
    """Return the process that was there first: the ids of the workers count up from its own."""
    numbers = [int(name, 16) for name in processes]
    first = min(numbers, key=lambda own: max((number - own) % 2**32 for number in numbers))
    return f"{first:08X}"


def shown_certificates(server, count):
    """Return the certificates that so many new connections were shown."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    shown = set()
    for _ in range(count):
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
            context.wrap_socket(plain) as secure,
        ):
            shown.add(secure.getpeercert(binary_form=True))
    return shown


def test_a_renewed_certificate_reaches_every_process(tmp_path):
    """A worker that keeps the old one shows it until it expires, to some connections only."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = (make_certificates(tmp_path / name) for name in ("old", "new"))
    with S3Server(tls=old, arguments=["--workers", "3"]) as server:
        (before,) = shown_certificates(server, 30)
        shutil.copyfile(new.cert, old.cert)
        shutil.copyfile(new.key, old.key)
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: before not in shown_certificates(server, 30), "still shown")
        assert len(shown_certificates(server, 30)) == 1


def test_two_nodes_do_not_share_a_port_by_mistake(tmp_path):
    """Sharing a port is for one node's processes; with two nodes every second answer would be another store's."""
    with S3Server(arguments=["--workers", "2"]) as one:
        command = [sys.executable, "-m", "objstore.server.main", "serve", str(tmp_path / "two")]
        other = subprocess.run(
            [*command, "--address", f"127.0.0.1:{one.port}", "--workers", "2"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert other.returncode == 2
        assert "in use" in other.stderr
