"""Look-ups beside the event loop: answers, errors, and one that hangs."""

from __future__ import annotations

import asyncio
import threading

import pytest

from objstore.metadata.read_lane import ReadLane
from objstore.model.errors import DriveUnavailable, NoSuchKey


class Hanging:
    """A file whose reads do not come back until the test lets them."""

    def __init__(self):
        self.released = threading.Event()

    async def read(self, lane):
        lane.looks_at(self)
        assert self.released.wait(30)
        return "late"


@pytest.fixture
def told():
    return []


@pytest.fixture
def lane(told):
    lane = ReadLane(
        lambda file: told.append(("hangs", file)), lambda file: told.append(("goes on", file))
    )
    yield lane
    lane.close()


def test_answers_and_refusals_come_back_to_their_callers(lane):
    """Each caller gets its own; a refusal is the caller's, and ends nobody else's look-up."""

    async def found(number):
        await asyncio.sleep(0)  # as a page does between its scans
        return number

    async def refused():
        raise NoSuchKey

    async def scenario():
        calls = [lane.run(lambda number=number: found(number)) for number in range(100)]
        return await asyncio.gather(*calls, lane.run(refused), return_exceptions=True)

    *answers, refusal = asyncio.run(scenario())
    assert answers == list(range(100))
    assert isinstance(refusal, NoSuchKey)


def test_a_caller_that_gave_up_disturbs_nobody(lane):
    """A client may go away while its look-up waits."""

    async def found():
        return 1

    async def scenario():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await lane.run(found)
        return await lane.run(found)

    assert asyncio.run(scenario()) == 1


def test_a_read_that_hangs_holds_up_nobody_else(lane, told, monkeypatch):
    """Its caller is told to turn elsewhere, the rest goes on at another thread, the file is named, and again when it is back."""
    monkeypatch.setattr("objstore.metadata.read_lane.STALLED_S", 0.0)
    monkeypatch.setattr("objstore.metadata.read_lane.LOOK_EVERY_S", 0.01)
    file = Hanging()

    async def found():
        return "in time"

    async def scenario():
        async with asyncio.timeout(30):
            answers = await asyncio.gather(
                lane.run(lambda: file.read(lane)), lane.run(found), return_exceptions=True
            )
            assert told == [("hangs", file)]
            file.released.set()
            while len(told) < 2:  # noqa: ASYNC110 - nobody waits for the end of a read that hung
                await asyncio.sleep(0)
            return answers

    hanging, other = asyncio.run(scenario())
    assert isinstance(hanging, DriveUnavailable)
    assert other == "in time"
    assert told == [("hangs", file), ("goes on", file)]
