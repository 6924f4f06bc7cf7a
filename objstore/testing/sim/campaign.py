"""Run schedules: one by its seed, or many and count them; every failure comes with the command that replays it."""

from __future__ import annotations

import gc
from collections.abc import Iterable

import msgspec

from objstore.model.errors import InvariantError
from objstore.testing.sim.checkers import Violation
from objstore.testing.sim.cluster import Cluster, Parts
from objstore.testing.sim.trace import TraceLog

__all__ = ["Figures", "ScheduleFailed", "first_failure", "run_schedule", "run_schedules"]


class ScheduleFailed(AssertionError):
    """A schedule broke a rule; the text holds the seed and how to see it again."""

    def __init__(self, seed: int, cause: BaseException, mutant: str = "") -> None:
        replay = f"make sim SEED={seed}"
        if mutant:
            replay = f"python -m objstore.testing.sim --mutant {mutant} --seed {seed}"
        super().__init__(f"seed {seed}: {cause}\nreplay: {replay}")
        self.seed = seed


class Figures(msgspec.Struct):
    """What a number of schedules amounted to."""

    schedules: int = 0
    events: int = 0
    messages: int = 0
    entries: int = 0
    epochs: int = 0
    operations: int = 0

    def add(self, cluster: Cluster) -> None:
        """Count a schedule that is over."""
        self.schedules += 1
        self.events += cluster.loop.events
        self.messages += cluster.network.carried
        self.entries += len(cluster.checkers.committed)
        self.epochs += cluster.checkers.epochs
        self.operations += cluster.plan.operations


def run_schedule(
    seed: int, parts: Parts | None = None, trace: TraceLog | None = None, mutant: str = ""
) -> Cluster:
    """Run one schedule and return what is left of it; raise `ScheduleFailed`."""
    try:
        cluster = (parts or Parts()).build(seed, trace)
        cluster.run()
    except (Violation, InvariantError) as error:
        raise ScheduleFailed(seed, error, mutant) from error
    return cluster


def run_schedules(seeds: Iterable[int], figures: Figures | None = None) -> Figures:
    """Run one schedule per seed, and add it to these figures; raise `ScheduleFailed` at the first that breaks a rule.

    Garbage is not collected meanwhile, which would cost a tenth of the speed: a schedule that is closed leaves none.
    """
    figures = Figures() if figures is None else figures
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for seed in seeds:
            cluster = run_schedule(seed)
            figures.add(cluster)
            cluster.close()
    finally:
        if was_enabled:
            gc.enable()
    return figures


def first_failure(seeds: Iterable[int], parts: Parts, mutant: str = "") -> ScheduleFailed | None:
    """Return the first failure among these seeds, if there is one; for mutants."""
    for seed in seeds:
        try:
            run_schedule(seed, parts, mutant=mutant)
        except ScheduleFailed as failure:
            return failure
    return None
