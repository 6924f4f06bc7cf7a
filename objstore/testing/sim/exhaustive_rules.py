"""What must be true of three replicas at once, in every state.

committed      whoever has applied an index has applied the same entry there
durable        what anybody has applied is durable on a majority
next leader    whichever majority promises the next epoch, the best log among it holds all that was applied
log matching   an epoch at an index is the same entry, with the same entries before it
one leader     an epoch has one leader at most
"""

from __future__ import annotations

from itertools import combinations

from objstore.testing.sim.checkers import Violation
from objstore.testing.sim.exhaustive_steps import Local

__all__ = ["check_together"]


def check_together(replicas: tuple[Local, Local, Local]) -> None:
    """Raise `Violation` if these three states must not be at the same time."""
    for left, right in combinations(replicas, 2):
        _check_pair(left, right)
    ahead = max(replicas, key=lambda replica: replica.applied)
    applied = ahead.entries[: ahead.applied]
    holders = sum(replica.entries[: len(applied)] == applied for replica in replicas)
    if holders * 2 <= len(replicas):
        raise Violation("durable", f"applied is {applied}, durable on {holders}")
    for pair in combinations(replicas, 2):
        best = max(pair, key=_rank)
        if best.entries[: len(applied)] != applied:
            raise Violation("next leader", f"{best.core.replica} would lead without {applied}")


def _rank(replica: Local) -> tuple[int, int]:
    last_epoch = replica.entries[-1].epoch if replica.entries else 0
    return last_epoch, len(replica.entries)


def _check_pair(left: Local, right: Local) -> None:
    both = min(left.applied, right.applied)
    if left.entries[:both] != right.entries[:both]:
        raise Violation(
            "committed", f"applied are {left.entries[:both]} and {right.entries[:both]}"
        )
    if left.leads and right.leads and left.epoch == right.epoch:
        names = f"{left.core.replica} and {right.core.replica}"
        raise Violation("one leader", f"epoch {left.epoch} is led by {names}")
    for count in range(min(len(left.entries), len(right.entries)), 0, -1):
        if left.entries[count - 1].epoch == right.entries[count - 1].epoch:
            if left.entries[:count] != right.entries[:count]:
                raise Violation("log matching", f"two logs differ before entry {count}")
            return
