"""Drives that a ring may use, and in what order they stand.

Promises one canonical order (by drive id), so that the same cluster always yields the same ring.
Does not know whether a drive is reachable: a ring names homes, and whether a home answers today is
for the failure detector to say.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from objstore.model.errors import InvalidArgument
from objstore.model.names import DriveId, NodeId, Zone

__all__ = [
    "MEMBERS_MAX",
    "WEIGHT_MAX",
    "Member",
    "active_members",
    "member_problems",
    "sort_members",
]

MEMBERS_MAX = 0xFFFF
"""A table names a member in two bytes."""
WEIGHT_MAX = 1 << 20
"""A weight is a ratio (for example units of 100 GB); larger numbers are mistaken byte counts."""


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One drive of the cluster, the node that serves it and the failure domain that the node stands
    in.

    `weight` is the wanted share of load relative to the other drives (1 to `WEIGHT_MAX`). A
    draining drive stays a member, so that it can be read while it empties, but is given nothing.
    """

    drive: DriveId
    node: NodeId
    zone: Zone
    weight: int = 1
    is_draining: bool = False


def sort_members(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return the members by drive id; raise `InvalidArgument` with every reason why they cannot
    form a ring.
    """
    ordered = tuple(sorted(members, key=lambda member: member.drive))
    problems = member_problems(ordered)
    if problems:
        raise InvalidArgument("; ".join(problems), argument_name="members")
    return ordered


def active_members(members: Iterable[Member]) -> tuple[int, ...]:
    """Return the indices of the members that may hold anything."""
    return tuple(index for index, member in enumerate(members) if not member.is_draining)


def member_problems(members: tuple[Member, ...]) -> list[str]:
    """Return what is wrong with a list of members, all at once; an empty list means nothing is."""
    problems = []
    if len(members) > MEMBERS_MAX:
        problems.append(f"a ring has at most {MEMBERS_MAX} drives, not {len(members)}")
    zone_of_node: dict[NodeId, Zone] = {}
    previous = None
    for member in members:
        if previous is not None and member.drive <= previous:
            fault = "appears twice" if member.drive == previous else "is out of order"
            problems.append(f"drive {member.drive} {fault}")
        if not 1 <= member.weight <= WEIGHT_MAX:
            problems.append(
                f"drive {member.drive} has weight {member.weight}, not 1 to {WEIGHT_MAX}"
            )
        if zone_of_node.setdefault(member.node, member.zone) != member.zone:
            problems.append(f"node {member.node} stands in two zones: drive {member.drive}")
        previous = member.drive
    return problems
