"""Same seed, same trace: in this process, in another one, and whatever order Python gives to sets."""

from __future__ import annotations

import os
import subprocess
import sys

from objstore.testing.sim.campaign import run_schedule
from objstore.testing.sim.trace import TraceLog

SEEDS = range(30)
PROGRAM = """
from objstore.testing.sim.campaign import run_schedule
from objstore.testing.sim.trace import TraceLog
for seed in range(30):
    trace = TraceLog()
    run_schedule(seed, trace=trace)
    print(trace.digest)
"""


def digests_with(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return run.stdout.split()


def test_a_seed_is_a_schedule():
    """A failure that cannot be replayed cannot be understood."""
    first, second = digests_with("1"), digests_with("20261")
    assert first == second
    assert len(set(first)) == len(SEEDS)


def test_a_trace_changes_nothing():
    """Whoever looks closer must see the same schedule."""
    for seed in SEEDS:
        trace = TraceLog()
        watched, alone = run_schedule(seed, trace=trace), run_schedule(seed)
        assert trace.lines_count > 10
        assert watched.loop.events == alone.loop.events
        assert watched.checkers.histories == alone.checkers.histories
