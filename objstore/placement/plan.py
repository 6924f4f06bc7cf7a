"""What has to move to get from one ring to the next, in a safe order, as data.

Nothing is moved here. The plan says, round by round, which slot of which partition goes from which
drive to which, how many bytes that is, and how many intact homes the partition has before and
after.

Order, and why it is safe:

1. A slot whose drive is gone is rebuilt before any slot with a living source is moved, and the
   partition with the fewest living homes comes first.
2. A partition appears at most once in a round, so never more than one of its slots is under way.
3. A step ends when the new home is verified and named; only then does the old one count as spare.
   So a step never lowers the number of intact homes; a rebuild raises it by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from objstore.model.errors import InvalidArgument
from objstore.model.names import DriveId, PartitionId
from objstore.placement.ring import Ring

__all__ = ["RebalancePlan", "Step", "plan"]


@dataclass(frozen=True, slots=True)
class Step:
    """One slot that gets a new home."""

    round: int
    """Steps of one round concern different partitions and may run side by side; rounds are in
    order.
    """
    partition: PartitionId
    slot: int
    source: DriveId | None
    """The old home; None where it is gone or the slot is new, and the content must be rebuilt."""
    target: DriveId
    size_bytes: int
    intact_before: int
    intact_after: int
    """Slots of the partition, out of the width, that have a living home before and after the
    step.
    """


@dataclass(frozen=True, slots=True)
class RebalancePlan:
    """All steps between two ring versions, in the order in which to take them."""

    from_version: int
    to_version: int
    width: int
    steps: tuple[Step, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes that are written to new homes."""
        return sum(step.size_bytes for step in self.steps)

    @property
    def rounds_count(self) -> int:
        """Number of rounds."""
        return max((step.round + 1 for step in self.steps), default=0)

    def rounds(self) -> list[tuple[Step, ...]]:
        """Return the steps by round."""
        grouped: list[list[Step]] = [[] for _ in range(self.rounds_count)]
        for step in self.steps:
            grouped[step.round].append(step)
        return [tuple(steps) for steps in grouped]


def plan(
    old: Ring, new: Ring, partition_bytes: Sequence[int], *, gone: Iterable[DriveId] = ()
) -> RebalancePlan:
    """Return the steps from the old ring to the new one.

    `partition_bytes` is, for each partition, what one of its slots holds. A drive of the old ring
    that is no member of the new one counts as gone, and so does every drive in `gone`. A draining
    drive is a member and serves as a source. Raises `InvalidArgument` where the rings do not have
    the same partitions or the sizes are not one for each.
    """
    if not old.partitions_count == new.partitions_count == len(partition_bytes):
        raise InvalidArgument(
            "a plan needs two rings and sizes of the same partitions",
            old=old.partitions_count,
            new=new.partitions_count,
            sizes=len(partition_bytes),
        )
    lost = frozenset(gone)
    living = frozenset(m.drive for m in new.members if m.drive not in lost)
    steps: list[Step] = []
    for at, size_bytes in enumerate(partition_bytes):
        steps.extend(_steps_of(old, new, PartitionId(at), size_bytes=size_bytes, living=living))
    steps.sort(key=_urgency)
    return RebalancePlan(old.version, new.version, new.width, tuple(steps))


def _urgency(step: Step) -> tuple[int, bool, int, PartitionId]:
    """Rounds in order; within a round rebuilds first, and the least redundancy first of all."""
    return step.round, step.source is not None, step.intact_before, step.partition


def _steps_of(
    old: Ring, new: Ring, partition: PartitionId, *, size_bytes: int, living: frozenset[DriveId]
) -> list[Step]:
    """Return the steps of one partition, one a round: rebuilds, then moves."""
    before: list[DriveId | None] = [d if d in living else None for d in old.homes(partition)]
    before = (before + [None] * new.width)[: new.width]
    changed = [
        (source is not None, slot, source, target)
        for slot, (source, target) in enumerate(zip(before, new.homes(partition), strict=True))
        if source != target
    ]
    changed.sort(key=lambda change: change[:2])
    intact = sum(drive is not None for drive in before)
    steps = []
    for number, (is_move, slot, source, target) in enumerate(changed):
        after = intact if is_move else intact + 1
        steps.append(Step(number, partition, slot, source, target, size_bytes, intact, after))
        intact = after
    return steps
