"""The project's own end-to-end figures: JSON lines, one per measurement.

    python benchmarks/e2e_bench.py [--data DIR] [--duration 5s] [--rounds N] [--output FILE]
                                   [--list-keys N] [-- SERVE-OPTION...]

One server with default settings, started twice on the same directory (below DIR), measured over a real socket by the load
generator of `objstore-node bench`. Lines go to standard output and to results/bench-<commit>.jsonl; compare two such files
with benchmarks/compare.py.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import uvloop

from objstore.model.limits import KIB, MIB
from objstore.server.bench.amounts import parse_duration
from objstore.server.bench.figures import Figures
from objstore.server.bench.machine import commit, file_system, machine
from objstore.server.bench.own_server import OwnServer, serving
from objstore.server.bench.session import Plan, Screen, run_plan
from objstore.server.bench.signer import Credentials
from objstore.server.bench.target import Target, parse_endpoint
from objstore.server.settings import Secret

RESULTS = Path(__file__).resolve().parents[1] / "results"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Lines(Screen):
    """Prints and keeps every line, with the memory of the server at the end of each measurement."""

    def __init__(self, output: Path, facts: dict) -> None:
        output.parent.mkdir(parents=True, exist_ok=True)
        self._output = output
        self._facts = facts
        self.server_pid = 0
        self.rss_mb_max = 0.0

    def add(self, line: dict) -> None:
        text = json.dumps(line | self._facts)
        print(text, flush=True)
        with self._output.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def finished(self, figures: Figures) -> None:
        self.rss_mb_max = max(self.rss_mb_max, memory(self.server_pid)["rss_mb"])
        self.add(figures.as_line())


def session_pids(leader: int) -> list[int]:
    """Return the processes of a session: the server and what it started."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found.append(int(entry.name))
    return found


def memory(leader: int) -> dict:
    """Return RSS (shared pages counted by each process) and PSS (counted once) of all processes together."""
    rss_bytes = pss_kib = 0
    pids = session_pids(leader)
    for pid in pids:
        place = Path("/proc", str(pid))
        try:
            rss_bytes += int((place / "statm").read_text().split()[1]) * PAGE_BYTES
            for line in (place / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    pss_kib += int(line.split()[1])
        except OSError:
            continue
    return {
        "rss_mb": round(rss_bytes / 1e6, 1),
        "pss_mb": round(pss_kib * KIB / 1e6, 1),
        "processes": len(pids),
    }


def plans(target: Target, duration_s: float, list_keys: int) -> list[Plan]:
    def plan(cases: str, sizes: tuple[int, ...], clients: tuple[int, ...], keys=None) -> Plan:
        return Plan(
            target=target,
            cases=tuple(cases.split()),
            sizes=sizes,
            concurrencies=clients,
            duration_s=duration_s,
            run_id=secrets.token_hex(4),
            keys_count=keys,
        )

    return [
        plan("put get", (4 * KIB,), (1, 16, 64)),
        plan("put get multipart", (64 * MIB,), (1, 4)),
        plan("list", (4 * KIB,), (1, 16), list_keys),
    ]


def one_round(data: Path, lines: Lines, arguments: argparse.Namespace) -> None:
    options = tuple(arguments.serve_options)
    with serving(data, options) as server:
        lines.add({"case": "start first", "seconds": round(server.ready_after_s, 3)})
    with serving(data, options) as server:
        lines.add({"case": "start second", "seconds": round(server.ready_after_s, 3)})
        lines.add({"case": "memory idle", **memory(server.pid)})
        lines.server_pid = server.pid
        for plan in plans(target_of(server), arguments.duration, arguments.list_keys):
            uvloop.run(run_plan(plan, lines))
        after = memory(server.pid)
        lines.add({"case": "memory loaded", **after, "rss_mb": lines.rss_mb_max})


def target_of(server: OwnServer) -> Target:
    host, port, is_tls = parse_endpoint(server.endpoint)
    keys = Credentials(server.access_key, Secret(server.secret_key), "us-east-1")
    return Target(host, port, is_tls, keys)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="directory to put the data below")
    parser.add_argument("--duration", type=parse_duration, default=5.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--list-keys", type=int, default=100_000)
    parser.add_argument("--output", type=Path)
    parser.add_argument("serve_options", nargs="*", metavar="SERVE-OPTION")
    arguments = parser.parse_args()
    revision = commit()
    output = arguments.output or RESULTS / f"bench-{revision or 'unknown'}.jsonl"
    for _ in range(arguments.rounds):
        data = Path(tempfile.mkdtemp(prefix="objstore-bench-", dir=arguments.data))
        facts = {
            "commit": revision,
            "serve_options": arguments.serve_options,
            "machine": machine() | {"data_on": file_system(data)},
        }
        try:
            one_round(data, Lines(output, facts), arguments)
        finally:
            shutil.rmtree(data, ignore_errors=True)
    print(f"written to {output}", file=sys.stderr)


if __name__ == "__main__":
    main()
