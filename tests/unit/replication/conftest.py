"""A small world of drives in memory, a ring over them, and a store on top."""

from __future__ import annotations

import contextlib

import pytest

from objstore.model.instant import Instant
from objstore.model.limits import KIB
from objstore.model.names import DataId, DriveId
from objstore.replication import DataStore, WriteTimes
from objstore.testing.memory_drive import MemoryDrive

BLOCK_BYTES = 256 * KIB


class FixedClock:
    def now(self):
        return Instant(1_000)

    def monotonic_s(self):
        return 0.0


class TurningRing:
    """Each block starts at another drive."""

    version = 3

    def __init__(self, drives, width):
        self._drives = drives
        self._width = width

    def homes(self, block, ring_version):
        assert ring_version == self.version
        turn = block[-1] % len(self._drives)
        return (self._drives[turn:] + self._drives[:turn])[: self._width]


class Body:
    """A body in memory that may break at some byte."""

    def __init__(self, data, *, break_at=None, error=None, is_announced=False):
        self.size = len(data) if is_announced else None
        self._data = data
        self._offset = 0
        self._break_at = break_at
        self._error = error

    async def read_into(self, buffer):
        stop = min(self._offset + len(buffer), len(self._data))
        if self._break_at is not None and stop >= self._break_at:
            raise self._error
        count = stop - self._offset
        buffer[:count] = self._data[self._offset : stop]
        self._offset = stop
        return count


class World:
    """Drives d0, d1, ... behind one store; `damage` collects the reports."""

    def __init__(self, scheme, drives_count):
        self.scheme = scheme
        names = [DriveId(f"d{number}") for number in range(drives_count)]
        self.inner = {name: MemoryDrive(name, FixedClock()) for name in names}
        self.drives = dict(self.inner)
        self.ring = TurningRing(names, scheme.width)
        self.damage = []

    @contextlib.asynccontextmanager
    async def store(self, *, block_bytes=BLOCK_BYTES, **times):
        store = DataStore(
            self.drives,
            self.ring,
            scheme=self.scheme,
            on_damage=lambda extent, block, shard, error: self.damage.append((block, shard)),
            block_bytes=block_bytes,
            times=WriteTimes(**times),
        )
        async with store:
            yield store

    def files_count(self):
        return sum(len(drive.files) for drive in self.inner.values())


async def read(store, extent, start=0, length=None):
    length = extent.size - start if length is None else length
    return b"".join([bytes(piece) async for piece in store.read(extent, start, length)])


@pytest.fixture
def world():
    return World


@pytest.fixture
def body():
    return Body


@pytest.fixture
def read_all():
    return read


@pytest.fixture
def data_id():
    return DataId(b"\x09" * 16)


@pytest.fixture
def payload():
    """Two and a half blocks of bytes that differ from block to block."""
    return b"".join(number.to_bytes(4, "big") for number in range(BLOCK_BYTES * 5 // 8)) + b"end"
