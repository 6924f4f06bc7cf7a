"""The store on real directories: six drives, and each one loses its content in turn."""

from __future__ import annotations

import contextlib

import anyio

from objstore.model.instant import Instant
from objstore.model.limits import KIB
from objstore.model.names import DriveId
from objstore.model.objects import Scheme
from objstore.replication import DataStore
from objstore.storage import DriveIdentity, DriveSettings, PosixDrive, format_drive


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
        turn = block[-1] % len(self._drives)
        return self._drives[turn:] + self._drives[:turn]


def open_drives(root, stack):
    drives = {}
    for number in range(6):
        drive_id = DriveId(f"d{number}")
        format_drive(root / drive_id, DriveIdentity("c", drive_id, Instant(0)))
        drive = PosixDrive.open(
            root / drive_id,
            cluster_id="c",
            clock=Clock(),
            settings=DriveSettings(threads=2, reserve_bytes=0),
        )
        stack.callback(drive.close)
        drives[drive_id] = drive
    return drives


def test_each_drive_in_turn_loses_everything(tmp_path, body, read_all, data_id, payload):
    """Every byte range still reads right, and repair makes the drive whole before the next one goes."""

    async def story(stack):
        drives = open_drives(tmp_path, stack)
        store = DataStore(
            drives,
            Ring(list(drives)),
            scheme=Scheme(4, 2),
            on_damage=lambda *_: None,
            block_bytes=256 * KIB,
        )
        async with store:
            extent = await store.write(data_id, 0, body(payload))
            for drive_id in drives:
                lost = list((tmp_path / drive_id).glob("shards/*/*"))
                assert len(lost) == extent.blocks_count
                for path in lost:
                    path.unlink()
                assert await read_all(store, extent) == payload
                assert await read_all(store, extent, 65_535, 200_001) == payload[65_535:265_536]
                for block in range(extent.blocks_count):
                    assert await store.repair(extent, block) == ()
                assert sorted((tmp_path / drive_id).glob("shards/*/*")) == sorted(lost)
            await store.remove(extent, at_once=True)
            assert not list(tmp_path.glob("*/shards/*/*"))

    with contextlib.ExitStack() as stack:
        anyio.run(story, stack)


def test_identity_removed_under_load_is_a_drive_away(tmp_path, body, read_all, data_id, payload):
    """The drive refuses writes at once; the store goes on without it and records what is missing."""

    async def story(stack):
        drives = open_drives(tmp_path, stack)
        store = DataStore(
            drives,
            Ring(list(drives)),
            scheme=Scheme(4, 2),
            on_damage=lambda *_: None,
            block_bytes=256 * KIB,
        )
        async with store:
            (tmp_path / "d3" / "objstore-drive.json").unlink()
            extent = await store.write(data_id, 0, body(payload))
            assert [place.drive for place in extent.misplaced] == [None] * extent.blocks_count
            assert not list((tmp_path / "d3").glob("shards/*/*"))
            assert await read_all(store, extent) == payload

    with contextlib.ExitStack() as stack:
        anyio.run(story, stack)
