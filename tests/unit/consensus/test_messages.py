"""Messages survive the way over a wire."""

from __future__ import annotations

import msgspec
import pytest

from objstore.consensus import Entry, EntryKind, Epoch, Membership, Message, ReplicaId, Snapshot
from objstore.consensus.messages import (
    AppendReply,
    AppendRequest,
    EpochRefused,
    FetchReply,
    FetchRequest,
    InstallSnapshot,
    PromiseReply,
    PromiseRequest,
    StateHash,
    payload_size,
)

A, B = ReplicaId("a@1"), ReplicaId("b@1")
HEAD = (A, B, Epoch(3))
ENTRIES = (Entry(2, 7, b"x"), Entry(3, 8, b"", EntryKind.NO_OP))


@pytest.mark.parametrize(
    "message",
    [
        PromiseRequest(*HEAD),
        PromiseReply(*HEAD, True, 2, 7),
        FetchRequest(*HEAD, 7, 2),
        FetchReply(*HEAD, True, 6, 2, ENTRIES),
        AppendRequest(*HEAD, 6, 2, 5, 1, ENTRIES),
        AppendReply(*HEAD, False, 6, 2, 1, 5),
        InstallSnapshot(*HEAD, Snapshot(9, 3, Membership((A, B)), "file-1")),
        EpochRefused(*HEAD, B),
        StateHash(*HEAD, 10, b"digest"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_one_decoder_reads_all_messages(message):
    """The driver encodes with msgspec; tags tell the kinds apart, and payloads stay bytes."""
    data = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(data, type=Message) == message


def test_only_bytes_weigh():
    """Objects of a log of one replica are never sent; their size is nobody's business."""
    assert payload_size(b"12345") == 5
    assert payload_size(object()) == 0
