"""Random schedules of a whole partition, all checkers on. A failure names its seed and the command that replays it.

`OBJSTORE_SIM_SCHEDULES` sets how many; a night takes millions, from `OBJSTORE_SIM_SEED` on.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from objstore.testing.sim.campaign import Figures, run_schedule, run_schedules

SCHEDULES = int(os.environ.get("OBJSTORE_SIM_SCHEDULES", "20000"))
FIRST_SEED = int(os.environ.get("OBJSTORE_SIM_SEED", "0"))
BLOCKS = 20


@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_schedules_keep_every_promise(block):
    """Rules 1 to 7: no mixture of faults may lose, fork, repeat or hide what was acknowledged, or stop it for ever."""
    size = max(1, SCHEDULES // BLOCKS)
    first = FIRST_SEED + block * size
    figures = run_schedules(range(first, first + size))
    assert figures.schedules == size
    assert figures.entries > size
    assert figures.epochs > size


def kept_seeds():
    lines = (Path(__file__).parent / "seeds.txt").read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("seed", kept_seeds())
def test_seeds_that_once_failed_pass(seed):
    """A schedule that found something may find it again."""
    figures = Figures()
    figures.add(run_schedule(seed))
    assert figures.schedules == 1
