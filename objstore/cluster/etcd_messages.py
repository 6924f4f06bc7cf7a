"""What etcd's JSON gateway says, as values. Pure.

The gateway speaks the names of etcd's protocol files. Bytes travel as base64, 64-bit numbers as strings (so everything is
decoded leniently), and what is zero is left out.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from objstore.cluster.control_store import Change, Item
from objstore.model.errors import CorruptRecord

__all__ = [
    "Authenticated",
    "DeleteReply",
    "Failure",
    "Header",
    "PutReply",
    "RangeReply",
    "StatusReply",
    "TxnReply",
    "WatchFrame",
    "WatchReply",
    "decode_reply",
    "encode_request",
    "range_end",
]

T = TypeVar("T")


class Header(msgspec.Struct, frozen=True):
    """Who answered, and the store's revision when it did."""

    cluster_id: int = 0
    revision: int = 0


class _KeyValue(msgspec.Struct, frozen=True):
    key: bytes
    value: bytes = b""
    mod_revision: int = 0


class RangeReply(msgspec.Struct, frozen=True):
    """Items of a range, of which there may be more."""

    header: Header
    kvs: list[_KeyValue] = []
    more: bool = False

    def items(self, prefix_bytes: int) -> list[Item]:
        """Return the items without the prefix of their keys."""
        return [
            Item(found.key[prefix_bytes:].decode("ascii"), found.value, found.mod_revision)
            for found in self.kvs
        ]


class PutReply(msgspec.Struct, frozen=True):
    """The header's revision is the one that the write made."""

    header: Header


class DeleteReply(msgspec.Struct, frozen=True):
    """How many items were removed."""

    header: Header = Header()
    deleted: int = 0


class _TxnPart(msgspec.Struct, frozen=True):
    response_delete_range: DeleteReply = DeleteReply()


class TxnReply(msgspec.Struct, frozen=True):
    """Whether the comparison held, and what was done then."""

    header: Header
    succeeded: bool = False
    responses: list[_TxnPart] = []

    @property
    def deleted(self) -> int:
        """How many items the transaction removed."""
        return sum(part.response_delete_range.deleted for part in self.responses)


class StatusReply(msgspec.Struct, frozen=True):
    """The version of one member."""

    header: Header
    version: str


class Authenticated(msgspec.Struct, frozen=True):
    """What proves the user in later requests."""

    token: str


class Failure(msgspec.Struct, frozen=True):
    """A refusal; older and newer gateways name the text differently."""

    message: str = ""
    error: str = ""
    code: int = 0

    @property
    def text(self) -> str:
        """The server's own words."""
        return self.message or self.error


class _Event(msgspec.Struct, frozen=True):
    kv: _KeyValue
    type: str = "PUT"


class WatchReply(msgspec.Struct, frozen=True):
    """One message of a watch: that it was made, events, or that it is over."""

    header: Header = Header()
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    events: list[_Event] = []

    def changes(self, prefix_bytes: int) -> list[Change]:
        """Return the events without the prefix of their keys."""
        return [
            Change(
                event.kv.key[prefix_bytes:].decode("ascii"),
                None if event.type == "DELETE" else event.kv.value,
                event.kv.mod_revision,
            )
            for event in self.events
        ]


class _StreamError(msgspec.Struct, frozen=True):
    message: str = ""


class WatchFrame(msgspec.Struct, frozen=True):
    """A line of the stream of a watch."""

    result: WatchReply | None = None
    error: _StreamError | None = None


_ENCODER: Final = msgspec.json.Encoder()


def encode_request(fields: dict[str, Any]) -> bytes:
    """Return a request's body; bytes become base64."""
    return _ENCODER.encode(fields)


def decode_reply(body: bytes, kind: type[T]) -> T:
    """Return an answer; raise `CorruptRecord` for what is none."""
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(f"etcd's answer cannot be decoded: {error}") from error


def range_end(prefix: bytes) -> bytes:
    """Return the first key after all keys with this prefix; its last byte must not be the largest."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
