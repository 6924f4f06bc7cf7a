"""What every process that serves S3 is made of, whether it owns the files or asks the one that does.

The composition root hands in the parts that differ (catalogue, control store, data); what is built of them here is the same
everywhere, so that a request is answered the same, whoever gets it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from objstore.api.pipeline import Pipeline
from objstore.cluster.control_store import ControlStore
from objstore.metadata.catalog import Catalog
from objstore.model.instant import Clock
from objstore.s3.signature import Authenticator, RegionPolicy, SigningKeyCache
from objstore.server.keys import RootKeys
from objstore.server.metrics import Metrics
from objstore.server.observer import RequestLog
from objstore.server.services import Services
from objstore.server.settings import Settings
from objstore.service.identities import Identities, UserEntry
from objstore.service.ports import DataStore, Ids
from objstore.service.registry import BucketRegistry

__all__ = ["Gateway", "GatewayParts", "open_gateway"]

_HASH_THREADS: Final = max(2, os.cpu_count() or 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayParts:
    """What a gateway stands on."""

    settings: Settings
    control: ControlStore
    catalog: Catalog
    data: DataStore
    ids: Ids
    clock: Clock
    root_keys: RootKeys
    metrics: Metrics
    host_id: bytes
    """24 bytes; the first four begin every request id of this process."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything between the HTTP server and the ports below the services."""

    pipeline: Pipeline
    registry: BucketRegistry
    services: Services
    identities: Identities


@contextmanager
def open_gateway(parts: GatewayParts) -> Iterator[Gateway]:
    """Build a gateway; its threads end with the block."""
    settings = parts.settings
    hash_pool = ThreadPoolExecutor(_HASH_THREADS, thread_name_prefix="hash")
    registry = BucketRegistry(
        parts.control, parts.catalog, parts.ids, is_alone=settings.workers == 1
    )
    identities = _identities(settings, parts.root_keys)
    services = Services(
        settings,
        registry=registry,
        catalog=parts.catalog,
        data=parts.data,
        ids=parts.ids,
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
        clock=parts.clock,
        observer=RequestLog(parts.metrics, is_verbose=settings.log.log_level == "debug"),
        hash_pool=hash_pool,
        domains=settings.listen.domains,
        host_id=parts.host_id,
        public_url=settings.listen.public_url,
    )
    try:
        yield Gateway(pipeline, registry, services, identities)
    finally:
        hash_pool.shutdown(wait=False)


def _identities(settings: Settings, root: RootKeys) -> Identities:
    entries = [UserEntry("root", root.access_key, root.secret_key.reveal(), is_root=True)]
    entries += [
        UserEntry(user.name, user.access_key, user.secret_key.reveal())
        for user in settings.access.users
    ]
    return Identities(entries)
