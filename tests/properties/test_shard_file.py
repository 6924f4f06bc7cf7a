"""No damage of a shard file, wherever it is, is ever taken for data."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.errors import Corrupt
from objstore.model.instant import Instant
from objstore.model.names import DataId, DriveId
from objstore.model.objects import Scheme
from objstore.storage.format import (
    CHUNK_BYTES,
    PREFIX_BYTES,
    NewShard,
    ShardHeader,
    ShardId,
    parse_name,
)
from objstore.testing.memory_drive import MemoryDrive


class Clock:
    def now(self):
        return Instant(0)

    def monotonic_s(self):
        return 0.0


SHARD_ID = ShardId(DataId(b"\x05" * 16), 1, 2, 3)


def stored(payload, shard_id=SHARD_ID):
    drive = MemoryDrive(DriveId("d"), Clock())
    shard = NewShard(ShardHeader(shard_id, Scheme(4, 2), 4 * len(payload), len(payload)), payload)
    anyio.run(drive.write, [shard])
    return drive, shard_id


PAYLOAD = bytes(number % 255 for number in range(2 * CHUNK_BYTES + 333))
FILE_BYTES = PREFIX_BYTES + len(PAYLOAD)


@settings(max_examples=200, deadline=None)
@given(
    offset=st.one_of(st.integers(0, PREFIX_BYTES - 1), st.integers(PREFIX_BYTES, FILE_BYTES - 1)),
    mask=st.integers(1, 255),
)
def test_any_flipped_bits_are_found(offset, mask):
    """Headers, tables, padding and payload alike (reliability 4.5)."""
    drive, shard_id = stored(PAYLOAD)
    drive.flip(shard_id, offset, mask)
    with pytest.raises(Corrupt):
        anyio.run(drive.verify, shard_id)


@settings(max_examples=100, deadline=None)
@given(size=st.integers(0, FILE_BYTES - 1), tail=st.binary(max_size=4))
def test_any_cut_and_any_growth_is_found(size, tail):
    """A filesystem may cut a file or append zeros after a crash."""
    drive, shard_id = stored(PAYLOAD)
    file = drive.files[shard_id.name]
    drive.files[shard_id.name] = file[:size] + tail
    if size + len(tail) == FILE_BYTES and file.endswith(tail):
        return
    with pytest.raises(Corrupt):
        anyio.run(drive.verify, shard_id)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_read_is_the_slice_or_an_error(data):
    """With damage anywhere, a range read gives exactly the bytes that were written, or raises."""
    offset = data.draw(st.integers(0, FILE_BYTES - 1))
    start = data.draw(st.integers(0, len(PAYLOAD) - 1))
    length = data.draw(st.integers(1, len(PAYLOAD) - start))
    drive, shard_id = stored(PAYLOAD)
    drive.flip(shard_id, offset, 0x10)

    async def read():
        return await drive.read(shard_id, start=start, length=length)

    try:
        read_bytes = bytes(anyio.run(read))
    except Corrupt:
        return
    assert read_bytes == PAYLOAD[start : start + length]


@settings(max_examples=100)
@given(
    data_id=st.binary(min_size=16, max_size=16),
    part=st.integers(0, 2**32 - 1),
    block=st.integers(0, 2**32 - 1),
    shard=st.integers(0, 254),
)
def test_names_lead_back_to_ids(data_id, part, block, shard):
    """One name per id, one id per name."""
    shard_id = ShardId(DataId(data_id), part, block, shard)
    assert parse_name(shard_id.name) == shard_id
