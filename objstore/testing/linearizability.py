"""Linearizability of one object's history: Wing and Gong's search with Lowe's memory of what was tried.

What it is: given operations with the moments of call and return, and a deterministic specification, find an order in
which they could have happened one after the other, each somewhere between its call and its return, with the answers
that were given. No such order means that a client saw something impossible.

What it promises: an order that `find_order` returns is one; nothing returned means there is none. An operation whose
outcome is unknown stays open for ever: it may take effect at any time after its call, or never, with any answer.

What it does not do: several objects at once. Linearizability is local: check each key's history by itself.

Why it is fast enough: a read that is due and gives the answer that was seen can always go first, so only changes
branch; and what was tried is remembered by (operations done, state). A few hundred operations
with ten clients and ten unknown outcomes take a fraction of a second; the worst case stays exponential in the number
of operations that overlap, so use a new key after some hundreds of operations.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

__all__ = ["IsRead", "Operation", "Specification", "find_order", "is_linearizable"]

IsRead = Callable[[object, object], bool]
"""`is_read(action, answer)`: this action with this answer never changes anything, in whatever state."""

Specification = Callable[[Hashable, object], tuple[Hashable, object]]
"""`specification(state, action)` returns the state after the action and its answer. States must be hashable."""


class Operation(NamedTuple):
    """One call of one client. Moments only need to be comparable; no two of them may be equal."""

    called: int
    returned: int | None
    """Nothing: the outcome is unknown."""
    action: object
    answer: object = None
    """What the client was told; without meaning where the outcome is unknown."""


def _never(action: object, answer: object) -> bool:  # noqa: ARG001 one shape of these functions
    """Take every action for a change: always right, never fast."""
    return False


_Move = tuple[int, int, Hashable]
"""The place of one operation that may go next, and what is then done and true."""


def is_linearizable(
    operations: Sequence[Operation],
    specification: Specification,
    initial: Hashable,
    is_read: IsRead = _never,
) -> bool:
    """Tell whether there is an order that explains the history."""
    return find_order(operations, specification, initial, is_read) is not None


def find_order(
    operations: Sequence[Operation],
    specification: Specification,
    initial: Hashable,
    is_read: IsRead = _never,
) -> list[Operation] | None:
    """Return the operations in an order that explains the history, or nothing if there is none.

    An action that happens to change nothing in one state is no read: later in the order it might. Operations of unknown
    outcome that did not have to happen are left out.
    """
    ordered = sorted(operations, key=_called)
    reads = completed = 0
    for place, operation in enumerate(ordered):
        if operation.returned is not None:
            completed |= 1 << place
            if is_read(operation.action, operation.answer):
                reads |= 1 << place
    path: list[int] = []
    done, state = 0, initial
    tried: set[tuple[int, Hashable]] = set()
    branches: list[list[_Move]] = []
    while completed & ~done:
        moves = []
        if (done, state) not in tried:
            tried.add((done, state))
            moves = _moves(ordered, specification, done, state, reads)
        branches.append(moves)
        while branches and not branches[-1]:
            branches.pop()
            if path:
                path.pop()
        if not branches:
            return None
        place, done, state = branches[-1].pop()
        path.append(place)
    return [ordered[place] for place in path]


def _called(operation: Operation) -> int:
    return operation.called


def _moves(
    ordered: list[Operation],
    specification: Specification,
    done: int,
    state: Hashable,
    reads: int,
) -> list[_Move]:
    """Return what may go next, most promising last; a single one where that one is always right.

    An operation may go if no other one that is still open returned before it was called. Those called after the
    earliest such return need not be looked at; those called before it may all go.
    """
    moves: list[_Move] = []
    earliest_return: int | None = None
    for place in range(_lowest_open(done), len(ordered)):
        if done >> place & 1:
            continue
        called, returned, action, answer = ordered[place]
        if earliest_return is not None and called > earliest_return:
            break
        after, given = specification(state, action)
        if returned is None:
            if after != state:
                moves.append((place, done | 1 << place, after))
            continue
        if earliest_return is None or returned < earliest_return:
            earliest_return = returned
        if given == answer:
            move = (place, done | 1 << place, after)
            if reads >> place & 1:
                return [move]
            moves.append(move)
    if len(moves) > 1:
        moves.sort(key=lambda move: _return_order(ordered[move[0]]), reverse=True)
    return moves


def _return_order(operation: Operation) -> tuple[bool, int]:
    """Try first what returned first; what never returned, last."""
    return operation.returned is None, operation.returned or operation.called


def _lowest_open(done: int) -> int:
    """Return the first place whose bit is not set."""
    return (~done & (done + 1)).bit_length() - 1
