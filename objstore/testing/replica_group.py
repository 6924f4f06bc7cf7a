"""A replicated catalogue on directories of a test: stores, keeper, and the control store that names leaders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from objstore.cluster.control_store import ControlStore
from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.consensus import Membership, ReplicaId
from objstore.metadata.partitioning import PARTITIONS_COUNT
from objstore.metadata.replica_keeper import ReplicaKeeper
from objstore.metadata.replica_store import ReplicaStore
from objstore.metadata.replica_transport import LocalTransport
from objstore.metadata.replicated_catalog import ReplicatedCatalog
from objstore.model.names import PartitionId

__all__ = ["ReplicaGroup", "open_group"]


class ReplicaGroup:
    """Three stores, one for each directory `d0`, `d1`, `d2`, that hold every partition."""

    def __init__(
        self,
        directory: Path,
        control: ControlStore,
        *,
        vfs: str | None = None,
        kept_bytes: int = 0,
    ) -> None:
        self.directory = directory
        self._vfs = vfs
        self._kept_bytes = kept_bytes
        self.names = tuple(ReplicaId(f"d{number}") for number in range(3))
        self.transport = LocalTransport()
        self.keeper = ReplicaKeeper(control, self.wanted(self.names))
        self.catalog = ReplicatedCatalog(self.keeper)

    def wanted(self, names: tuple[ReplicaId, ...]) -> dict[PartitionId, tuple[ReplicaId, ...]]:
        """Return a ring in which these replicas hold every partition."""
        return {PartitionId(number): names for number in range(PARTITIONS_COUNT)}

    def open(self, name: str) -> ReplicaStore:
        """Open the store of a directory and start it."""
        path = self.directory / name
        path.mkdir(exist_ok=True)
        store = ReplicaStore(
            path / "catalog.sqlite",
            ReplicaId(name),
            self.transport,
            on_report=self.keeper.on_report,
            on_failure=self.keeper.on_failure,
            vfs=self._vfs,
            kept_bytes=self._kept_bytes,
        )
        store.start()
        return store

    async def found(self, store: ReplicaStore) -> None:
        """Make the founding replicas of a store."""
        members = Membership(tuple(sorted(self.names)))
        await store.found({PartitionId(number): members for number in range(PARTITIONS_COUNT)})

    async def start(self) -> None:
        """Open all stores and name leaders."""
        for name in self.names:
            store = self.open(name)
            await self.found(store)
            self.keeper.add(store)
        await self.keeper.open()


@asynccontextmanager
async def open_group(
    directory: Path, *, vfs: str | None = None, kept_bytes: int = 0
) -> AsyncIterator[ReplicaGroup]:
    """Open a group for the length of the block; stores that are left are closed."""
    async with SqliteControlStore.open(directory / "control.sqlite") as control:
        group = ReplicaGroup(directory, control, vfs=vfs, kept_bytes=kept_bytes)
        await group.start()
        watch = asyncio.create_task(group.keeper.run())  # noqa: TID251 - ended below, whatever happens
        try:
            yield group
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            for store in group.keeper.stores:
                await store.close()
