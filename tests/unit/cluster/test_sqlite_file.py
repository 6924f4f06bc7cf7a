"""Which SQLite libraries are trusted, and how a file is set up."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace

import apsw
import pytest

from objstore.cluster.sqlite_file import check_library, lacks_room, open_reader, open_writer
from objstore.model.errors import InvariantError, UnknownFormat


@pytest.mark.parametrize("version", ["3.40.1", "3.44.5", "3.45.0", "3.50.6", "3.51.2"])
def test_a_library_with_the_wal_reset_bug_is_refused(version):
    """It can lose acknowledged commits (reliability rule 4.2); refusing to start is the only safe answer."""
    with pytest.raises(InvariantError):
        check_library(version)


@pytest.mark.parametrize("version", ["3.44.6", "3.50.7", "3.50.12", "3.51.3", "3.54.1", "4.0.0"])
def test_fixed_libraries_and_back_ports_are_accepted(version):
    """The two back-ports carry the fix."""
    check_library(version)


def test_the_bundled_library_is_good():
    """The product never starts otherwise."""
    check_library()


def test_the_writer_syncs_every_commit_and_maps_nothing(tmp_path):
    """FULL, WAL, no mmap, no waiting, no automatic checkpoints (reliability rule 4.3)."""
    connection = open_writer(tmp_path / "a.sqlite", application_id=7, cache_kib=1024)
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("mmap_size") == 0
    assert connection.pragma("busy_timeout") == 0
    assert connection.pragma("wal_autocheckpoint") == 0
    connection.close()


def test_the_file_is_private(tmp_path):
    """It holds objects and keys; nobody else on the machine may read it."""
    path = tmp_path / "a.sqlite"
    open_writer(path, application_id=7, cache_kib=1024).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_reader_cannot_write(tmp_path):
    """One connection writes; everything else would risk the WAL-reset race and lost updates."""
    path = tmp_path / "a.sqlite"
    writer = open_writer(path, application_id=7, cache_kib=1024)
    writer.execute("CREATE TABLE t (a)")
    reader = open_reader(path, cache_kib=1024)
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO t VALUES (1)")
    reader.close()
    writer.close()


def test_the_file_of_another_application_is_left_alone(tmp_path):
    """A directory mix-up must not end in two formats in one file."""
    path = tmp_path / "a.sqlite"
    open_writer(path, application_id=7, cache_kib=1024).close()
    with pytest.raises(UnknownFormat):
        open_writer(path, application_id=8, cache_kib=1024)


def test_a_reader_that_leaves_last_changes_nothing(tmp_path):
    """A worker may outlive its killed owner by a moment: only the owner checkpoints, also at the end."""
    path = tmp_path / "a.sqlite"
    writer = open_writer(path, application_id=7, cache_kib=1024)
    writer.execute("CREATE TABLE t (a)")
    reader = open_reader(path, cache_kib=1024)
    reader.execute("SELECT * FROM t").fetchall()
    writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    writer.close()
    wal = tmp_path / "a.sqlite-wal"
    before = path.read_bytes(), wal.read_bytes()
    reader.close()
    assert (path.read_bytes(), wal.read_bytes()) == before
    assert before[1]


def test_statements_are_planned_once(tmp_path):
    """Planning a join again for each value that is bound to it costs four times the look-up."""
    path = tmp_path / "a.sqlite"
    writer = open_writer(path, application_id=7, cache_kib=1024)
    reader = open_reader(path, cache_kib=1024)
    for connection in (writer, reader):
        assert connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, -1) == 1
        connection.close()


def test_the_index_of_the_wal_has_its_blocks(tmp_path):
    """Shared memory: a page of it without a block on a full drive would end the process."""
    path = tmp_path / "a.sqlite"
    writer = open_writer(path, application_id=7, cache_kib=1024)
    assert path.with_name("a.sqlite-shm").stat().st_blocks * 512 >= 64 * 1024
    writer.close()


def test_a_file_is_not_opened_on_a_full_drive(tmp_path, monkeypatch):
    """Its index would be made there, before its blocks can be. One that is there already has some."""
    full = SimpleNamespace(f_bavail=10, f_frsize=1024)
    path = tmp_path / "a.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda _path: full)
        with pytest.raises(apsw.FullError):
            open_writer(path, application_id=7, cache_kib=1024)
        assert list(tmp_path.iterdir()) == []
    first = open_writer(path, application_id=7, cache_kib=1024)
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    open_writer(path, application_id=7, cache_kib=1024).close()
    first.close()


def test_an_index_that_cannot_grow_is_a_full_drive_and_other_faults_are_not():
    """SQLite calls it an I/O error, and nothing of the operation has happened."""
    no_blocks, fault = apsw.IOError("no blocks"), apsw.IOError("fault")
    no_blocks.extendedresult = apsw.SQLITE_IOERR_SHMSIZE
    fault.extendedresult = apsw.SQLITE_IOERR_FSYNC
    assert lacks_room(apsw.FullError("full"))
    assert lacks_room(no_blocks)
    assert not lacks_room(fault)
    assert not lacks_room(apsw.IOError("fault"))
