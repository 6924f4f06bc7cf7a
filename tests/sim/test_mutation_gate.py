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


def test_the_page_tells_how_many_schedules_each_mutant_took():
    """A table that nobody compares tells of a search that is long gone."""
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    section = page.partition("### What random schedules have run")[2].partition("###")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    cells = [cell.strip() for row in rows[2:] for cell in row]
    told = {
        name: int(count.replace(",", ""))
        for name, count in zip(cells[::2], cells[1::2], strict=True)
        if name
    }
    assert told == {name: seed + 1 for name, seed in known_seeds().items()}
