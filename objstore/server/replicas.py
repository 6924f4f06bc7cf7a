"""The catalogue of a node with three or more directories: a store on each, a ring, a keeper.

The ring says which three drives hold a partition. It is published in the control store, like the data ring, and changes
when drives come or go for good; the keeper then moves the replicas.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import apsw
import structlog

from objstore.cluster.control_store import ControlStore
from objstore.cluster.kept_room import KEPT_BYTES
from objstore.consensus import Membership, ReplicaId
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.metadata.replica_keeper import ReplicaKeeper
from objstore.metadata.replica_store import ReplicaStore
from objstore.metadata.replica_transport import LocalTransport
from objstore.metadata.replicated_catalog import ReplicatedCatalog
from objstore.model.errors import CorruptRecord, ObjstoreError
from objstore.model.names import DriveId, NodeId, PartitionId, Zone
from objstore.placement import METADATA_PARTITIONS, Member, Ring, assign
from objstore.server.drive_sites import Site

__all__ = ["NodeReplicas"]

WIDTH: Final = 3
_RINGS: Final = "rings/metadata/"
_FOUNDED: Final = "metadata/founded"
_log = structlog.get_logger("objstore.replicas")


class NodeReplicas:
    """Opens, founds and replaces the stores of a node."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control
        self._transport = LocalTransport()
        self._ring: Ring | None = None
        self._unusable: dict[DriveId, Exception] = {}
        self._left: dict[DriveId, ReplicaStore] = {}
        self.keeper = ReplicaKeeper(control, {})
        self.catalog = ReplicatedCatalog(self.keeper)

    async def open(self, sites: Sequence[Site], *, fresh: Collection[DriveId]) -> None:
        """Open the stores of the sites that are in service, and name leaders; `fresh` are drives without a past."""
        await self.place([site.drive_id for site in sites])
        is_founded = await self._control.get(_FOUNDED) is not None
        stores = {
            site.drive_id: store
            for site in sites
            if (store := self._open(site, is_new=not is_founded or site.drive_id in fresh))
        }
        await self._found(sites, stores)
        for store in stores.values():
            self.keeper.add(store)
        await self.keeper.open()

    async def place(self, drives: Sequence[DriveId]) -> None:
        """Publish the ring of these drives, if it is not the one that there is."""
        rings = [Ring.decode(item.value) for item in await self._control.list(_RINGS)]
        newest = max(rings, key=lambda ring: ring.version, default=None)
        members = tuple(
            Member(drive, NodeId(f"site/{drive}"), Zone("zone-1")) for drive in sorted(drives)
        )
        if newest is None or newest.members != members:
            newest = assign(
                members,
                newest,
                partitions_count=METADATA_PARTITIONS,
                width=WIDTH,
                version=1 if newest is None else newest.version + 1,
            )
            key = f"{_RINGS}{newest.version:08d}"
            await self._control.put(key, newest.encode(), expected_revision=0)
            _log.info("metadata_ring_published", version=newest.version, drives=len(members))
        self._ring = newest
        self.keeper.want(_replicas(newest))

    def join(self, site: Site, *, is_new: bool) -> None:
        """Take the store of a drive into the group; what it lacks of what the ring gives it, it copies."""
        store = self._open(site, is_new=is_new)
        if store is not None:
            self.keeper.add(store)

    def leave(self, drive: DriveId, cause: Exception) -> None:
        """Take the store of a drive out of service at once."""
        self._unusable.pop(drive, None)
        store = self.keeper.remove(ReplicaId(drive))
        if store is not None:
            store.abandon(cause)
            self._left[drive] = store

    def has_let_go(self, drive: DriveId) -> bool:
        """Tell whether nothing of a store that left is at work in its file any more."""
        store = self._left.get(drive)
        if store is None or store.is_over:
            self._left.pop(drive, None)
            return True
        return False

    def fault_of(self, drive: DriveId) -> Exception | None:
        """Return what is wrong with the store of a drive that is in service."""
        return self._unusable.get(drive) or self.keeper.fault_of(ReplicaId(drive))

    async def close(self) -> None:
        """Close all stores."""
        self.catalog.close()
        for store in self.keeper.stores:
            await store.close()

    def _open(self, site: Site, *, is_new: bool) -> ReplicaStore | None:
        """Open the store of a site; None where it cannot be used.

        A drive that had a catalogue and has none any more must not begin again under its name (trap T2); the watch renews
        it. A file of a newer version, or one that cannot be opened for any other reason, stays as it is.
        """
        path = site.directory / CATALOG_FILE_NAME
        if site.drive is None:
            return None
        if not is_new and not path.exists():
            _log.error("replica_store_gone", directory=site.path)
            self._unusable[site.drive_id] = CorruptRecord("the catalogue is gone")
            return None
        try:
            store = ReplicaStore(
                path,
                ReplicaId(site.drive_id),
                self._transport,
                on_report=self.keeper.on_report,
                on_failure=self.keeper.on_failure,
                kept_bytes=KEPT_BYTES,
            )
        except (apsw.Error, ObjstoreError, OSError) as error:
            _log.error("replica_store_unusable", directory=site.path, cause=str(error))
            self._unusable[site.drive_id] = error
            return None
        store.start()
        return store

    async def _found(self, sites: Sequence[Site], stores: dict[DriveId, ReplicaStore]) -> None:
        """Create all partitions, once. What a log of one replica left is where its partitions begin."""
        if await self._control.get(_FOUNDED) is not None:
            return
        ring = self._ring
        founders = {
            partition: Membership(tuple(sorted(ReplicaId(d) for d in ring.homes(partition))))
            for partition in map(PartitionId, range(METADATA_PARTITIONS))
            if ring is not None
        }
        for site in sites:
            store = stores.get(site.drive_id)
            left = [] if store is None else store.reader.partitions()
            for partition in left:
                founders[partition] = Membership((ReplicaId(site.drive_id),))
        for drive, store in stores.items():
            own = {p: m for p, m in founders.items() if m.is_voter(ReplicaId(drive))}
            await store.found(own)
        await self._control.put(_FOUNDED, b"1")


def _replicas(ring: Ring) -> dict[PartitionId, tuple[ReplicaId, ...]]:
    return {
        partition: tuple(ReplicaId(drive) for drive in ring.homes(partition))
        for partition in map(PartitionId, range(ring.partitions_count))
    }
