"""The first table of a ring: systematic sampling, exact in one pass.

Every drive is given a whole number of slots (its share, rounded). Lay the drives on a line, each as
long as the slots that it still has to fill, drives of a node side by side, nodes of a zone side by
side. With n partitions left the line is `width * n` long; take the points u, u + n, u + 2n, ... for
any u below n. The drives under the points are the homes of the next partition:

- a drive is at most n long, so it is hit at most once; one that is exactly n long is hit, so none
  is left over at the end;
- a node of at most `cap * n` is hit at most `cap` times, and stays within `cap * (n - 1)`; likewise
  a zone.

So every partition obeys every cap and every drive ends with exactly its slots, whatever u and the
order of the line are. Both are drawn from hashes, which mixes the company that each drive keeps:
when a drive dies, all others help to rebuild it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import itemgetter

import xxhash

from objstore.placement.members import Member
from objstore.placement.shares import Domains, Shares

__all__ = ["first_rows"]

_LINES_COUNT = 256
"""Orders of the line that are prepared and drawn from."""


def first_rows(
    members: Sequence[Member],
    domains: Domains,
    shares: Shares,
    *,
    partitions_count: int,
    width: int,
) -> list[list[int]]:
    """Return rows of member indices that obey every cap, with every load a rounded share."""
    quotas = _quotas(members, domains, shares, partitions_count=partitions_count, width=width)
    if len(domains.drives) == 1:
        return [list(domains.drives) for _ in range(partitions_count)]
    lines = [_line(members, domains, seed) for seed in range(_LINES_COUNT)]
    lengths_along = [itemgetter(*line) for line in lines]
    remaining = list(quotas)
    leads = [0.0] * len(members)
    rows = []
    for left in range(partitions_count, 0, -1):
        draw = xxhash.xxh3_64_intdigest(left.to_bytes(4, "big"))
        which = draw % _LINES_COUNT
        line = lines[which]
        ends = list(accumulate(lengths_along[which](remaining)))
        start = (draw >> 8) % left
        row = [line[bisect_right(ends, point)] for point in range(start, ends[-1], left)]
        for drive in row:
            remaining[drive] -= 1
        rows.append(_lead_in_turn(row, leads, quotas))
    return rows


def _lead_in_turn(row: list[int], leads: list[float], quotas: Sequence[int]) -> list[int]:
    """Rotate a row so that the first slot goes round: it is where leaders are put and reads go
    first.
    """
    first = min(row, key=leads.__getitem__)
    leads[first] += 1 / quotas[first]
    at = row.index(first)
    return row[at:] + row[:at]


def _line(members: Sequence[Member], domains: Domains, seed: int) -> list[int]:
    """Shuffle zones, the nodes of each zone and the drives of each node."""

    def order(drive: int) -> tuple[int, int, int]:
        member = members[drive]
        return (
            xxhash.xxh3_64_intdigest(member.zone.encode(), seed=seed),
            xxhash.xxh3_64_intdigest(member.node.encode(), seed=seed),
            xxhash.xxh3_64_intdigest(member.drive.encode(), seed=seed),
        )

    return sorted(domains.drives, key=order)


def _quotas(
    members: Sequence[Member],
    domains: Domains,
    shares: Shares,
    *,
    partitions_count: int,
    width: int,
) -> list[int]:
    """Round the shares to whole slots: down, then up by the largest remainder, within the caps."""
    quotas = list(shares.low)
    spare = partitions_count * width - sum(quotas)
    node_room = [partitions_count * domains.node_cap] * domains.nodes_count
    zone_room = [partitions_count * domains.zone_cap] * domains.zones_count
    for drive in domains.drives:
        node_room[domains.node_of[drive]] -= quotas[drive]
        zone_room[domains.zone_of[drive]] -= quotas[drive]
    by_remainder = sorted(
        (drive for drive in domains.drives if shares.high[drive] > shares.low[drive]),
        key=lambda drive: (quotas[drive] - shares.exact[drive], members[drive].drive),
    )
    for drive in by_remainder:
        node, zone = domains.node_of[drive], domains.zone_of[drive]
        if spare and node_room[node] and zone_room[zone]:
            quotas[drive] += 1
            spare -= 1
            node_room[node] -= 1
            zone_room[zone] -= 1
    return quotas
