"""Bytes are durable before a command names them; a body or a command that is refused leaves nothing."""

from __future__ import annotations

import hashlib

import anyio
import anyio.lowlevel
import pytest

from objstore.model.checksum import ChecksumAlgorithm
from objstore.model.errors import (
    BadDigest,
    BucketNotEmpty,
    IncompleteBody,
    NoSuchBucket,
    PreconditionFailed,
    QuorumNotReached,
    SlowDown,
    StorageFull,
)
from objstore.model.names import DataId
from objstore.model.objects import ExtentBody, InlineBody

INLINE_BYTES_MAX = 64
BLOCK_BYTES = 4096
DATA_ID = DataId(b"\x05" * 16)


async def _kept(world, data, **fields):
    """Take a body and return what it became."""
    async with world.ingest.taken(world.body(data, **fields), DATA_ID) as taken:
        return taken


async def _stored(world, taken):
    pieces = world.store.read(taken.body.extent, 0, taken.body.extent.size)
    return b"".join([bytes(piece) async for piece in pieces])


@pytest.mark.parametrize("announced", [True, False], ids=["known length", "unknown length"])
@pytest.mark.parametrize("size", [0, 1, INLINE_BYTES_MAX])
def test_small_body_lies_in_the_catalogue(run, size, announced):
    """Up to the limit, the limit included; no drive is touched."""

    async def story(world):
        data = bytes(range(size))
        taken = await _kept(world, data, size=True if announced else None)
        assert taken.body == InlineBody(data)
        assert taken.digests.md5 == hashlib.md5(data).digest()
        assert taken.digests.size == size
        assert world.files_count() == 0

    run(story)


@pytest.mark.parametrize("announced", [True, False], ids=["known length", "unknown length"])
@pytest.mark.parametrize(
    "size", [INLINE_BYTES_MAX + 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5]
)
def test_larger_body_lies_on_the_drives(run, size, announced):
    """From one byte more than the limit; nothing of the bytes read ahead is lost or doubled."""

    async def story(world):
        data = b"".join(number.to_bytes(2, "big") for number in range(size // 2 + 1))[:size]
        taken = await _kept(world, data, size=True if announced else None)
        assert isinstance(taken.body, ExtentBody)
        assert taken.body.extent.size == size
        assert await _stored(world, taken) == data
        assert taken.digests.md5 == hashlib.md5(data).digest()
        assert world.files_count() == -(-size // BLOCK_BYTES)

    run(story)


def test_digest_may_still_be_asked_for_and_claims_show_through(run):
    """What the data store sees of the body is the body."""

    async def story(world):
        body = world.body(b"x" * 100, trailer=ChecksumAlgorithm.SHA1)
        body.require(ChecksumAlgorithm.SHA256)
        async with world.ingest.taken(body, DATA_ID) as taken:
            assert (
                taken.digests.values[ChecksumAlgorithm.SHA256]
                == hashlib.sha256(b"x" * 100).digest()
            )
            assert taken.digests.values[ChecksumAlgorithm.SHA1] == hashlib.sha1(b"x" * 100).digest()

    run(story)


@pytest.mark.parametrize("size", [10, 10_000])
def test_body_that_turns_out_wrong_leaves_nothing(run, size):
    """A wrong digest is known after the last byte, when the bytes are stored already (s3 rule 3.3.6)."""

    async def story(world):
        with pytest.raises(BadDigest):
            await _kept(world, b"x" * size, md5=b"\0" * 16)
        assert world.files_count() == 0

    run(story)


def test_body_that_breaks_off_leaves_nothing(run):
    """Neither the blocks that were written nor the one that was under way (s3 rule 1.6.2)."""

    async def story(world):
        with pytest.raises(IncompleteBody):
            await _kept(world, b"x" * 9_000, size=9_001)
        assert world.files_count() == 0

    run(story)


@pytest.mark.parametrize(
    "refusal",
    [PreconditionFailed(), NoSuchBucket(), BucketNotEmpty(), SlowDown(), StorageFull()],
    ids=lambda error: type(error).__name__,
)
def test_refused_command_gives_the_bytes_back(run, refusal):
    """The catalogue said no, or never took the command: nothing will ever refer to the bytes."""

    async def story(world):
        with pytest.raises(type(refusal)):
            async with world.ingest.taken(world.body(b"x" * 10_000), DATA_ID):
                raise refusal
        assert world.files_count() == 0

    run(story)


def test_unknown_outcome_keeps_the_bytes(run):
    """The commit may have happened; bytes that a row names must not be taken away (trap T7)."""

    async def story(world):
        with pytest.raises(QuorumNotReached):
            async with world.ingest.taken(world.body(b"x" * 10_000), DATA_ID):
                raise QuorumNotReached
        assert world.files_count() == 3

    run(story)


def test_cancelled_commit_keeps_the_bytes(run):
    """Whoever is cancelled while it waits for the commit does not know whether it happened."""

    async def story(world):
        with anyio.CancelScope() as scope:
            async with world.ingest.taken(world.body(b"x" * 10_000), DATA_ID):
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert world.files_count() == 3

    run(story)


def test_cancelled_body_leaves_nothing(run):
    """Cancelled between the last block and the verdict on the digests: the bytes go, although time is up."""

    async def story(world):
        scope = anyio.CancelScope()
        body = world.body(b"x" * 10_000)

        async def finish():
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        body.finish = finish
        with scope:
            async with world.ingest.taken(body, DATA_ID):
                raise AssertionError("a body without a verdict was given out")
        assert scope.cancelled_caught
        assert world.files_count() == 0

    run(story)


def test_given_up_bytes_are_gone(run):
    """`discard` is for bytes that a later step turns out not to need."""

    async def story(world):
        taken = await _kept(world, b"x" * 10_000)
        await world.ingest.discard(taken.body.extent)
        assert world.files_count() == 0

    run(story)
