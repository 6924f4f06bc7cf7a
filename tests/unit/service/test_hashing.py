"""Digests beside the event loop equal those of one pass, however the body arrives."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.checksum import ChecksumAlgorithm
from objstore.model.digests import DigestSet
from objstore.service.hashing import RunningDigests

KIB = 1024


def digests_of(pieces, pool, *, is_started=False):
    async def scenario():
        digests = DigestSet(md5=True, algorithms=(ChecksumAlgorithm.SHA256,))
        running = RunningDigests(digests, pool)
        for piece in pieces:
            await running.add(piece)
        if is_started:
            await running.start()
        return await running.end()

    return asyncio.run(scenario())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 63 * KIB, 64 * KIB, 700 * KIB, 1100 * KIB]), max_size=12),
    st.booleans(),
)
def test_digests_are_those_of_the_whole(sizes, is_started):
    """In one batch or many, in a thread or not: order is kept and nothing is left out (s3 rules 3.2.1 to 3.2.4)."""
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    whole = b"".join(pieces)
    with ThreadPoolExecutor(2) as pool:
        digests = digests_of(pieces, pool, is_started=is_started)
    assert digests.md5_digest() == hashlib.md5(whole).digest()
    assert digests.digest(ChecksumAlgorithm.SHA256) == hashlib.sha256(whole).digest()


def test_waits_only_when_hashing_falls_far_behind():
    """Memory is bounded: a body that arrives faster than it is hashed has to wait, and only then."""
    gate = threading.Event()

    async def scenario(pool):
        pool.submit(gate.wait)  # the only thread is busy
        running = RunningDigests(DigestSet(md5=True, algorithms=()), pool)
        piece = bytes(1024 * KIB)
        for _ in range(4):
            await asyncio.wait_for(running.add(piece), 60)
        behind = asyncio.ensure_future(running.add(piece))  # noqa: TID251 - the test owns it
        for _ in range(5):
            await asyncio.sleep(0)
        assert not behind.done()
        gate.set()
        await behind
        return (await running.end()).md5_digest()

    with ThreadPoolExecutor(1) as pool:
        try:
            digest = asyncio.run(scenario(pool))
        finally:
            gate.set()
    assert digest == hashlib.md5(bytes(5 * 1024 * KIB)).digest()
