"""Formatted drives and shards to put on them."""

from __future__ import annotations

import pytest

from objstore.model.instant import Instant
from objstore.model.names import DataId, DriveId
from objstore.model.objects import Scheme
from objstore.storage import (
    DriveIdentity,
    DriveSettings,
    NewShard,
    PosixDrive,
    ShardHeader,
    ShardId,
    format_drive,
)
from objstore.storage.system import SYSTEM


class FixedClock:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.time = Instant(1_000_000)

    def now(self):
        return self.time

    def monotonic_s(self):
        return self.time / 1000


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def identity():
    return DriveIdentity("cluster-1", DriveId("drive-1"), Instant(77))


@pytest.fixture
def open_drive(tmp_path, identity, clock):
    """Opens (and formats at first) the drive of the test; closes it at the end."""
    opened = []

    def _open(*, system=SYSTEM, reserve_bytes=0, cluster_id="cluster-1"):
        directory = tmp_path / "drive"
        if not directory.exists():
            format_drive(directory, identity)
        settings = DriveSettings(threads=2, reserve_bytes=reserve_bytes)
        drive = PosixDrive.open(
            directory, cluster_id=cluster_id, clock=clock, settings=settings, system=system
        )
        opened.append(drive)
        return drive

    yield _open
    for drive in opened:
        drive.close()


@pytest.fixture
def make_shard():
    """Builds a copy shard around a payload."""

    def _make(payload=b"payload", *, data_id=b"\x01" * 16, part=0, block=0, shard=0):
        shard_id = ShardId(DataId(data_id), part, block, shard)
        return NewShard(ShardHeader(shard_id, Scheme(1, 2), len(payload), len(payload)), payload)

    return _make
