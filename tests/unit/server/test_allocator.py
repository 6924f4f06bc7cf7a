"""Memory that bodies pass through is kept, not cleared anew for each of them."""

from __future__ import annotations

import platform
import subprocess
import sys

PROGRAM = """
import resource, sys
from objstore.server.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    for _ in range(20):
        held = [bytearray(200_000) for _ in range(20)]
        del held
use()
before = faults()
use()
print(faults() - before)
"""


def faults(how):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, check=True, text=True
    )
    return int(done.stdout)


def test_freed_memory_is_not_fetched_again():
    """Twenty pieces at a time, as many uploads hold them: their pages are touched for the first time once only."""
    if platform.libc_ver()[0] == "glibc":
        assert faults("kept") < faults("default") / 10
    else:
        assert faults("kept") >= 0
