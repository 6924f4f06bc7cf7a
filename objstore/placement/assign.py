"""The one function that decides which drives hold which partition.

Promises, for any members and any previous ring: distinct drives always; distinct nodes wherever
there are enough of them, otherwise no node above its fair cap; the most that any zone holds of a
partition is as small as it can be; every drive holds one of the two roundings of its weighted
share; a kept shard stays in its slot; and, among all tables of this kind, none moves fewer slots.
The same input gives the same table in every process. `validate` checks all of it but the number of
moves, which the tests compare with a plain minimum-cost flow.
"""

from __future__ import annotations

from collections.abc import Iterable

from objstore.model.errors import InvalidArgument
from objstore.placement.members import Member, sort_members
from objstore.placement.moves import next_rows
from objstore.placement.ring import PARTITIONS_MAX, Ring, pack_table
from objstore.placement.sample import first_rows
from objstore.placement.shares import find_domains, find_shares

__all__ = ["assign"]


def assign(
    members: Iterable[Member],
    previous: Ring | None,
    *,
    partitions_count: int,
    width: int,
    version: int,
) -> Ring:
    """Return the ring of these members that follows on the previous one with the fewest moves.

    The number of partitions never changes; the width may (one drive grows to three), and then the
    slots that both rings have are kept. Raises `InvalidArgument` for members, counts or versions
    that make no ring and `NotEnoughDrives` where fewer drives than `width` are neither gone nor
    draining.
    """
    ordered = sort_members(members)
    _refuse(_problems(previous, partitions_count=partitions_count, width=width, version=version))
    domains = find_domains(ordered, width=width)
    shares = find_shares(ordered, domains, partitions_count=partitions_count, width=width)
    if previous is None:
        rows = first_rows(ordered, domains, shares, partitions_count=partitions_count, width=width)
    else:
        rows = next_rows(_kept(ordered, previous, width=width), domains, shares)
    return Ring(version, partitions_count, width, ordered, pack_table(rows))


def _kept(
    members: tuple[Member, ...], previous: Ring, *, width: int
) -> list[tuple[int | None, ...]]:
    """Translate the previous table into indices of today's members; None where the home is lost."""
    index_of = {m.drive: at for at, m in enumerate(members) if not m.is_draining}
    today = [index_of.get(member.drive) for member in previous.members]
    fresh: tuple[int | None, ...] = (None,) * max(0, width - previous.width)
    return [tuple(today[index] for index in row[:width]) + fresh for row in previous.rows()]


def _problems(
    previous: Ring | None, *, partitions_count: int, width: int, version: int
) -> list[str]:
    problems = []
    is_power = partitions_count > 0 and partitions_count & (partitions_count - 1) == 0
    if not is_power or partitions_count > PARTITIONS_MAX:
        problems.append(f"{partitions_count} partitions: not a power of two up to {PARTITIONS_MAX}")
    if width < 1:
        problems.append(f"width {width}: a partition needs a home")
    if previous is not None and previous.partitions_count != partitions_count:
        problems.append(f"a ring of {previous.partitions_count} partitions keeps that number")
    if previous is not None and version <= previous.version:
        problems.append(f"version {version} does not follow on {previous.version}")
    return problems


def _refuse(problems: list[str]) -> None:
    if problems:
        raise InvalidArgument("; ".join(problems), argument_name="ring")
