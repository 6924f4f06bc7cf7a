"""What growth_bench.py measures with: the cost of requests to a running server, and the scripts that ask for them.

The cost of a request is the processor time of all processes of the server, user and system, by the clock of the kernel that
counts nanoseconds (utime and stime of /proc count hundredths of a second), from the first request on, connections standing.
Several rounds are measured; the least cost counts, and the p50 of that round.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import uvloop
from e2e_bench import session_pids

from objstore.model.limits import KIB
from objstore.s3.signature.canonical import canonical_query, encode_component, hash_of_text
from objstore.server.bench.bodies import Bodies
from objstore.server.bench.bucket import Store
from objstore.server.bench.cases import CASES, Workload
from objstore.server.bench.figures import percentile
from objstore.server.bench.load import Limits, run_load
from objstore.server.bench.request import Answer, OperationFailed, Request, Script
from objstore.server.bench.signer import Credentials
from objstore.server.bench.target import Target
from objstore.server.clock import SystemClock
from objstore.server.settings import Secret
from objstore.testing.server import S3Server

CLIENTS = 16
PAGE = 1_000
MEASUREMENT_S_MAX = 20.0
FILL_S_MAX = 120.0
Pairs = list[tuple[bytes, bytes]]


class Cost(NamedTuple):
    cpu_us: float
    p50_ms: float


class Meter:
    """One case of the benchmark: keeps the rounds of its points, then writes one line for each."""

    def __init__(self, case: str, output: Path) -> None:
        self._case = case
        self._output = output
        self._rounds: dict[tuple[int, str], list[Cost]] = {}
        self._rss_mib: dict[tuple[int, str], float] = {}

    def measure(
        self,
        server: S3Server,
        name: tuple[int, str],
        scripts: Iterable[Script],
        *,
        clients: int = CLIENTS,
    ) -> None:
        """Run scripts, and count them as one round of the point `name`: its x and its operation."""
        cost = play(server, scripts, clients=clients)
        self._rounds.setdefault(name, []).append(cost)
        self._rss_mib[name] = memory_mib(server, "VmRSS")

    def peak(self, server: S3Server, name: tuple[int, str]) -> None:
        """Note the peak of memory since `forget_peak` instead of what a point left behind."""
        self._rss_mib[name] = memory_mib(server, "VmHWM")

    def flush(self) -> None:
        for (x, operation), rounds in self._rounds.items():
            best = min(rounds)
            line = {
                "x": x,
                "operation": operation,
                "cpu_us": round(best.cpu_us, 1),
                "cpu_us_max": round(max(rounds).cpu_us, 1),
                "p50_ms": round(best.p50_ms, 3),
                "rss_mib": round(self._rss_mib[x, operation], 1),
            }
            self.write(line)
        self._rounds.clear()

    def write(self, line: dict) -> None:
        text = json.dumps({"case": self._case, **line})
        print(text, flush=True)
        with self._output.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def play(
    server: S3Server,
    scripts: Iterable[Script],
    *,
    clients: int = CLIENTS,
    duration_s: float = MEASUREMENT_S_MAX,
) -> Cost:
    """Run all scripts, one operation each; return what one of them cost."""
    waiting = iter(scripts)
    pids = session_pids(server.pid)
    began_s: list[float] = []

    def next_script() -> Script | None:
        if not began_s:
            began_s.append(cpu_s(pids))
        return next(waiting, None)

    limits = Limits(duration_s)
    run = run_load(
        target_of(server), next_script, clients_count=clients, limits=limits, clock=SystemClock()
    )
    result = uvloop.run(run)
    spent_s = cpu_s(pids) - began_s[0]
    if result.errors or not result.latencies_s:
        raise SystemExit(f"requests failed: {dict(result.errors)}\n{server.log_tail()}")
    done = len(result.latencies_s)
    p50_s = percentile(sorted(result.latencies_s), 50)
    return Cost(spent_s / done * 1e6, p50_s * 1e3)


def ask(server: S3Server, request: Request) -> Answer:
    answer = uvloop.run(Store(target_of(server), SystemClock()).ask(request))
    if answer.status >= 300:
        raise SystemExit(f"{request.method!r} {request.path!r}: {answer.fault()}")
    return answer


def target_of(server: S3Server) -> Target:
    keys = Credentials(server.access_key, Secret(server.secret_key), server.region)
    return Target("127.0.0.1", server.port, is_tls=False, credentials=keys)


def cpu_s(pids: list[int]) -> float:
    """Return the processor time of processes: their clocks, named as clock_getcpuclockid(3) does."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def memory_mib(server: S3Server, field: str) -> float:
    """Return VmRSS (now) or VmHWM (the peak) of all processes of a server together."""
    whole_kib = 0
    for pid in session_pids(server.pid):
        status = Path("/proc", str(pid), "status").read_text()
        whole_kib += int(status.partition(field + ":")[2].split()[0])
    return whole_kib / KIB


def forget_peak(server: S3Server) -> None:
    for pid in session_pids(server.pid):
        Path("/proc", str(pid), "clear_refs").write_text("5")


class Keys(Workload):
    """Keys of the probe, spread over the keys that a bucket holds: each lies behind one of them."""

    def __init__(self, prefix: bytes, bodies: Bodies, *, count: int, step: int = 1) -> None:
        super().__init__(prefix, bodies, objects_count=count)
        self._step = step

    def path(self, number: int) -> bytes:
        return b"%b%09d-" % (self.prefix, number * self._step)


def times(case: str, load: Workload, count: int) -> Iterator[Script]:
    """Yield scripts of a case of the load generator."""
    return (CASES[case].script(load) for _ in range(count))


def put_again(load: Workload, number: int) -> Script:
    """Put one of the keys of a workload, which may be there: in turn all of them."""
    return CASES["put"].script(load, number % load.objects_count)


def page(bucket: bytes, pairs: Pairs, *, element: bytes) -> Script:
    """Ask for a page, and look whether something is on it."""
    answer = yield Request(b"GET", bucket, canonical_query(pairs))
    answer.need(200)
    if not 0 < answer.body.count(b"<%b>" % element) <= PAGE:
        raise OperationFailed(f"the page has no {element!r}")
    return 0


def read(path: bytes, query: bytes, load: Workload, number: int) -> Script:
    """Read an object, or one of its versions, and compare its bytes."""
    answer = yield Request(b"GET", path, query, expected=load.bodies.expected(number))
    answer.need(200)
    if not answer.is_intact:
        raise OperationFailed("GET answered other bytes than were put")
    return answer.length


def read_range(path: bytes, start: int, length: int) -> Script:
    """Read a range; it must have the wanted length."""
    line = b"range: bytes=%d-%d\r\n" % (start, start + length - 1)
    answer = yield Request(b"GET", path, headers=line)
    answer.need(206)
    if answer.length != length:
        raise OperationFailed(f"GET of a range answered {answer.length} bytes")
    return length


def put_part(path: bytes, upload: bytes, part: int, bodies: Bodies) -> Script:
    """Upload a part; all have the same bytes."""
    query = b"partNumber=%d&uploadId=%b" % (part, upload)
    request = Request(b"PUT", path, query, bodies.window(0), bodies.hash_of(0))
    answer = yield request
    answer.need(200)
    return bodies.size_bytes


def plain(request: Request, status: int) -> Script:
    """Send a request of which only the status matters."""
    answer = yield request
    answer.need(status)
    return 0


def encoded(*pairs: tuple[str, str]) -> Pairs:
    return [(name.encode(), encode_component(value.encode())) for name, value in pairs]


def cycle(maker: Callable[[], Keys], count: int) -> dict[str, Iterator[Script]]:
    """Return put, get, head and delete of the same objects, in the order in which they must run."""
    return {name: times(name, maker(), count) for name in ("put", "get", "head", "delete")}


def enable_versioning(server: S3Server, bucket: bytes) -> None:
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    ask(server, Request(b"PUT", bucket, b"versioning=", body, hash_of_text(body)))
