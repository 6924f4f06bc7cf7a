"""The scripts of clients, with the test as the server."""

from __future__ import annotations

import hashlib

import pytest

from objstore.model.limits import MIB
from objstore.server.bench.bodies import Bodies
from objstore.server.bench.cases import CASES, PART_BYTES, Workload
from objstore.server.bench.request import Answer, OperationFailed, Request, Script


def workload(size: int = 4096, objects: int = 10, **where: int) -> Workload:
    return Workload(b"/bucket/run/group/", Bodies(size), objects_count=objects, **where)


def answer(status: int = 200, body: bytes = b"", **more) -> Answer:
    fields = {"length": len(body), "is_intact": True, "etag": b'"e"', "content_length": b""} | more
    return Answer(status, body, **fields)


def play(script: Script, *answers: Answer) -> tuple[list[Request], int]:
    """Answer a script's requests in turn; return the requests and the bytes that it says it moved."""
    requests = [next(script), *(script.send(reply) for reply in answers[:-1])]
    with pytest.raises(StopIteration) as end:
        script.send(answers[-1])
    return requests, end.value.value


def test_put_sends_its_body_with_its_hash() -> None:
    """A wrong hash would measure refusals."""
    (request,), moved = play(CASES["put"].script(workload()), answer())
    assert (request.method, request.path) == (b"PUT", b"/bucket/run/group/000000000")
    assert request.payload_hash == hashlib.sha256(request.body).hexdigest().encode()
    assert moved == len(request.body) == 4096


def test_get_expects_the_body_that_put_sent() -> None:
    """The check of answers is only worth something when it knows the very bytes."""
    load = workload(objects=3)
    sent = {}
    for _ in range(3):
        (request,), _ = play(CASES["put"].script(load), answer())
        sent[request.path] = bytes(request.body)
    assert len(set(sent.values())) == 3
    for _ in range(6):
        (request,), moved = play(CASES["get"].script(load), answer(length=4096))
        wanted = request.expected
        assert wanted is not None
        assert wanted.pool[wanted.offset : wanted.offset + wanted.length] == sent[request.path]
        assert moved == 4096


@pytest.mark.parametrize("size", [0, 1, 3, 4096, MIB])
def test_range_lies_within_the_object(size) -> None:
    """A range past the end would be answered with 416 and measure nothing."""
    load = workload(size)
    for _ in range(20):
        if size == 0:
            return
        (request,), _ = play(CASES["range"].script(load), answer(206))
        first, last = map(int, request.headers.decode().removeprefix("range: bytes=").split("-"))
        assert 0 <= first <= last < size
        assert request.expected is not None
        assert request.expected.length == last - first + 1


@pytest.mark.parametrize(
    ("case", "reply"),
    [
        ("put", answer(503, b"<Error><Code>SlowDown</Code></Error>")),
        ("get", answer(is_intact=False)),
        ("get", answer(206)),
        ("range", answer(200)),
        ("range", answer(206, is_intact=False)),
        ("head", answer(content_length=b"1")),
        ("list", answer(body=b"<Key>a</Key>")),
        ("delete", answer(200)),
    ],
)
def test_a_wrong_answer_is_a_failed_operation(case, reply) -> None:
    """Fast and wrong must not look like fast."""
    script = CASES[case].script(workload())
    next(script)
    with pytest.raises(OperationFailed):
        script.send(reply)


def test_failures_are_named_by_status_and_code() -> None:
    """Errors of the same kind are counted together."""
    script = CASES["put"].script(workload())
    next(script)
    with pytest.raises(OperationFailed, match="^503 SlowDown$"):
        script.send(answer(503, b"<Error><Code>SlowDown</Code><Message>x</Message></Error>"))


def test_list_begins_where_a_full_page_is_left() -> None:
    """Pages of different lengths would not be one measurement."""
    load = workload(objects=1_200)
    page = b"<Key>k</Key>" * 1_000
    for _ in range(50):
        (request,), _ = play(CASES["list"].script(load), answer(body=page))
        assert request.path == b"/bucket"
        after = request.query.partition(b"start-after=")[2]
        if after:
            assert int(after[-9:]) < 200
        assert b"prefix=run%2Fgroup%2F" in request.query


def test_multipart_is_one_operation_from_create_to_complete() -> None:
    """What counts for a user is the whole upload."""
    size = 2 * PART_BYTES + 5
    load = workload(size)
    replies = [
        answer(body=b"<UploadId>a+b</UploadId>"),
        *(answer(etag=b'"%d"' % part) for part in range(3)),
        answer(body=b"<CompleteMultipartUploadResult/>"),
    ]
    requests, moved = play(CASES["multipart"].script(load), *replies)
    assert moved == size
    assert [len(request.body) for request in requests[1:4]] == [PART_BYTES, PART_BYTES, 5]
    assert requests[3].query == b"partNumber=3&uploadId=a%2Bb"
    assert b'<Part><PartNumber>3</PartNumber><ETag>"2"</ETag></Part>' in bytes(requests[4].body)
    for request in requests[1:4]:
        assert hashlib.sha256(request.body).hexdigest().encode() == request.payload_hash


def test_late_error_of_complete_is_seen() -> None:
    """Complete may say 200 first and an error afterwards."""
    script = CASES["multipart"].script(workload(5))
    next(script)
    script.send(answer(body=b"<UploadId>u</UploadId>"))
    script.send(answer())
    with pytest.raises(OperationFailed, match="InternalError"):
        script.send(answer(body=b"<Error><Code>InternalError</Code></Error>"))


def test_mix_deletes_only_what_it_has_put() -> None:
    """The prepared objects must stay for the readers; a GET of a deleted one is an error of the bench."""
    load = workload(objects=10)
    live = {load.path(number) for number in range(10)}
    prepared = set(live)
    kinds = []
    for _ in range(1_000):
        script = CASES["mixed"].script(load)
        request = next(script)
        with pytest.raises(StopIteration):
            script.send(answer(204 if request.method == b"DELETE" else 200, content_length=b"4096"))
        kinds.append(request.method)
        if request.method == b"PUT":
            assert request.path not in live
            live.add(request.path)
        else:
            assert request.path in live
        if request.method == b"DELETE":
            live.remove(request.path)
    assert prepared <= live
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        b"GET": 500,
        b"HEAD": 300,
        b"PUT": 100,
        b"DELETE": 100,
    }


def test_processes_write_different_keys() -> None:
    """Two clients on one key measure its lock."""
    paths = []
    for share in range(3):
        load = workload(share=share, shares=3)
        paths += [next(CASES["put"].script(load)).path for _ in range(5)]
    assert len(set(paths)) == 15


def test_empty_objects_are_objects() -> None:
    """`--size 0B` measures the path without a body."""
    (request,), moved = play(CASES["put"].script(workload(0)), answer())
    assert (len(request.body), moved) == (0, 0)
    assert request.payload_hash == hashlib.sha256(b"").hexdigest().encode()
