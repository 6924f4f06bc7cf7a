"""What a small request costs the processor, whole and part by part: JSON lines, microseconds of CPU time.

    python benchmarks/request_bench.py [--directory DIR] [--rounds N]

A whole node in this process, its protocol class fed with signed requests through a transport that only counts: no load
generator, no socket, so the figures move little on a busy machine. Kernel time for socket and sync comes on top. Of each
case the best round counts. Writes wait for real commits; their figure includes the writer's thread.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.metadata.reader import CatalogReader
from objstore.model.limits import KIB
from objstore.s3.outputs import ObjectHead
from objstore.s3.request import RawRequest
from objstore.s3.resolve import resolve
from objstore.s3.signature import Authenticator, SignedParts, SigningKeyCache
from objstore.s3.target import parse_target
from objstore.server.bench.request import Request
from objstore.server.bench.signer import Credentials, Signer
from objstore.server.bootstrap import Node, open_node
from objstore.server.clock import SystemClock
from objstore.server.http_head import HeadDate, render_head
from objstore.server.http_protocol import ConnectionLimits, HttpProtocol
from objstore.server.settings import Secret
from objstore.server.settings_sources import load_settings

KEYS = ("BENCHACCESSKEY000000", "benchsecretkey00000000000000000000000001")
HOST = b"127.0.0.1:9000"
BODY = os.urandom(4 * KIB)
OBJECTS = 2_000
CONNECTIONS = 64
ENVELOPE = [
    (b"x-amz-request-id", b"0123456789ABCDEF"),
    (b"x-amz-id-2", b"A" * 32),
    (b"Server", b"objstore"),
    (b"Date", b"Sat, 21 Nov 2026 12:00:00 GMT"),
    (b"Content-Length", b"4096"),
]


class Users:
    """The one user of the benchmark."""

    def secret_of(self, _access_key: str) -> str:
        return KEYS[1]


class CountingTransport:
    """Takes answers and tells when all that are awaited have come."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew

    def write(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 20"):
            raise SystemExit(data.decode("latin-1"))
        self.crew.left -= 1
        if not self.crew.left and self.crew.done is not None:
            self.crew.done.set_result(None)

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def get_extra_info(self, _name: str, default: object = None) -> object:
        return default

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, **_limits: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Crew:
    """Connections to one node."""

    def __init__(self, node: Node, settings: Any) -> None:
        config = Config(
            node.app,
            http=HttpProtocol,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
        )
        config.load()
        limits, state = ConnectionLimits(settings.listen), ServerState()
        self.left = 0
        self.done: asyncio.Future[None] | None = None
        self.connections = []
        for _ in range(CONNECTIONS):
            protocol = HttpProtocol(config, state, {}, limits=limits)
            protocol.connection_made(CountingTransport(self))  # type: ignore[arg-type]
            self.connections.append(protocol)

    async def play(self, requests: list[bytes]) -> None:
        """Send up to as many requests as there are connections, and wait for their answers."""
        self.done = asyncio.get_running_loop().create_future()
        self.left = len(requests)
        for protocol, request in zip(self.connections, requests, strict=False):
            protocol.data_received(request)
        await self.done


class Requests:
    """Signed requests of one user."""

    def __init__(self) -> None:
        credentials = Credentials(KEYS[0], Secret(KEYS[1]), "us-east-1")
        self._signer = Signer(credentials, HOST, SystemClock())
        self._numbers = count()

    def make(self, method: bytes, path: bytes, *, query: bytes = b"", body: bytes = b"") -> bytes:
        request = Request(
            method=method,
            path=path,
            query=query,
            body=body,
            payload_hash=hashlib.sha256(body).hexdigest().encode(),
            headers=b"",
        )
        return self._signer.head(request, time.monotonic()) + body

    def put(self) -> bytes:
        return self.make(b"PUT", b"/bench/new/%08d" % next(self._numbers), body=BODY)

    def old(self, method: bytes) -> bytes:
        return self.make(method, b"/bench/old/%06d" % (next(self._numbers) % OBJECTS))

    def page(self) -> bytes:
        return self.make(b"GET", b"/bench", query=b"list-type=2&max-keys=1000&prefix=old%2F")


def report(case: str, seconds: float) -> None:
    print(json.dumps({"case": case, "cpu_us": round(seconds * 1e6, 1)}), flush=True)


async def whole(
    crew: Crew, case: str, make: Callable[[], bytes], *, clients: int, number: int, rounds: int
) -> None:
    best = float("inf")
    for _ in range(rounds):
        requests = [make() for _ in range(number)]
        began = time.process_time()
        for start in range(0, number, clients):
            await crew.play(requests[start : start + clients])
        best = min(best, (time.process_time() - began) / number)
    report(f"{case}, {clients} at once", best)


def part(case: str, call: Callable[[], object], rounds: int, number: int = 3_000) -> None:
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(number):
            call()
        best = min(best, (time.process_time() - began) / number)
    report(f"part: {case}", best)


def parts_of_a_get(request: bytes, catalogue: Path, rounds: int) -> None:
    """Time the steps of a GET by themselves, on the same key again and again: the least that each can cost."""
    lines = request.split(b"\r\n\r\n")[0].split(b"\r\n")
    headers = [
        (name.lower(), value) for name, value in (line.split(b": ", 1) for line in lines[1:])
    ]
    path = lines[0].split(b" ")[1]
    raw = RawRequest("GET", path, b"", headers, "http")
    parsed = parse_target(raw, ())
    operation = resolve(parsed)
    signed = SignedParts("GET", path, b"", headers)
    authenticator = Authenticator(Users(), SigningKeyCache())
    now = SystemClock().now()
    reader = CatalogReader(catalogue)
    with closing(apsw.Connection(str(catalogue))) as connection:
        bucket_id, partition = connection.execute("SELECT bucket_id, partition FROM shards").get
    version = reader.find(bucket_id, partition, parsed.key, None)[1]
    head = ObjectHead(
        version=version,
        version_id=None,
        start=0,
        length=version.size,
        is_partial=False,
        checksum=None,
        parts_count=None,
        overrides=(),
    )
    date = HeadDate()
    part("parse target and headers", lambda: parse_target(raw, ()), rounds)
    part("resolve the operation", lambda: resolve(parsed), rounds)
    part("verify the signature", lambda: authenticator.authenticate(signed, now=now), rounds)
    part("decode the input", lambda: operation.decode(parsed, None), rounds)
    part(
        "look up the object and its bytes",
        lambda: reader.find(bucket_id, partition, parsed.key, None),
        rounds,
    )
    part("encode the answer", lambda: operation.encode(head, parsed), rounds)
    pairs = [*operation.encode(head, parsed).headers, *ENVELOPE]
    part(
        "render the head",
        lambda: render_head(
            200, pairs, date, is_head_request=False, keep_alive=True, may_chunk=True
        ),
        rounds,
    )
    reader.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--directory", help="where the node keeps its data; default: a temporary one"
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        environ = {
            "OBJSTORE_DIRS": f"{directory}/data",
            "OBJSTORE_ROOT_ACCESS_KEY": KEYS[0],
            "OBJSTORE_ROOT_SECRET_KEY": KEYS[1],
            "OBJSTORE_WORKERS": "1",
        }
        settings = load_settings(flags={}, environ=environ, config_file=None)
        async with open_node(settings, clock=SystemClock()) as node:
            crew, requests = Crew(node, settings), Requests()
            await measure(crew, requests, options.rounds)
            catalogue = Path(directory) / "data" / CATALOG_FILE_NAME
            parts_of_a_get(requests.old(b"GET"), catalogue, options.rounds)


async def measure(crew: Crew, requests: Requests, rounds: int) -> None:
    await crew.play([requests.make(b"PUT", b"/bench")])
    for start in range(0, OBJECTS, CONNECTIONS):
        paths = [b"/bench/old/%06d" % number for number in range(start, start + CONNECTIONS)]
        await crew.play([requests.make(b"PUT", path, body=BODY) for path in paths])
    gc.collect()
    gc.freeze()
    for clients in (1, 16, 64):
        await whole(crew, "put 4 KiB", requests.put, clients=clients, number=1_280, rounds=rounds)
    get, head = (lambda: requests.old(b"GET")), (lambda: requests.old(b"HEAD"))
    await whole(crew, "get 4 KiB", get, clients=64, number=3_200, rounds=rounds)
    await whole(crew, "head", head, clients=64, number=3_200, rounds=rounds)
    await whole(crew, "list 1000", requests.page, clients=4, number=64, rounds=rounds)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
