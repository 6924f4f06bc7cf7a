"""One transaction of the writer: a batch of commands applied, their results recorded, committed with one fsync.

For each partition that the batch touches, in this order: propose the commands to its log as one entry, deduplicate by
op-id and apply what the log commits, write the results as one row, move cursors and counters; then COMMIT, and only then
advance the logs. All of it, or nothing, is durable.

A command that fails for a reason of its own that is not a refusal (a damaged row, a bug) must not take the batch
with it: the transaction is rolled back and done again without that command. Whatever SQLite says of the file or the
drive is not a command's fault and leaves this module as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Final, TypeAlias

import apsw

from objstore.consensus import (
    NO_REPLICA,
    EntryKind,
    Epoch,
    HardState,
    LogConfig,
    LogState,
    Membership,
    PartitionLog,
    Ready,
    ReplicaId,
)
from objstore.metadata.applier import FAULTS_OF_COMMAND, REFUSALS, Answer, Applier
from objstore.metadata.commands import Command
from objstore.metadata.sql_state import InlineIds
from objstore.metadata.stats import CatalogStats
from objstore.model.errors import InvariantError, ObjstoreError, check
from objstore.model.instant import Instant
from objstore.model.names import PartitionId

__all__ = ["Answer", "Transactor"]

_Payload: TypeAlias = tuple[tuple[int, Command], ...]
"""One entry: commands with their positions in the batch."""

LOCAL: Final = ReplicaId("local")
NO_TIME: Final = Instant(0)
"""A log of one replica has no timers."""


class _PoisonError(Exception):
    """A command that cannot be part of a batch."""

    def __init__(self, position: int, error: ObjstoreError) -> None:
        super().__init__(str(error))
        self.position = position
        self.error = error


class _MixedError(Exception):
    """The rows of a batch cannot be written, and nobody knows whose they are."""


class _Replica:
    """Log, state and results of one partition in this file.

    The log has one replica: this file. What it is given comes back as committed in the same `Ready`, so that persisting
    and applying fall into one transaction, and the entries need not outlive it.
    """

    def __init__(
        self, connection: apsw.Connection, partition: PartitionId, inline_ids: InlineIds
    ) -> None:
        self._applier = Applier(connection, partition, inline_ids)
        self.state = self._applier.state
        self._ready: Ready | None = None
        state = self.state
        epoch = Epoch(state.epoch)
        self._log = PartitionLog(
            LogConfig(replica=LOCAL),
            LogState(
                hard_state=HardState(epoch, LOCAL if epoch else NO_REPLICA, state.applied),
                applied=state.applied,
                compacted_index=state.applied,
                compacted_epoch=epoch,
                membership=Membership((LOCAL,)),
            ),
        )
        # Alone, nobody but this file can have been promised the next epoch.
        refusal = self._log.become_leader(Epoch(epoch + 1), NO_TIME)
        check(refusal is None, "a log of one replica refused to be led")

    def propose(self, payload: _Payload) -> Ready:
        """Put the commands of a batch into the log as one entry, and return what is to be done."""
        first = self._log.propose([payload], NO_TIME)
        check(isinstance(first, int), "a log of one replica refused an entry")
        self._ready = self._log.take_ready()
        if self._ready.hard_state is not None:
            self.state.epoch = self._ready.hard_state.epoch
        return self._ready

    def advance(self) -> None:
        """Tell the log that all of it is durable."""
        if self._ready is not None:
            self._log.advance(self._ready)
            self._ready = None

    def finish_entry(self, index: int, at: Instant) -> None:
        """Move results, cursors and counters; the last step before COMMIT."""
        self._applier.finish_entry(index, at)
        self.state.flush()

    def read_ahead(self, commands: Sequence[Command]) -> None:
        """Read at once what the commands of a batch will look at."""
        self._applier.read_ahead(commands)

    def answer(self, command: Command) -> Answer:
        """Apply a command, or find what it was answered before."""
        return self._applier.answer(command)


class Transactor:
    """Carries batches out on the writer's connection."""

    def __init__(self, connection: apsw.Connection, stats: CatalogStats) -> None:
        self._connection = connection
        self._stats = stats
        self._inline_ids = InlineIds(connection)
        self._replicas: dict[PartitionId, _Replica] = {}

    def run(self, batch: Sequence[tuple[PartitionId, Command]]) -> list[Answer]:
        """Return the answer to each command, all durable; raise `apsw.Error` if the commit is uncertain."""
        answers: list[Answer | None] = [None] * len(batch)
        while True:
            try:
                self._attempt(batch, answers)
            except _PoisonError as poison:
                self._roll_back()
                answers = _without_results(answers)
                answers[poison.position] = poison.error
            except _MixedError:
                self._roll_back()
                return self._one_by_one(batch, _without_results(answers))
            except apsw.Error:
                self._replicas.clear()
                raise
            else:
                return [answer for answer in answers if answer is not None]

    def abandon(self) -> None:
        """Roll back what is open; raise `apsw.Error` if even that fails."""
        self._roll_back()

    def _one_by_one(
        self, batch: Sequence[tuple[PartitionId, Command]], known: Sequence[Answer | None]
    ) -> list[Answer]:
        """Give each command a transaction of its own: one of them writes what cannot be written."""
        return [
            self.run([item])[0] if answer is None else answer
            for item, answer in zip(batch, known, strict=True)
        ]

    def _attempt(
        self, batch: Sequence[tuple[PartitionId, Command]], answers: list[Answer | None]
    ) -> None:
        started = perf_counter()
        payloads: dict[PartitionId, list[tuple[int, Command]]] = {}
        for position, (partition, command) in enumerate(batch):
            if answers[position] is None:
                payloads.setdefault(partition, []).append((position, command))
        self._connection.execute("BEGIN IMMEDIATE")
        for partition, payload in payloads.items():
            self._apply(partition, tuple(payload), answers)
        applied = perf_counter()
        self._connection.execute("COMMIT")
        done = perf_counter()
        for partition in payloads:
            self._replicas[partition].advance()
        self._stats.count_batch(len(batch), apply_s=applied - started, commit_s=done - applied)

    def _apply(
        self, partition: PartitionId, payload: _Payload, answers: list[Answer | None]
    ) -> None:
        replica = self._replica(partition, payload[0][0])
        ready = replica.propose(payload)
        for entry in ready.committed:
            if entry.kind is not EntryKind.COMMAND:
                continue
            check(entry.payload is payload, "a log of one replica returned another entry")
            if len(payload) > 1:
                replica.read_ahead([command for _, command in payload])
            for position, command in payload:
                answers[position] = self._answer(replica, position, command)
            self._finish(replica, entry.index, payload)

    @staticmethod
    def _finish(replica: _Replica, index: int, payload: _Payload) -> None:
        """Write what the commands of an entry changed; their rows go to SQLite here, many in a statement."""
        try:
            replica.finish_entry(index, max(command.at for _, command in payload))
        except Exception as error:
            if isinstance(error, apsw.Error) and not isinstance(error, FAULTS_OF_COMMAND):
                raise
            if len(payload) > 1:
                raise _MixedError from error
            raise _PoisonError(payload[0][0], _bug(error)) from error

    def _replica(self, partition: PartitionId, position: int) -> _Replica:
        replica = self._replicas.get(partition)
        if replica is None:
            try:
                replica = _Replica(self._connection, partition, self._inline_ids)
            except ObjstoreError as error:
                raise _PoisonError(position, error) from error
            self._replicas[partition] = replica
        return replica

    @staticmethod
    def _answer(replica: _Replica, position: int, command: Command) -> Answer:
        try:
            return replica.answer(command)
        except ObjstoreError as error:
            raise _PoisonError(position, error) from error
        except apsw.Error as error:
            if isinstance(error, FAULTS_OF_COMMAND):
                raise _PoisonError(position, _bug(error)) from error
            raise
        except Exception as error:
            raise _PoisonError(position, _bug(error)) from error

    def _roll_back(self) -> None:
        self._replicas.clear()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _bug(error: Exception) -> InvariantError:
    return InvariantError(f"a command failed with {type(error).__name__}: {error}")


def _without_results(answers: Sequence[Answer | None]) -> list[Answer | None]:
    """Keep the answers of commands that were taken out; all others are to be found again."""
    return [
        answer if isinstance(answer, ObjstoreError) and not isinstance(answer, REFUSALS) else None
        for answer in answers
    ]
