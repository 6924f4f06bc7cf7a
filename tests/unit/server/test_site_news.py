"""Drives as a worker has them: what the owner takes out is used no more, what it puts in is opened."""

from __future__ import annotations

import asyncio

import msgspec

from objstore.model.instant import Instant
from objstore.server.drive_sites import DriveSites
from objstore.server.site_news import FollowedSites, SharedSite, SiteEndpoint, encode_sites
from objstore.storage.offline_drive import OfflineDrive
from objstore.storage.posix_drive import DriveSettings, PosixDrive
from objstore.storage.system import SYSTEM


class Clock:
    """A clock that stands."""

    def now(self):
        return Instant(1)

    def monotonic_s(self):
        return 1.0


def test_a_worker_has_the_drives_that_the_owner_has(tmp_path) -> None:
    """A shard that a worker writes into a directory that was wiped counts as stored and is nowhere."""
    clock, settings = Clock(), DriveSettings()
    sites = DriveSites([tmp_path / f"d{number}" for number in range(3)], clock, settings, SYSTEM)
    sites.open_formatted()
    for site in sites.sites:
        site.slot = site.drive_id
        sites.drives[site.slot] = site.drive
    first = sites.sites[0]

    async def scenario():
        followed = FollowedSites(cluster_id=sites.cluster_id, clock=clock, settings=settings)
        assert await followed.take(encode_sites(sites))
        assert {type(drive) for drive in followed.drives.values()} == {PosixDrive}
        kept = dict(followed.drives)
        sites.take_out(first, "wiped")
        assert await followed.take(encode_sites(sites))
        assert isinstance(followed.drives[first.slot], OfflineDrive)
        others = [site.slot for site in sites.sites[1:]]
        assert all(followed.drives[slot] is kept[slot] for slot in others)
        sites.reopen(first)
        sites.put_into_service(first)
        assert await followed.take(encode_sites(sites))
        assert followed.drives[first.slot].drive_id == first.drive_id
        assert followed.drives[first.slot] is not kept[first.slot]
        followed.close()

    asyncio.run(scenario())
    sites.close()


def test_a_drive_that_fails_under_a_worker_is_retired_for_all(tmp_path) -> None:
    """The owner would go on with a drive that lost what a worker wrote, and the worker would stay without it for ever."""
    clock, settings = Clock(), DriveSettings()
    sites = DriveSites([tmp_path / "d"], clock, settings, SYSTEM)
    sites.open_formatted()
    (site,) = sites.sites
    site.slot = site.drive_id
    sites.drives[site.slot] = site.drive
    endpoint = SiteEndpoint(sites)

    class Owner:
        """Answers at once."""

        async def call(self, method, body=b"", *, deadline_s):
            await endpoint.methods[method](body)
            reported.set()

    reported = asyncio.Event()

    async def scenario():
        followed = FollowedSites(cluster_id=sites.cluster_id, clock=clock, settings=settings)
        await followed.take(encode_sites(sites))
        (drive,) = followed.in_service()
        drive.retire("a sync failed")
        assert not site.drive.failure
        watching = asyncio.get_running_loop().create_task(followed.watch(Owner()))
        await reported.wait()
        watching.cancel()
        assert site.drive.failure == "a sync failed"
        followed.close()

    asyncio.run(scenario())
    sites.close()


def test_a_drive_that_cannot_be_opened_is_tried_again(tmp_path) -> None:
    """The owner must hear that a worker has not all drives, or it would do with fewer for ever."""
    news = msgspec.msgpack.encode([SharedSite("s", "d", str(tmp_path / "none"), "")])

    async def scenario():
        followed = FollowedSites(cluster_id="c", clock=Clock(), settings=DriveSettings())
        for _ in range(2):
            assert not await followed.take(news)
            assert isinstance(followed.drives["s"], OfflineDrive)
        followed.close()

    asyncio.run(scenario())
