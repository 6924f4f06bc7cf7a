"""Results in order, the first error for all."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from objstore.model.errors import DriveUnavailable
from objstore.replication.gather import gather


def test_results_keep_the_order_of_the_calls():
    """Pieces of a block are joined in that order, whichever drive is faster."""

    async def story():
        turns = [anyio.Event() for _ in range(4)]
        turns[3].set()

        async def work(number):
            await turns[number].wait()
            turns[number - 1].set()
            return number

        assert await gather(partial(work, number) for number in range(4)) == [0, 1, 2, 3]

    anyio.run(story)


def test_first_error_ends_the_others():
    """Nobody waits for results that cannot be used."""

    async def fail():
        raise DriveUnavailable("gone")

    async def story():
        with anyio.fail_after(60), pytest.raises(DriveUnavailable):
            await gather([anyio.sleep_forever, fail])

    anyio.run(story)
