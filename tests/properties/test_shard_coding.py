"""Whatever is lost within the promise of a scheme, the bytes come back."""

from __future__ import annotations

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.instant import Instant
from objstore.model.names import DataId, DriveId
from objstore.model.objects import Scheme
from objstore.replication import DataStore
from objstore.replication.coding import encode, rebuild
from objstore.replication.galois import decode_slowly
from objstore.testing.memory_drive import MemoryDrive

SCHEMES = st.sampled_from([Scheme(1, 1), Scheme(1, 2), Scheme(2, 2), Scheme(4, 2), Scheme(8, 3)])


@settings(max_examples=100, deadline=None)
@given(data=st.data(), block=st.binary(min_size=1, max_size=300))
def test_fast_and_slow_decoder_agree(data, block):
    """Two implementations beat one proof."""
    scheme = data.draw(SCHEMES.filter(lambda scheme: scheme.k > 1))
    shards = [bytes(shard) for shard in encode(scheme, block)]
    kept = data.draw(st.permutations(range(scheme.width)))[: scheme.k]
    payloads = {index: shards[index] for index in kept}
    missing = [index for index in range(scheme.width) if index not in payloads]
    rebuilt = rebuild(scheme, payloads, missing)
    assert [bytes(rebuilt[index]) for index in missing] == [shards[index] for index in missing]
    assert decode_slowly(scheme, payloads) == shards[: scheme.k]


class Clock:
    def now(self):
        return Instant(0)

    def monotonic_s(self):
        return 0.0


class Ring:
    version = 1

    def __init__(self, drives):
        self._drives = drives

    def homes(self, block, ring_version):
        turn = sum(block) % len(self._drives)
        return self._drives[turn:] + self._drives[:turn]


class Body:
    size = None

    def __init__(self, data):
        self._view = memoryview(data)

    async def read_into(self, buffer):
        piece, self._view = self._view[: len(buffer)], self._view[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    scheme=SCHEMES,
    size=st.integers(1, 5_000),
    block_bytes=st.integers(100, 2_000),
)
def test_any_tolerated_loss_reads_right_and_repairs(data, scheme, size, block_bytes):
    """Any m shards of every block, lost or damaged at random; then repair; then any other m."""
    drives = {DriveId(f"d{n}"): MemoryDrive(DriveId(f"d{n}"), Clock()) for n in range(scheme.width)}
    payload = bytes(number % 256 for number in range(size))
    start = data.draw(st.integers(0, size - 1))
    length = data.draw(st.integers(1, size - start))

    def damage():
        for drive in data.draw(st.permutations(sorted(drives)))[: scheme.m]:
            for name, file in list(drives[drive].files.items()):
                if data.draw(st.booleans()):
                    del drives[drive].files[name]
                else:
                    drives[drive].files[name] = file[:-1] + bytes([file[-1] ^ 1])

    async def story():
        store = DataStore(
            drives,
            Ring(list(drives)),
            scheme=scheme,
            on_damage=lambda *_: None,
            block_bytes=block_bytes,
        )
        async with store:
            extent = await store.write(DataId(b"\x01" * 16), 0, Body(payload))
            for _ in range(2):
                damage()
                pieces = [bytes(piece) async for piece in store.read(extent, start, length)]
                assert b"".join(pieces) == payload[start : start + length]
                for block in range(extent.blocks_count):
                    assert await store.repair(extent, block) == ()
            names = [name for drive in drives.values() for name in drive.files]
            assert len(names) == extent.blocks_count * scheme.width

    anyio.run(story)
