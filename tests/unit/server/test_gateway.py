"""One gateway is like another, and knows whether it is alone."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.metadata.sql_catalog import CatalogStore, SqlCatalog
from objstore.model.instant import Instant
from objstore.server.clock import SystemClock
from objstore.server.gateway import GatewayParts, open_gateway
from objstore.server.keys import KeyOrigin, RootKeys
from objstore.server.metrics import Metrics
from objstore.server.settings import Secret, build_settings
from objstore.service.ports import Ids
from objstore.testing.catalog_kit import bucket_record


@pytest.mark.parametrize("workers", [1, 2])
def test_only_a_gateway_that_is_alone_remembers_buckets(tmp_path, workers) -> None:
    """With several processes a remembered bucket may be another one by now; alone, the look-up is spared."""

    async def scenario():
        async with (
            SqliteControlStore.open(tmp_path / "control.sqlite") as control,
            CatalogStore(tmp_path / "catalog.sqlite", on_fatal=lambda _error: None) as store,
        ):
            parts = GatewayParts(
                settings=build_settings({"dirs": (Path("d"),), "workers": workers}),
                control=control,
                catalog=SqlCatalog([store]),
                data=None,
                ids=Ids(os.urandom),
                clock=SystemClock(),
                root_keys=RootKeys("root", Secret("secret-key"), KeyOrigin.GIVEN),
                metrics=Metrics(),
                host_id=bytes(range(24)),
            )
            with open_gateway(parts) as one, open_gateway(parts) as other:
                record = bucket_record()
                await one.registry.publish(record, Instant(1))
                await other.registry.replace(msgspec.structs.replace(record, tags=(("a", "b"),)))
                found = await one.registry.find(record.name)
                assert found.tags == (() if workers == 1 else (("a", "b"),))
                assert one.pipeline.next_request_id() == "0001020300000001"

    asyncio.run(scenario())
