"""Shard files that stay open: never a byte that their name would not give, and never a file that is kept for nothing."""

from __future__ import annotations

import errno
import gc
import os

import pytest

from objstore.model.errors import CorruptShard, DriveUnavailable, ShardMissing
from objstore.model.instant import Instant
from objstore.model.names import DriveId
from objstore.storage import DriveIdentity, format_drive, shard_directory
from objstore.storage.format import CHUNK_BYTES, PREFIX_BYTES, directory_name
from objstore.storage.open_shards import GENERATION_MAX, OpenShard, OpenShards
from objstore.storage.shard_directory import ShardDirectory
from objstore.storage.system import SYSTEM, System

PAYLOAD = os.urandom(3 * CHUNK_BYTES + 1000)


@pytest.fixture
def root(tmp_path):
    directory = tmp_path / "drive"
    format_drive(directory, DriveIdentity("c", DriveId("d"), Instant(1)))
    return directory


@pytest.fixture
def now(monkeypatch):
    """The clock of the drive; it stands until a test moves it."""
    time = [1000.0]
    monkeypatch.setattr(shard_directory, "monotonic", lambda: time[0])
    return time


@pytest.fixture
def drive(root, now):
    return ShardDirectory(root, DriveId("d"), reserve_bytes=0, system=SYSTEM)


@pytest.fixture
def shard(drive, make_shard):
    """A shard that was read often enough to be at hand."""
    made = make_shard(PAYLOAD)
    drive.write([made])
    shard_id = made.header.shard_id
    assert drive.read_cached(shard_id, start=0, length=1) is None, "nothing was read yet"
    for _ in range(2):
        drive.read(shard_id, start=0, length=len(PAYLOAD))
    assert drive.read_cached(shard_id, start=0, length=1) == PAYLOAD[:1]
    return shard_id


def path_of(root, shard_id):
    return root / "shards" / directory_name(shard_id) / shard_id.name


def open_files(root):
    """Return what this process has open below a directory, removed files included."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(f"{root}/"):
            found.append(target)
    return found


@pytest.mark.parametrize(
    ("start", "length"),
    [
        (0, 1),
        (0, CHUNK_BYTES),
        (CHUNK_BYTES - 1, 2),
        (5, 2 * CHUNK_BYTES),
        (len(PAYLOAD) - 7, 7),
        (3 * CHUNK_BYTES, 1000),
        (0, len(PAYLOAD)),
    ],
)
def test_range_at_hand_is_the_range_under_the_name(drive, shard, start, length):
    """Ranges that begin, end and cross anywhere."""
    assert drive.read_cached(shard, start=start, length=length) == PAYLOAD[start : start + length]


def test_range_beyond_the_end_is_left_to_read(drive, shard):
    """A reference that does not fit its shard is damage, which `read` reports."""
    assert drive.read_cached(shard, start=len(PAYLOAD) - 1, length=2) is None
    with pytest.raises(CorruptShard, match="fewer bytes"):
        drive.read(shard, start=len(PAYLOAD) - 1, length=2)


def test_bytes_that_only_the_drive_has_are_left_to_read(drive, shard, root):
    """The event loop never waits for a drive."""
    with path_of(root, shard).open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if drive.read_cached(shard, start=0, length=len(PAYLOAD)) is not None:
        pytest.skip("this filesystem keeps its pages")
    assert drive.read(shard, start=0, length=len(PAYLOAD)) == PAYLOAD


def test_filesystem_without_reads_that_do_not_wait_is_asked_once(drive, shard, monkeypatch):
    """On a network filesystem even the size of an open file may wait, and the event loop with it."""
    asked = []

    def refuse(*_):
        asked.append(1)
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(OpenShard, "fill_at_once", refuse)
    for _ in range(3):
        assert drive.read_cached(shard, start=0, length=1) is None
    assert len(asked) == 1
    assert drive.read(shard, start=0, length=1) == PAYLOAD[:1]


def test_page_that_is_not_there_now_may_be_there_later(drive, shard, monkeypatch):
    """Only a filesystem that cannot do it is not asked again."""

    def not_there(*_):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(OpenShard, "fill_at_once", not_there)
        assert drive.read_cached(shard, start=0, length=1) is None
    assert drive.read_cached(shard, start=0, length=1) == PAYLOAD[:1]


@pytest.mark.parametrize("keeps_time", [False, True], ids=["noticed", "silent"])
def test_damage_of_an_open_file_is_found(drive, shard, root, keeps_time):
    """Every read verifies, also where the file was opened and judged before the damage."""
    path = path_of(root, shard)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(PREFIX_BYTES + CHUNK_BYTES)
        file.write(bytes([PAYLOAD[CHUNK_BYTES] ^ 1]))
    if keeps_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert drive.read_cached(shard, start=CHUNK_BYTES, length=1) is None
    with pytest.raises(CorruptShard):
        drive.read(shard, start=CHUNK_BYTES, length=1)
    assert drive.read(shard, start=0, length=CHUNK_BYTES) == PAYLOAD[:CHUNK_BYTES]


def test_damaged_prefix_of_an_open_file_is_found(drive, shard, root):
    """The prefix is decoded once for each opening, so that a file written over must be opened again."""
    with path_of(root, shard).open("r+b") as file:
        file.seek(20)
        file.write(b"\xff")
    assert drive.read_cached(shard, start=0, length=1) is None
    with pytest.raises(CorruptShard, match="header"):
        drive.read(shard, start=0, length=1)


def test_sound_file_under_the_name_of_a_damaged_open_one_is_read(drive, shard, root):
    """Another process repaired it: what this one has open is in quarantine."""
    path = path_of(root, shard)
    sound, status = path.read_bytes(), path.stat()
    with path.open("r+b") as file:
        file.seek(PREFIX_BYTES)
        file.write(bytes([PAYLOAD[0] ^ 1]))
    path.rename(root / "quarantine" / path.name)
    moved = root / "quarantine" / path.name
    os.utime(moved, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.write_bytes(sound)
    assert drive.read_cached(shard, start=0, length=1) is None
    assert drive.read(shard, start=0, length=1) == PAYLOAD[:1]


def test_deleted_shard_answers_until_it_is_purged(drive, shard, root):
    """A download that began before the delete ends well; then the room is free at once."""
    drive.delete([shard], at_once=False, now=Instant(5_000))
    assert drive.read(shard, start=0, length=10) == PAYLOAD[:10]
    drive.purge_trash(None)
    assert drive.read_cached(shard, start=0, length=10) is None
    with pytest.raises(ShardMissing):
        drive.read(shard, start=0, length=10)
    assert open_files(root / "trash") == []


def test_shard_deleted_at_once_is_gone(drive, shard, root):
    """Without the trash there is nothing left to answer with."""
    drive.delete([shard], at_once=True, now=Instant(5_000))
    assert drive.read_cached(shard, start=0, length=1) is None
    with pytest.raises(ShardMissing):
        drive.read(shard, start=0, length=1)
    assert open_files(root / "shards") == []


def test_file_removed_behind_the_back_is_missing(drive, shard, root):
    """Somebody emptied the directory: open descriptors must not hide what repair has to know."""
    path_of(root, shard).unlink()
    assert drive.read_cached(shard, start=0, length=1) is None
    with pytest.raises(ShardMissing):
        drive.read(shard, start=0, length=1)
    assert open_files(root / "shards") == []


def test_directory_that_was_taken_away_is_noticed(drive, shard, root, now):
    """Open files go on working in it; the drive must not, for longer than its word holds."""
    root.rename(root.with_name("away"))
    now[0] += 0.2
    assert drive.read_cached(shard, start=0, length=1) is None
    with pytest.raises(DriveUnavailable, match="gone"):
        drive.read(shard, start=0, length=1)


def test_nothing_is_at_hand_after_a_failed_sync(root, now, make_shard):
    """A drive that is out of service answers nothing."""

    class Failing(System):
        fails = False

        def sync(self, fd):
            if self.fails:
                raise OSError(5, "medium error")
            super().sync(fd)

    system = Failing()
    drive = ShardDirectory(root, DriveId("d"), reserve_bytes=0, system=system)
    shard = make_shard(PAYLOAD)
    drive.write([shard])
    for _ in range(2):
        drive.read(shard.header.shard_id, start=0, length=1)
    system.fails = True
    with pytest.raises(DriveUnavailable):
        drive.write([make_shard(block=1)])
    assert drive.read_cached(shard.header.shard_id, start=0, length=1) is None
    with pytest.raises(DriveUnavailable):
        drive.read(shard.header.shard_id, start=0, length=1)


def test_files_that_nobody_reads_are_closed(drive, shard, root):
    """Two generations without a read, and the descriptor is gone; with one, it stays."""
    drive.close_idle()
    assert drive.read_cached(shard, start=0, length=1) == PAYLOAD[:1]
    drive.close_idle()
    assert len(open_files(root / "shards")) == 1
    drive.close_idle()
    assert open_files(root / "shards") == []
    assert drive.open_files_count == 0
    assert drive.read(shard, start=0, length=9) == PAYLOAD[:9]


def test_open_files_are_bounded(drive, root, make_shard):
    """However many shards are read."""
    shards = [make_shard(b"x", block=block) for block in range(3 * GENERATION_MAX)]
    for start in range(0, len(shards), 64):
        drive.write(shards[start : start + 64])
    for shard in shards:
        drive.read(shard.header.shard_id, start=0, length=1)
    assert drive.open_files_count <= 2 * GENERATION_MAX
    assert len(open_files(root / "shards")) <= 2 * GENERATION_MAX


def test_file_in_use_outlives_its_place(tmp_path):
    """Closing under a thread that reads could hand the number to another file."""
    (tmp_path / "f").write_bytes(b"x")
    cache, shard_id = OpenShards(), object()
    opened = OpenShard(os.open(tmp_path / "f", os.O_RDONLY))
    cache.keep(shard_id, opened)
    cache.drop([shard_id])
    assert len(open_files(tmp_path)) == 1
    del opened
    gc.collect()
    assert open_files(tmp_path) == []


def test_process_without_free_descriptors_reads_all_the_same(drive, shard, monkeypatch, make_shard):
    """Files that are only kept for speed make room."""
    other = make_shard(b"y", block=1)
    drive.write([other])
    real, opened = os.open, []

    def scarce(path, flags, *mode, **named):
        if not opened and drive.open_files_count:
            opened.append(path)
            raise OSError(24, "Too many open files")
        return real(path, flags, *mode, **named)

    monkeypatch.setattr(shard_directory.os, "open", scarce)
    assert drive.read(other.header.shard_id, start=0, length=1) == b"y"
    assert opened
    assert drive.read_cached(shard, start=0, length=1) is None
