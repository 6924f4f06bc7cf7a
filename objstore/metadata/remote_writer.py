"""The writer of a catalogue file as a process sees it that does not own the file.

A command goes to the owner, takes part in its group commit, and is answered after COMMIT: a read in any process sees it
from then on. `WriterEndpoint` is the owner's half. A lost connection raises `Unavailable`: the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from objstore.cluster.remote_control_store import Peer
from objstore.metadata.commands import (
    AbortUpload,
    CloseShard,
    Command,
    CommandResult,
    CompleteUpload,
    CreateUpload,
    DeleteKey,
    DeleteVersion,
    DropShard,
    ForgetGarbage,
    MoveShards,
    OpenShard,
    PutPart,
    PutVersion,
    RaiseFence,
    ReopenShard,
    SetTags,
    SetVersioning,
)
from objstore.metadata.reader import CatalogReader
from objstore.model.names import PartitionId

__all__ = ["AnyCommand", "RemoteStore", "RemoteWriter", "WriterEndpoint"]

CALL_S: Final = 60.0
SUBMIT: Final = "catalog.submit"

AnyCommand: TypeAlias = (
    OpenShard
    | CloseShard
    | ReopenShard
    | DropShard
    | SetVersioning
    | PutVersion
    | DeleteKey
    | DeleteVersion
    | SetTags
    | CreateUpload
    | PutPart
    | CompleteUpload
    | AbortUpload
    | ForgetGarbage
    | MoveShards
    | RaiseFence
)
"""Every command there is: what a proposal may hold."""


class _Proposal(msgspec.Struct, frozen=True, array_like=True):
    partition: PartitionId
    command: Command


class _ReceivedProposal(msgspec.Struct, frozen=True, array_like=True):
    partition: PartitionId
    command: AnyCommand


_ENCODER: Final = msgspec.msgpack.Encoder()
_PROPOSALS: Final = msgspec.msgpack.Decoder(_ReceivedProposal)
_RESULTS: Final[msgspec.msgpack.Decoder[CommandResult]] = msgspec.msgpack.Decoder(CommandResult)


class RemoteWriter:
    """Proposes commands to the owner of the file."""

    def __init__(self, owner: Peer) -> None:
        self._owner = owner

    async def submit(self, partition: PartitionId, command: Command) -> CommandResult:
        """Return the result once it is durable; raise the refusal, or `Unavailable`."""
        request = _ENCODER.encode(_Proposal(partition, command))
        return _RESULTS.decode(await self._owner.call(SUBMIT, request, deadline_s=CALL_S))


class RemoteStore:
    """One catalogue file beside its owner: a reader here, the writer there. For `SqlCatalog`."""

    def __init__(self, path: Path, owner: Peer) -> None:
        self.writer = RemoteWriter(owner)
        self.reader = CatalogReader(path)

    def close(self) -> None:
        """Close the reader."""
        self.reader.close()


class WriterEndpoint:
    """Carries out at the owner what `RemoteWriter` asks for."""

    def __init__(self, submit: Callable[[PartitionId, Command], Awaitable[CommandResult]]) -> None:
        """Make the endpoint of whoever commits: the writer of the one file, or the replicated catalogue."""
        self._carry_out = submit
        self.methods: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = {SUBMIT: self._submit}

    async def _submit(self, body: bytes) -> bytes:
        proposal = _PROPOSALS.decode(body)
        return _ENCODER.encode(await self._carry_out(proposal.partition, proposal.command))
