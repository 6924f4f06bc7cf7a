"""Arithmetic of majorities."""

from __future__ import annotations

from collections.abc import Callable, Collection

from objstore.consensus.membership import ReplicaId
from objstore.model.errors import check

__all__ = ["has_majority", "majority_index", "majority_size"]


def majority_size(voters: int) -> int:
    """Return how many of so many voters are a majority."""
    return voters // 2 + 1


def has_majority(voters: Collection[ReplicaId], agreed: Collection[ReplicaId]) -> bool:
    """Tell whether a majority of the voters is among those that agreed; an empty group never agrees."""
    count = 0
    for voter in voters:
        if voter in agreed:
            count += 1
    return bool(voters) and count >= majority_size(len(voters))


def majority_index(voters: Collection[ReplicaId], match_of: Callable[[ReplicaId], int]) -> int:
    """Return the highest number that a majority of the voters has reached."""
    check(voters, "a majority needs voters")
    reached = sorted(map(match_of, voters), reverse=True)
    return reached[len(reached) // 2]
