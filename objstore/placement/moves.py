"""The next table of a ring from the previous one: the fewest moves that lead to balance.

The question is a minimum-cost flow: every partition needs `width` slots, a slot goes through the
caps of its partition (drive, node, zone) to a drive, a drive takes between the two roundings of its
share, and a slot costs nothing where the drive held the partition before and one otherwise. It is
solved by successive shortest paths, which is exact, in a form that fits the case:

- What may stay, stays: each partition keeps a largest set of its old drives that obeys the caps.
  The rest are holes.
- A step `d -> e in p` gives the slot of d in partition p to e, when the caps allow. A hole is a
  slot of the drive `HOLE`.
- A path of steps from a drive that holds too much (or from `HOLE`) to one that has room changes two
  loads by one. The cheapest path is taken first. Most paths are a single step; longer ones are
  found by a search over drives, not over slots.
- First nobody may hold more than the upper rounding and no hole may be left; then nobody less than
  the lower one.

The caps of one partition form a laminar matroid. The exchange property of matroids is why single
steps are enough: two steps in one partition that are only allowed together are equal to two steps
that are each allowed alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import xxhash

from objstore.model.errors import check
from objstore.placement.shares import Domains, Shares

__all__ = ["next_rows"]

Step = tuple[int, int, int]
"""Partition, drive that gives, drive that takes."""

_COST_UNKNOWN = 1 << 30


def next_rows(
    kept: Sequence[Sequence[int | None]], domains: Domains, shares: Shares
) -> list[list[int]]:
    """Return balanced rows that differ from the kept ones in as few slots as can be.

    `kept` has the old home of every slot, None where it is gone or never was; a kept home stays in
    its slot.
    """
    table = _Table(kept, domains, shares.high)
    _level_out(table, shares.high)
    _level_out(table, shares.low)
    return [_align(old, row) for old, row in zip(kept, table.rows, strict=True)]


class _Table:
    """A table under change: always within the caps, not always balanced."""

    def __init__(
        self, kept: Sequence[Sequence[int | None]], domains: Domains, highs: Sequence[int]
    ) -> None:
        self.domains = domains
        self.hole = len(domains.node_of)
        self.drives = domains.drives
        self.loads: dict[int, int] = dict.fromkeys((*domains.drives, self.hole), 0)
        self.old = [dict.fromkeys(drive for drive in row if drive is not None) for row in kept]
        self.partitions_of: dict[int, dict[int, None]] = {drive: {} for drive in self.loads}
        self.in_node = [[0] * domains.nodes_count for _ in kept]
        self.in_zone = [[0] * domains.zones_count for _ in kept]
        self.rows: list[list[int]] = [[] for _ in kept]
        crowding = [-high for high in highs]
        for row in self.old:
            for drive in row:
                crowding[drive] += 1
        for partition in sorted(range(len(kept)), key=_mixed):
            self._keep(partition, len(kept[partition]), crowding)

    def _keep(self, partition: int, width: int, crowding: list[int]) -> None:
        """Take over as much of an old row as the caps allow, from crowded drives last."""
        row = self.rows[partition]
        for drive in sorted(self.old[partition], key=crowding.__getitem__):
            if self._has_room(partition, drive):
                row.append(drive)
                self._count(partition, drive, 1)
            else:
                crowding[drive] -= 1
        for _ in range(width - len(row)):
            row.append(self.hole)
            self._count(partition, self.hole, 1)

    def _has_room(self, partition: int, drive: int) -> bool:
        domains = self.domains
        return (
            self.in_node[partition][domains.node_of[drive]] < domains.node_cap
            and self.in_zone[partition][domains.zone_of[drive]] < domains.zone_cap
        )

    def cost(self, partition: int, drive: int) -> int:
        """Return 1 for a slot that its drive did not hold before; a hole is free until it is
        filled.
        """
        return int(drive != self.hole and drive not in self.old[partition])

    def allows(self, partition: int, giver: int, taker: int) -> bool:
        """Tell whether the taker may have the giver's slot of a partition that the giver has."""
        if partition in self.partitions_of[taker]:
            return False
        if giver == self.hole:
            return self._has_room(partition, taker)
        domains = self.domains
        node, zone = domains.node_of[taker], domains.zone_of[taker]
        if node == domains.node_of[giver]:
            return True
        if self.in_node[partition][node] >= domains.node_cap:
            return False
        return zone == domains.zone_of[giver] or self.in_zone[partition][zone] < domains.zone_cap

    def move(self, partition: int, giver: int, taker: int) -> None:
        """Give the slot away."""
        row = self.rows[partition]
        row[row.index(giver)] = taker
        self._count(partition, giver, -1)
        self._count(partition, taker, 1)

    def _count(self, partition: int, drive: int, change: int) -> None:
        self.loads[drive] += change
        if change > 0:
            self.partitions_of[drive][partition] = None
        elif drive not in self.rows[partition]:
            del self.partitions_of[drive][partition]
        if drive != self.hole:
            self.in_node[partition][self.domains.node_of[drive]] += change
            self.in_zone[partition][self.domains.zone_of[drive]] += change


def _level_out(table: _Table, bounds: Sequence[int]) -> None:
    """Move slots along cheapest paths until no drive is above its bound or none is below it."""
    cost_now = 0
    while True:
        spare = {drive: table.loads[drive] - bounds[drive] for drive in table.drives}
        room = {drive: -surplus for drive, surplus in spare.items() if surplus < 0}
        spare = {drive: surplus for drive, surplus in spare.items() if surplus > 0}
        if table.loads[table.hole]:
            spare = {table.hole: table.loads[table.hole], **spare}
        if not spare or not room:
            return
        if cost_now == 0 or not _step_directly(table, spare, room):
            cost_now = _follow_path(table, spare, room, cost_now)


def _step_directly(table: _Table, spare: dict[int, int], room: dict[int, int]) -> bool:
    """Make all the single steps there are; count room down; tell whether there was one."""
    is_moved = False
    for giver, surplus in spare.items():
        left = surplus
        for partition in sorted(table.partitions_of[giver], key=_mixed):
            while left and giver in table.rows[partition]:
                taker = _most_room(table, partition, giver, room)
                if taker is None:
                    break
                table.move(partition, giver, taker)
                is_moved = True
                left -= 1
                room[taker] -= 1
    return is_moved


def _most_room(table: _Table, partition: int, giver: int, room: dict[int, int]) -> int | None:
    best, best_room = None, 0
    for taker, space in room.items():
        if space > best_room and table.allows(partition, giver, taker):
            best, best_room = taker, space
    return best


def _follow_path(
    table: _Table, spare: dict[int, int], room: dict[int, int], cost_enough: int
) -> int:
    """Move along a cheapest path and return its cost, or `cost_enough` where it is cheaper."""
    banned: set[Step] = set()
    while True:
        path, cost = _Search(table, spare, room, banned).run(cost_enough, cost_enough)
        if not path:
            path, cost = _Search(table, spare, room, banned).run(cost_enough, _COST_UNKNOWN - 1)
        check(path, "no path leads to balance")
        clash = _apply(table, path)
        if clash is None:
            return max(cost, cost_enough)
        banned.add(clash)


def _apply(table: _Table, path: list[Step]) -> Step | None:
    """Take all steps of a path or none; return the step that the others made impossible."""
    for taken, (partition, giver, taker) in enumerate(path):
        if giver not in table.rows[partition] or not table.allows(partition, giver, taker):
            for undone, back_to, back_from in reversed(path[:taken]):
                table.move(undone, back_from, back_to)
            return path[taken]
        table.move(partition, giver, taker)
    return None


class _Search:
    """Label-correcting search for a cheapest path from any giver to any taker."""

    def __init__(
        self, table: _Table, spare: dict[int, int], room: dict[int, int], banned: set[Step]
    ) -> None:
        self.table = table
        self.room = room
        self.banned = banned
        self.costs = dict.fromkeys(table.loads, _COST_UNKNOWN) | dict.fromkeys(spare, 0)
        self.steps: dict[int, Step] = {}
        self.queue = deque(spare)

    def run(self, cost_enough: int, cost_max: int) -> tuple[list[Step], int]:
        """Return a path and its cost: the first that is cheap enough, else the cheapest, else none.

        No label above `cost_max` is followed. A cheapest path may climb above its own cost and come
        down again, so a bounded search that finds nothing proves nothing; it is the quick try.
        """
        while self.queue:
            giver = self.queue.popleft()
            found = self._extend(giver, cost_enough, cost_max)
            if found is not None:
                return self._path_to(found), self.costs[found]
        reached = min(self.room, key=self.costs.__getitem__)
        if self.costs[reached] == _COST_UNKNOWN:
            return [], _COST_UNKNOWN
        return self._path_to(reached), self.costs[reached]

    def _extend(self, giver: int, cost_enough: int, cost_max: int) -> int | None:
        """Label everything one step from a giver; return a taker that is reached cheaply enough."""
        table, costs = self.table, self.costs
        for partition in table.partitions_of[giver]:
            old = table.old[partition]
            base = costs[giver] - table.cost(partition, giver)
            for taker in table.drives if base < cost_max else old:
                if costs[taker] <= base:
                    continue
                cost = base if taker in old else base + 1
                if cost >= costs[taker] or not table.allows(partition, giver, taker):
                    continue
                if (partition, giver, taker) in self.banned:
                    continue
                self._label(partition, giver, taker, cost)
                if taker in self.room and cost <= cost_enough:
                    return taker
        return None

    def _label(self, partition: int, giver: int, taker: int, cost: int) -> None:
        self.costs[taker] = cost
        self.steps[taker] = (partition, giver, taker)
        if taker not in self.queue:
            self.queue.append(taker)

    def _path_to(self, taker: int) -> list[Step]:
        path: list[Step] = []
        at = taker
        while at in self.steps:
            check(len(path) <= len(self.costs), "the steps run in a circle")
            step = self.steps[at]
            path.append(step)
            at = step[1]
        return path[::-1]


def _align(old: Sequence[int | None], row: list[int]) -> list[int]:
    """Put the kept drives into their old slots and the new ones, in order, into those that are
    left.
    """
    held = frozenset(row)
    aligned = [drive if drive in held else None for drive in old]
    stayed = frozenset(drive for drive in aligned if drive is not None)
    newcomers = iter([drive for drive in row if drive not in stayed])
    return [next(newcomers) if drive is None else drive for drive in aligned]


def _mixed(partition: int) -> int:
    """Order partitions as chance would, so that what moves comes from everywhere."""
    return xxhash.xxh3_64_intdigest(partition.to_bytes(4, "big"))
