"""The mutation gate: every rule, switched off, is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from objstore.testing.mutants import MUTANTS
from objstore.testing.sim.campaign import first_failure

CHANCE = [mutant for mutant in MUTANTS.values() if mutant.budget]


def known_seeds():
    lines = (Path(__file__).parent / "mutant_seeds.txt").read_text(encoding="utf-8").splitlines()
    return {name: int(seed) for name, seed in (x.split() for x in lines if not x.startswith("#"))}


@pytest.mark.parametrize("mutant", CHANCE, ids=lambda mutant: mutant.name)
def test_random_schedules_find_the_rule_that_is_off(mutant):
    """A search that cannot fail proves nothing: each of these is found within its budget of schedules."""
    known = known_seeds().get(mutant.name, 0)
    assert known < mutant.budget
    failure = first_failure([known, *range(mutant.budget)], mutant.parts, mutant.name)
    assert failure is not None, f"{mutant.name} survived {mutant.budget} schedules"
    assert f"--mutant {mutant.name} --seed {failure.seed}" in str(failure)


def test_there_is_a_mutant_for_every_rule():
    """Rules without a mutant are rules that nobody checks; what chance does not find has a dialogue of its own."""
    assert len(MUTANTS) >= 25
    assert {f"rule {number}" for number in range(1, 8)} <= {m.rule for m in MUTANTS.values()}
    assert all(mutant.budget or mutant.directed for mutant in MUTANTS.values())
