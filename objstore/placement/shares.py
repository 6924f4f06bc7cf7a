"""How much each drive ought to hold, and how much of one partition a failure domain may hold.

Failure domains come before weights. First the caps of one partition:

    drive   one slot node    the smallest number for which all nodes together still hold the width
    (one, where there are enough nodes) zone    likewise over zones, given the caps of their nodes

Then the shares: water is poured into the drives in proportion to their weights; a drive, node or
zone that reaches what its cap allows over all partitions takes no more, and the rest goes on
rising. This is the weighted max-min fair division, and where no cap binds it is plain proportion.
The arithmetic is exact, because a share that is off by a hair rounds to another slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from objstore.model.errors import NotEnoughDrives
from objstore.placement.members import Member, active_members

__all__ = ["Domains", "Shares", "find_domains", "find_shares"]


@dataclass(frozen=True, slots=True)
class Domains:
    """The failure domains of the active drives, numbered, and their caps for one partition."""

    drives: tuple[int, ...]
    """Indices of the active members; the other fields are by position in the whole list of
    members.
    """
    node_of: tuple[int, ...]
    zone_of: tuple[int, ...]
    nodes_count: int
    zones_count: int
    node_cap: int
    zone_cap: int


@dataclass(frozen=True, slots=True)
class Shares:
    """Slots that each member ought to hold; a table is balanced when each holds `low` to `high`."""

    exact: tuple[Fraction, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]


def find_domains(members: Sequence[Member], *, width: int) -> Domains:
    """Number nodes and zones and find their caps; raise `NotEnoughDrives` where the width cannot be
    met.
    """
    drives = active_members(members)
    if len(drives) < width:
        raise NotEnoughDrives(
            "a partition needs more drives than there are", drives=len(drives), width=width
        )
    node_of = _number([member.node for member in members])
    zone_of = _number([member.zone for member in members])
    zone_of_node: dict[int, int] = {}
    drives_in = [0] * (max(node_of) + 1)
    for drive in drives:
        drives_in[node_of[drive]] += 1
        zone_of_node[node_of[drive]] = zone_of[drive]
    node_cap = _level(drives_in, width)
    room_in = [0] * (max(zone_of) + 1)
    for node, zone in zone_of_node.items():
        room_in[zone] += min(drives_in[node], node_cap)
    return Domains(
        drives=drives,
        node_of=node_of,
        zone_of=zone_of,
        nodes_count=len(drives_in),
        zones_count=len(room_in),
        node_cap=node_cap,
        zone_cap=_level(room_in, width),
    )


def find_shares(
    members: Sequence[Member], domains: Domains, *, partitions_count: int, width: int
) -> Shares:
    """Divide all slots over the active drives: proportional to weight as far as the caps allow."""
    vessels = _vessels(domains, partitions_count=partitions_count, width=width)
    exact = [Fraction(0)] * len(members)
    rising = dict.fromkeys(domains.drives, True)
    while any(rising.values()):
        level, full = _next_full(vessels, members, exact, rising)
        for drive in full:
            exact[drive] = level * members[drive].weight
            rising[drive] = False
    return Shares(
        exact=tuple(exact),
        low=tuple(floor(share) for share in exact),
        high=tuple(ceil(share) for share in exact),
    )


_Vessel = tuple[int, list[int]]
"""What a group of drives holds at most over all partitions, and the drives."""


def _vessels(domains: Domains, *, partitions_count: int, width: int) -> list[_Vessel]:
    nodes: list[list[int]] = [[] for _ in range(domains.nodes_count)]
    zones: list[list[int]] = [[] for _ in range(domains.zones_count)]
    for drive in domains.drives:
        nodes[domains.node_of[drive]].append(drive)
        zones[domains.zone_of[drive]].append(drive)
    return [
        (partitions_count * width, list(domains.drives)),
        *((partitions_count * domains.zone_cap, group) for group in zones),
        *((partitions_count * domains.node_cap, group) for group in nodes),
        *((partitions_count, [drive]) for drive in domains.drives),
    ]


def _next_full(
    vessels: list[_Vessel],
    members: Sequence[Member],
    exact: list[Fraction],
    rising: dict[int, bool],
) -> tuple[Fraction, list[int]]:
    """Return the lowest level at which something is full, and the drives that stop there."""
    lowest: Fraction | None = None
    full: list[int] = []
    for size, group in vessels:
        weight = sum(members[drive].weight for drive in group if rising[drive])
        if not weight:
            continue
        level = (size - sum(exact[drive] for drive in group if not rising[drive])) / Fraction(
            weight
        )
        if lowest is None or level < lowest:
            lowest, full = level, []
        if level == lowest:
            full.extend(drive for drive in group if rising[drive])
    return lowest or Fraction(0), full


def _level(rooms: Sequence[int], width: int) -> int:
    """Return the smallest cap under which the rooms together still hold the width."""
    cap = 1
    while sum(min(room, cap) for room in rooms) < width:
        cap += 1
    return cap


def _number(names: Sequence[str]) -> tuple[int, ...]:
    """Number the distinct names in their order."""
    numbers = {name: number for number, name in enumerate(sorted(dict.fromkeys(names)))}
    return tuple(numbers[name] for name in names)
