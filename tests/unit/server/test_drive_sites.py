"""Whose directories are taken for what, at a start and when they come back."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME, SqliteControlStore
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.server.clock import SystemClock
from objstore.server.drive_sites import DriveSites, mount_of
from objstore.server.refusal import StartRefused
from objstore.storage.layout import QUARANTINE_NAME, read_identity
from objstore.storage.posix_drive import DriveSettings
from objstore.storage.system import SYSTEM

SETTINGS = DriveSettings(threads=1, reserve_bytes=0)


@pytest.fixture
def directories(tmp_path):
    return [tmp_path / f"d{number}" for number in range(3)]


@pytest.fixture
def start(directories, tmp_path):
    """Open the sites as a start does, and remember what is in service; everything is closed at the end."""
    opened = []

    def run(paths=None):
        for sites in opened:
            sites.close()
        sites = DriveSites(paths or directories, SystemClock(), SETTINGS, SYSTEM)
        opened.append(sites)
        sites.open_formatted()
        return sites, asyncio.run(_settle(sites, tmp_path / "control.sqlite"))

    yield run
    for sites in opened:
        sites.close()


async def _settle(sites, path):
    async with SqliteControlStore(path, on_fatal=_fail) as control:
        fresh = await sites.settle(control)
        for site in sites.sites:
            if site.drive is not None:
                instead_of = fresh.get(site.drive_id, site.drive_id)
                await sites.remember(control, site, instead_of=instead_of)
        return fresh


def _fail(error):
    raise error


def test_a_first_start_formats_everything(start):
    """New directories take part under slots of their own."""
    sites, fresh = start()
    ids = [site.drive_id for site in sites.sites]
    assert fresh == {drive_id: drive_id for drive_id in ids}
    assert list(sites.drives) == ids


def test_a_wiped_directory_is_a_new_drive_in_the_old_slot(start, directories):
    """A new life is never taken for the old one (trap T2), and the data ring does not change."""
    sites, _ = start()
    before = sites.sites[1]
    for entry in directories[1].iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    after, fresh = start()
    site = after.sites[1]
    assert site.drive_id != before.drive_id
    assert site.slot == before.slot
    assert fresh == {site.drive_id: before.drive_id}


def test_an_empty_directory_in_another_place_is_a_missing_mount(start, directories):
    """Formatting it would fill the wrong filesystem."""
    before, _ = start()
    directories[1].rename(directories[1].with_name("unmounted"))
    directories[1].mkdir()
    sites, fresh = start()
    assert sites.sites[1].drive is None
    assert "mounted" in sites.sites[1].cause
    assert sites.sites[1].slot == before.sites[1].slot
    assert fresh == {}


def test_directories_of_two_stores_are_refused(start, directories, tmp_path):
    """They would overwrite each other's catalogue."""
    start()
    others = [tmp_path / f"o{number}" for number in range(3)]
    start(others)
    with pytest.raises(StartRefused, match="different stores"):
        start([directories[0], *others[1:]])


def test_a_renewed_drive_keeps_its_shards_and_nothing_of_its_catalogue(start, directories):
    """A damaged catalogue must never be taken for the state again, not even after a crash in the middle."""
    sites, _ = start()
    site = sites.sites[0]
    old = site.drive_id
    shard = directories[0] / "shards" / "00" / "a-shard"
    for path in (directories[0] / CATALOG_FILE_NAME, directories[0] / CONTROL_FILE_NAME, shard):
        path.write_bytes(b"content")
    site.is_to_be_renewed = True
    sites.take_out(site, "damaged")
    sites.renew(site)
    assert site.drive is not None
    assert site.drive_id != old
    assert not site.is_to_be_renewed
    assert read_identity(directories[0]).drive_id == site.drive_id
    assert shard.read_bytes() == b"content"
    assert sorted(path.name for path in (directories[0] / QUARANTINE_NAME).iterdir()) == [
        f"{old}-{CATALOG_FILE_NAME}",
        f"{old}-{CONTROL_FILE_NAME}",
    ]
    assert not (directories[0] / CATALOG_FILE_NAME).exists()
    _, fresh = start()
    assert fresh == {site.drive_id: old}


def test_a_mount_is_told_from_another(tmp_path):
    """The same mount gives the same answer, whichever directory of it is asked for."""
    assert mount_of(tmp_path) == mount_of(tmp_path.parent)
