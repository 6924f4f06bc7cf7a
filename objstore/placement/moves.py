"""The next table of a ring from the previous one: the fewest moves that lead to balance.

The question is a minimum-cost flow: every partition needs `width` slots, a slot goes through the caps of its partition (drive,
node, zone) to a drive, a drive takes between the two roundings of its share, and a slot costs nothing where the drive held the
partition before and one otherwise. It is solved by successive shortest paths, which is exact, in a form that fits the case:

- What may stay, stays: each partition keeps a largest set of its old drives that obeys the caps. The rest are holes.
- A step `d -> e in p` gives the slot of d in partition p to e, when the caps allow. A hole is a slot of the drive `HOLE`.
- A path of steps from a drive that holds too much (or from `HOLE`) to one that has room changes two loads by one. The cheapest
  path is taken first. Most paths are a single step; longer ones are found by a search over drives, not over slots.
- First nobody may hold more than the upper rounding and no hole may be left; then nobody less than the lower one.

The caps of one partition form a laminar matroid. The exchange property of matroids is why single steps are enough: two steps in
one partition that are only allowed together are equal to two steps that are each allowed alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

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

    `kept` has the old home of every slot, None where it is gone or never was; a kept home stays in its slot.
    """
    table = _Table(kept, domains, shares)
    _level_out(table, sources=table.is_over, sinks=table.is_below_high)
    _level_out(table, sources=table.is_above_low, sinks=table.is_under)
    check(not any(table.is_over(d) or table.is_under(d) for d in table.loads), "not balanced")
    return [_align(old, row) for old, row in zip(kept, table.rows, strict=True)]


class _Table:
    """A table under change: always within the caps, not always balanced."""

    def __init__(
        self, kept: Sequence[Sequence[int | None]], domains: Domains, shares: Shares
    ) -> None:
        self.domains = domains
        self.low, self.high = shares.low, shares.high
        self.hole = len(shares.low)
        self.loads: dict[int, int] = dict.fromkeys(domains.drives, 0)
        self.holes_count = 0
        self.old = [frozenset(drive for drive in row if drive is not None) for row in kept]
        self.partitions_of: dict[int, dict[int, None]] = {
            drive: {} for drive in (*domains.drives, self.hole)
        }
        self.in_node = [[0] * domains.nodes_count for _ in kept]
        self.in_zone = [[0] * domains.zones_count for _ in kept]
        self.rows: list[list[int]] = [[] for _ in kept]
        for drives in kept:
            for drive in drives:
                if drive is not None:
                    self.loads[drive] += 1
        crowded = {drive: load - self.high[drive] for drive, load in self.loads.items()}
        self.loads = dict.fromkeys(domains.drives, 0)
        for partition in sorted(range(len(kept)), key=_mixed):
            self._keep(partition, kept[partition], crowded)

    def _keep(self, partition: int, old: Sequence[int | None], crowded: dict[int, int]) -> None:
        """Take over as much of an old row as the caps allow, least crowded drives first."""
        wanted = [drive for drive in old if drive is not None]
        wanted.sort(key=lambda drive: (crowded[drive], drive))
        for drive in wanted:
            if self._has_room(partition, drive):
                self._put(partition, drive)
        for _ in range(len(old) - len(self.rows[partition])):
            self._put(partition, self.hole)

    def _put(self, partition: int, drive: int) -> None:
        self.rows[partition].append(drive)
        self.partitions_of[drive][partition] = None
        if drive == self.hole:
            self.holes_count += 1
            return
        self.loads[drive] += 1
        self.in_node[partition][self.domains.node_of[drive]] += 1
        self.in_zone[partition][self.domains.zone_of[drive]] += 1

    def _has_room(self, partition: int, drive: int) -> bool:
        domains = self.domains
        return (
            self.in_node[partition][domains.node_of[drive]] < domains.node_cap
            and self.in_zone[partition][domains.zone_of[drive]] < domains.zone_cap
        )

    def is_over(self, drive: int) -> bool:
        """Tell whether the drive must give slots away."""
        return self.loads[drive] > self.high[drive]

    def is_under(self, drive: int) -> bool:
        """Tell whether the drive must be given slots."""
        return self.loads[drive] < self.low[drive]

    def is_above_low(self, drive: int) -> bool:
        """Tell whether the drive can spare a slot."""
        return self.loads[drive] > self.low[drive]

    def is_below_high(self, drive: int) -> bool:
        """Tell whether the drive can take a slot."""
        return self.loads[drive] < self.high[drive]

    def cost(self, partition: int, drive: int) -> int:
        """Return 1 for a slot that its drive did not hold before; a hole is free until it is filled."""
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
        if giver != self.hole or self.hole not in row:
            del self.partitions_of[giver][partition]
        self.partitions_of[taker][partition] = None
        self._count(partition, giver, -1)
        self._count(partition, taker, 1)

    def _count(self, partition: int, drive: int, change: int) -> None:
        if drive == self.hole:
            self.holes_count += change
            return
        self.loads[drive] += change
        self.in_node[partition][self.domains.node_of[drive]] += change
        self.in_zone[partition][self.domains.zone_of[drive]] += change


_Predicate = Callable[[int], bool]


def _level_out(table: _Table, *, sources: _Predicate, sinks: _Predicate) -> None:
    """Move slots along cheapest paths until no source is left (or, while filling up, no sink)."""
    filling = sinks == table.is_under
    cost_now = 0
    while True:
        givers = [drive for drive in table.loads if sources(drive)]
        if table.holes_count and not filling:
            givers.insert(0, table.hole)
        takers = [drive for drive in table.loads if sinks(drive)]
        if not givers or not takers:
            return
        if cost_now >= 1 and _step_directly(table, givers, takers, sources=sources, sinks=sinks):
            continue
        cost_now = _follow_path(table, givers, takers, cost_now)


def _step_directly(
    table: _Table,
    givers: list[int],
    takers: list[int],
    *,
    sources: _Predicate,
    sinks: _Predicate,
) -> bool:
    """Make all the single steps there are from givers to takers; tell whether there was one."""
    is_moved = False
    room = {taker: table.high[taker] - table.loads[taker] for taker in takers}
    for giver in givers:
        for partition in sorted(table.partitions_of[giver], key=_mixed):
            while partition in table.partitions_of[giver]:
                if giver != table.hole and not sources(giver):
                    break
                taker = _most_room(table, partition, giver, room)
                if taker is None:
                    break
                table.move(partition, giver, taker)
                is_moved = True
                room[taker] -= 1
                if not sinks(taker):
                    del room[taker]
    return is_moved


def _most_room(table: _Table, partition: int, giver: int, room: dict[int, int]) -> int | None:
    best, best_room = None, -_COST_UNKNOWN
    for taker, space in room.items():
        if space > best_room and table.allows(partition, giver, taker):
            best, best_room = taker, space
    return best


def _follow_path(table: _Table, givers: list[int], takers: list[int], cost_now: int) -> int:
    """Find a cheapest path, move along it, and return what it cost."""
    banned: set[Step] = set()
    while True:
        search = _Search(table, givers, takers, banned)
        path, cost = search.run(cost_now)
        check(path, "no path leads to balance")
        clash = _apply(table, path)
        if clash is None:
            return max(cost, cost_now)
        banned.add(clash)


def _apply(table: _Table, path: list[Step]) -> Step | None:
    """Take all steps of a path or none; return the step that the others made impossible."""
    for taken, (partition, giver, taker) in enumerate(path):
        has_slot = partition in table.partitions_of[giver]
        if not has_slot or not table.allows(partition, giver, taker):
            for undone, back_to, back_from in reversed(path[:taken]):
                table.move(undone, back_from, back_to)
            return path[taken]
        table.move(partition, giver, taker)
    return None


class _Search:
    """Label-correcting search for a cheapest path from any giver to any taker."""

    def __init__(
        self, table: _Table, givers: list[int], takers: list[int], banned: set[Step]
    ) -> None:
        self.table = table
        self.givers = givers
        self.takers = dict.fromkeys(takers)
        self.banned = banned
        self.costs = dict.fromkeys((*table.loads, table.hole), _COST_UNKNOWN)
        self.steps: dict[int, Step] = {}
        self.queue = deque(givers)
        for giver in givers:
            self.costs[giver] = 0

    def run(self, cost_enough: int) -> tuple[list[Step], int]:
        """Return a path and its cost, the first one found that is cheap enough; no path where none exists."""
        while self.queue:
            giver = self.queue.popleft()
            found = self._extend(giver, cost_enough)
            if found is not None:
                return self._path_to(found), self.costs[found]
        reached = min(self.takers, key=self.costs.__getitem__)
        if self.costs[reached] == _COST_UNKNOWN:
            return [], _COST_UNKNOWN
        return self._path_to(reached), self.costs[reached]

    def _extend(self, giver: int, cost_enough: int) -> int | None:
        """Label everything one step from a giver; return a taker that is reached cheaply enough."""
        table, costs = self.table, self.costs
        for partition in table.partitions_of[giver]:
            dearest = costs[giver] - table.cost(partition, giver) + 1
            for taker in table.loads:
                if costs[taker] < dearest or taker == giver:
                    continue
                cost = dearest - 1 + table.cost(partition, taker)
                if cost >= costs[taker] or not table.allows(partition, giver, taker):
                    continue
                if (partition, giver, taker) in self.banned:
                    continue
                self._label(partition, giver, taker, cost)
                if taker in self.takers and cost <= cost_enough:
                    return taker
        return None

    def _label(self, partition: int, giver: int, taker: int, cost: int) -> None:
        self.costs[taker] = cost
        self.steps[taker] = (partition, giver, taker)
        if taker not in self.queue:
            self.queue.append(taker)

    def _path_to(self, taker: int) -> list[Step]:
        path = []
        at = taker
        while at in self.steps:
            check(len(path) <= len(self.costs), "the steps run in a circle")
            step = self.steps[at]
            path.append(step)
            at = step[1]
        return path[::-1]


def _align(old: Sequence[int | None], row: list[int]) -> list[int]:
    """Put the kept drives into their old slots and the new ones, in order, into those that are left."""
    held = frozenset(row)
    aligned = [drive if drive in held else None for drive in old]
    stayed = frozenset(drive for drive in aligned if drive is not None)
    newcomers = iter([drive for drive in row if drive not in stayed])
    return [next(newcomers) if drive is None else drive for drive in aligned]


def _mixed(partition: int) -> int:
    """Order partitions as chance would, so that what moves comes from everywhere."""
    return xxhash.xxh3_64_intdigest(partition.to_bytes(4, "big"))
