"""The mutation gate: every rule, switched off, is found. Run it alone to see how many schedules each one takes."""

from __future__ import annotations

import pytest

from objstore.testing.mutants import MUTANTS
from objstore.testing.sim.campaign import first_failure

CHANCE = [mutant for mutant in MUTANTS.values() if mutant.budget]


@pytest.mark.parametrize("mutant", CHANCE, ids=lambda mutant: mutant.name)
def test_random_schedules_find_the_rule_that_is_off(mutant, record_property):
    """A search that cannot fail proves nothing: each of these is found within its budget of schedules."""
    failure = first_failure(range(mutant.budget), mutant.parts, mutant.name)
    assert failure is not None, f"{mutant.name} survived {mutant.budget} schedules"
    assert f"--mutant {mutant.name} --seed {failure.seed}" in str(failure)
    record_property("schedules", failure.seed + 1)


def test_there_is_a_mutant_for_every_rule():
    """Rules without a mutant are rules that nobody checks; what chance does not find has a dialogue of its own."""
    assert len(MUTANTS) >= 25
    assert {f"rule {number}" for number in range(1, 8)} <= {m.rule for m in MUTANTS.values()}
    assert all(mutant.budget or mutant.directed for mutant in MUTANTS.values())
