"""State and op-id results of one partition, and commands carried out on them within the open transaction.

What a log of one replica and a replicated one have in common: a command is looked up by op-id, else applied; its result
is staged; an entry ends with one row of results and moves the cursor and the rolling hash. A refusal is a result, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import apsw
import xxhash

from objstore.metadata.apply import apply
from objstore.metadata.commands import Command, CommandResult, DeleteKey, PutVersion
from objstore.metadata.records import Outcome, Refused
from objstore.metadata.results import OpResults
from objstore.metadata.sql_state import InlineIds, SqlState
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
from objstore.model.names import BucketId, ObjectKey, PartitionId

__all__ = ["FAULTS_OF_COMMAND", "REFUSALS", "Answer", "Applier"]

Answer: TypeAlias = CommandResult | ObjstoreError

REFUSALS: Final = (NotFound, Conflict, InvalidRequest, Denied)
FAULTS_OF_COMMAND: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.RangeError,
    apsw.SQLError,
)
"""What SQLite raises for a statement or a value that should never have come to it."""


class Applier:
    """One partition in one file. Made anew after a rollback."""

    def __init__(
        self, connection: apsw.Connection, partition: PartitionId, inline_ids: InlineIds
    ) -> None:
        self.state = SqlState(connection, partition, inline_ids)
        self._results = OpResults(connection, partition)

    def read_ahead(self, commands: Sequence[Command]) -> None:
        """Read at once what many commands will look at one by one; it changes no answer."""
        keys: dict[BucketId, list[ObjectKey]] = {}
        for command in commands:
            if type(command) is PutVersion:
                keys.setdefault(command.bucket_id, []).append(command.version.key)
            elif type(command) is DeleteKey:
                keys.setdefault(command.bucket_id, []).append(command.key)
        for bucket_id, wanted in keys.items():
            shard = self.state.shard(bucket_id)
            if shard is not None:
                self.state.read_ahead(shard, wanted)

    def answer(self, command: Command) -> Answer:
        """Apply a command, or find what it was answered before."""
        known = self._results.find(command.op_id)
        if known is not None:
            return _answer_of(known)
        before = self.state.change_count
        try:
            result = apply(self.state, command)
        except REFUSALS as error:
            if self.state.change_count != before:
                raise InvariantError("a command was refused after its first write") from error
            self.refuse(command, error)
            return error
        self._results.stage(command.op_id, result)
        return result

    def refuse(self, command: Command, error: ObjstoreError) -> None:
        """Make an error the result of a command."""
        self._results.stage(command.op_id, Refused(*error.to_parts()))

    def finish_entry(self, index: int, at: Instant) -> None:
        """Write the results and move cursor and hash; `state.flush` must follow before COMMIT."""
        state = self.state
        state.applied = index
        record = self._results.write(index, at)
        state.state_hash = xxhash.xxh3_64_digest(state.state_hash + record)


def _answer_of(outcome: Outcome) -> Answer:
    if isinstance(outcome, Refused):
        return error_from_parts(outcome.name, outcome.message, outcome.detail)
    return outcome
