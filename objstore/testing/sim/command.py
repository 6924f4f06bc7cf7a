"""The command line of the simulation.

python -m objstore.testing.sim --seed 42                 one schedule: what it was and how it ended
python -m objstore.testing.sim --seed 42 --trace         and everything that happened in it
python -m objstore.testing.sim --seed 0 --schedules 1000 a thousand, from that seed on
python -m objstore.testing.sim --seed 6000000 --schedules 750000    a campaign; every ten thousand it tells how far it is
python -m objstore.testing.sim --seed 0 --mutant NAME    with one rule switched off
"""

from __future__ import annotations

import sys
import time

import click

from objstore.testing.mutants import MUTANTS
from objstore.testing.sim.campaign import Figures, ScheduleFailed, run_schedule, run_schedules
from objstore.testing.sim.cluster import Parts
from objstore.testing.sim.trace import TraceLog

__all__ = ["main"]

BLOCK = 10_000
"""Schedules between two lines of a long run."""


@click.command(context_settings={"max_content_width": 100})
@click.option("--seed", type=int, default=1, show_default=True, help="The (first) seed.")
@click.option("--schedules", type=int, default=1, show_default=True, help="How many seeds.")
@click.option("--trace", is_flag=True, help="Print all that happens; for one schedule.")
@click.option("--mutant", type=click.Choice(sorted(MUTANTS)), help="Switch this rule off.")
def main(*, seed: int, schedules: int, trace: bool, mutant: str | None) -> None:
    """Run simulated schedules of a replicated partition; the exit code is 1 if one breaks a rule."""
    try:
        if schedules > 1 and mutant is None:
            _run_many(seed, schedules)
        else:
            _run_each(range(seed, seed + schedules), trace=trace, mutant=mutant or "")
    except ScheduleFailed as failure:
        click.echo(str(failure))
        sys.exit(1)


def _run_many(seed: int, schedules: int) -> None:
    """Run them in blocks, each with a line of its own: a campaign that is ended early has still said what it found."""
    begun = time.process_time()
    figures = Figures()
    for first in range(seed, seed + schedules, BLOCK):
        run_schedules(range(first, min(first + BLOCK, seed + schedules)), figures)
        took_s = time.process_time() - begun
        click.echo(
            f"{figures.schedules} schedules from seed {seed} on, no violation:"
            f" {figures.operations} operations, {figures.entries} entries,"
            f" {figures.epochs} epochs, {figures.messages} messages, {figures.events} events"
            f" in {took_s:.1f} s of CPU time, {figures.schedules / took_s:.0f} schedules a second"
        )


def _run_each(seeds: range, *, trace: bool, mutant: str) -> None:
    parts = MUTANTS[mutant].parts if mutant else Parts()
    for seed in seeds:
        lines = TraceLog(click.echo if trace else None)
        cluster = run_schedule(seed, parts, lines, mutant)
        click.echo(cluster.plan.describe())
        click.echo(
            f"no violation: {len(cluster.checkers.committed)} entries,"
            f" {cluster.checkers.epochs} epochs, {cluster.network.carried} messages,"
            f" {cluster.loop.events} events, trace {lines.digest}"
        )
