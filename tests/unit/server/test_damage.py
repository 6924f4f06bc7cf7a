"""Damage that a worker finds is repaired by the owner."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from objstore.model.errors import CorruptShard, Unavailable
from objstore.server.damage import REPORTS_MAX, DamageEndpoint, DamageReports
from objstore.testing.catalog_kit import CommandKit, bucket_record

EXTENT = CommandKit(bucket_record().bucket_id).extent(5_000, lost=True)
ERROR = CorruptShard("bad chunk", shard="s", offset=3)


class Owner:
    """The owner's end of the connection; may be away for a while."""

    def __init__(self, methods, *, away=0):
        self._methods = methods
        self._away = away

    async def call(self, method, body=b"", *, deadline_s):
        if self._away:
            self._away -= 1
            raise Unavailable
        return await self._methods[method](body)


def reported(reports_count, *, away=0):
    """Return what the owner hears when a worker reports so often."""

    async def scenario():
        heard = []
        everything = asyncio.Event()

        def report(*parts):
            heard.append(parts)
            if len(heard) + away >= min(reports_count, REPORTS_MAX):
                everything.set()

        reports = DamageReports(Owner(DamageEndpoint(report).methods, away=away))
        for block in range(reports_count):
            reports.report(EXTENT, block, 1, ERROR)
        sending = asyncio.get_running_loop().create_task(reports.send())
        await everything.wait()
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        return heard

    return asyncio.run(scenario())


def test_a_report_arrives_whole() -> None:
    """The repairer judges by the error and finds the block by the extent."""
    assert reported(1) == [(EXTENT, 0, 1, ERROR)]


def test_a_lost_report_does_not_stop_the_others() -> None:
    """The next read of the shard reports it again; what comes later must not wait for that."""
    assert [block for _, block, _, _ in reported(3, away=1)] == [1, 2]


def test_a_flood_of_reports_is_bounded() -> None:
    """A dying drive damages everything at once; memory must not follow."""
    assert len(reported(REPORTS_MAX + 50)) == REPORTS_MAX
