"""Who may serve a directory, and how a drive starts and ends."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from contextlib import suppress

import anyio
import pytest

from objstore.model.errors import DriveUnavailable, StorageFull
from objstore.storage import DriveSettings, PosixDrive
from objstore.storage.system import System


def test_two_processes_never_serve_one_directory(open_drive, tmp_path):
    """Both would believe that the room and the names are theirs."""
    drive = open_drive()
    with pytest.raises(DriveUnavailable, match="another process"):
        open_drive()
    drive.close()
    open_drive()


def test_lock_holds_against_another_process(open_drive, tmp_path):
    """The lock is the kernel's, not a variable of this process."""
    open_drive()
    script = "import fcntl,sys;f=open(sys.argv[1]);fcntl.flock(f,fcntl.LOCK_EX|fcntl.LOCK_NB)"
    path = tmp_path / "drive" / "objstore-drive.json"
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, check=False, timeout=30
    )
    assert b"BlockingIOError" in result.stderr


def test_drive_of_another_cluster_is_refused(open_drive):
    """A disk that was moved between clusters keeps its data."""
    with pytest.raises(DriveUnavailable, match="another cluster"):
        open_drive(cluster_id="cluster-2")


def test_blank_directory_is_not_opened(tmp_path, clock):
    """A mount that is missing looks blank; only the caller knows whether to format."""
    with pytest.raises(DriveUnavailable, match="not formatted"):
        PosixDrive.open(tmp_path, cluster_id="c", clock=clock, settings=DriveSettings())


def test_leftovers_of_a_crash_are_removed_at_start(open_drive, tmp_path, identity):
    """Temporary files of filesystems without O_TMPFILE must not eat the room."""
    drive = open_drive()
    drive.close()
    (tmp_path / "drive" / "tmp" / "half").write_bytes(b"x")
    assert open_drive().identity == identity
    assert list((tmp_path / "drive" / "tmp").iterdir()) == []


def test_reserve_of_the_settings_is_kept(open_drive, make_shard):
    """The drive refuses while there still is room for deletes (users 2.3)."""
    drive = open_drive(reserve_bytes=2**60)
    with pytest.raises(StorageFull, match="reserve"):
        anyio.run(drive.write, [make_shard()])


def test_shards_survive_a_restart(open_drive, make_shard):
    """What was acknowledged is there for the next process."""
    drive, shard = open_drive(), make_shard(b"kept")
    anyio.run(drive.write, [shard])
    drive.close()
    again = open_drive()
    assert anyio.run(again.verify, shard.header.shard_id) == shard.header


def test_other_processes_of_the_node_join_what_one_has_opened(
    open_drive, make_shard, tmp_path, clock
):
    """Gateway workers read and write shards of a drive whose lock is the owner's."""
    drive, shard = open_drive(), make_shard(b"shared")
    settings = DriveSettings(reserve_bytes=0)
    where = {"cluster_id": drive.identity.cluster_id, "clock": clock, "settings": settings}
    joined = PosixDrive.join(tmp_path / "drive", **where)
    anyio.run(joined.write, [shard])
    assert anyio.run(drive.verify, shard.header.shard_id) == shard.header
    joined.close()
    with pytest.raises(DriveUnavailable, match="another process"):
        open_drive()


def test_a_drive_that_nobody_serves_cannot_be_joined(open_drive, tmp_path, clock):
    """A worker that outlived its owner must not write beside the next one."""
    drive = open_drive()
    drive.close()
    where = {"cluster_id": drive.identity.cluster_id, "clock": clock, "settings": DriveSettings()}
    with pytest.raises(DriveUnavailable, match="nobody"):
        PosixDrive.join(tmp_path / "drive", **where)
    open_drive()


class HangingSystem(System):
    """Syncs that hang until the test lets them go."""

    def __init__(self):
        self.reached, self.released = threading.Event(), threading.Event()

    def sync(self, fd):
        self.reached.set()
        assert self.released.wait(30)
        super().sync(fd)


def test_nobody_waits_for_a_drive_that_is_suspended(open_drive, make_shard):
    """A hanging drive must cost those who wait, and those who come, no time: others hold the data."""
    system, shard = HangingSystem(), make_shard(b"late")
    drive = open_drive(system=system)

    async def scenario():
        async def hang():
            assert await asyncio.to_thread(system.reached.wait, 30)
            assert drive.stalled_s > 0
            drive.suspend("hangs")

        writing, _ = await asyncio.gather(drive.write([shard]), hang(), return_exceptions=True)
        assert isinstance(writing, DriveUnavailable)
        with pytest.raises(DriveUnavailable, match="hangs"):
            await drive.read(shard.header.shard_id, start=0, length=1)
        assert not drive.resume()
        system.released.set()
        while not drive.resume():  # noqa: ASYNC110 - as the watch does
            await asyncio.sleep(0)
        assert drive.stalled_s == 0
        return await drive.verify(shard.header.shard_id)

    # The write was told as away and happened all the same: unknown, and harmless under a name of its own.
    assert asyncio.run(scenario()) == shard.header


def test_a_drive_that_is_to_be_waited_for_answers_again(open_drive, make_shard):
    """Where many hang at once there is nobody else to turn to."""
    drive = open_drive()
    drive.suspend("hangs")
    assert drive.is_suspended
    assert drive.resume(waits=True)
    anyio.run(drive.write, [make_shard()])


def test_bytes_of_a_read_are_free_without_the_collector(open_drive, make_shard):
    """The collector runs rarely: a circle of references made a server keep 160 MiB of what it had sent."""

    async def story():
        drive, shard = open_drive(), make_shard(b"x" * 100_000)
        await drive.write([shard])
        piece = await drive.read(shard.header.shard_id, start=0, length=100_000)
        seen = weakref.ref(piece)
        del piece
        for _ in range(
            1000
        ):  # the thread may hold the result for a moment after it has passed it on
            if seen() is None:
                break
            await drive.ping()
        return seen()

    gc.disable()
    try:
        assert asyncio.run(story()) is None
    finally:
        gc.enable()


def test_nothing_is_at_hand_of_a_drive_out_of_service(open_drive, make_shard):
    """Bytes in the page cache must not make a drive look well that hangs or was given up."""
    drive = open_drive()
    shard = make_shard(b"x" * 100)

    async def story():
        await drive.write([shard])
        for _ in range(2):
            await drive.read(shard.header.shard_id, start=0, length=1)

    def at_hand():
        return drive.read_cached(shard.header.shard_id, start=0, length=1)

    anyio.run(story)
    assert at_hand() == b"x"
    drive.suspend("hangs")
    assert at_hand() is None
    drive.resume(waits=True)
    assert at_hand() == b"x"
    drive.close()
    assert at_hand() is None


def test_files_of_reads_are_closed_some_time_after(open_drive, make_shard, tmp_path, monkeypatch):
    """Another process of the node may have removed them: their room must come back without a read here."""
    monkeypatch.setattr("objstore.storage.posix_drive._IDLE_S", 0.5)
    drive = open_drive()
    shard = make_shard(b"x" * 100)

    def is_open():
        targets = []
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                targets.append(os.readlink(f"/proc/self/fd/{name}"))
        return any(shard.header.shard_id.name in target for target in targets)

    async def story():
        await drive.write([shard])
        await drive.read(shard.header.shard_id, start=0, length=1)
        assert is_open()
        with anyio.fail_after(10):
            while is_open():  # noqa: ASYNC110 -- nothing tells of a closed file
                await anyio.sleep(0.02)

    anyio.run(story)
