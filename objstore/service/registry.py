"""The bucket registry: names to records, kept in the control store, cached in each gateway.

Creating and deleting touch two places, the registry and the shards in the catalogue. The order makes a crash harmless:
    create   open the shards, then publish the name: an open shard without a name is never found
    delete   mark the name, close every shard (each refuses unless it is empty), drop the shards, remove the name
A bucket that was marked when the process died is finished or taken back by `recover`, or by the next delete. Dropping decides:
it refuses a shard that another delete, which found the bucket not empty, has opened again, and what is dropped takes no write
any more. From there on the name can only go, and only from this bucket: never from a successor of the same name.
A record is safe to cache where this registry makes all changes: its fields that writes depend on never change for a bucket
id, and the shards refuse writes for a bucket that is gone. Where other processes change buckets, too, every look-up reads the
control store: that takes a few microseconds, and nothing has to be told to anybody.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from objstore.cluster.control_store import ControlStore, Item
from objstore.metadata.catalog import Catalog
from objstore.metadata.commands import CloseShard, DropShard, OpenShard, ReopenShard
from objstore.model.errors import BucketNotEmpty, NoSuchBucket, OperationAborted
from objstore.model.instant import Instant
from objstore.model.names import BucketName
from objstore.model.objects import BucketRecord
from objstore.model.versioned import RecordCodec
from objstore.service.ports import Ids

__all__ = ["BucketRegistry"]

_PREFIX = "buckets/"
_CODEC = RecordCodec(BucketRecord, version=1)


class BucketRegistry:
    """Finds, publishes, changes and removes buckets."""

    def __init__(
        self, control: ControlStore, catalog: Catalog, ids: Ids, *, is_alone: bool = True
    ) -> None:
        """Make the registry of a process; `is_alone` says that no other one changes buckets."""
        self._control = control
        self._catalog = catalog
        self._ids = ids
        self._is_alone = is_alone
        self._known: dict[str, BucketRecord] = {}

    async def find(self, name: str) -> BucketRecord | None:
        """Return the record of a bucket, or None."""
        known = self._known.get(name)
        if known is not None:
            return known
        item = await self._control.get(_PREFIX + name)
        if item is None:
            return None
        record = _CODEC.decode(item.value)
        if not record.is_deleting:
            self._remember(record)
        return record

    def forget(self, name: str) -> None:
        """Drop a name from the cache: it turned out to be stale."""
        self._known.pop(name, None)

    async def list(self, *, prefix: str, after: str, limit: int) -> Sequence[BucketRecord]:
        """Return records in order of name, strictly after `after`; limit 0 = all."""
        start = _PREFIX + after if after else ""
        items = await self._control.list(_PREFIX + prefix, after=start, limit=limit)
        return [_CODEC.decode(item.value) for item in items]

    async def publish(self, record: BucketRecord, now: Instant) -> bool:
        """Create the bucket; False if the name is taken."""
        await self._catalog.submit_all(record, OpenShard, op_id=self._ids.op(), at=now)
        key = _PREFIX + record.name
        revision = await self._control.put(key, _CODEC.encode(record), expected_revision=0)
        if revision is None:
            await self._close_unpublished(record, now)
            return False
        self._remember(record)
        return True

    async def replace(self, record: BucketRecord) -> None:
        """Write a changed record of an existing bucket; raise `OperationAborted` if it changed meanwhile or is going."""
        item = await self._item(record)
        if _CODEC.decode(item.value).is_deleting:
            raise OperationAborted(bucket_name=record.name)
        await self._swap(item, record)
        self._remember(record)

    async def remove(self, record: BucketRecord, now: Instant) -> None:
        """Delete an empty bucket; raise `BucketNotEmpty` and leave it as it was otherwise."""
        item = await self._item(record)
        marked = msgspec.structs.replace(_CODEC.decode(item.value), is_deleting=True)
        revision = await self._swap(item, marked)
        await self._finish_removal(marked, revision, now)

    async def recover(self, now: Instant) -> Sequence[BucketName]:
        """Finish or take back the removals that a crash interrupted; return the names concerned."""
        found = []
        for item in await self._control.list(_PREFIX):
            record = _CODEC.decode(item.value)
            if not record.is_deleting:
                continue
            found.append(record.name)
            try:
                await self._finish_removal(record, item.revision, now)
            except BucketNotEmpty:
                continue
        return found

    async def _finish_removal(self, marked: BucketRecord, revision: int, now: Instant) -> None:
        try:
            await self._catalog.submit_all(marked, CloseShard, op_id=self._ids.op(), at=now)
            await self._catalog.submit_all(marked, DropShard, op_id=self._ids.op(), at=now)
        except (BucketNotEmpty, OperationAborted):
            await self._take_back(marked, revision, now)
            raise
        except NoSuchBucket:
            pass  # a removal that came this far before has dropped it
        self._known.pop(marked.name, None)
        await self._unpublish(marked)

    async def _take_back(self, marked: BucketRecord, revision: int, now: Instant) -> None:
        """Make a marked bucket usable again; a later removal that has marked it anew decides for itself."""
        await self._catalog.submit_all(marked, ReopenShard, op_id=self._ids.op(), at=now)
        record = msgspec.structs.replace(marked, is_deleting=False)
        key = _PREFIX + marked.name
        await self._control.put(key, _CODEC.encode(record), expected_revision=revision)

    async def _unpublish(self, marked: BucketRecord) -> None:
        """Remove the name while it belongs to this bucket; a successor of the same name keeps it."""
        key = _PREFIX + marked.name
        while (item := await self._control.get(key)) is not None:
            if _CODEC.decode(item.value).bucket_id != marked.bucket_id:
                return
            if await self._control.delete(key, expected_revision=item.revision):
                return

    async def _close_unpublished(self, record: BucketRecord, now: Instant) -> None:
        await self._catalog.submit_all(record, CloseShard, op_id=self._ids.op(), at=now)
        await self._catalog.submit_all(record, DropShard, op_id=self._ids.op(), at=now)

    def _remember(self, record: BucketRecord) -> None:
        if self._is_alone:
            self._known[record.name] = record

    async def _item(self, record: BucketRecord) -> Item:
        item = await self._control.get(_PREFIX + record.name)
        if item is None or _CODEC.decode(item.value).bucket_id != record.bucket_id:
            self._known.pop(record.name, None)
            raise NoSuchBucket(bucket_name=record.name)
        return item

    async def _swap(self, item: Item, record: BucketRecord) -> int:
        revision = await self._control.put(
            item.key, _CODEC.encode(record), expected_revision=item.revision
        )
        if revision is None:
            self._known.pop(record.name, None)
            raise OperationAborted(bucket_name=record.name)
        return revision
