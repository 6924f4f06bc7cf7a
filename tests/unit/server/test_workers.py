"""The group of workers, where it cannot do what was asked. What it does when all is well is tested end to end."""

from __future__ import annotations

import asyncio

import pytest

from objstore.cluster.shared_page import SharedPage
from objstore.server.keys import KeyOrigin, RootKeys
from objstore.server.metrics import Metrics
from objstore.server.refusal import StartRefused
from objstore.server.settings import Secret, build_settings
from objstore.server.workers import Crew, WorkerGroup


def test_workers_that_cannot_start_refuse_the_start(tmp_path) -> None:
    """A node with fewer processes than asked for must say so at once, and leave nothing behind."""
    settings = build_settings({"dirs": (tmp_path,), "workers": 3})
    keys = RootKeys("root", Secret("secret-key"), KeyOrigin.GIVEN)

    async def scenario():
        # Nobody has the directory in service, so that real workers end as soon as they start.
        page = SharedPage()
        group = WorkerGroup(Crew(settings, keys, bytes(24), "c"), {}, Metrics(), page)
        assert group.problem() == "1 of 3 processes serve"
        with pytest.raises(StartRefused, match="ends as soon as it starts"):
            async with group:
                raise AssertionError
        assert await group.drain(1.0) == 0
        page.close()

    asyncio.run(scenario())
