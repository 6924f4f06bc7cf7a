"""Clients that stall, vanish or send without end: nothing stays behind and nothing grows.

Time limits come from small settings. What is awaited is always an answer, the end of a connection, or a state of the server.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from objstore.testing import S3Server
from objstore.testing.data_files import NewFiles
from objstore.testing.raw_client import RawCall, RawClient
from objstore.testing.wire import Wire, check_refusal, rendered

MIB = 1024 * 1024
CONFIG = "head_timeout_s = 3\nstall_timeout_s = 3\nidle_timeout_s = 3\n"


@pytest.fixture(scope="module")
def hasty():
    """A server with short patience."""
    with S3Server(config=CONFIG) as server:
        yield server


@pytest.fixture
def place(hasty):
    """A client and a bucket of the hasty server."""
    client = RawClient.of(hasty)
    bucket = f"s-{uuid.uuid4().hex[:12]}"
    assert client.send(client.signed(RawCall("PUT", f"/{bucket}"))).status == 200
    client.close()
    yield client, bucket
    client.close()


@pytest.fixture
def patient():
    """A client, its bucket and a server with the usual patience: here a busy machine must not look like a stall."""
    with S3Server() as server:
        client = RawClient.of(server)
        assert client.send(client.signed(RawCall("PUT", "/bucket"))).status == 200
        yield client, "bucket", server
        client.close()


def memory_bytes(server) -> int:
    """Return the resident memory of the server's process and of those that it started."""
    own = Path(f"/proc/{server.pid}")
    pids = [str(server.pid), *(own / "task" / own.name / "children").read_text().split()]
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(text.partition("VmRSS:")[2].split()[0]) * 1024 for text in statuses)


def put_head(client: RawClient, bucket: str, size: int, *headers) -> bytes:
    """Return the head of a signed PUT of that size."""
    length = ("content-length", str(size))
    call = RawCall("PUT", f"/{bucket}/x", headers=(length, *headers))
    return rendered(client.signed(call, payload="UNSIGNED-PAYLOAD"))


# --- slow ------------------------------------------------------------------------------------------------


def test_half_a_head_is_not_waited_for(hasty):
    """A head that trickles in is the cheapest way to hold a connection; it ends without an answer."""
    with Wire(hasty) as wire:
        wire.send(b"GET / HTTP/1.1\r\nhost: ")
        assert wire.is_closed()
    with Wire(hasty) as wire:
        assert wire.is_closed(), "nothing sent at all"


def test_an_idle_connection_ends_after_its_answer(hasty, place):
    """Kept connections are a courtesy with a limit."""
    client, bucket = place
    with Wire(hasty) as wire:
        wire.send(rendered(client.signed(RawCall("GET", f"/{bucket}"))))
        assert wire.answer().status == 200
        assert wire.is_closed()


@pytest.mark.parametrize("sent", [0, 10, 9 * MIB])
def test_a_body_that_stalls_is_a_timeout(hasty, place, sent):
    """s3 table 10: 400 RequestTimeout, which SDKs retry; the blocks that came are removed."""
    client, bucket = place
    files = NewFiles(hasty)
    with Wire(hasty) as wire:
        wire.send(put_head(client, bucket, 10 * MIB) + bytes(sent))
        check_refusal(wire.answer(), 400, "RequestTimeout")
        assert wire.is_closed()
    files.wait_until_gone("the body that stalled left files")
    assert client.send(client.signed(RawCall("HEAD", f"/{bucket}/x"))).status == 404


def test_a_body_that_is_asked_for_and_never_comes(hasty, place):
    """The limit also holds between `100 Continue` and the first byte."""
    client, bucket = place
    with Wire(hasty) as wire:
        wire.send(put_head(client, bucket, 10, ("expect", "100-continue")))
        assert wire.interim() == 100
        check_refusal(wire.answer(), 400, "RequestTimeout")


# --- gone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_client_that_vanishes_leaves_nothing(hasty, place, end):
    """s3 rule 3.3.6: a PUT and a part, each of several blocks, cut in the middle of the body."""
    client, bucket = place
    begun = client.send(client.signed(RawCall("POST", f"/{bucket}/x", (("uploads", ""),))))
    upload = begun.body.decode().partition("<UploadId>")[2].partition("<")[0]
    files = NewFiles(hasty)
    length = ("content-length", str(20 * MIB))
    for query in ((), (("partNumber", "1"), ("uploadId", upload))):
        call = RawCall("PUT", f"/{bucket}/x", query, (length,))
        wire = Wire(hasty)
        wire.send(rendered(client.signed(call, payload="UNSIGNED-PAYLOAD")) + bytes(13 * MIB))
        files.wait_for_some()
        wire.close() if end == "close" else wire.reset()
        files.wait_until_gone("the client that vanished left files")
    client.close()
    parts = client.send(client.signed(RawCall("GET", f"/{bucket}/x", (("uploadId", upload),))))
    assert parts.status == 200
    assert b"<Part>" not in parts.body
    assert client.send(client.signed(RawCall("HEAD", f"/{bucket}/x"))).status == 404


def test_a_reader_that_vanishes_disturbs_nobody(hasty, place):
    """A GET cut in the middle ends quietly: no error in the log, the next reader gets every byte."""
    client, bucket = place
    body = bytes(range(256)) * (32 * MIB // 256)
    put = client.signed(RawCall("PUT", f"/{bucket}/large", body=body))
    assert client.send(put).status == 200
    get = rendered(client.signed(RawCall("GET", f"/{bucket}/large")))
    for _ in range(3):
        wire = Wire(hasty)
        wire.send(get)
        assert wire.interim() == 200
        wire.reset()
    client.close()
    assert client.send(client.signed(RawCall("GET", f"/{bucket}/large"))).body == body
    assert "Traceback" not in hasty.log_tail()


# --- without end -----------------------------------------------------------------------------------------


def test_memory_does_not_follow_what_clients_announce(patient):
    """ARCHITECTURE, invariant 6: 16 clients, each with one aws-chunked chunk of 100 MiB of which half is sent."""
    client, bucket, server = patient
    before, files = memory_bytes(server), NewFiles(server)
    call = RawCall(
        "PUT",
        f"/{bucket}/x",
        headers=(("transfer-encoding", "chunked"), ("x-amz-trailer", "x-amz-checksum-crc32")),
    )
    head = rendered(client.signed(call, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER"))
    line = b"%x\r\n" % (100 * MIB)
    piece = b"%x\r\n%b\r\n" % (MIB, bytes(MIB))

    def upload(_: int) -> int:
        with Wire(server) as wire:
            wire.send(head + b"%x\r\n%b\r\n" % (len(line), line))
            for _ in range(50):
                wire.send(piece)
            return memory_bytes(server)

    with ThreadPoolExecutor(16) as pool:
        peak = max(pool.map(upload, range(16)))
    assert peak - before < 16 * 16 * MIB, (
        f"{(peak - before) / MIB:.0f} MiB for 16 uploads of 50 MiB"
    )
    files.wait_until_gone("broken uploads left files")


def test_memory_does_not_follow_heads_and_documents(hasty, place):
    """Endless heads are cut off; documents are refused at their limit, however they come."""
    client, bucket = place
    before = memory_bytes(hasty)
    chunked = RawCall(
        "POST",
        f"/{bucket}",
        (("delete", ""),),
        (("transfer-encoding", "chunked"), ("content-md5", "A" * 22 + "==")),
    )
    document = rendered(client.signed(chunked, payload="UNSIGNED-PAYLOAD"))
    piece = b"%x\r\n%b\r\n" % (MIB, b"<a>" * (MIB // 3) + b" ")
    endless = {b"GET / HTTP/1.1\r\n": b"x: y\r\n" * 100_000, document: piece}
    for head, more in endless.items():
        for _ in range(10):
            with Wire(hasty) as wire:
                wire.send(head)
                try:
                    for _ in range(20):
                        wire.send(more)
                except OSError:
                    continue  # the server has stopped listening, as it should
                assert wire.answer().status == 400
    assert memory_bytes(hasty) - before < 64 * MIB


def test_memory_does_not_follow_pipelined_requests(patient):
    """A queue of requests is answered before more of it is read, however long the client makes it."""
    client, _, server = patient
    before = peak = memory_bytes(server)
    head = f"GET /bucket/x HTTP/1.1\r\nhost: {client.netloc}\r\n\r\n".encode()
    with Wire(server) as wire, ThreadPoolExecutor(1) as pool:
        flood = pool.submit(wire.send, head * 100_000)
        for number in range(100_000):
            assert wire.answer().status == 403
            if number % 1_000 == 0:
                peak = max(peak, memory_bytes(server))
        flood.result()
    assert peak - before < 48 * MIB, f"{(peak - before) / MIB:.0f} MiB"


def test_memory_does_not_follow_the_number_of_chunks(patient):
    """s3 rule 2.4.7: chunks of one byte are taken, but not kept one by one; each would cost an object of 150 bytes."""
    client, bucket, server = patient
    before = memory_bytes(server)
    count = 600_000
    stream = b"1\r\nx\r\n" * count + b"0\r\n\r\n"
    length = ("content-length", str(len(stream)))
    call = RawCall("PUT", f"/{bucket}/x", headers=(length,))
    head = rendered(client.signed(call, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER"))
    peak = before
    with Wire(server) as wire:
        wire.send(head)
        for start in range(0, len(stream), MIB):
            wire.send(stream[start : start + MIB])
            peak = max(peak, memory_bytes(server))
        assert wire.answer().status == 200
    assert client.send(client.signed(RawCall("GET", f"/{bucket}/x"))).body == b"x" * count
    assert peak - before < 32 * MIB, f"{(peak - before) / MIB:.0f} MiB"
