"""One transaction of the writer: a batch of commands applied, their results recorded, committed with one fsync.

For each partition that the batch touches, in this order: deduplicate by op-id and apply, write the results as one row,
move cursors and counters; then COMMIT. All of it, or nothing, is durable.

A command that fails for a reason of its own that is not a refusal (a damaged row, a bug) must not take the batch
with it: the transaction is rolled back and done again without that command. Whatever SQLite says of the file or the
drive is not a command's fault and leaves this module as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Final, TypeAlias

import apsw
import xxhash

from objstore.metadata.apply import apply
from objstore.metadata.commands import Command, CommandResult
from objstore.metadata.records import Outcome, Refused
from objstore.metadata.results import OpResults
from objstore.metadata.sql_state import InlineIds, SqlState
from objstore.metadata.stats import CatalogStats
from objstore.model.errors import (
    Conflict,
    Denied,
    InvalidRequest,
    InvariantError,
    NotFound,
    ObjstoreError,
    error_from_parts,
)
from objstore.model.instant import Instant
from objstore.model.names import PartitionId

__all__ = ["Answer", "Transactor"]

Answer: TypeAlias = CommandResult | ObjstoreError

REFUSALS: Final = (NotFound, Conflict, InvalidRequest, Denied)
_FAULT_OF_COMMAND: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.RangeError,
    apsw.SQLError,
)
"""What SQLite raises for a statement or a value that should never have come to it."""


class _PoisonError(Exception):
    """A command that cannot be part of a batch."""

    def __init__(self, position: int, error: ObjstoreError) -> None:
        super().__init__(str(error))
        self.position = position
        self.error = error


class _Replica:
    """State and results of one partition in this file."""

    def __init__(
        self, connection: apsw.Connection, partition: PartitionId, inline_ids: InlineIds
    ) -> None:
        self.state = SqlState(connection, partition, inline_ids)
        self.results = OpResults(connection, partition)

    def answer(self, command: Command) -> Answer:
        """Apply a command, or find what it was answered before."""
        known = self.results.find(command.op_id)
        if known is not None:
            return _answer_of(known)
        before = self.state.change_count
        try:
            result = apply(self.state, command)
        except REFUSALS as error:
            if self.state.change_count != before:
                raise InvariantError("a command was refused after its first write") from error
            self.results.stage(command.op_id, Refused(*error.to_parts()))
            return error
        self.results.stage(command.op_id, result)
        return result

    def finish_entry(self, at: Instant) -> None:
        """Move results, cursors and counters; the last step before COMMIT."""
        state = self.state
        state.applied += 1
        record = self.results.write(state.applied, at)
        state.state_hash = xxhash.xxh3_64_digest(state.state_hash + record)
        state.flush()


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
            except apsw.Error:
                self._replicas.clear()
                raise
            else:
                return [answer for answer in answers if answer is not None]

    def abandon(self) -> None:
        """Roll back what is open; raise `apsw.Error` if even that fails."""
        self._roll_back()

    def _attempt(
        self, batch: Sequence[tuple[PartitionId, Command]], answers: list[Answer | None]
    ) -> None:
        started = perf_counter()
        self._connection.execute("BEGIN IMMEDIATE")
        latest: dict[PartitionId, Instant] = {}
        for position, (partition, command) in enumerate(batch):
            if answers[position] is not None:
                continue
            answers[position] = self._answer(position, partition, command)
            latest[partition] = max(latest.get(partition, command.at), command.at)
        for partition, at in latest.items():
            self._replicas[partition].finish_entry(at)
        applied = perf_counter()
        self._connection.execute("COMMIT")
        done = perf_counter()
        self._stats.count_batch(len(batch), apply_s=applied - started, commit_s=done - applied)

    def _answer(self, position: int, partition: PartitionId, command: Command) -> Answer:
        try:
            replica = self._replicas.get(partition)
            if replica is None:
                replica = _Replica(self._connection, partition, self._inline_ids)
                self._replicas[partition] = replica
            return replica.answer(command)
        except ObjstoreError as error:
            raise _PoisonError(position, error) from error
        except apsw.Error as error:
            if isinstance(error, _FAULT_OF_COMMAND):
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


def _answer_of(outcome: Outcome) -> Answer:
    if isinstance(outcome, Refused):
        return error_from_parts(outcome.name, outcome.message, outcome.detail)
    return outcome
