"""Directories of a node: formatted once, recognised for ever, and never guessed about."""

from __future__ import annotations

import contextlib
import shutil

import anyio
import pytest

from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME, SqliteControlStore
from objstore.model.instant import Instant
from objstore.model.objects import Scheme
from objstore.server.drives import (
    DataRings,
    cluster_of,
    join_drives,
    open_drives,
    open_rings,
    read_rings,
)
from objstore.server.refusal import StartRefused
from objstore.storage.layout import read_identity
from objstore.storage.offline_drive import OfflineDrive
from objstore.storage.posix_drive import DriveSettings

SETTINGS = DriveSettings(reserve_bytes=0)


class Clock:
    def now(self):
        return Instant(1_700_000_000_000)

    def monotonic_s(self):
        return 0.0


@contextlib.asynccontextmanager
async def opened(*directories):
    """Open directories as a node does; give drives, rings, scheme and control store."""
    clock = Clock()
    cluster_id = cluster_of(directories, clock)
    async with SqliteControlStore(
        directories[0] / CONTROL_FILE_NAME, on_fatal=lambda _error: None
    ) as control:
        drives = await open_drives(
            directories, control, cluster_id=cluster_id, clock=clock, settings=SETTINGS
        )
        try:
            rings, scheme = await open_rings(control, drives.drives)
            yield drives, rings, scheme, control
        finally:
            drives.close()


def start(*directories):
    """Open and close; return the ids, the offline directories, the ring version and the scheme."""

    async def story():
        async with opened(*directories) as (drives, rings, scheme, _):
            ids = [drive.drive_id for drive in drives.drives]
            return ids, drives.offline, rings.version, scheme

    return anyio.run(story)


def refusal_of(*directories):
    with pytest.raises(StartRefused) as caught:
        start(*directories)
    return caught.value


def test_second_start_finds_what_the_first_one_made(tmp_path):
    """Same drives, same ring: an id that changed would lose every shard."""
    directories = tmp_path / "a", tmp_path / "b"
    first = start(*directories)
    assert len(set(first[0])) == 2
    assert first[1:] == ({}, 1, Scheme(1, 1))
    assert start(*directories) == first


def test_directory_that_lost_its_identity_is_offline_and_stays_blank(tmp_path):
    """An empty directory is far more often a missing mount than a new drive."""
    directories = tmp_path / "a", tmp_path / "b"
    ids = start(*directories)[0]
    shutil.rmtree(directories[1])
    for _ in range(2):
        again, offline, version, _ = start(*directories)
        assert again == ids
        assert list(offline) == [directories[1]]
        assert "mounted" in offline[directories[1]]
        assert version == 1
        assert not directories[1].exists()
    directories[1].mkdir()
    assert list(start(*directories)[1]) == [directories[1]]
    assert list(directories[1].iterdir()) == []

    async def is_offline():
        async with opened(*directories) as (drives, *_):
            return [isinstance(drive, OfflineDrive) for drive in drives.drives]

    assert anyio.run(is_offline) == [False, True]


def test_first_directory_that_is_empty_while_others_are_not(tmp_path):
    """The catalogue is missing: a new one would hide all objects. The refusal says what to do."""
    directories = tmp_path / "a", tmp_path / "b"
    start(*directories)
    shutil.rmtree(directories[0])
    refusal = refusal_of(*directories)
    assert "existing store" in str(refusal)
    assert "same order" in refusal.next_step
    assert not directories[0].exists()


def test_swapped_order_is_refused(tmp_path):
    """A later directory in the first place holds no catalogue, and must not be given an empty one."""
    directories = tmp_path / "a", tmp_path / "b"
    start(*directories)
    refusal = refusal_of(*reversed(directories))
    assert str(directories[0]) in refusal.next_step
    assert not (directories[1] / CONTROL_FILE_NAME).exists()
    start(*directories)


def test_order_of_later_directories_does_not_matter(tmp_path):
    """They are known by what they are, not by their place."""
    a, b, c = (tmp_path / name for name in "abc")
    ids = start(a, b, c)[0]
    assert start(a, c, b)[0] == [ids[0], ids[2], ids[1]]


def test_lost_catalogue_is_told(tmp_path):
    """Two directories of a store whose first one is not named, or one that has data."""
    a, b, c = (tmp_path / name for name in "abc")
    start(a, b, c)
    assert "catalogue" in str(refusal_of(b, c))
    (b / "shards" / "00" / "some-shard").write_bytes(b"data")
    assert "catalogue" in str(refusal_of(b))


def test_first_start_that_was_cut_off_is_finished(tmp_path):
    """Formatted, but the control store was not made yet: nothing can be lost, so it goes on."""
    cluster = cluster_of([tmp_path / "a"], Clock())
    assert cluster_of([tmp_path / "a"], Clock()) == cluster
    assert start(tmp_path / "a", tmp_path / "b")[2] == 1


def test_foreign_content_is_never_touched(tmp_path):
    """A wrong path on the command line must not cost anybody's files."""
    foreign = tmp_path / "home"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    assert "thesis.txt" in str(refusal_of(foreign))
    refusal = refusal_of(tmp_path / "a", foreign)
    assert "thesis.txt" in str(refusal)
    assert refusal.next_step
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    start(tmp_path / "a")  # what had been opened was given up again


def test_foreign_content_beside_a_blank_first_directory_decides_nothing(tmp_path):
    """It is refused for itself, not taken for a store."""
    foreign = tmp_path / "home"
    foreign.mkdir()
    (foreign / "x").write_text("x")
    assert "cannot be used" in str(refusal_of(tmp_path / "a", foreign))


def test_directory_of_another_cluster_is_refused(tmp_path):
    """Its shards belong to somebody else."""
    start(tmp_path / "a")
    start(tmp_path / "x")
    before = read_identity(tmp_path / "x")
    assert "cannot be used" in str(refusal_of(tmp_path / "a", tmp_path / "x"))
    assert read_identity(tmp_path / "x") == before


def test_directory_that_cannot_be_made_is_refused(tmp_path):
    """A file stands where the directory should be."""
    (tmp_path / "file").write_text("")
    assert "cannot be" in str(refusal_of(tmp_path / "file" / "data"))


def test_added_directory_makes_the_next_ring(tmp_path):
    """New writes use it; extents of before still name the old ring."""
    a, b, c = (tmp_path / name for name in "abc")
    (old,) = start(a)[0]

    async def story():
        async with opened(a, b, c) as (drives, rings, scheme, control):
            assert rings.version == 2
            assert scheme == Scheme(1, 2)
            block = b"some block"
            assert rings.homes(block, 1) == (old,)
            assert set(rings.homes(block, 2)) == {drive.drive_id for drive in drives.drives}
            assert (await read_rings(control)).version == 2

    anyio.run(story)
    assert start(a, b, c)[2] == 2


def test_directory_that_is_not_named_any_more_stays_in_the_ring(tmp_path):
    """What it holds is read from the others, and it may come back."""
    a, b, c = (tmp_path / name for name in "abc")
    start(a, b, c)
    ids, offline, version, scheme = start(a, b)
    assert (len(ids), offline, version, scheme) == (2, {}, 1, Scheme(1, 2))


def test_moved_directory_is_the_same_drive(tmp_path):
    """A mount point may change; the identity lies inside."""
    a, b = tmp_path / "a", tmp_path / "b"
    ids = start(a, b)[0]
    b.rename(tmp_path / "elsewhere")
    again, offline, version, _ = start(a, tmp_path / "elsewhere")
    assert (again, offline, version) == (ids, {}, 1)


def test_other_processes_of_a_node_join_its_drives(tmp_path):
    """They see the same drives, and the same ones offline."""
    a, b = tmp_path / "a", tmp_path / "b"
    ids = start(a, b)[0]
    shutil.rmtree(b)

    async def story():
        async with opened(a, b) as (_, _, _, control):
            joined = await join_drives(
                (a, b),
                control,
                cluster_id=read_identity(a).cluster_id,
                clock=Clock(),
                settings=SETTINGS,
            )
            assert [drive.drive_id for drive in joined.drives] == ids
            assert list(joined.offline) == [b]
            joined.close()

    anyio.run(story)


def test_old_rings_are_kept_by_their_version():
    """An extent names the ring it was placed by."""

    class Ring:
        def __init__(self, version):
            self.version = version

        def partition_for(self, block):
            return block

        def homes(self, partition):
            return (self.version, partition)

    rings = DataRings({1: Ring(1), 3: Ring(3)})
    assert rings.version == 3
    assert rings.homes(b"x", 1) == (1, b"x")


def test_first_directory_in_use_is_refused_and_not_taken_for_offline(tmp_path):
    """A second node would write the catalogue that the first one is writing."""
    a, b = tmp_path / "a", tmp_path / "b"

    async def story():
        async with opened(a, b):
            with pytest.raises(StartRefused) as caught:
                async with opened(a, b):
                    raise AssertionError("it started")
        return caught.value

    assert "no other node" in anyio.run(story).next_step
    assert start(a, b)[1] == {}
