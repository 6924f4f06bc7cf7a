"""The cases: what a client does over and over, as scripts. Pure.

Every case is a row of `CASES`. Clients of all processes share one sequence of numbers (each process takes every n-th), so that
no two write the same key, and reads walk over all prepared objects in a fixed order that no cache prefers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, NamedTuple

from objstore.model.limits import KIB, MIB
from objstore.s3.signature.canonical import canonical_query, encode_component, hash_of_text
from objstore.server.bench.bodies import Bodies
from objstore.server.bench.request import OperationFailed, Request, Script

__all__ = ["CASES", "LIST_PAGE", "PART_BYTES", "Case", "Need", "Workload"]

LIST_PAGE: Final = 1_000
PART_BYTES: Final = 8 * MIB
RANGE_BYTES: Final = 64 * KIB
_STRIDE: Final = 7_919
"""Prime and larger than most counts of objects, so that neighbours in time are none in the key space."""
_MIX: Final = ("get", "head", "get", "get", "put", "head", "get", "head", "get", "delete")
"""Of ten operations 5 GET, 3 HEAD, 1 PUT, 1 DELETE."""


class Workload:
    """What the scripts of one measurement in one process share."""

    def __init__(
        self, prefix: bytes, bodies: Bodies, *, objects_count: int, share: int = 0, shares: int = 1
    ) -> None:
        self.prefix = prefix
        """Path of a key up to its number: `/bucket/prefix/`."""
        self.bodies = bodies
        self.objects_count = objects_count
        """Prepared objects below the prefix."""
        self.numbers: Iterator[int] = count(share, shares)
        self.turns: Iterator[int] = count()
        self.written: list[int] = []

    def path(self, number: int) -> bytes:
        """Return the path of an object."""
        return b"%b%09d" % (self.prefix, number)

    def prepared(self) -> int:
        """Return the number of the next prepared object to read."""
        return next(self.numbers) * _STRIDE % self.objects_count


class Need(NamedTuple):
    """Objects that must be there before a case begins."""

    group: str
    """Cases with the same group and size share their objects; empty for none."""
    is_used_up: bool = False
    """Whether the case consumes its objects, one an operation."""


class Case(NamedTuple):
    """One row: what a client does."""

    name: str
    meaning: str
    script: Callable[[Workload], Script]
    is_sized: bool = True
    """Whether it is worth measuring for each size; else the smallest one serves."""
    needs: Need = Need("")
    size_bytes_min: int = 0
    writes: bool = False
    """Whether every operation leaves a new object."""


def put(load: Workload, number: int | None = None) -> Script:
    """Write a new object."""
    chosen = next(load.numbers) if number is None else number
    bodies = load.bodies
    answer = yield Request(
        b"PUT", load.path(chosen), b"", bodies.window(chosen), bodies.hash_of(chosen)
    )
    answer.need(200)
    return bodies.size_bytes


def get(load: Workload) -> Script:
    """Read a whole object and compare every byte."""
    number = load.prepared()
    expected = load.bodies.expected(number)
    answer = yield Request(b"GET", load.path(number), expected=expected)
    answer.need(200)
    if not answer.is_intact:
        raise OperationFailed("GET answered other bytes than were put")
    return answer.length


def read_range(load: Workload) -> Script:
    """Read 64 KiB (a quarter of smaller objects) from inside an object and compare every byte."""
    number = load.prepared()
    size = load.bodies.size_bytes
    length = max(1, min(RANGE_BYTES, size // 4))
    start = number * _STRIDE * 4_099 % max(1, size - length)
    line = b"range: bytes=%d-%d\r\n" % (start, start + length - 1)
    expected = load.bodies.expected(number, start, length)
    answer = yield Request(b"GET", load.path(number), headers=line, expected=expected)
    answer.need(206)
    if not answer.is_intact:
        raise OperationFailed("GET of a range answered other bytes than were put")
    return answer.length


def head(load: Workload) -> Script:
    """Ask for an object's metadata and compare its length."""
    answer = yield Request(b"HEAD", load.path(load.prepared()))
    answer.need(200)
    if answer.content_length != b"%d" % load.bodies.size_bytes:
        raise OperationFailed("HEAD answered another length than was put")
    return 0


def delete(load: Workload, number: int | None = None) -> Script:
    """Delete an object."""
    answer = yield Request(b"DELETE", load.path(next(load.numbers) if number is None else number))
    answer.need(204)
    return 0


def list_page(load: Workload) -> Script:
    """List 1,000 keys from somewhere inside a prefix, and count them."""
    _, bucket, prefix = load.prefix.split(b"/", 2)
    starts = max(1, load.objects_count - LIST_PAGE + 1)
    start = next(load.numbers) * _STRIDE % starts
    pairs = [(b"list-type", b"2"), (b"prefix", encode_component(prefix))]
    if start:
        pairs.append((b"start-after", encode_component(b"%b%09d" % (prefix, start - 1))))
    answer = yield Request(b"GET", b"/" + bucket, canonical_query(pairs))
    answer.need(200)
    found = answer.body.count(b"<Key>")
    if found != min(LIST_PAGE, load.objects_count):
        raise OperationFailed(f"LIST answered {found} keys")
    return 0


def mixed(load: Workload) -> Script:
    """Do one of the mix; deletes take what this process has put before."""
    # The process's own turn, not the shared number: every n-th number would meet only every n-th of the mix.
    kind = _MIX[next(load.turns) % len(_MIX)]
    if kind == "delete" and load.written:
        return (yield from delete(load, load.written.pop()))
    if kind in ("put", "delete"):
        fresh = load.objects_count + next(load.numbers)
        moved = yield from put(load, fresh)
        load.written.append(fresh)
        return moved
    return (yield from (get(load) if kind == "get" else head(load)))


def multipart(load: Workload) -> Script:
    """Upload an object in parts of 8 MiB, one after the other: create, parts, complete."""
    number = next(load.numbers)
    path, bodies = load.path(number), load.bodies
    created = yield Request(b"POST", path, b"uploads=")
    created.need(200)
    upload = encode_component(created.element(b"UploadId").encode())
    etags: list[bytes] = []
    for start in range(0, bodies.size_bytes, PART_BYTES):
        length = min(PART_BYTES, bodies.size_bytes - start)
        answer = yield Request(
            b"PUT",
            path,
            b"partNumber=%d&uploadId=%b" % (len(etags) + 1, upload),
            bodies.window(number, start, length),
            bodies.hash_of(number, start, length),
        )
        answer.need(200)
        etags.append(answer.etag)
    completed = yield complete_request(path, upload, etags)
    completed.need(200)
    if b"<Error>" in completed.body:
        raise OperationFailed(f"Complete failed late: {completed.element(b'Code')}")
    return bodies.size_bytes


def complete_request(path: bytes, upload: bytes, etags: list[bytes]) -> Request:
    """Return the request that completes an upload."""
    parts = b"".join(
        b"<Part><PartNumber>%d</PartNumber><ETag>%b</ETag></Part>" % part
        for part in enumerate(etags, start=1)
    )
    body = b"<CompleteMultipartUpload>%b</CompleteMultipartUpload>" % parts
    return Request(b"POST", path, b"uploadId=" + upload, body, hash_of_text(body))


_OBJECTS = Need("objects")

CASES: Final[dict[str, Case]] = {
    case.name: case
    for case in (
        Case("put", "write new objects", put, writes=True),
        Case("get", "read whole objects", get, needs=_OBJECTS),
        Case("range", "read 64 KiB from inside an object", read_range, needs=_OBJECTS),
        Case("head", "ask for the metadata of an object", head, is_sized=False, needs=_OBJECTS),
        Case("list", "list 1,000 keys", list_page, is_sized=False, needs=Need("list")),
        Case(
            "mixed", "of ten operations 5 GET, 3 HEAD, 1 PUT, 1 DELETE", mixed, needs=Need("mixed")
        ),
        Case(
            "delete",
            "delete objects",
            delete,
            is_sized=False,
            needs=Need("delete", is_used_up=True),
        ),
        Case(
            "multipart",
            "upload in parts of 8 MiB, one after the other",
            multipart,
            size_bytes_min=5 * MIB,
            writes=True,
        ),
    )
}
"""All cases by name, in the order in which they run."""
