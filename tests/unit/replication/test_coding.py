"""The fast coder against its page of definition."""

from __future__ import annotations

import itertools
import random

import pytest

from objstore.model.errors import UnreadableData
from objstore.model.objects import Scheme
from objstore.replication.coding import decode, encode, rebuild, shard_bytes
from objstore.replication.galois import encode_slowly

CODED = [Scheme(4, 2), Scheme(8, 3), Scheme(2, 1), Scheme(3, 3)]


def block_of(size):
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("scheme", CODED, ids=str)
@pytest.mark.parametrize("size", [1, 2, 7, 100, 4096, 70_001, 300_001])
def test_shards_are_what_the_definition_says(scheme, size):
    """Every later program must be able to decode them; data shards are plain slices of the block."""
    block = block_of(size)
    shards = [bytes(shard) for shard in encode(scheme, block)]
    length = shard_bytes(scheme, size)
    padded = block.ljust(length * scheme.k, b"\0")
    data = [padded[index * length : (index + 1) * length] for index in range(scheme.k)]
    assert shards[: scheme.k] == data
    for parity in range(scheme.k, scheme.width):
        assert shards[parity] == encode_slowly(scheme, data, parity)


@pytest.mark.parametrize("scheme", CODED, ids=str)
def test_any_k_shards_give_the_block(scheme):
    """Which drives are lost must not matter."""
    block = block_of(1_001)
    shards = encode(scheme, block)
    for kept in itertools.combinations(range(scheme.width), scheme.k):
        assert bytes(decode(scheme, {index: shards[index] for index in kept}, 1_001)) == block


@pytest.mark.parametrize("lost", range(6))
def test_a_range_rebuilds_a_range(lost):
    """A small read of a damaged shard must not read whole blocks."""
    scheme, block = Scheme(4, 2), block_of(40_000)
    shards = encode(scheme, block)
    ranges = {
        index: memoryview(shard)[1_234:5_679] for index, shard in enumerate(shards) if index != lost
    }
    assert bytes(rebuild(scheme, ranges, [lost])[lost]) == bytes(shards[lost])[1_234:5_679]


def test_several_shards_are_rebuilt_at_once():
    """Two lost drives cost one reading of the others."""
    scheme, block = Scheme(4, 2), block_of(999)
    shards = encode(scheme, block)
    rebuilt = rebuild(scheme, {index: shards[index] for index in (0, 2, 4, 5)}, [1, 3])
    assert {index: bytes(shard) for index, shard in rebuilt.items()} == {
        index: bytes(shards[index]) for index in (1, 3)
    }


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("scheme", [Scheme(1, 2), Scheme(4, 2)], ids=str)
def test_every_kind_of_buffer_is_taken(scheme, kind):
    """The coding library ends the process for anything but bytes."""
    block = block_of(500)
    shards = encode(scheme, kind(block))
    payloads = {index: kind(bytes(shard)) for index, shard in enumerate(shards) if index > 1}
    assert bytes(decode(scheme, payloads, 500)) == block


def test_copies_share_the_memory_of_the_block():
    """Copies cost no copying."""
    block = bytearray(b"block")
    assert all(shard is block for shard in encode(Scheme(1, 2), block))


@pytest.mark.parametrize("scheme", [Scheme(1, 2), Scheme(4, 2)], ids=str)
def test_too_few_shards_are_an_error(scheme):
    """Never a guess."""
    shards = encode(scheme, b"12345678")
    with pytest.raises(UnreadableData):
        rebuild(scheme, {index: shards[index] for index in range(scheme.k - 1)}, [scheme.k])


def test_nothing_wanted_nothing_done():
    """A block that is whole needs no coder."""
    assert rebuild(Scheme(4, 2), {}, []) == {}
