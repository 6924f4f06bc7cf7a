"""Rings of random clusters against a dumb twin: a plain minimum-cost flow over all slots."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement import Member, Ring, assign, validate, validate_change
from objstore.placement.shares import find_domains, find_shares

LARGE = 10_000


class PlainFlow:
    """Minimum-cost flow by successive shortest paths, one unit at a time, with Bellman and Ford's
    labels.
    """

    def __init__(self) -> None:
        self.arcs: list[list[int]] = []
        self.leaving: dict[object, list[int]] = {}

    def add(self, tail: object, head: object, room: int, cost: int = 0) -> None:
        """Add an arc and its reverse."""
        for start, end, capacity, price in ((tail, head, room, cost), (head, tail, 0, -cost)):
            self.leaving.setdefault(start, []).append(len(self.arcs))
            self.arcs.append([end, capacity, price])

    def run(self, source: object, sink: object) -> tuple[int, int]:
        """Return the largest flow and its least cost."""
        flow = cost = 0
        while (path := self._cheapest_path(source, sink)) is not None:
            for arc in path:
                self.arcs[arc][1] -= 1
                self.arcs[arc ^ 1][1] += 1
                cost += self.arcs[arc][2]
            flow += 1
        return flow, cost

    def _cheapest_path(self, source: object, sink: object) -> list[int] | None:
        costs = {source: 0}
        arrived: dict[object, int] = {}
        queue = deque([source])
        while queue:
            at = queue.popleft()
            for arc in self.leaving[at]:
                head, room, price = self.arcs[arc]
                if room and costs[at] + price < costs.get(head, LARGE * LARGE):
                    costs[head] = costs[at] + price
                    arrived[head] = arc
                    queue.append(head)
        if sink not in arrived:
            return None
        path, at = [], sink
        while at != source:
            path.append(arrived[at])
            at = self.arcs[arrived[at] ^ 1][0]
        return path


def fewest_moves(previous: Ring, ring: Ring) -> int:
    """Return the least number of slots that any balanced table within the caps changes."""
    members, count, width = ring.members, ring.partitions_count, ring.width
    domains = find_domains(members, width=width)
    shares = find_shares(members, domains, partitions_count=count, width=width)
    held = [[previous.members[index].drive for index in row[:width]] for row in previous.rows()]
    plain = PlainFlow()
    for partition in range(count):
        plain.add("source", partition, width)
        for zone in dict.fromkeys(domains.zone_of):
            plain.add(partition, (partition, "zone", zone), domains.zone_cap)
        for node, zone in dict.fromkeys(zip(domains.node_of, domains.zone_of, strict=True)):
            node_name = (partition, "node", node)
            plain.add((partition, "zone", zone), node_name, domains.node_cap)
        for drive in domains.drives:
            is_new = members[drive].drive not in held[partition]
            plain.add((partition, "node", domains.node_of[drive]), ("drive", drive), 1, int(is_new))
    for drive in domains.drives:
        plain.add(("drive", drive), "sink", shares.low[drive], -LARGE)
        plain.add(("drive", drive), "sink", shares.high[drive] - shares.low[drive])
    flow, cost = plain.run("source", "sink")
    assert flow == count * width, "the twin finds no table at all"
    moves = cost + LARGE * sum(shares.low)
    assert 0 <= moves <= count * width, "the twin finds no balanced table"
    return moves


def cluster(layout: list[tuple[int, int, bool]], zones: list[int]) -> list[Member]:
    """Build members from (node, weight, draining) by drive and a zone for each node."""
    return [
        Member(
            DriveId(f"drive-{at:02}"),
            NodeId(f"node-{node}"),
            Zone(f"zone-{zones[node % len(zones)]}"),
            weight,
            is_draining,
        )
        for at, (node, weight, is_draining) in enumerate(layout)
    ]


small_layouts = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 16), st.booleans()), min_size=1, max_size=8
)
small_zones = st.lists(st.integers(0, 2), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(
    before=small_layouts,
    zones_before=small_zones,
    after=small_layouts,
    zones_after=small_zones,
    count=st.sampled_from([1, 4, 8, 16]),
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_no_table_moves_less(before, zones_before, after, zones_after, count, widths):
    """Every slot that moves without need is a shard copied for nothing, with its redundancy at risk
    meanwhile.

    The two clusters share drive names but nothing else: nodes, zones, weights and drains all change
    at once.
    """
    old, new = cluster(before, zones_before), cluster(after, zones_after)
    width_before = min(widths[0], sum(not member.is_draining for member in old))
    width_after = min(widths[1], sum(not member.is_draining for member in new))
    if not width_before or not width_after:
        return
    first = assign(old, None, partitions_count=count, width=width_before, version=1)
    second = assign(new, first, partitions_count=count, width=width_after, version=2)
    assert validate(first) == []
    assert validate(second) == []
    assert validate_change(first, second) == []
    assert counted_moves(first, second) == fewest_moves(first, second)


def counted_moves(previous: Ring, ring: Ring) -> int:
    """Count moves as the twin does: only the slots that both rings have can be kept."""
    width = ring.width
    before = [{previous.members[i].drive for i in row[:width]} for row in previous.rows()]
    return sum(
        ring.members[index].drive not in before[partition]
        for partition, row in enumerate(ring.rows())
        for index in row
    )
