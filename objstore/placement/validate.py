"""Checks a ring, and the step from one ring to the next, against every rule of placement.

Promises to look at all rules and return all violations as data: whoever refuses a ring shows the
whole list. Shares no code path with the computation of tables beyond caps and shares, so that a
wrong table cannot pass because the same mistake was made twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from objstore.model.errors import NotEnoughDrives
from objstore.model.names import PartitionId
from objstore.placement.members import member_problems
from objstore.placement.ring import Ring
from objstore.placement.shares import Domains, find_domains, find_shares

__all__ = ["Rule", "Violation", "validate", "validate_change"]

T = TypeVar("T")


class Rule(Enum):
    """What a ring must fulfil."""

    MEMBERS = "members are distinct, in order, weighted, and each node stands in one zone"
    ENOUGH_DRIVES = "there are as many usable drives as a partition has homes"
    DISTINCT_DRIVES = "the homes of a partition are distinct drives"
    NOT_DRAINING = "a draining drive holds nothing"
    NODE_SPREAD = "no node holds more of a partition than it must"
    ZONE_SPREAD = "no zone holds more of a partition than it must"
    BALANCE = "every drive holds its weighted share, within one slot"
    SUCCESSION = "a ring follows on the previous version with the same partitions"
    SHARD_ORDER = "a drive that keeps a partition keeps its slot"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: where, and in words. `partition` is None for what concerns the whole
    ring.
    """

    rule: Rule
    text: str
    partition: PartitionId | None = None


def validate(ring: Ring) -> list[Violation]:
    """Return every violation of the placement rules in one ring; an empty list means it is
    sound.
    """
    violations = [Violation(Rule.MEMBERS, text) for text in member_problems(ring.members)]
    violations.extend(_check_drives(ring))
    try:
        domains = find_domains(ring.members, width=ring.width)
    except NotEnoughDrives as error:
        return [*violations, Violation(Rule.ENOUGH_DRIVES, str(error))]
    violations.extend(_check_spread(ring, domains))
    if not any(violation.rule is Rule.MEMBERS for violation in violations):
        violations.extend(_check_balance(ring, domains))
    return violations


def validate_change(previous: Ring, ring: Ring) -> list[Violation]:
    """Return every reason why the second ring may not follow on the first."""
    violations = []
    if ring.version <= previous.version:
        text = f"version {ring.version} does not follow on {previous.version}"
        violations.append(Violation(Rule.SUCCESSION, text))
    if ring.partitions_count != previous.partitions_count:
        text = f"{previous.partitions_count} partitions became {ring.partitions_count}"
        return [*violations, Violation(Rule.SUCCESSION, text)]
    for at in range(ring.partitions_count):
        partition = PartitionId(at)
        slots = {drive: slot for slot, drive in enumerate(previous.homes(partition))}
        for slot, drive in enumerate(ring.homes(partition)):
            was = slots.get(drive, slot)
            if was != slot and was < ring.width:
                text = f"partition {at}: drive {drive} changed from slot {was} to {slot}"
                violations.append(Violation(Rule.SHARD_ORDER, text, partition))
    return violations


def _check_drives(ring: Ring) -> Iterator[Violation]:
    for at, row in enumerate(ring.rows()):
        partition = PartitionId(at)
        for index, times in _count(row).items():
            member = ring.members[index]
            if times > 1:
                text = f"partition {at}: drive {member.drive} stands in {times} slots"
                yield Violation(Rule.DISTINCT_DRIVES, text, partition)
            if member.is_draining:
                text = f"partition {at}: drive {member.drive} is draining"
                yield Violation(Rule.NOT_DRAINING, text, partition)


def _check_spread(ring: Ring, domains: Domains) -> Iterator[Violation]:
    members = ring.members
    for at, row in enumerate(ring.rows()):
        partition = PartitionId(at)
        for node, times in _count(members[index].node for index in row).items():
            if times > domains.node_cap:
                text = f"partition {at}: node {node} holds {times}, at most {domains.node_cap}"
                yield Violation(Rule.NODE_SPREAD, text, partition)
        for zone, times in _count(members[index].zone for index in row).items():
            if times > domains.zone_cap:
                text = f"partition {at}: zone {zone} holds {times}, at most {domains.zone_cap}"
                yield Violation(Rule.ZONE_SPREAD, text, partition)


def _check_balance(ring: Ring, domains: Domains) -> Iterator[Violation]:
    shares = find_shares(
        ring.members, domains, partitions_count=ring.partitions_count, width=ring.width
    )
    for index, load in enumerate(ring.loads()):
        if not shares.low[index] <= load <= shares.high[index]:
            drive, share = ring.members[index].drive, float(shares.exact[index])
            yield Violation(Rule.BALANCE, f"drive {drive} holds {load} slots, share {share:.2f}")


def _count(things: Iterable[T]) -> dict[T, int]:
    """Count equal things, in order of their first appearance."""
    counts: dict[T, int] = {}
    for thing in things:
        counts[thing] = counts.get(thing, 0) + 1
    return counts
