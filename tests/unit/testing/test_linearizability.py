"""The checker of linearizability against known good and bad histories, and against a dumb twin that tries every order."""

from __future__ import annotations

from itertools import combinations, permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.testing.linearizability import Operation, find_order, is_linearizable

PUT, CAS, GET = "put", "cas", "get"


def register(state, action):
    """A register: put, compare and set, get."""
    kind, *values = action
    if kind == PUT:
        return values[0], "ok"
    if kind == CAS:
        return (values[1], True) if state == values[0] else (state, False)
    return state, state


def is_read(action, answer):
    return action[0] == GET or answer is False


def history(*rows):
    return [Operation(*row) for row in rows]


def check(operations):
    with_reads = is_linearizable(operations, register, 0, is_read)
    assert is_linearizable(operations, register, 0) == with_reads
    return with_reads


def test_an_empty_history_is_explained():
    """Nothing happened, and that is possible."""
    assert find_order([], register, 0) == []


def test_overlapping_operations_may_take_either_order():
    """Between call and return, anything goes."""
    assert check(history((1, 4, (PUT, 1), "ok"), (2, 3, (GET,), 0)))
    assert check(history((1, 4, (PUT, 1), "ok"), (2, 3, (GET,), 1)))


def test_a_stale_read_is_found():
    """What was acknowledged before a read was asked must be seen by it."""
    assert not check(history((1, 2, (PUT, 1), "ok"), (3, 4, (GET,), 0)))


def test_reads_do_not_go_back():
    """A value that was seen may not vanish, even if its write is still open."""
    assert not check(history((1, 8, (PUT, 1), "ok"), (2, 3, (GET,), 1), (4, 5, (GET,), 0)))


def test_a_lost_update_is_found():
    """Two conditional writes of one version cannot both succeed."""
    assert not check(history((1, 4, (CAS, 0, 1), True), (2, 5, (CAS, 0, 2), True)))
    assert check(history((1, 4, (CAS, 0, 1), True), (2, 5, (CAS, 0, 2), False)))


def test_an_unknown_outcome_stays_open_for_ever():
    """It may take effect at any time after its call, or never; but not before, and not twice."""
    unknown = (1, None, (PUT, 1))
    assert check(history(unknown, (2, 3, (GET,), 0), (4, 5, (GET,), 1)))
    assert check(history(unknown, (2, 3, (GET,), 0), (4, 5, (GET,), 0)))
    assert not check(history((1, 2, (GET,), 1), (3, None, (PUT, 1))))
    back = history(
        unknown, (2, 3, (GET,), 1), (4, 5, (PUT, 2), "ok"), (6, 7, (GET,), 2), (8, 9, (GET,), 1)
    )
    assert not check(back)


def test_what_changes_nothing_now_may_matter_later():
    """A delete of nothing is no read: it may be the one that explains why the value is gone later."""
    assert check(history((1, 6, (PUT, 0), "ok"), (2, 3, (PUT, 5), "ok"), (7, 8, (GET,), 0)))


def test_the_order_that_is_returned_explains_the_history():
    """The answer can be checked by hand: play it."""
    operations = history(
        (1, 9, (PUT, 1), "ok"), (2, 8, (CAS, 1, 2), True), (3, 7, (GET,), 1), (10, 11, (GET,), 2)
    )
    state = 0
    for operation in find_order(operations, register, 0, is_read):
        state, answer = register(state, operation.action)
        assert answer == operation.answer


def test_a_long_history_does_not_take_long():
    """300 operations of ten clients, ten of unknown outcome: what a schedule of hours gives for one key."""
    operations, state = [], 0
    for number in range(300):
        at = number * 10
        if number % 30 == 29:
            operations.append(Operation(at, None, (PUT, -number)))
        elif number % 3:
            state = number
            operations.append(Operation(at, at + 95, (PUT, number), "ok"))
        else:
            operations.append(Operation(at + 5, at + 8, (GET,), state))
    assert check(operations) in {True, False}


ACTIONS = st.one_of(
    st.tuples(st.just(PUT), st.integers(0, 2)),
    st.tuples(st.just(CAS), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just(GET)),
)


@st.composite
def histories(draw):
    count = draw(st.integers(0, 5))
    moments = draw(st.permutations(range(2 * count)))
    operations = []
    for number in range(count):
        called, returned = sorted(moments[2 * number : 2 * number + 2])
        action = draw(ACTIONS)
        answer = {PUT: st.just("ok"), CAS: st.booleans(), GET: st.integers(0, 2)}[action[0]]
        is_known = draw(st.integers(0, 3)) > 0
        operations.append(Operation(called, returned if is_known else None, action, draw(answer)))
    return operations


def dumb_twin(operations):
    """Try every order of all that completed and any of the rest."""
    completed = [operation for operation in operations if operation.returned is not None]
    unknown = [operation for operation in operations if operation.returned is None]
    for size in range(len(unknown) + 1):
        for happened in combinations(unknown, size):
            if any(map(is_explained, permutations([*completed, *happened]))):
                return True
    return False


def is_explained(order):
    state = 0
    for place, operation in enumerate(order):
        for later in order[place + 1 :]:
            if later.returned is not None and later.returned < operation.called:
                return False
        state, answer = register(state, operation.action)
        if operation.returned is not None and answer != operation.answer:
            return False
    return True


@settings(max_examples=200, deadline=None)
@given(histories())
def test_the_search_agrees_with_trying_every_order(operations):
    """Two implementations beat one proof."""
    assert check(operations) == dumb_twin(operations)
