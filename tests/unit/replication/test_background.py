"""Work in the background never takes its owner down, and never gets lost without a word."""

from __future__ import annotations

import anyio
import pytest

from objstore.model.errors import InvariantError
from objstore.replication.background import Background


def test_error_reaches_who_waits():
    """And only who waits: other work goes on."""

    async def fail():
        raise ValueError("mine")

    async def succeed():
        return 5

    async def story():
        async with Background() as background:
            failing, working = background.start(fail), background.start(succeed)
            with pytest.raises(ValueError, match="mine"):
                await failing.result()
            assert await working.result() == 5

    anyio.run(story)


def test_cancelling_the_wait_leaves_the_work():
    """A write that was begun ends, whoever stopped waiting for it."""
    done = []

    async def story():
        release = anyio.Event()

        async def work():
            await release.wait()
            done.append(1)

        async with Background() as background:
            pending = background.start(work)
            with anyio.move_on_after(0):
                await pending.result()
            release.set()
            await pending.settled()

    anyio.run(story)
    assert done == [1]


def test_value_of_cancelled_work_is_nobodys():
    """Whoever cancels must not wait for a result."""

    async def story():
        async with Background() as background:
            pending = background.start(anyio.sleep_forever)
            pending.cancel()
            await pending.settled()
            with pytest.raises(InvariantError):
                await pending.result()

    anyio.run(story)


def test_end_of_the_owner_ends_the_work():
    """A drive that hangs must not keep the process from stopping."""

    async def story():
        with anyio.fail_after(60):
            async with Background() as background:
                background.start(anyio.sleep_forever)
                await anyio.lowlevel.checkpoint()

    anyio.run(story)


def test_error_of_the_owner_stays_as_it_is():
    """Start-up errors must reach the operator as themselves, not wrapped in a group."""

    async def story():
        with anyio.fail_after(60):
            with pytest.raises(ValueError, match="owner"):  # noqa: PT012 -- leaving the block is what is tested
                async with Background() as background:
                    background.start(anyio.sleep_forever)
                    raise ValueError("owner")
            with anyio.move_on_after(0.01) as scope:
                async with Background() as background:
                    background.start(anyio.sleep_forever)
                    await anyio.sleep_forever()
            assert scope.cancelled_caught

    anyio.run(story)
