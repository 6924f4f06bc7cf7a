"""Leaders move back to a drive that returned: evenly, a few at a time, and not to one that comes and goes."""

from __future__ import annotations

import random
from collections import Counter

from objstore.metadata.leader_balance import (
    EVERY_S,
    FORGIVEN_S,
    GAP_MIN,
    MOVES_AT_ONCE,
    STEADY_S,
    LeaderBalance,
    level,
)

NAMES = ("a", "b", "c")
VOTERS = dict.fromkeys(range(60), NAMES)


def settle(balance, leaders, *, well=NAMES, now=0.0, turns=100):
    """Carry moves out until none come any more; return the leaders, the time and the number of moves."""
    leaders, count, quiet = dict(leaders), 0, 0
    while quiet < turns:
        balance.observe(well, now)
        moves = balance.moves(leaders, VOTERS, now) if balance.is_due(now) else {}
        assert len(moves) <= MOVES_AT_ONCE
        leaders.update(moves)
        count += len(moves)
        quiet = 0 if moves else quiet + 1
        now += EVERY_S
    return leaders, now, count


def without(name):
    """Leaders as they are when one has been away."""
    rest = [other for other in NAMES if other != name]
    return {number: rest[number % 2] for number in VOTERS}


def test_a_drive_that_returned_gets_its_share():
    """With no more moves than that takes."""
    leaders, _, count = settle(LeaderBalance(), without("c"))
    assert Counter(leaders.values()) == {"a": 20, "b": 20, "c": 20}
    assert count == 20


def test_nothing_moves_to_a_replica_that_was_not_well_for_a_while():
    """It has only just come, and may go again."""
    balance = LeaderBalance()
    balance.observe(NAMES, 0.0)
    assert balance.moves(without("c"), VOTERS, STEADY_S - 0.1) == {}
    assert balance.moves(without("c"), VOTERS, STEADY_S + EVERY_S) != {}


def test_a_drive_that_comes_and_goes_moves_less_and_less():
    """Each return costs twice the wait of the one before: within an hour a handful of times, not hundreds."""
    balance = LeaderBalance()
    leaders, moved, now = without("c"), 0, 0.0
    while now < 3600:
        is_away = (now % 60) < 1.0
        if is_away:
            leaders = without("c")
        balance.observe(("a", "b") if is_away else NAMES, now)
        moves = balance.moves(leaders, VOTERS, now) if balance.is_due(now) else {}
        moved += bool(moves) and leaders == without("c")
        leaders = {**leaders, **moves}
        now += EVERY_S
    assert 1 <= moved <= 5


def test_an_old_failure_is_forgiven():
    """A drive that failed once is not held to it for ever."""
    balance = LeaderBalance()
    for now, well in ((0.0, NAMES), (10.0, ("a", "b")), (11.0, NAMES)):
        balance.observe(well, now)
    assert "c" not in balance.fit(11.0 + 1.5 * STEADY_S)
    assert "c" in balance.fit(11.0 + 2 * STEADY_S)
    later = 11.0 + 3 * FORGIVEN_S
    balance.observe(("a", "b"), later)
    balance.observe(NAMES, later + 1)
    assert "c" in balance.fit(later + 1 + 2 * STEADY_S)


def test_small_differences_move_nothing():
    """A move costs a pause: it must be worth it."""
    leaders = {number: NAMES[number % 3] for number in VOTERS}
    leaders[0] = "b"
    assert Counter(leaders.values())["b"] - Counter(leaders.values())["a"] < GAP_MIN
    assert settle(LeaderBalance(), leaders)[2] == 0


def test_levelling_ends_and_never_makes_it_worse():
    """Whatever the voters are: each batch is of moves to voters, the largest load never grows, and it comes to an end."""
    rng = random.Random(5)
    names = [f"n{number}" for number in range(6)]
    for _ in range(100):
        voters = {number: rng.sample(names, 3) for number in range(64)}
        fit = set(rng.sample(names, rng.randrange(1, 7)))
        leaders = {number: rng.choice(voters[number]) for number in voters}
        for _turn in range(65):
            before = max(Counter(leaders.values()).values())
            moves = level(leaders, voters, fit, gap_max=1, moves_max=8)
            if not moves:
                break
            assert all(t in voters[n] and t in fit and leaders[n] in fit for n, t in moves.items())
            leaders.update(moves)
            assert max(Counter(leaders.values()).values()) <= before
        else:
            raise AssertionError("it does not end")
