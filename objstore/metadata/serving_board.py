"""Shows other processes of a node whose file answers for which partition: the owner's half of `followed_replicas`.

Each partition has a word of the shared page: the number of the store that serves it, 0 while nobody does. A number belongs to
one opened store for ever; a file that is opened again has another one.

Why a process that looks at the word, and then reads that file, is right
    * The keeper takes a partition off the board before it names another leader, and puts it on again when the new leader has
      applied all that was acknowledged before it. So whatever was acknowledged before the look is in that file at the look.
    * A file only gains. What becomes of the leadership between the look and the read makes the answer older than others
      that are being made, and never older than the request.
    * A reader has the very files that the owner has: see `objstore.metadata.catalog_file.identity_of`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from objstore.metadata.catalog_file import FileIdentity
from objstore.metadata.replica_store import ReplicaStore
from objstore.model.errors import CorruptRecord, DriveUnavailable
from objstore.model.names import PartitionId

__all__ = [
    "FILES",
    "SERVING_WORD",
    "SUSPECT",
    "ServedFile",
    "ServingBoard",
    "Suspicion",
    "WritableWords",
]

Suspect: TypeAlias = Callable[[ReplicaStore, Sequence[PartitionId], Exception], Awaitable[bool]]

SERVING_WORD: Final = 16
"""Word of the page that speaks of partition 0."""
FILES: Final = "replicas.files"
"""Worker to owner: which files may be read? -> list of `ServedFile`."""
SUSPECT: Final = "replicas.suspect"
"""Worker to owner: the file of a number failed under a reader (`Suspicion`) -> whether it is worth asking again."""


class Suspicion(msgspec.Struct, frozen=True, array_like=True):
    """What a look-up of a worker met."""

    number: int
    partitions: tuple[int, ...]
    is_damage: bool
    """The file is not what was written, or a part of it cannot be read; else it may be the worker's own trouble."""
    cause: str


class ServedFile(msgspec.Struct, frozen=True, array_like=True):
    """A store that serves partitions, or did a moment ago."""

    number: int
    path: str
    identity: FileIdentity


class WritableWords(Protocol):
    """A shared page, as its owner sees it."""

    def __setitem__(self, index: int, value: int) -> None:
        """Write a word."""
        ...


class ServingBoard:
    """Follows a keeper. Use from its event loop."""

    def __init__(self, page: WritableWords, suspect: Suspect) -> None:
        self._page = page
        self._suspect = suspect
        self._numbers: dict[ReplicaStore, int] = {}
        self._last_number = 0
        self.methods: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = {
            FILES: self._tell_files,
            SUSPECT: self._look_at,
        }

    def show(self, partition: PartitionId, store: ReplicaStore | None) -> None:
        """Say who serves a partition from now on."""
        self._page[SERVING_WORD + partition] = 0 if store is None else self._number(store)

    def _number(self, store: ReplicaStore) -> int:
        number = self._numbers.get(store)
        if number is None:
            for gone in [known for known in self._numbers if known.failure is not None]:
                del self._numbers[gone]
            self._last_number += 1
            number = self._numbers[store] = self._last_number
        return number

    def _files(self) -> Iterator[ServedFile]:
        for store, number in self._numbers.items():
            if store.failure is None:
                yield ServedFile(number, str(store.path), store.identity)

    async def _tell_files(self, _body: bytes) -> bytes:
        return msgspec.msgpack.encode(list(self._files()))

    async def _look_at(self, body: bytes) -> bytes:
        suspicion = msgspec.msgpack.decode(body, type=Suspicion)
        kind = CorruptRecord if suspicion.is_damage else DriveUnavailable
        is_worthwhile = True
        for store in [store for store, own in self._numbers.items() if own == suspicion.number]:
            partitions = [PartitionId(number) for number in suspicion.partitions]
            is_worthwhile = await self._suspect(store, partitions, kind(suspicion.cause))
        return msgspec.msgpack.encode(is_worthwhile)
