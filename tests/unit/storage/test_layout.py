"""Whose directory it is: nothing that is not ours is ever formatted or served (users 2.8)."""

from __future__ import annotations

import json

import pytest

from objstore.model.errors import DriveUnavailable
from objstore.storage.layout import format_drive, read_identity
from objstore.storage.system import System


def test_format_makes_a_drive(tmp_path, identity):
    """A new directory, even with missing parents, becomes a drive with its fan-out made in advance."""
    directory = tmp_path / "a" / "b"
    format_drive(directory, identity)
    assert read_identity(directory) == identity
    assert len(list((directory / "shards").iterdir())) == 256
    assert (directory / "objstore-drive.json").stat().st_mode & 0o077 == 0


def test_mount_point_with_lost_and_found_is_blank(tmp_path, identity):
    """A fresh ext4 filesystem is not empty."""
    (tmp_path / "lost+found").mkdir()
    assert read_identity(tmp_path) is None
    format_drive(tmp_path, identity)


@pytest.mark.parametrize("name", ["photos", "shards/00/something", "objstore-drive.json.bak"])
def test_foreign_content_is_never_formatted(tmp_path, identity, name):
    """A typo in a path must not turn somebody's home into a drive, nor a drive without identity into a new one."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"precious")
    with pytest.raises(DriveUnavailable, match="not formatted"):
        read_identity(tmp_path)
    with pytest.raises(DriveUnavailable):
        format_drive(tmp_path, identity)
    assert path.read_bytes() == b"precious"
    assert not (tmp_path / "objstore-drive.json").exists()


def test_drive_is_not_formatted_again(tmp_path, identity):
    """A second identity would orphan everything on the drive."""
    format_drive(tmp_path, identity)
    with pytest.raises(DriveUnavailable):
        format_drive(tmp_path, identity)
    assert read_identity(tmp_path) == identity


class StopsAt(System):
    """Power fails at the nth call; from then on nothing works."""

    def __init__(self, nth):
        self.left = nth

    def _step(self):
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt

    def make_directory(self, path):
        self._step()
        super().make_directory(path)

    def sync(self, fd):
        self._step()
        super().sync(fd)

    def link(self, source, path):
        self._step()
        super().link(source, path)

    def unlink(self, path):
        self._step()
        super().unlink(path)


@pytest.mark.parametrize("nth", [*range(1, 12), 100, 263, 264, 265, 266, 267, 268])
def test_interrupted_formatting_can_be_repeated(tmp_path, identity, nth):
    """The identity comes last, so a crash leaves a blank directory or a whole drive."""
    directory = tmp_path / "drive"
    system = StopsAt(nth)
    with pytest.raises(KeyboardInterrupt):
        format_drive(directory, identity, system)
    if read_identity(directory) is None:
        format_drive(directory, identity)
    assert read_identity(directory) == identity
    assert len(list((directory / "shards").iterdir())) == 256


def test_changed_identity_is_not_believed(tmp_path, identity):
    """Whoever edits the drive id by hand would serve one drive's shards as another's."""
    format_drive(tmp_path, identity)
    path = tmp_path / "objstore-drive.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"drive_id": "drive-2"}))
    with pytest.raises(DriveUnavailable, match="damaged"):
        read_identity(tmp_path)
    path.write_text(json.dumps(record | {"format_version": 2}))
    with pytest.raises(DriveUnavailable, match="another version"):
        read_identity(tmp_path)
    path.write_text("{")
    with pytest.raises(DriveUnavailable, match="damaged"):
        read_identity(tmp_path)


def test_directory_that_cannot_be_made_says_why(tmp_path, identity):
    """A file in the way is an error of the operator's, told in words."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DriveUnavailable):
        format_drive(tmp_path / "file" / "drive", identity)
    with pytest.raises(DriveUnavailable):
        read_identity(tmp_path / "file")
