"""A replicated catalogue as a process sees it that does not own its files: reads from the leader's file, changes at the owner.

Which file that is stands in a page that the owner shares; `serving_board` says why looking there first is enough. Files are
opened when they are first needed, and given up when they serve nothing any more or fail. `ReplicatedCatalog` over this waits
where nobody serves, as the owner's does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw
import msgspec

from objstore.cluster.mirrored_control_store import Words
from objstore.cluster.remote_control_store import Peer
from objstore.metadata.catalog_file import identity_of
from objstore.metadata.partitioning import PARTITIONS_COUNT
from objstore.metadata.reader import CatalogReader
from objstore.metadata.remote_writer import RemoteWriter
from objstore.metadata.replica_trust import is_unreadable
from objstore.metadata.serving_board import (
    FILES,
    SERVING_WORD,
    SUSPECT,
    ServedFile,
    Suspicion,
)
from objstore.metadata.sql_catalog import Store
from objstore.model.errors import DriveUnavailable, ObjstoreError, StorageFull, Unavailable
from objstore.model.names import PartitionId

__all__ = ["FollowedReplicas", "FollowedStore"]

CALL_S: Final = 10.0
LOOK_EVERY_S: Final = 0.02
"""How often somebody who waits looks whether a partition is served."""


@dataclass(frozen=True, slots=True)
class FollowedStore:
    """One file of the owner's, open for reading here."""

    number: int
    reader: CatalogReader
    writer: RemoteWriter


class FollowedReplicas:
    """Who serves which partition. Use from one event loop."""

    def __init__(self, page: Words, owner: Peer) -> None:
        self._page = page
        self._owner = owner
        self._writer = RemoteWriter(owner)
        self._open: dict[int, FollowedStore] = {}
        self._hanging: dict[int, FollowedStore] = {}
        """Files of which a read has not come back."""
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Open what may be read at the moment."""
        async with self._opening:
            answer = await self._owner.call(FILES, deadline_s=CALL_S)
            files = {
                file.number: file for file in msgspec.msgpack.decode(answer, type=list[ServedFile])
            }
            for number in [number for number in self._open if number not in files]:
                self._drop(number)
            for number, file in files.items():
                if number not in self._open and number not in self._hanging:
                    await self._add(file)

    def close(self) -> None:
        """Close all files."""
        for number in list(self._open):
            self._drop(number)

    def at(self, partition: PartitionId) -> FollowedStore:
        """See `Stores`."""
        store = self._open.get(self._page[SERVING_WORD + partition])
        if store is None:
            raise DriveUnavailable("no replica leads at the moment", partition=partition)
        return store

    def is_serving(self, partition: PartitionId) -> bool:
        """Tell whether `at` would answer."""
        return self._page[SERVING_WORD + partition] in self._open

    def refusal(self, partition: PartitionId) -> StorageFull | None:  # noqa: ARG002 the port's
        """See `Replicas`: the owner is asked, and tells."""
        return None

    def scans(self) -> Iterable[tuple[CatalogReader, PartitionId]]:
        """See `Stores`: partitions that are served at the moment."""
        for partition in map(PartitionId, range(PARTITIONS_COUNT)):
            if self.is_serving(partition):
                yield self.at(partition).reader, partition

    async def wait_for_change(self, timeout_s: float) -> None:
        """Open what is served by a file that is not open here; else wait a little."""
        serving = {self._page[SERVING_WORD + number] for number in range(PARTITIONS_COUNT)}
        if serving - self._open.keys() - self._hanging.keys() - {0}:
            with suppress(TimeoutError, Unavailable):
                async with asyncio.timeout(timeout_s):
                    await self.open()
        await asyncio.sleep(min(timeout_s, LOOK_EVERY_S))

    async def suspect(
        self, store: object, partitions: Sequence[PartitionId], error: Exception
    ) -> bool:
        """See `Replicas`: the owner looks at it; what SQLite cannot read is opened anew if it goes on serving."""
        number = next((number for number, own in self._open.items() if own is store), None)
        if number is None:
            return True
        if isinstance(error, apsw.Error):
            self._drop(number)
        suspicion = Suspicion(number, tuple(partitions), is_unreadable(error), str(error))
        try:
            answer = await self._owner.call(
                SUSPECT, msgspec.msgpack.encode(suspicion), deadline_s=CALL_S
            )
        except Unavailable:
            return True
        return msgspec.msgpack.decode(answer, type=bool)

    def hangs(self, store: Store) -> None:
        """See `Replicas`: the file is read no more; the owner, whose drive it is, finds another leader."""
        for number in [number for number, own in self._open.items() if own is store]:
            self._hanging[number] = self._open.pop(number)

    def goes_on(self, store: Store) -> None:
        """See `Replicas`."""
        for number in [number for number, own in self._hanging.items() if own is store]:
            self._open[number] = self._hanging.pop(number)

    async def _add(self, file: ServedFile) -> None:
        try:
            reader = await asyncio.to_thread(_open, file)
        except (apsw.Error, ObjstoreError, OSError):
            return  # whoever needs it asks again, until the owner knows that it is lost
        self._open[file.number] = FollowedStore(file.number, reader, self._writer)

    def _drop(self, number: int) -> None:
        self._open.pop(number).reader.close()


def _open(file: ServedFile) -> CatalogReader:
    """Open the very files that the owner has; raise `DriveUnavailable` where the name leads to others."""
    path = Path(file.path)
    before = identity_of(path)
    reader = CatalogReader(path)
    is_same = False
    try:
        reader.partitions()  # opens WAL and index
        is_same = before == identity_of(path) == file.identity
    finally:
        if not is_same:
            reader.close()
    if not is_same:
        raise DriveUnavailable("another file has taken this name", drive=file.path)
    return reader
