"""The composition root: the only place that knows everything, and where nothing is decided.

`open_node` builds a node from settings and a clock, makes true what readiness promises, and takes everything down in the
opposite order. Tests and simulations call the same function.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
import structlog
from starlette.routing import Router

from objstore.api.app import NodeApp
from objstore.cluster.control_store import ControlStore
from objstore.cluster.remote_control_store import ControlEndpoint
from objstore.cluster.shared_page import SharedPage
from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME, SqliteControlStore
from objstore.metadata.catalog import Catalog
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.metadata.remote_writer import WriterEndpoint
from objstore.metadata.sql_catalog import CatalogStore, SqlCatalog
from objstore.metadata.stats import CatalogStats
from objstore.model.errors import ObjstoreError
from objstore.model.instant import Clock
from objstore.model.names import BucketName
from objstore.model.objects import Scheme
from objstore.replication.store import DataStore
from objstore.s3.inputs import CreateBucketInput
from objstore.s3.operations import require_sound_table
from objstore.server.damage import DamageEndpoint
from objstore.server.drives import OpenDrives, cluster_of, open_drives, open_rings
from objstore.server.ending import end_process
from objstore.server.gateway import Gateway, GatewayParts, open_gateway
from objstore.server.health import Readiness, health_app
from objstore.server.keys import RootKeys, find_root_keys, find_root_keys_on
from objstore.server.metrics import Metrics
from objstore.server.refusal import StartRefused
from objstore.server.replicated_node import open_replicated
from objstore.server.settings import Settings
from objstore.server.site_news import encode_sites
from objstore.server.worker_pages import PageEndpoint
from objstore.server.workers import Crew, Methods, WorkerGroup
from objstore.service.maintenance import (
    GarbageCollector,
    Repairer,
    TrashPurger,
    Worker,
    run_worker,
)
from objstore.service.ports import Call, Ids
from objstore.service.rebuild import Rebuilder
from objstore.service.sweep import Places, Sweeper, SweepSettings
from objstore.storage.drive import Drive
from objstore.storage.posix_drive import DriveSettings
from objstore.storage.timed_system import TimedSystem

__all__ = ["Node", "open_node"]

_log = structlog.get_logger("objstore.node")


@dataclass(frozen=True, slots=True)
class Node:
    """An open node: what serving needs of it."""

    app: NodeApp
    readiness: Readiness
    root_keys: RootKeys
    notices: tuple[str, ...]
    """Facts that the person at the terminal should know: durability, offline drives, number of processes."""
    workers: WorkerGroup | None = None
    """The other processes that serve; None where this one is alone."""


@dataclass(frozen=True, slots=True)
class _Stores:
    """The files of a node, open, and what works on them."""

    cluster_id: str
    control: ControlStore
    drives: Callable[[], OpenDrives]
    """The drives as they are at the moment."""
    shards: Collection[Drive]
    scheme: Scheme
    share: Callable[[SharedPage], Methods]
    """Lets workers read beside this process; returns what answers them."""
    catalog: Catalog
    data: DataStore
    repairer: Repairer
    ids: Ids
    root_keys: RootKeys
    places: Places
    """The drives of the data ring, by the names that it has for them."""
    jobs: tuple[Worker, ...] = ()
    """Jobs beside the usual ones."""
    sites: Callable[[], bytes] | None = None
    """What workers must know of the drives at the moment; None where these stay as they are."""


@asynccontextmanager
async def open_node(settings: Settings, *, clock: Clock) -> AsyncIterator[Node]:
    """Open a node and keep it open for the length of the block. Raises `StartRefused`."""
    require_sound_table()
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        stores = await _open_stores(stack, settings, clock, metrics)
        parts = GatewayParts(
            settings=settings,
            control=stores.control,
            catalog=stores.catalog,
            data=stores.data,
            ids=stores.ids,
            clock=clock,
            root_keys=stores.root_keys,
            metrics=metrics,
            host_id=os.urandom(24),
        )
        gateway = stack.enter_context(open_gateway(parts))
        await gateway.registry.recover(clock.now())
        await _create_buckets(settings, gateway, parts.root_keys, clock)
        readiness = Readiness()
        readiness.on_drain(gateway.pipeline.drain)
        alone = settings.workers == 1
        open_last = _open_alone if alone else _open_with_workers
        pages, workers = await open_last(stack, stores, parts, readiness)
        sweeper = _make_sweeper(stores, settings, clock)
        _expose_sweep(metrics, sweeper)
        jobs: tuple[Worker, ...] = (
            sweeper,
            GarbageCollector(stores.catalog, stores.data, stores.ids, clock),
            TrashPurger(stores.shards, clock, retention_s=settings.storage.trash_retention_s),
            stores.repairer,
            *stores.jobs,
        )
        async with anyio.create_task_group() as group:
            group.start_soon(parts.metrics.sample_loop_lag)
            for job in jobs:
                group.start_soon(run_worker, job)
            readiness.become_ready()
            yield Node(
                NodeApp(gateway.pipeline, pages),
                readiness,
                parts.root_keys,
                _notices(stores.drives(), stores.scheme, settings.workers),
                workers,
            )
            group.cancel_scope.cancel()


async def _open_stores(
    stack: AsyncExitStack, settings: Settings, clock: Clock, metrics: Metrics
) -> _Stores:
    if settings.storage.is_replicated:
        return await _open_on_several(stack, settings, clock, metrics)
    return await _open_on_one(stack, settings, clock, metrics)


async def _open_on_several(
    stack: AsyncExitStack, settings: Settings, clock: Clock, metrics: Metrics
) -> _Stores:
    """Open stores that are replicated over the directories."""
    node = await open_replicated(stack, settings, clock, metrics)
    rings, scheme = await open_rings(node.control, node.slots)
    ids = Ids(os.urandom)
    repairer = Repairer(node.catalog, ids, clock)
    data = await stack.enter_async_context(
        DataStore(
            node.sites.drives,
            rings,
            scheme=scheme,
            on_damage=repairer.report_damage,
            block_bytes=settings.storage.block_bytes,
        )
    )
    repairer.serve(data)
    node.root_keys = find_root_keys_on(settings.access, node.directories, is_dev=settings.dev)
    return _Stores(
        cluster_id=node.sites.cluster_id,
        control=node.control,
        drives=lambda: node.drives,
        shards=node.sites.drives.values(),
        scheme=scheme,
        share=node.share,
        catalog=node.catalog,
        data=data,
        repairer=repairer,
        ids=ids,
        root_keys=node.root_keys,
        places=Places(node.sites.drives, rings),
        jobs=(Rebuilder(node.control, node.catalog, data, rings),),
        sites=lambda: encode_sites(node.sites),
    )


async def _open_on_one(
    stack: AsyncExitStack, settings: Settings, clock: Clock, metrics: Metrics
) -> _Stores:
    """Open stores whose catalogue and control store lie in the first directory."""
    directories = settings.storage.dirs
    cluster_id = cluster_of(directories, clock)
    home = directories[0]
    control = await stack.enter_async_context(
        SqliteControlStore(home / CONTROL_FILE_NAME, on_fatal=end_process)
    )
    drives = await open_drives(
        directories,
        control,
        cluster_id=cluster_id,
        clock=clock,
        settings=DriveSettings(reserve_bytes=settings.storage.reserve_bytes or None),
        system=TimedSystem(metrics.flush_seconds),
    )
    stack.callback(drives.close)
    ids = Ids(os.urandom)
    store = CatalogStore(home / CATALOG_FILE_NAME, on_fatal=end_process)
    _expose(metrics, store.stats)
    catalog = SqlCatalog([await stack.enter_async_context(store)])
    rings, scheme = await open_rings(control, drives.drives)
    repairer = Repairer(catalog, ids, clock)
    places = Places({drive.drive_id: drive for drive in drives.drives}, rings)
    data = await stack.enter_async_context(
        DataStore(
            places.drives,
            rings,
            scheme=scheme,
            on_damage=repairer.report_damage,
            block_bytes=settings.storage.block_bytes,
        )
    )
    repairer.serve(data)
    return _Stores(
        cluster_id=cluster_id,
        control=control,
        drives=lambda: drives,
        shards=drives.drives,
        scheme=scheme,
        share=lambda _page: WriterEndpoint(store.writer.submit).methods,
        catalog=catalog,
        data=data,
        repairer=repairer,
        ids=ids,
        root_keys=find_root_keys(settings.access, home, is_dev=settings.dev),
        places=places,
    )


async def _open_alone(
    _stack: AsyncExitStack, stores: _Stores, parts: GatewayParts, readiness: Readiness
) -> tuple[Router, None]:
    """Serve in this process only."""
    pages = health_app(
        readiness=readiness,
        metrics=parts.metrics,
        clock=parts.clock,
        cluster=lambda: _cluster_view(stores.cluster_id, stores.drives(), stores.scheme),
    )
    return pages, None


async def _open_with_workers(
    stack: AsyncExitStack, stores: _Stores, parts: GatewayParts, readiness: Readiness
) -> tuple[Router, WorkerGroup]:
    """Start the other processes, and answer for all of them."""
    page = SharedPage()
    stack.callback(page.close)
    endpoints = {
        **ControlEndpoint(stores.control).methods,
        **stores.share(page),
        **DamageEndpoint(stores.repairer.report_damage).methods,
    }
    crew = Crew(
        parts.settings, parts.root_keys, parts.host_id, stores.cluster_id, sites=stores.sites
    )
    workers = WorkerGroup(crew, endpoints, parts.metrics, page)
    pages = health_app(
        readiness=readiness,
        metrics=parts.metrics,
        clock=parts.clock,
        cluster=lambda: _cluster_view(stores.cluster_id, stores.drives(), stores.scheme),
        gather=workers.gather,
    )
    endpoints |= PageEndpoint(pages).methods
    readiness.add_check("workers", workers.problem)
    await stack.enter_async_context(workers)
    return pages, workers


def _make_sweeper(stores: _Stores, settings: Settings, clock: Clock) -> Sweeper:
    storage = settings.storage
    return Sweeper(
        stores.catalog,
        stores.places,
        stores.ids,
        clock,
        settings=SweepSettings(age_s=storage.sweep_age_s, every_s=storage.sweep_every_s),
        guard=stores.repairer.guard,
    )


def _expose_sweep(metrics: Metrics, sweeper: Sweeper) -> None:
    """Let be seen when the last sweep ended, how far the present one is, and what was found."""
    metrics.add_gauge(
        "objstore_sweep_ended_seconds",
        "Unix time at which the last complete sweep ended; 0 before the first.",
        lambda: sweeper.ended_at / 1000,
    )
    metrics.add_gauge(
        "objstore_sweep_scanned_files",
        "Shard files that the sweep that runs, or the last one, has looked at.",
        lambda: sweeper.report.scanned,
    )
    metrics.add_gauge(
        "objstore_sweep_trashed_bytes",
        "Unreferenced bytes that sweeps moved to the trash since the start.",
        lambda: sweeper.trashed_bytes,
    )


def _expose(metrics: Metrics, stats: CatalogStats) -> None:
    """Let the catalogue's writer count into the metrics of the node."""
    stats.batch_sizes = metrics.commit_batch
    stats.commit_times = metrics.commit_seconds
    metrics.add_gauge(
        "objstore_commit_queue_commands",
        "Commands that wait for, or are in, a commit.",
        lambda: stats.queue_depth,
    )
    metrics.add_gauge(
        "objstore_catalogue_wal_bytes",
        "Write-ahead log of the catalogue after the last commit.",
        lambda: stats.wal_bytes,
    )


async def _create_buckets(
    settings: Settings, gateway: Gateway, root: RootKeys, clock: Clock
) -> None:
    """Make the buckets asked for; ready means that they are there."""
    identity = gateway.identities.identity_of(root.access_key)
    buckets = gateway.services.buckets
    for name in settings.s3.buckets:
        call = Call(identity=identity, now=clock.now())
        try:
            await buckets.create_bucket(call, CreateBucketInput(BucketName(name)))
        except ObjstoreError as error:
            raise StartRefused(f"bucket {name} cannot be made: {error}") from error


def _cluster_view(cluster_id: str, drives: OpenDrives, scheme: Scheme) -> Mapping[str, object]:
    return {
        "cluster_id": cluster_id,
        "drives": len(drives.drives),
        "drives_offline": sorted(str(path) for path in drives.offline),
        "scheme": _durability(scheme),
    }


def _durability(scheme: Scheme) -> str:
    if scheme.k > 1:
        return (
            f"{scheme.k}+{scheme.m} erasure coding, acknowledged on {scheme.durable_shards_min} "
            f"directories, survives the loss of any {scheme.m}"
        )
    if scheme.m:
        return f"{scheme.width} copies, acknowledged on {scheme.durable_shards_min} directories"
    return "one copy, synced before every acknowledgement"


def _notices(drives: OpenDrives, scheme: Scheme, processes: int) -> tuple[str, ...]:
    notices = [f"Durability    {_durability(scheme)}"]
    if processes > 1:
        notices.append(f"Workers       {processes} processes serve S3 on one port")
    if len(drives.drives) == 2:
        notices.append(
            "Catalogue     (names, metadata, small objects) in the first directory only: "
            "its loss is not covered by the others"
        )
    notices += [f"OFFLINE       {path}: {cause}" for path, cause in drives.offline.items()]
    return tuple(notices)
