"""Small files are replaced whole or not at all (users 2.1)."""

from __future__ import annotations

import pytest

from objstore.storage.publish import create_directory, create_file, replace_file, sync_directory
from objstore.storage.system import System


class Recorder(System):
    """Notes the order of calls and stops at the nth."""

    def __init__(self, stop_at=0):
        self.calls = []
        self.stop_at = stop_at

    def _note(self, call):
        self.calls.append(call)
        if self.stop_at and len(self.calls) >= self.stop_at:
            raise KeyboardInterrupt

    def write(self, fd, buffers):
        self._note("write")
        super().write(fd, buffers)

    def sync(self, fd):
        self._note("sync")
        super().sync(fd)

    def rename(self, source, path):
        self._note("rename")
        super().rename(source, path)

    def link(self, source, path):
        self._note("link")
        super().link(source, path)

    def unlink(self, path):
        self._note("unlink")
        super().unlink(path)

    def make_directory(self, path):
        self._note("mkdir")
        super().make_directory(path)


def test_replacing_follows_the_recipe(tmp_path):
    """A rename before the sync can leave an empty file after a power failure."""
    system = Recorder()
    replace_file(tmp_path / "key", b"new", system)
    assert system.calls == ["write", "sync", "rename", "sync"]
    assert (tmp_path / "key").read_bytes() == b"new"
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4])
def test_crash_leaves_old_or_new(tmp_path, stop_at):
    """Never neither, and a leftover does not block the next try."""
    path = tmp_path / "key"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, b"new", Recorder(stop_at))
    assert path.read_bytes() in (b"old", b"new")
    replace_file(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_creating_never_replaces(tmp_path):
    """Two processes that format one directory at once: one of them must lose."""
    create_file(tmp_path / "identity", b"first")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "identity", b"second")
    assert (tmp_path / "identity").read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["identity"]


def test_new_directory_syncs_its_parent(tmp_path):
    """Else the directory, with all that is synced inside, may be gone after a power failure."""
    system = Recorder()
    create_directory(tmp_path / "d", system)
    assert system.calls == ["mkdir", "sync"]
    create_directory(tmp_path / "d", system)
    assert system.calls == ["mkdir", "sync"]


def test_sync_of_a_missing_directory_fails(tmp_path):
    """A sync that did not happen must not look like one."""
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "gone")
