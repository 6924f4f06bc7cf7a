"""One partition's replica in a file: its log, who waits for what in it, and what of it is committed but not applied yet.

What is committed may wait: see `replica_machine`. What may be removed from the log waits as well, so that it happens in
larger steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from objstore.consensus import Entry, Epoch, LogConfig, PartitionLog, Ready, ReplicaId
from objstore.consensus.messages import payload_size
from objstore.metadata.applier import Applier
from objstore.metadata.commands import Command
from objstore.metadata.remote_writer import AnyCommand
from objstore.metadata.replica_events import Proposal
from objstore.model.names import PartitionId
from objstore.model.versioned import RecordCodec

__all__ = [
    "DamagedError",
    "PartitionReplica",
    "Pending",
    "PoisonError",
    "Refused",
    "commands_of",
    "encode_commands",
    "log_config",
]

_PAYLOAD: Final[RecordCodec[tuple[AnyCommand, ...]]] = RecordCodec(
    tuple[AnyCommand, ...], version=1
)
"""An entry of the log: the commands of one partition that came together."""
BEHIND_ENTRIES: Final = 64
BEHIND_BYTES: Final = 1024 * 1024
"""A follower with a patience of 1 applies when so much of a partition waits."""
COMPACT_EVERY: Final = 16
COMPACT_BYTES: Final = 4 * 1024 * 1024
"""Entries that nobody needs are removed when the log has moved on so often, or so many bytes were added."""
RETAINED_BYTES: Final = 64 * 1024
"""Applied entries that a log keeps in memory for followers that were away. A file has up to 256 logs: 16 MiB in all."""
SNAPSHOT_MS: Final = 15_000
"""After so long without a sign of a follower its snapshot is made again, unless it is still being copied."""
HANDOVER_MS: Final = 500
"""How long a planned hand-over may hold up writes before the leader goes on."""


Refused: TypeAlias = tuple[PartitionId, int, int]
"""A command that cannot be applied, by partition, index of its entry and position in it."""


def log_config(replica: ReplicaId) -> LogConfig:
    """Return the limits of each log of a file."""
    return LogConfig(
        replica=replica,
        retained_bytes=RETAINED_BYTES,
        snapshot_ms=SNAPSHOT_MS,
        handover_ms=HANDOVER_MS,
    )


class PoisonError(Exception):
    """A command that cannot be applied, on any replica."""

    def __init__(self, at: Refused) -> None:
        super().__init__("a command cannot be applied")
        self.at = at


class DamagedError(Exception):
    """A replica cannot go on."""

    def __init__(self, partition: PartitionId, cause: Exception) -> None:
        super().__init__(str(cause))
        self.partition = partition


class _Payload(bytes):
    """An encoded entry that remembers what it was made of: replicas in this process need not decode it again."""

    commands: tuple[Command, ...] = ()


def encode_commands(commands: tuple[AnyCommand, ...]) -> bytes:
    """Return the payload of an entry."""
    payload = _Payload(_PAYLOAD.encode(commands))
    payload.commands = commands
    return payload


def commands_of(entry: Entry) -> tuple[Command, ...]:
    """Return the commands of an entry, whichever process proposed it."""
    if isinstance(entry.payload, _Payload):
        return entry.payload.commands
    return _PAYLOAD.decode(entry.payload if isinstance(entry.payload, bytes) else b"")


class Pending:
    """An entry that this replica proposed: who waits for it."""

    __slots__ = ("commands", "epoch", "tickets")

    def __init__(self, epoch: Epoch, proposals: Sequence[Proposal]) -> None:
        self.epoch = epoch
        self.commands: tuple[Command, ...] = tuple(item.command for item in proposals)
        self.tickets = [item.ticket for item in proposals]


class PartitionReplica:
    """One partition's log, and who waits for what in it."""

    __slots__ = (
        "added_bytes",
        "applier",
        "behind",
        "behind_bytes",
        "compact_to",
        "compactions",
        "log",
        "opening",
        "partition",
        "pending",
    )

    def __init__(self, partition: PartitionId, log: PartitionLog) -> None:
        self.partition = partition
        self.log = log
        self.applier: Applier | None = None
        self.pending: dict[int, Pending] = {}
        self.opening: tuple[Epoch, int] | None = None
        """The epoch that will serve when that index is applied."""
        self.behind: list[Entry] = []
        """Committed, and not applied yet, though the log believes so."""
        self.behind_bytes = 0
        self.compact_to = 0
        """Entries up to here may be removed from the file, once they are applied."""
        self.compactions = 0
        self.added_bytes = 0

    def note(self, ready: Ready) -> None:
        """Take note of what a Ready brings that need not be carried out with it."""
        if ready.snapshot is not None:
            self.behind.clear()
            self.behind_bytes = self.compact_to = self.compactions = 0
        if ready.committed:
            self.behind += ready.committed
            self.behind_bytes += sum(payload_size(entry.payload) for entry in ready.committed)
        if ready.compact_to:
            self.compact_to = ready.compact_to
            self.compactions += 1
        if ready.entries:
            self.added_bytes += sum(payload_size(entry.payload) for entry in ready.entries)

    def note_applied(self) -> None:
        """Take note that what was behind is applied, durable and answered: nobody waits for it any more."""
        for entry in self.behind:
            self.pending.pop(entry.index, None)
        self.behind = []
        self.behind_bytes = 0
        if self.is_compaction_due:
            self.compact_to = self.compactions = self.added_bytes = 0

    def is_far_behind(self, patience: float) -> bool:
        """Tell whether enough waits to be applied in one transaction."""
        return (
            len(self.behind) >= BEHIND_ENTRIES * patience
            or self.behind_bytes >= BEHIND_BYTES * patience
        )

    @property
    def is_compaction_due(self) -> bool:
        """Tell whether it is time to remove entries that nobody needs."""
        return bool(self.compact_to) and (
            self.compactions >= COMPACT_EVERY or self.added_bytes >= COMPACT_BYTES
        )
