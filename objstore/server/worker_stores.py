"""What a worker has below its gateway: control store, catalogue, drives. Everything is opened beside an owner that has it.

With one or two directories catalogue and control store are one file each, read here as they are. With more they are
replicated: a shared page says which file may be read, and the owner tells which drives are in service.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from objstore.cluster.control_store import ControlStore
from objstore.cluster.framed_transport import FramedConnection
from objstore.cluster.mirrored_control_store import MirroredControlStore
from objstore.cluster.remote_control_store import RemoteControlStore
from objstore.cluster.shared_page import PageReader
from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME
from objstore.metadata.catalog import Catalog
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.metadata.followed_replicas import FollowedReplicas
from objstore.metadata.remote_writer import RemoteStore
from objstore.metadata.replicated_catalog import ReplicatedCatalog
from objstore.metadata.sql_catalog import SqlCatalog
from objstore.model.instant import Clock
from objstore.model.names import DriveId
from objstore.server.drives import DataRings, join_drives, read_rings
from objstore.server.settings import Settings
from objstore.server.site_news import FollowedSites
from objstore.server.worker_link import SITES
from objstore.storage.drive import Drive
from objstore.storage.posix_drive import DriveSettings

__all__ = ["Beside", "WorkerStores", "open_worker_stores"]

CALL_S = 20.0


@dataclass(frozen=True, slots=True)
class Beside:
    """How a worker reaches its owner."""

    owner: FramedConnection
    page: PageReader
    cluster_id: str
    clock: Clock


@dataclass(frozen=True, slots=True)
class WorkerStores:
    """The stores of a worker."""

    control: ControlStore
    catalog: Catalog
    drives: Mapping[DriveId, Drive]
    rings: DataRings
    sites: FollowedSites | None
    """Who follows the drives; None where they stay as they are."""


async def open_worker_stores(
    stack: AsyncExitStack, settings: Settings, beside: Beside
) -> WorkerStores:
    """Open the stores that the owner of this node has."""
    if settings.storage.is_replicated:
        return await _open_replicated(stack, settings, beside)
    return await _open_files(stack, settings, beside)


async def _open_files(stack: AsyncExitStack, settings: Settings, beside: Beside) -> WorkerStores:
    home = settings.storage.dirs[0]
    control = await stack.enter_async_context(
        RemoteControlStore(home / CONTROL_FILE_NAME, beside.owner)
    )
    drives = await join_drives(
        settings.storage.dirs,
        control,
        cluster_id=beside.cluster_id,
        clock=beside.clock,
        settings=_drive_settings(settings),
    )
    stack.callback(drives.close)
    store = RemoteStore(home / CATALOG_FILE_NAME, beside.owner)
    stack.callback(store.close)
    return WorkerStores(
        control,
        SqlCatalog([store]),
        {drive.drive_id: drive for drive in drives.drives},
        await read_rings(control),
        None,
    )


async def _open_replicated(
    stack: AsyncExitStack, settings: Settings, beside: Beside
) -> WorkerStores:
    control = MirroredControlStore(beside.owner, beside.page)
    sites = FollowedSites(
        cluster_id=beside.cluster_id, clock=beside.clock, settings=_drive_settings(settings)
    )
    stack.callback(sites.close)
    await sites.take(await beside.owner.call(SITES, deadline_s=CALL_S))
    replicas = FollowedReplicas(beside.page, beside.owner)
    stack.callback(replicas.close)
    await replicas.open()
    catalog = ReplicatedCatalog(replicas)
    stack.callback(catalog.close)
    return WorkerStores(control, catalog, sites.drives, await read_rings(control), sites)


def _drive_settings(settings: Settings) -> DriveSettings:
    return DriveSettings(reserve_bytes=settings.storage.reserve_bytes or None)
