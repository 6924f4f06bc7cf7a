"""Keeps the WAL of a catalogue file bounded: its writer's thread asks between transactions.

PASSIVE above 16 MiB, all of it when the writer is idle or above 256 MiB. A reader in the way and a full drive are no errors; a
failing drive is, and is raised.

What the WAL keeps of its blocks when all of it is in the file (`bring_in`) is room in which deletes can be written when
somebody else has filled the drive; `truncate` gives it back. Where the file has no blocks for what the WAL holds, `make_room`
gives up what is kept beside it (`KeptRoom`).
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

import apsw

from objstore.cluster.kept_room import KeptRoom
from objstore.metadata.stats import CatalogStats
from objstore.model.limits import MIB

__all__ = ["WalKeeper"]

CHECKPOINT_BYTES: Final = 16 * MIB
CHECKPOINT_STEP_BYTES: Final = 4 * MIB
"""Growth after a checkpoint that readers held up, before the next attempt."""
TRUNCATE_BYTES: Final = 256 * MIB
IDLE_S: Final = 0.5
"""The WAL is brought in when nothing was written for so long."""


class WalKeeper:
    """Checkpoints on the writer's connection, the only one that may."""

    def __init__(
        self, connection: apsw.Connection, stats: CatalogStats, kept_room: KeptRoom | None = None
    ) -> None:
        self._connection = connection
        self._stats = stats
        self._kept_room = kept_room
        self._pages = 0
        self._page_bytes: int = connection.pragma("page_size")
        self._due_bytes = CHECKPOINT_BYTES
        connection.set_wal_hook(self._on_wal)

    @property
    def is_empty(self) -> bool:
        """Tell whether the WAL has nothing that the file has not."""
        return self._pages == 0

    @property
    def wait_s(self) -> float | None:
        """Seconds after which an idle writer has something to do here; None for nothing."""
        if not self.is_empty:
            return IDLE_S
        return None if self._kept_room is None else self._kept_room.wait_s

    def tidy(self) -> None:
        """Do what a quiet moment is good for; raises `apsw.Error`."""
        self.bring_in()
        if self._kept_room is not None:
            self._kept_room.take_if_due()

    def checkpoint_if_due(self) -> None:
        """Checkpoint where the WAL has grown; raises `apsw.Error`."""
        wal_bytes = self._pages * self._page_bytes
        if wal_bytes < CHECKPOINT_BYTES:
            self._due_bytes = CHECKPOINT_BYTES
        elif wal_bytes > TRUNCATE_BYTES:
            self.truncate()
        elif wal_bytes >= self._due_bytes:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._due_bytes = wal_bytes + CHECKPOINT_STEP_BYTES

    def truncate(self) -> None:
        """Bring all of the WAL into the file, if no reader is in the way; raises `apsw.Error`."""
        self._bring_in(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def bring_in(self) -> bool:
        """Bring all of the WAL into the file and keep its blocks: the next frame is written over the first one.

        Tell whether that made room. Raises `apsw.Error`.
        """
        return not self.is_empty and self._bring_in(apsw.SQLITE_CHECKPOINT_RESTART)

    def make_room(self) -> bool:
        """Find room on a drive that has none; tell whether it is worth trying again. Raises `apsw.Error`."""
        if self.bring_in():
            return True
        if self._kept_room is None or not self._kept_room.give_up():
            return False
        self.bring_in()
        return True

    def _bring_in(self, mode: int) -> bool:
        if not self._checkpoint(mode):
            return False
        self._pages = 0
        self._stats.wal_bytes = 0
        self._due_bytes = CHECKPOINT_BYTES
        return True

    def _checkpoint(self, mode: int) -> bool:
        started = perf_counter()
        try:
            self._connection.wal_checkpoint(mode=mode)
        except (apsw.BusyError, apsw.FullError):
            return False
        finally:
            self._stats.checkpoints += 1
            self._stats.checkpoint_s += perf_counter() - started
        return True

    def _on_wal(self, _connection: apsw.Connection, _database: str, pages_count: int) -> int:
        self._pages = pages_count
        self._stats.wal_bytes = pages_count * self._page_bytes
        return apsw.SQLITE_OK
