"""Who leads which partition, as the control store says: one item for all of them, changed by compare-and-set.

An epoch is handed out once: it is in the control store before anybody is told of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from objstore.cluster.control_store import ControlStore
from objstore.consensus import NO_REPLICA, Epoch, ReplicaId
from objstore.metadata.partitioning import PARTITIONS_COUNT
from objstore.model.errors import OperationAborted
from objstore.model.names import PartitionId
from objstore.model.versioned import RecordCodec

__all__ = ["LeaderName", "LeaderNames"]

KEY: Final = "metadata/leaders"


class LeaderName(msgspec.Struct, frozen=True, array_like=True):
    """The leader of an epoch."""

    epoch: Epoch = Epoch(0)
    leader: ReplicaId = NO_REPLICA


_CODEC: Final[RecordCodec[tuple[LeaderName, ...]]] = RecordCodec(tuple[LeaderName, ...], version=1)


class LeaderNames:
    """The item, as it was last read or written by this process."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control
        self._revision = 0
        self._names = [LeaderName()] * PARTITIONS_COUNT

    def __getitem__(self, partition: PartitionId) -> LeaderName:
        return self._names[partition]

    async def load(self) -> None:
        """Read the item."""
        item = await self._control.get(KEY)
        if item is not None:
            self._names = list(_CODEC.decode(item.value))
            self._revision = item.revision

    async def name(
        self, leaders: Mapping[PartitionId, ReplicaId], *, above: Mapping[PartitionId, Epoch]
    ) -> dict[PartitionId, LeaderName]:
        """Hand out a new epoch to each of these leaders, higher than all before and than `above`.

        Raises `Unavailable`, and `OperationAborted` where another process has named leaders meanwhile.
        """
        fresh = {
            partition: LeaderName(
                Epoch(max(self._names[partition].epoch, above.get(partition, 0)) + 1), leader
            )
            for partition, leader in leaders.items()
        }
        names = list(self._names)
        for partition, name in fresh.items():
            names[partition] = name
        revision = await self._control.put(
            KEY, _CODEC.encode(tuple(names)), expected_revision=self._revision
        )
        if revision is None:
            await self.load()
            raise OperationAborted("leaders were named by somebody else")
        self._names, self._revision = names, revision
        return fresh
