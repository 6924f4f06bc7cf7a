"""Draws rings and plans as text, for a terminal, a dry run or a failed test."""

from __future__ import annotations

from collections.abc import Iterable

from objstore.placement.plan import RebalancePlan, Step
from objstore.placement.ring import Ring
from objstore.placement.shares import find_domains, find_shares

__all__ = ["describe_plan", "describe_ring"]

_BAR_WIDTH = 30
_STEPS_SHOWN = 20
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def describe_ring(ring: Ring) -> str:
    """Return the loads by drive and zone, the spread of partitions, and max/mean against the
    shares.

    Raises `NotEnoughDrives` for a ring that is wider than its usable drives (see `validate`).
    """
    domains = find_domains(ring.members, width=ring.width)
    shares = find_shares(
        ring.members, domains, partitions_count=ring.partitions_count, width=ring.width
    )
    loads = ring.loads()
    ratios = [load / share for load, share in zip(loads, shares.exact, strict=True) if share]
    lines = [
        f"ring version {ring.version}: {ring.partitions_count} partitions x {ring.width} homes",
        f"usable drives: {len(domains.drives)} of {len(ring.members)}",
        f"most of one partition: {domains.node_cap} on a node, {domains.zone_cap} in a zone",
        f"load / share: {float(min(ratios)):.4f} to {float(max(ratios)):.4f}",
        "",
        f"{'drive':<16} {'node':<12} {'zone':<12} {'weight':>6} {'share':>9} {'slots':>6}",
    ]
    highest = max(loads)
    for member, share, load in zip(ring.members, shares.exact, loads, strict=True):
        bar = "#" * round(_BAR_WIDTH * load / highest)
        lines.append(
            f"{member.drive:<16} {member.node:<12} {member.zone:<12} {member.weight:>6} "
            f"{float(share):>9.2f} {load:>6} {bar}{' draining' if member.is_draining else ''}"
        )
    lines.extend(["", *_zone_lines(ring, loads), "", *_spread_lines(ring)])
    return "\n".join(lines) + "\n"


def describe_plan(plan: RebalancePlan) -> str:
    """Return what moves, how much, through whom, and the first steps."""
    lines = [
        f"ring version {plan.from_version} -> {plan.to_version}",
        f"{len(plan.steps)} slots, {_size(plan.size_bytes)}, {plan.rounds_count} rounds",
    ]
    if not plan.steps:
        return "\n".join(lines) + "\n"
    rebuilds = [step for step in plan.steps if step.source is None]
    lowest = min(step.intact_before for step in plan.steps)
    lines.append(
        f"rebuilt from other homes: {len(rebuilds)}; fewest intact homes: {lowest} of {plan.width}"
    )
    for title, names in (
        ("leaves", (step.source for step in plan.steps if step.source is not None)),
        ("arrives", (step.target for step in plan.steps)),
    ):
        lines.extend(f"{title:<8} {name:<16} {count:>6}" for name, count in _tally(names))
    lines.extend(["", f"{'round':>5} {'partition':>9} {'slot':>4} {'intact':>6}  move"])
    lines.extend(_step_line(step) for step in plan.steps[:_STEPS_SHOWN])
    if len(plan.steps) > _STEPS_SHOWN:
        lines.append(f"... and {len(plan.steps) - _STEPS_SHOWN} more")
    return "\n".join(lines) + "\n"


def _step_line(step: Step) -> str:
    source = step.source or "(rebuild)"
    return (
        f"{step.round:>5} {step.partition:>9} {step.slot:>4} "
        f"{step.intact_before:>3}->{step.intact_after:<2} "
        f"{source} -> {step.target} {_size(step.size_bytes)}"
    )


def _zone_lines(ring: Ring, loads: tuple[int, ...]) -> list[str]:
    slots: dict[str, int] = {}
    for member, load in zip(ring.members, loads, strict=True):
        slots[member.zone] = slots.get(member.zone, 0) + load
    total = sum(loads)
    return [
        f"zone {zone:<12} {slots[zone]:>6} slots {slots[zone] / total:>7.1%}"
        for zone in sorted(slots)
    ]


def _spread_lines(ring: Ring) -> list[str]:
    spreads = []
    for row in ring.rows():
        nodes = len(dict.fromkeys(ring.members[index].node for index in row))
        zones = len(dict.fromkeys(ring.members[index].zone for index in row))
        spreads.append(f"{nodes} nodes in {zones} zones")
    return [f"{count:>6} partitions on {spread}" for spread, count in _tally(spreads)]


def _tally(things: Iterable[str]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for thing in things:
        counts[thing] = counts.get(thing, 0) + 1
    return sorted(counts.items())


def _size(size_bytes: int) -> str:
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{size_bytes} B"
