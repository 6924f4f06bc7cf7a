"""The state machine that the simulated log drives: a few keys, conditional writes, op-ids, a rolling hash of state.

It has the shape of the catalogue's semantics and nothing else of it: a write gives its key a new version (the op-id,
which is unique), a condition compares the current version, a refusal is an answer, and whoever repeats an op-id gets
the answer of the first time (trap T7). `specification` is the same for one key, for the linearizability checker.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum

import msgspec
import xxhash

__all__ = ["Answer", "Command", "CommandKind", "KeyValueMachine", "is_read", "specification"]

Answer = tuple[bool, int]
"""Whether it was done, and the version of the key afterwards; version 0 = the key is not there."""


class CommandKind(IntEnum):
    """What a client asks for."""

    GET = 0
    """Never a command in the log: a read."""
    PUT = 1
    PUT_IF_MATCH = 2
    """Write if `expected` is the current version."""
    PUT_IF_ABSENT = 3
    DELETE = 4


_GET, _PUT, _DELETE = CommandKind.GET, CommandKind.PUT, CommandKind.DELETE
_PUT_IF_MATCH, _PUT_IF_ABSENT = CommandKind.PUT_IF_MATCH, CommandKind.PUT_IF_ABSENT


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One mutation, or a read; `op_id` is the version that a write gives."""

    op_id: int
    kind: int
    key: int
    expected: int = 0

    def encode(self) -> bytes:
        """Return the payload of the command's entry."""
        return _ENCODER.encode(self)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Command)


def judge(current: int, command: Command) -> tuple[int, bool]:
    """Return the version of the key after the command, and whether the command was done."""
    kind = command.kind
    if kind == _PUT:
        return command.op_id, True
    if kind == _DELETE:
        return 0, True
    if kind == _PUT_IF_MATCH:
        is_met = current == command.expected and current != 0
    elif kind == _PUT_IF_ABSENT:
        is_met = current == 0
    else:
        return current, True
    return (command.op_id, True) if is_met else (current, False)


def specification(state: Hashable, action: object) -> tuple[Hashable, object]:
    """Say what one key does: the state is its version, the action a `Command`, the answer an `Answer`."""
    version, is_done = judge(state, action)  # type: ignore[arg-type]
    return version, (is_done, version)


def is_read(action: object, answer: object) -> bool:
    """Tell whether this command with this answer changed nothing: a read, or a refusal."""
    return action.kind == _GET or not answer[0]  # type: ignore[attr-defined, index]


class KeyValueMachine:
    """The state of one replica."""

    __slots__ = ("digest", "fresh_op_id", "results", "values")

    def __init__(self) -> None:
        self.values: dict[int, int] = {}
        self.results: dict[int, Answer] = {}
        """Answers by op-id."""
        self.digest = 0
        """Rolls over every entry and its answer, so that equal digests mean equal histories."""
        self.fresh_op_id = 0
        """The last command's op-id if it was done for the first time, else 0."""

    def apply(self, payload: bytes) -> Answer:
        """Do the command of an entry and return its answer."""
        command = _DECODER.decode(payload)
        known = self.results.get(command.op_id)
        if known is not None:
            self.fresh_op_id = 0
            return known
        self.fresh_op_id = command.op_id
        version, is_done = judge(self.values.get(command.key, 0), command)
        self.values[command.key] = version
        answer = self.results[command.op_id] = (is_done, version)
        return answer

    def roll(self, index: int, epoch: int, payload: bytes, answer: Answer | None) -> int:
        """Take an entry into the digest and return it."""
        seen = f"{index} {epoch} {answer} ".encode() + payload
        self.digest = digest = xxhash.xxh3_64_intdigest(seen, self.digest)
        return digest

    def get(self, key: int) -> Answer:
        """Answer a read."""
        return True, self.values.get(key, 0)

    def copy(self) -> KeyValueMachine:
        """Return the same state, to be kept while this one goes on."""
        twin = self.__new__(type(self))
        twin.fresh_op_id = 0
        twin.values = self.values.copy()
        twin.results = self.results.copy()
        twin.digest = self.digest
        return twin
