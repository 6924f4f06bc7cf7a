"""Several registries on one control store, as the processes of a node have them."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import msgspec
import pytest

from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.metadata.sql_catalog import CatalogStore, SqlCatalog
from objstore.model.instant import Instant
from objstore.service.ports import Ids
from objstore.service.registry import BucketRegistry
from objstore.testing.catalog_kit import bucket_record

NOW = Instant(1_000)


@asynccontextmanager
async def two_registries(directory, wrap=lambda control: control):
    """Give two registries that do not know of each other; the second one's control store can be wrapped."""
    ids = Ids(random.Random(1).randbytes)
    async with (
        SqliteControlStore.open(directory / "control.sqlite") as control,
        CatalogStore(directory / "catalog.sqlite", on_fatal=lambda _error: None) as store,
    ):
        catalog = SqlCatalog([store])
        yield (
            BucketRegistry(control, catalog, ids, is_alone=False),
            BucketRegistry(wrap(control), catalog, ids, is_alone=False),
        )


def again(record):
    """Return the record of a new bucket of the same name."""
    return msgspec.structs.replace(record, bucket_id=b"n" * 16)


def test_what_one_process_changes_the_other_one_sees(tmp_path) -> None:
    """Every answer about a bucket may come from another process than the change (read your writes)."""

    async def scenario():
        async with two_registries(tmp_path) as (one, other):
            record = bucket_record()
            assert await other.find(record.name) is None
            assert await one.publish(record, NOW)
            assert await other.find(record.name) == record
            tagged = msgspec.structs.replace(record, tags=(("a", "b"),))
            await other.replace(tagged)
            assert await one.find(record.name) == tagged
            await one.remove(tagged, NOW)
            assert await other.find(record.name) is None
            assert await other.publish(again(record), NOW)
            assert (await one.find(record.name)).bucket_id == b"n" * 16

    asyncio.run(scenario())


class Interrupting:
    """A control store before whose first removal somebody else gets a turn."""

    def __init__(self, inner):
        self._inner = inner
        self.meanwhile = None

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def delete(self, key, *, expected_revision=None):
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await self._inner.delete(key, expected_revision=expected_revision)


def test_a_late_delete_spares_the_new_bucket_of_the_name(tmp_path) -> None:
    """Two clients delete a bucket, one of them makes it anew: the slower delete must not take the new one."""

    async def scenario():
        held = []

        def wrap(control):
            held.append(Interrupting(control))
            return held[0]

        async with two_registries(tmp_path, wrap) as (one, slow):
            record = bucket_record()
            await one.publish(record, NOW)

            async def remake():
                await one.remove(record, NOW)
                assert await one.publish(again(record), NOW)

            held[0].meanwhile = remake
            await slow.remove(record, NOW)
            assert (await slow.find(record.name)).bucket_id == b"n" * 16

    asyncio.run(scenario())


def test_an_interrupted_delete_is_finished_by_the_next_one(tmp_path) -> None:
    """A process that dies while it deletes leaves a mark; the client's retry elsewhere must go through."""

    async def scenario():
        held = []

        def wrap(control):
            held.append(Interrupting(control))
            return held[0]

        async with two_registries(tmp_path, wrap) as (one, dying):
            record = bucket_record()
            await one.publish(record, NOW)

            async def die():
                raise asyncio.CancelledError

            held[0].meanwhile = die
            with pytest.raises(asyncio.CancelledError):
                await dying.remove(record, NOW)
            marked = await one.find(record.name)
            assert marked.is_deleting
            await one.remove(marked, NOW)
            assert await one.find(record.name) is None

    asyncio.run(scenario())
