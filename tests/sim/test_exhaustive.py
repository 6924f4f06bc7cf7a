"""Every schedule of a small scope: what random schedules may miss cannot hide in here."""

from __future__ import annotations

import os

import pytest

from objstore.model.errors import InvariantError
from objstore.testing.mutants import MUTANTS
from objstore.testing.sim.checkers import Violation
from objstore.testing.sim.exhaustive import Scope, search

STATES_MAX = int(os.environ.get("OBJSTORE_SIM_STATES", "5000"))
ONE_LEADER = Scope(namings=((0, 1),), writes=(0,), reads=(), crashes=1)


def test_one_leader_in_every_order_of_events():
    """One naming, a write, a crash anywhere, any loss, any doubling: every reachable state is visited."""
    searched = search(ONE_LEADER, states_max=10_000)
    assert searched.is_complete
    assert searched.states > 1_000
    assert searched.acknowledged >= 2


def test_two_leaders_two_clients_one_crash_as_far_as_time_allows():
    """The whole scope, breadth first, up to a bound on states that a night sets higher."""
    searched = search(Scope(), states_max=STATES_MAX)
    assert searched.is_complete or searched.states >= STATES_MAX
    # Breadth first, few thousand states hold confirmed reads; acknowledged writes lie deeper. The scope above reaches them all.
    assert searched.reads > 0


@pytest.mark.parametrize("name", ["leads-without-promises", "commits-by-itself"])
def test_the_search_finds_a_rule_that_is_off(name):
    """The search itself must be able to fail."""
    scope = Scope(writes=(0,), reads=(), crashes=0)
    with pytest.raises((Violation, InvariantError)):
        search(scope, MUTANTS[name].parts.log, states_max=60_000)
