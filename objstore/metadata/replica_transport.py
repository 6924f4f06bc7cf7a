"""Messages between the stores of one process: a value goes from one queue into another.

Nothing is encoded: messages are frozen values. A store that is not there, or whose queue is full, loses what it is sent:
the logs live with lost messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from objstore.consensus import Message, ReplicaId
from objstore.metadata.replica_events import Deliver, Event
from objstore.model.names import PartitionId

__all__ = ["LocalTransport", "Receiver"]

QUEUED_MAX = 20_000
"""Events in a store's queue beyond which messages to it are lost."""


class Receiver(Protocol):
    """A store, as its peers see it."""

    @property
    def path(self) -> Path:
        """Its file."""
        ...

    @property
    def queued(self) -> int:
        """Events that wait."""
        ...

    def post(self, event: Event) -> None:
        """Queue an event; from any thread."""
        ...


class LocalTransport:
    """Finds stores by the replica that they hold. Used by the threads of all of them: changes replace, never edit."""

    def __init__(self) -> None:
        self._stores: dict[ReplicaId, Receiver] = {}

    def join(self, replica: ReplicaId, store: Receiver) -> None:
        """Let a store be reached."""
        self._stores = {**self._stores, replica: store}

    def leave(self, replica: ReplicaId) -> None:
        """Let a store be reached no more."""
        self._stores = {key: value for key, value in self._stores.items() if key != replica}

    def store(self, replica: ReplicaId) -> Receiver | None:
        """Return the store of a replica."""
        return self._stores.get(replica)

    def send(self, target: ReplicaId, messages: Sequence[tuple[PartitionId, Message]]) -> None:
        """Pass messages on, or lose them."""
        store = self._stores.get(target)
        if store is not None and store.queued < QUEUED_MAX:
            store.post(Deliver(messages))
