"""The composition root: the only place that knows everything, and where nothing is decided.

`open_node` builds a node from settings and a clock, makes true what readiness promises, and takes everything down in the
opposite order. Tests and simulations call the same function.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
import structlog

from objstore.api.app import NodeApp
from objstore.api.pipeline import Pipeline, PipelineLimits
from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.metadata.sql_catalog import CatalogStore, SqlCatalog
from objstore.model.errors import ObjstoreError
from objstore.model.instant import Clock
from objstore.model.names import BucketName
from objstore.model.objects import Scheme
from objstore.replication.store import DataStore
from objstore.s3.inputs import CreateBucketInput
from objstore.s3.operations import require_sound_table
from objstore.s3.signature import Authenticator, RegionPolicy, SigningKeyCache
from objstore.server.drives import OpenDrives, cluster_of, open_drives, open_rings
from objstore.server.health import Readiness, health_app
from objstore.server.keys import RootKeys, find_root_keys
from objstore.server.metrics import Metrics
from objstore.server.observer import RequestLog
from objstore.server.refusal import StartRefused
from objstore.server.services import Services
from objstore.server.settings import Settings
from objstore.service.buckets import BucketService
from objstore.service.identities import Identities, UserEntry
from objstore.service.maintenance import (
    GarbageCollector,
    Repairer,
    TrashPurger,
    Worker,
    run_worker,
)
from objstore.service.ports import Call, Ids
from objstore.service.registry import BucketRegistry
from objstore.storage.posix_drive import DriveSettings

__all__ = ["Node", "open_node"]

_EXIT_CATALOGUE_FAILED = 3
_log = structlog.get_logger("objstore.node")

CATALOG_FILE = "catalog.sqlite"
CONTROL_FILE = "control.sqlite"
_HASH_THREADS = max(2, os.cpu_count() or 2)


@dataclass(frozen=True, slots=True)
class Node:
    """An open node: what serving needs of it."""

    app: NodeApp
    readiness: Readiness
    root_keys: RootKeys
    notices: tuple[str, ...]
    """Facts that the person at the terminal should know: durability, offline drives."""


@asynccontextmanager
async def open_node(settings: Settings, *, clock: Clock) -> AsyncIterator[Node]:
    """Open a node and keep it open for the length of the block. Raises `StartRefused`."""
    require_sound_table()
    async with AsyncExitStack() as stack:
        directories = settings.storage.dirs
        cluster_id = cluster_of(directories, clock)
        home = directories[0]
        control = await stack.enter_async_context(SqliteControlStore(home / CONTROL_FILE, on_fatal=_end_process))
        drives = await open_drives(
            directories,
            control,
            cluster_id=cluster_id,
            clock=clock,
            settings=DriveSettings(reserve_bytes=settings.storage.reserve_bytes),
        )
        stack.callback(drives.close)
        metrics = Metrics()
        ids = Ids(os.urandom)
        store = CatalogStore(home / CATALOG_FILE, on_fatal=_end_process)
        catalog = SqlCatalog([await stack.enter_async_context(store)])
        rings, scheme = await open_rings(control, drives.drives)
        repairer = Repairer(catalog, ids, clock)
        data = await stack.enter_async_context(
            DataStore(
                {drive.drive_id: drive for drive in drives.drives},
                rings,
                scheme=scheme,
                on_damage=repairer.report_damage,
                block_bytes=settings.storage.block_bytes,
            )
        )
        repairer.serve(data)
        hash_pool = ThreadPoolExecutor(_HASH_THREADS, thread_name_prefix="hash")
        stack.callback(hash_pool.shutdown, wait=False)
        root_keys = find_root_keys(settings.access, home, is_dev=settings.dev)
        readiness = Readiness()
        registry = BucketRegistry(control, catalog, ids)
        identities = _identities(settings, root_keys)
        services = Services(
            settings,
            registry=registry,
            catalog=catalog,
            data=data,
            ids=ids,
            hash_pool=hash_pool,
        )
        pipeline = Pipeline(
            handlers=services.handlers(),
            registry=registry,
            identities=identities,
            authenticator=Authenticator(
                identities,
                SigningKeyCache(),
                RegionPolicy(settings.s3.region, settings.s3.region_strict),
            ),
            clock=clock,
            observer=RequestLog(metrics, is_verbose=settings.log.log_level == "debug"),
            hash_pool=hash_pool,
            domains=settings.listen.domains,
            host_id=os.urandom(24),
            public_url=settings.listen.public_url,
            limits=PipelineLimits(idle_timeout_s=settings.listen.stall_timeout_s),
        )
        readiness.on_drain(pipeline.drain)
        pages = health_app(
            readiness=readiness,
            metrics=metrics,
            clock=clock,
            cluster=lambda: _cluster_view(cluster_id, drives, scheme),
        )
        await registry.recover(clock.now())
        await _create_buckets(settings, services.buckets, identities, root_keys, clock)
        workers: tuple[Worker, ...] = (
            GarbageCollector(catalog, data, ids, clock),
            TrashPurger(drives.drives, clock, retention_s=settings.storage.trash_retention_s),
            repairer,
        )
        async with anyio.create_task_group() as group:
            group.start_soon(metrics.sample_loop_lag)
            for worker in workers:
                group.start_soon(run_worker, worker)
            readiness.become_ready()
            yield Node(NodeApp(pipeline, pages), readiness, root_keys, _notices(drives, scheme))
            group.cancel_scope.cancel()


def _end_process(failure: Exception) -> None:
    """End at once after a failed commit: what is durable is decided by recovery, not by this process (trap T11)."""
    _log.critical("catalogue_failed", cause=str(failure), exc_info=failure)
    os._exit(_EXIT_CATALOGUE_FAILED)


def _identities(settings: Settings, root: RootKeys) -> Identities:
    entries = [UserEntry("root", root.access_key, root.secret_key.reveal(), is_root=True)]
    entries += [
        UserEntry(user.name, user.access_key, user.secret_key.reveal())
        for user in settings.access.users
    ]
    return Identities(entries)


async def _create_buckets(
    settings: Settings, buckets: BucketService, identities: Identities, root: RootKeys, clock: Clock
) -> None:
    """Make the buckets asked for; ready means that they are there."""
    identity = identities.identity_of(root.access_key)
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


def _notices(drives: OpenDrives, scheme: Scheme) -> tuple[str, ...]:
    notices = [f"Durability: {_durability(scheme)}"]
    if len(drives.drives) > 1:
        notices.append(
            "The catalogue (names, metadata, small objects) lies in the first directory only: "
            "its loss is not covered by the others"
        )
    notices += [f"OFFLINE {path}: {cause}" for path, cause in drives.offline.items()]
    return tuple(notices)
