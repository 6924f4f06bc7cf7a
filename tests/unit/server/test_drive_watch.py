"""What a look at a directory finds, and when a directory is believed again."""

from __future__ import annotations

import os

import pytest

from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.model.errors import DriveUnavailable
from objstore.model.instant import Instant
from objstore.model.names import DriveId
from objstore.server.drive_sites import Site, mount_of
from objstore.server.drive_watch import DriveState, look_at, prove
from objstore.storage import DriveIdentity, format_drive
from objstore.storage.layout import IDENTITY_NAME, renew_identity


@pytest.fixture
def site(tmp_path):
    """A directory with a drive and the files of its catalogue, as the node remembers it while it is out of service."""
    directory = tmp_path / "d0"
    identity = DriveIdentity("cluster-1", DriveId("drive-1"), Instant(7))
    format_drive(directory, identity)
    for name in (CATALOG_FILE_NAME, CONTROL_FILE_NAME):
        (directory / name).touch()
    status = directory.stat()
    return Site(directory, identity.drive_id, device=status.st_dev, inode=status.st_ino)


def test_a_directory_in_order(site):
    """Everything else in this file is a difference from it."""
    assert look_at(site) is DriveState.FINE


def test_an_emptied_directory_is_blank(site):
    """It is the same directory, so that it may be formatted anew."""
    for path in sorted(site.directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert look_at(site) is DriveState.BLANK


def test_a_missing_mount_is_never_taken_for_a_wiped_drive(site, tmp_path):
    """Formatting what is beneath a mount point would fill the wrong filesystem."""
    site.directory.rename(tmp_path / "elsewhere")
    assert look_at(site) is DriveState.MISSING
    site.directory.mkdir()
    assert look_at(site) is DriveState.ANOTHER


def test_a_drive_that_is_mounted_again_is_known_by_its_identity(site):
    """Device numbers change with a new mount; while the drive is in service they must not."""
    site.device += 1
    assert look_at(site) is DriveState.FINE
    site.drive = object()
    assert look_at(site) is DriveState.ANOTHER


@pytest.mark.parametrize("name", [CATALOG_FILE_NAME, CONTROL_FILE_NAME])
def test_files_that_are_gone_are_noticed(site, name):
    """Open handles go on working, and what is written through them is gone with the process."""
    (site.directory / name).unlink()
    assert look_at(site) is DriveState.NO_CATALOGUE


def test_an_identity_that_is_gone_or_foreign(site):
    """What else is in the directory then belongs to nobody."""
    renew_identity(site.directory, DriveIdentity("cluster-1", DriveId("other"), Instant(8)))
    assert look_at(site) is DriveState.DAMAGED
    (site.directory / IDENTITY_NAME).unlink()
    assert look_at(site) is DriveState.DAMAGED


def test_a_filesystem_that_failed_is_not_believed_until_it_is_mounted_again(site):
    """What the kernel holds in memory after an error may never have reached the drive."""
    prove(site)
    site.failed_mount = mount_of(site.directory)
    with pytest.raises(DriveUnavailable, match="not mounted again"):
        prove(site)
    site.failed_mount = "another mount"
    prove(site)
    assert os.listdir(site.directory / "tmp") == []


def test_a_directory_that_cannot_be_written_is_not_believed(site):
    """A filesystem that an error made read-only does not always say so."""
    (site.directory / "tmp").rmdir()
    with pytest.raises(DriveUnavailable, match="cannot be written"):
        prove(site)
