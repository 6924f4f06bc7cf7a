"""Crash points, full disks and failing syncs of the real drive's blocking half."""

from __future__ import annotations

import errno
import os

import pytest

from objstore.model.errors import CorruptShard, DriveUnavailable, ShardMissing, StorageFull
from objstore.model.limits import MIB
from objstore.model.names import DriveId
from objstore.storage.aligned import AlignedBuffers
from objstore.storage.format import PREFIX_BYTES, directory_name, encode_prefix
from objstore.storage.layout import format_drive
from objstore.storage.shard_directory import ShardDirectory
from objstore.storage.system import System

CALLS = (
    "open_unnamed",
    "open_named",
    "allocate",
    "write",
    "write_direct",
    "truncate",
    "sync",
    "link_unnamed",
    "link",
    "unlink",
)


class Power(BaseException):
    """The power fails: no handler of errors may run after it."""


class Scripted(System):
    """Counts calls, fails one by number with an error, and knows what is on stable storage."""

    def __init__(self, *, fail_at=0, error=None, fail_call="", unnamed=True):
        self.number = 0
        self.fail_at = fail_at
        self.error = error or Power()
        self.fail_call = fail_call
        self.unnamed = unnamed
        self.is_dead = False
        self.calls = []
        self.synced = set()

    def _step(self, call):
        if self.is_dead:
            raise Power
        self.number += 1
        self.calls.append(call)
        if self.number == self.fail_at or call == self.fail_call:
            self.is_dead = isinstance(self.error, Power)
            raise self.error

    def open_unnamed(self, directory):
        self._step("open_unnamed")
        if not self.unnamed:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE here")
        return super().open_unnamed(directory)

    def open_named(self, path):
        self._step("open_named")
        return super().open_named(path)

    def allocate(self, fd, size_bytes):
        self._step("allocate")
        super().allocate(fd, size_bytes)

    def write(self, fd, buffers):
        if self.number + 1 == self.fail_at:
            # The crash, or the full disk, comes in the middle of the bytes.
            super().write(fd, [buffers[0][:100]])
        self._step("write")
        super().write(fd, buffers)
        self.synced.discard(os.fstat(fd).st_ino)

    def write_direct(self, fd, buffers):
        if self.number + 1 == self.fail_at:
            super().write_direct(fd, buffers[:1])
        self._step("write_direct")
        super().write_direct(fd, buffers)
        self.synced.discard(os.fstat(fd).st_ino)

    def truncate(self, fd, size_bytes):
        self._step("truncate")
        super().truncate(fd, size_bytes)
        self.synced.discard(os.fstat(fd).st_ino)

    def sync(self, fd):
        self._step("sync")
        super().sync(fd)
        self.synced.add(os.fstat(fd).st_ino)

    def link_unnamed(self, fd, path):
        self._step("link_unnamed")
        assert os.fstat(fd).st_ino in self.synced, "a name was given to bytes that may be lost"
        super().link_unnamed(fd, path)

    def link(self, source, path):
        self._step("link")
        assert source.stat().st_ino in self.synced, "a name was given to bytes that may be lost"
        super().link(source, path)

    def unlink(self, path):
        self._step("unlink")
        super().unlink(path)


@pytest.fixture(scope="module")
def formatted(tmp_path_factory):
    """One formatted directory for the module; shards of each test have names of their own."""
    from objstore.model.instant import Instant
    from objstore.storage import DriveIdentity

    directory = tmp_path_factory.mktemp("drive") / "d"
    format_drive(directory, DriveIdentity("c", DriveId("d"), Instant(1)))
    return directory


@pytest.fixture
def serve(formatted):
    def _serve(system=None, reserve_bytes=0):
        return ShardDirectory(
            formatted, DriveId("d"), reserve_bytes=reserve_bytes, system=system or System()
        )

    yield _serve
    for path in [
        *formatted.glob("shards/*/*"),
        *formatted.glob("trash/*"),
        *formatted.glob("tmp/*"),
    ]:
        path.unlink()


def files(directory):
    return sorted(path.name for path in directory.glob("shards/*/*"))


def test_recipe_of_one_shard(serve, make_shard):
    """Sync before the name, directory sync before the answer (reliability 4.5)."""
    system = Scripted()
    serve(system).write([make_shard()])
    assert system.calls == ["open_unnamed", "allocate", "write", "sync", "link_unnamed", "sync"]


@pytest.fixture
def aligned():
    """Memory as the blocks of an upload lie in."""
    buffers = AlignedBuffers(kept_bytes_max=4 * MIB)

    def _aligned(size):
        view = buffers.take(size)
        view[:] = b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]
        return view

    return _aligned


SIZES = [4096, 4097, 65_536, 100_000, 200_704]


@pytest.mark.parametrize("size", SIZES)
def test_aligned_memory_is_written_past_the_cache(formatted, serve, make_shard, aligned, size):
    """The same file as any other way: bytes, length, and the order of sync and name (reliability 4.5)."""
    system = Scripted()
    drive, shard = serve(system), make_shard(aligned(size))
    drive.write([shard])
    truncate = ["truncate"] if size % 4096 else []
    assert system.calls == [
        "open_unnamed",
        "allocate",
        "write_direct",
        *truncate,
        "sync",
        "link_unnamed",
        "sync",
    ]
    path = formatted / "shards" / directory_name(shard.header.shard_id) / shard.header.shard_id.name
    assert path.read_bytes() == encode_prefix(shard) + bytes(shard.payload)
    assert drive.verify(shard.header.shard_id) == shard.header


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP])
def test_filesystem_without_direct_writes_works(serve, make_shard, aligned, code):
    """Some filesystems always go through the cache; they are asked once."""
    system = Scripted(fail_call="write_direct", error=OSError(code, "not here"))
    drive = serve(system)
    for block in range(2):
        shard = make_shard(aligned(10_000), block=block)
        drive.write([shard])
        assert drive.verify(shard.header.shard_id) == shard.header
    assert system.calls.count("write_direct") == 1


def test_rest_of_a_direct_write_that_stopped_is_overwritten(serve, make_shard, aligned):
    """A filesystem may refuse in the middle, for the alignment of one piece."""

    class Halfway(System):
        def write_direct(self, fd, buffers):
            super().write_direct(fd, buffers[:1])
            super().write_direct(fd, [buffers[1][1:4097]])

    drive, shard = serve(Halfway()), make_shard(aligned(10_000))
    drive.write([shard])
    assert drive.verify(shard.header.shard_id) == shard.header


@pytest.mark.parametrize("call", ["write_direct", "truncate"])
def test_full_disk_keeps_nothing_of_a_direct_write(formatted, serve, make_shard, aligned, call):
    """A write that ran out of room is refused cleanly and leaves no half shard (users 2.3)."""
    system = Scripted(fail_call=call, error=OSError(errno.ENOSPC, "full"))
    with pytest.raises(StorageFull):
        serve(system).write([make_shard(aligned(10_000))])
    assert files(formatted) == []


def test_failing_medium_is_no_missing_feature(serve, make_shard, aligned):
    """An error of the drive must not be taken for a filesystem that wants another way of writing."""
    system = Scripted(fail_call="write_direct", error=OSError(errno.EIO, "medium error"))
    with pytest.raises(DriveUnavailable):
        serve(system).write([make_shard(aligned(10_000))])
    assert "write" not in system.calls


def test_batch_shares_the_directory_sync(serve, make_shard):
    """Syncs are what a write costs on a real disk."""
    system = Scripted()
    serve(system).write([make_shard(block=block) for block in range(4)])
    assert system.calls.count("sync") == 4 + 1


@pytest.mark.parametrize("unnamed", [True, False], ids=["O_TMPFILE", "named"])
@pytest.mark.parametrize("is_direct", [True, False], ids=["direct", "cached"])
@pytest.mark.parametrize("fail_at", range(1, 21))
def test_power_failure_leaves_nothing_or_whole_shards(
    formatted, serve, make_shard, aligned, fail_at, is_direct, unnamed
):
    """Whatever the moment, a name stands for a whole, valid shard (users 2.1)."""
    payloads = [aligned(5000) if is_direct else bytes([block]) * 5000 for block in range(2)]
    shards = [make_shard(payload, block=block) for block, payload in enumerate(payloads)]
    system = Scripted(fail_at=fail_at, unnamed=unnamed)
    try:
        serve(system).write(shards)
        crashed = False
    except Power:
        crashed = True
    after = serve()
    after.empty_work_directory()
    assert list(formatted.glob("tmp/*")) == []
    names = files(formatted)
    for shard in shards:
        if shard.header.shard_id.name in names:
            assert after.verify(shard.header.shard_id) == shard.header
        else:
            assert crashed
    after.write(shards)
    assert len(files(formatted)) == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open_unnamed", "allocate", "write", "sync", "link_unnamed"])
def test_full_disk_keeps_nothing(formatted, serve, make_shard, call, code):
    """A write that ran out of room is refused cleanly and leaves no half shard (users 2.3)."""
    system = Scripted(fail_call=call, error=OSError(code, "full"))
    drive = serve(system)
    with pytest.raises(StorageFull):
        drive.write([make_shard()])
    assert files(formatted) == []
    system.fail_call = ""
    drive.write([make_shard()])
    assert len(files(formatted)) == 1


def test_second_shard_without_room_takes_the_first_back(formatted, serve, make_shard):
    """A batch that failed must not count as used room for ever."""
    system = Scripted(fail_at=7, error=OSError(errno.ENOSPC, "full"))
    with pytest.raises(StorageFull):
        serve(system).write([make_shard(block=0), make_shard(block=1)])
    assert files(formatted) == []


@pytest.mark.parametrize("fail_at", [4, 6], ids=["file", "directory"])
def test_failed_sync_retires_the_drive(formatted, serve, make_shard, fail_at):
    """The next sync would say yes for pages that the kernel dropped, so there is no next one."""
    system = Scripted(fail_at=fail_at, error=OSError(errno.EIO, "medium error"))
    drive = serve(system)
    with pytest.raises(DriveUnavailable, match="out of service"):
        drive.write([make_shard()])
    assert files(formatted) == []
    system.fail_at = 0
    for call in (
        lambda: drive.write([make_shard()]),
        lambda: drive.read(make_shard().header.shard_id, start=0, length=1),
        drive.check_in_service,
    ):
        with pytest.raises(DriveUnavailable, match="out of service"):
            call()


def test_other_errors_are_the_drives(serve, make_shard):
    """A read-only remount is no full disk and no damage."""
    system = Scripted(fail_call="open_unnamed", error=OSError(errno.EROFS, "read-only"))
    with pytest.raises(DriveUnavailable):
        serve(system).write([make_shard()])


def test_filesystem_without_unnamed_files_works(formatted, serve, make_shard):
    """Some network and FUSE filesystems have no O_TMPFILE; it is asked once only."""
    system = Scripted(unnamed=False)
    drive = serve(system)
    drive.write([make_shard(block=0)])
    drive.write([make_shard(block=1)])
    assert system.calls.count("open_unnamed") == 1
    assert len(files(formatted)) == 2
    assert list(formatted.glob("tmp/*")) == []


def test_damaged_shard_goes_to_quarantine(formatted, serve, make_shard):
    """An operator can look at what a drive made of the bytes; nothing damaged is thrown away."""
    drive, shard = serve(), make_shard(b"x" * 100)
    drive.write([shard])
    path = formatted / "shards" / directory_name(shard.header.shard_id) / shard.header.shard_id.name
    path.write_bytes(b"garbage")
    drive.write([shard])
    assert (formatted / "quarantine" / path.name).read_bytes() == b"garbage"
    assert path.read_bytes() == encode_prefix(shard) + shard.payload


@pytest.mark.parametrize("size", [0, 100, PREFIX_BYTES, PREFIX_BYTES + 99])
def test_truncated_shard_is_damage(formatted, serve, make_shard, size):
    """A filesystem check may cut files; that is damage to repair, not an end of data."""
    drive, shard = serve(), make_shard(b"x" * 100)
    drive.write([shard])
    path = formatted / "shards" / directory_name(shard.header.shard_id) / shard.header.shard_id.name
    os.truncate(path, size)
    for call in (drive.verify, drive.stat):
        with pytest.raises(CorruptShard) as caught:
            call(shard.header.shard_id)
        assert caught.value.detail["drive"] == "d"
    with pytest.raises(CorruptShard):
        drive.read(shard.header.shard_id, start=0, length=1)


def test_shard_that_cannot_be_read_is_damage(formatted, serve, make_shard):
    """A bad sector costs one shard, not the drive."""
    drive, shard = serve(), make_shard()
    path = formatted / "shards" / directory_name(shard.header.shard_id) / shard.header.shard_id.name
    path.mkdir()
    try:
        with pytest.raises(CorruptShard, match="cannot be read"):
            drive.read(shard.header.shard_id, start=0, length=1)
    finally:
        path.rmdir()


def test_replaced_identity_stops_everything(formatted, serve, make_shard):
    """Another drive mounted over this one must not take its shards."""
    drive = serve()
    drive.write([make_shard()])
    path = formatted / "objstore-drive.json"
    kept = path.read_bytes()
    path.unlink()
    path.write_bytes(kept)
    for call in (
        lambda: drive.write([make_shard(block=1)]),
        lambda: drive.delete([make_shard().header.shard_id], at_once=False, now=1),
        lambda: drive.read(make_shard(block=9).header.shard_id, start=0, length=1),
    ):
        with pytest.raises(DriveUnavailable, match="changed"):
            call()
    assert len(files(formatted)) == 1


def test_mount_that_vanished_is_not_missing_data(formatted, serve, make_shard, tmp_path):
    """An empty mount point shows no shards; the drive is away, the data is not lost (users 2.8)."""
    drive = serve()
    away = tmp_path / "away"
    formatted.rename(away)
    formatted.mkdir()
    try:
        with pytest.raises(DriveUnavailable):
            drive.write([make_shard()])
        with pytest.raises(DriveUnavailable):
            drive.read(make_shard().header.shard_id, start=0, length=1)
        assert list(formatted.iterdir()) == []
    finally:
        formatted.rmdir()
        away.rename(formatted)
    with pytest.raises(ShardMissing):
        drive.read(make_shard().header.shard_id, start=0, length=1)


def test_full_drive_empties_its_trash_first(formatted, serve, make_shard):
    """Deleted bytes must not keep new ones out (users 2.28)."""
    trash = formatted / "trash" / make_shard(block=7).header.shard_id.name
    with trash.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 512 * MIB)
    free = serve().usage().free_bytes
    serve(reserve_bytes=free + 256 * MIB).write([make_shard()])
    assert not trash.exists()
    assert len(files(formatted)) == 1
