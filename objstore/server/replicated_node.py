"""Opens the stores of a node that has three or more directories: nothing lies in one of them only.

Order: take the drives that are formatted (their locks keep other processes out) -> control store over them -> format
what is new or was wiped -> catalogue -> data. The watch and the rebuilder run with the node's other jobs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from objstore.cluster.mirrored_control_store import REVISION_WORD, MirrorEndpoint
from objstore.cluster.replicated_control_store import ReplicatedControlStore
from objstore.cluster.shared_page import SharedPage
from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME
from objstore.metadata.remote_writer import WriterEndpoint
from objstore.metadata.replica_census import STATES
from objstore.metadata.replica_keeper import ReplicaKeeper
from objstore.metadata.replicated_catalog import ReplicatedCatalog
from objstore.metadata.serving_board import ServingBoard
from objstore.model.errors import ObjstoreError, StorageFull
from objstore.model.instant import Clock
from objstore.server.drive_sites import DriveSites, Site
from objstore.server.drive_watch import DriveWatch
from objstore.server.drives import OpenDrives
from objstore.server.ending import end_process
from objstore.server.keys import RootKeys, copy_root_keys
from objstore.server.metrics import Metrics
from objstore.server.refusal import StartRefused
from objstore.server.replicas import NodeReplicas
from objstore.server.settings import Settings
from objstore.server.site_news import SiteEndpoint
from objstore.service.rebuild import mark_for_rebuild
from objstore.storage.drive import Drive
from objstore.storage.offline_drive import OfflineDrive
from objstore.storage.posix_drive import DriveSettings
from objstore.storage.timed_system import TimedSystem

__all__ = ["ReplicatedNode", "open_replicated"]


@dataclass(slots=True)
class ReplicatedNode:
    """The replicated stores of a node."""

    control: ReplicatedControlStore
    sites: DriveSites
    replicas: NodeReplicas
    root_keys: RootKeys | None = None
    """Copied into a directory that comes back."""

    @property
    def catalog(self) -> ReplicatedCatalog:
        """The catalogue."""
        return self.replicas.catalog

    @property
    def drives(self) -> OpenDrives:
        """The drives as they are now."""
        offline = {site.directory: site.cause for site in self.sites.sites if site.drive is None}
        return OpenDrives(tuple(self.sites.drives.values()), offline)

    @property
    def slots(self) -> list[Drive]:
        """The slots of the data rings, as drives that say no more than their name."""
        return [OfflineDrive(site.slot, "a name") for site in self.sites.sites]

    @property
    def directories(self) -> list[Path]:
        """The directories that are in service."""
        return [site.directory for site in self.sites.sites if site.drive is not None]

    def share(self, page: SharedPage) -> dict[str, Callable[[bytes], Awaitable[bytes]]]:
        """Let workers read beside this process: show them what counts, and answer what they ask."""
        keeper = self.replicas.keeper
        board = ServingBoard(page, keeper.suspect)
        keeper.publish_to(board.show)
        self.control.publish_to(partial(page.__setitem__, REVISION_WORD))
        return {
            **board.methods,
            **MirrorEndpoint(self.control).methods,
            **WriterEndpoint(self.catalog.submit_to).methods,
            **SiteEndpoint(self.sites).methods,
        }

    def keep_root_keys(self, site: Site) -> None:
        """Give a directory that came back its copy of the root keys."""
        if self.root_keys is not None:
            copy_root_keys(self.root_keys, [site.directory])


async def open_replicated(
    stack: AsyncExitStack, settings: Settings, clock: Clock, metrics: Metrics
) -> ReplicatedNode:
    """Open everything; raises `StartRefused`."""
    sites = DriveSites(
        settings.storage.dirs,
        clock,
        DriveSettings(reserve_bytes=settings.storage.reserve_bytes or None),
        TimedSystem(metrics.flush_seconds),
    )
    stack.callback(sites.close)
    sites.open_formatted()
    control = await _open_control(stack, sites)
    fresh = await sites.settle(control)
    for site in sites.sites:
        if site.drive is None:
            continue
        instead_of = fresh.get(site.drive_id, site.drive_id)
        if site.drive_id in fresh:
            path = site.directory / CONTROL_FILE_NAME
            await control.adopt(site.drive_id, path, instead_of=instead_of)
        if instead_of != site.drive_id:
            await mark_for_rebuild(control, site.slot)
        await sites.remember(control, site, instead_of=instead_of)
    replicas = NodeReplicas(control)
    stack.push_async_callback(replicas.close)
    await replicas.open(sites.sites, fresh=fresh)
    node = ReplicatedNode(control, sites, replicas)
    watch = DriveWatch(sites, control, replicas, on_return=node.keep_root_keys)
    await _run_beside(stack, replicas.keeper.run, watch.run)
    _expose(metrics, node)
    return node


async def _run_beside(
    stack: AsyncExitStack, *jobs: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Run jobs until the stack is taken down."""
    group = anyio.create_task_group()
    await group.__aenter__()

    async def end() -> None:
        group.cancel_scope.cancel()
        # An error of the owner is the owner's: the group would wrap it into a group of errors.
        await group.__aexit__(None, None, None)

    stack.push_async_callback(end)
    for job in jobs:
        group.start_soon(job)


async def _open_control(stack: AsyncExitStack, sites: DriveSites) -> ReplicatedControlStore:
    paths = {
        str(site.drive_id): site.directory / CONTROL_FILE_NAME
        for site in sites.sites
        if site.drive is not None
    }
    had_catalogue = sites.has_catalogue()
    store = ReplicatedControlStore(paths, on_fatal=end_process)
    try:
        control = await stack.enter_async_context(store)
    except ObjstoreError as error:
        missing = "mount the missing directories: a majority of its copies is needed"
        raise StartRefused(
            f"the control store cannot be opened: {error}",
            next_step="make room" if isinstance(error, StorageFull) else missing,
        ) from error
    if control.is_empty and had_catalogue:
        raise StartRefused(
            "there is a catalogue, but no directory has the control store that belongs to it",
            next_step="name all directories of the store",
        )
    return control


def _expose(metrics: Metrics, node: ReplicatedNode) -> None:
    """Let the replicas be seen: how many in which state, and how far those that copy are."""
    keeper = node.replicas.keeper
    for state in STATES:
        metrics.add_gauge(
            f"objstore_metadata_replicas_{state}",
            f"Replicas of metadata partitions in the state {state}.",
            partial(_count_of, keeper, state),
        )
    metrics.add_labelled_gauge(
        "objstore_metadata_leaders",
        "Metadata partitions that each drive in service leads.",
        "drive",
        lambda: {str(drive): count for drive, count in keeper.census().leads.items()},
    )
    metrics.add_gauge(
        "objstore_metadata_partitions_to_align",
        "Metadata partitions whose replicas are not yet where the ring wants them.",
        lambda: len(keeper.unaligned()),
    )
    metrics.add_gauge(
        "objstore_metadata_snapshot_rows",
        "Rows copied to replicas that were behind, since the start.",
        lambda: sum(store.copies.copied_rows for store in keeper.stores),
    )
    metrics.add_gauge(
        "objstore_commit_queue_commands",
        "Commands that wait for, or are in, a commit.",
        lambda: sum(store.stats.queue_depth for store in keeper.stores),
    )
    metrics.add_gauge(
        "objstore_catalogue_wal_bytes",
        "Write-ahead logs of the catalogue after the last commit.",
        lambda: sum(store.stats.wal_bytes for store in keeper.stores),
    )


def _count_of(keeper: ReplicaKeeper, state: str) -> float:
    return keeper.census().states[state]
