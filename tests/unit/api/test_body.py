"""The body of a request: exact pieces, bounded, and verified before anybody may commit it."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.digests import DigestSet
from objstore.model.errors import (
    BadDigest,
    ClientDisconnected,
    EntityTooLarge,
    IncompleteBody,
    PayloadHashMismatch,
    RequestTimeout,
)

SHA256, CRC32 = ChecksumAlgorithm.SHA256, ChecksumAlgorithm.CRC32
DATA = b"the bytes of a body"


def digest_of(algorithm, data):
    digests = DigestSet(md5=False, algorithms=(algorithm,))
    digests.update(data)
    return digests.digest(algorithm)


def checksum_of(algorithm, data):
    return Checksum(algorithm, ChecksumType.FULL_OBJECT, digest_of(algorithm, data))


def finished(body):
    """Read a body to its end without keeping anything; return the digests."""
    return asyncio.run(body.finish())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.binary(max_size=20), max_size=8),
    st.lists(st.integers(0, 30), max_size=12),
    st.booleans(),
)
def test_reads_are_exact_for_any_split(body_of, pieces, sizes, announced):
    """What a read returns depends on the bytes and not on how they arrived; so do the digests."""
    whole = b"".join(pieces)
    body = body_of(pieces, size=len(whole) if announced else None)
    body.require(SHA256)
    body.require(SHA256)

    async def scenario():
        offset = 0
        for size in [*sizes, len(whole) + 1, 5]:
            piece = bytes(await body.read(size))
            assert piece == whole[offset : offset + size]
            offset += len(piece)
        assert offset == len(whole)
        return await body.finish()

    digests = asyncio.run(scenario())
    assert digests.size == body.wire_bytes == len(whole)
    assert digests.md5 == hashlib.md5(whole).digest()
    assert digests.values == {SHA256: hashlib.sha256(whole).digest()}
    assert body.size == (len(whole) if announced else None)


def test_finish_reads_what_nobody_read_and_may_be_repeated(body_of):
    """A caller that needs no bytes still gets the verdict; the second call the same object."""
    body = body_of([DATA[:5], DATA[5:]], md5=hashlib.md5(DATA).digest())

    async def scenario():
        first = await body.finish()
        assert await body.finish() is first
        return first

    assert asyncio.run(scenario()).size == len(DATA)


def test_stated_checksum_is_computed_and_claimed(body_of):
    """The algorithm that the client chose is the one that is stored (s3 rule 3.4.1)."""
    body = body_of([DATA], checksum=checksum_of(CRC32, DATA))
    assert body.claimed is CRC32
    digests = finished(body)
    assert digests.full_object(CRC32) == checksum_of(CRC32, DATA)
    assert body_of([DATA]).claimed is None


@pytest.mark.parametrize(
    ("stated", "error", "text"),
    [
        ({"md5": bytes(16)}, BadDigest, "Content-MD5"),
        ({"checksum": checksum_of(CRC32, b"other")}, BadDigest, "CRC32"),
        ({"sha256": bytes(32)}, PayloadHashMismatch, None),
        ({"size": len(DATA) + 1}, IncompleteBody, "number of bytes"),
        ({"size": len(DATA) - 1}, IncompleteBody, "longer"),
        ({"size_max": len(DATA) - 1}, EntityTooLarge, None),
    ],
    ids=["md5", "checksum", "sha256", "short", "long", "limit"],
)
def test_wrong_statement_is_an_error(body_of, stated, error, text):
    """Nothing may be committed then (s3 rules 2.2.10, 3.1.1, 3.3.2, 1.6.2, 1.6.3)."""
    with pytest.raises(error, match=text):
        finished(body_of([DATA], **stated))


def test_mismatch_shows_both_digests(body_of):
    """Whoever debugs an upload needs them (s3 rule 2.2.10)."""
    with pytest.raises(PayloadHashMismatch) as caught:
        finished(body_of([DATA], sha256=bytes(32)))
    assert caught.value.detail == {
        "client_computed_content_sha256": "00" * 32,
        "s3_computed_content_sha256": hashlib.sha256(DATA).hexdigest(),
    }
    finished(body_of([DATA], sha256=hashlib.sha256(DATA).digest()))


class Doubling:
    """A framing that is taken off by halving, and ends with a trailer."""

    def __init__(self, trailer):
        self._trailer = trailer
        self.is_finished = False

    def feed(self, data):
        return [data[: len(data) // 4], data[len(data) // 4 : len(data) // 2]]

    def finish(self):
        self.is_finished = True
        return self._trailer


def test_framing_comes_off_before_anything_is_counted(body_of):
    """Payload is what is measured and digested; the wire is what is counted."""
    decoder = Doubling(checksum_of(CRC32, DATA))
    body = body_of([DATA + DATA], size=len(DATA), trailer=CRC32, decoder=decoder)
    digests = finished(body)
    assert decoder.is_finished
    assert digests.size == len(DATA)
    assert body.wire_bytes == 2 * len(DATA)
    assert digests.values == {CRC32: digest_of(CRC32, DATA)}


def test_wrong_trailer_is_an_error(body_of):
    """A trailer counts as a header does (s3 rule 3.3.2)."""
    decoder = Doubling(checksum_of(CRC32, b"other"))
    with pytest.raises(BadDigest):
        finished(body_of([DATA + DATA], trailer=CRC32, decoder=decoder))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "http.disconnect"}, ClientDisconnected),
        ({"type": "http.disconnect", "cause": "broken"}, IncompleteBody),
        ({"type": "http.disconnect", "cause": "stalled"}, RequestTimeout),
        ({"type": "http.disconnect", "cause": "whatever"}, ClientDisconnected),
    ],
)
def test_early_end_is_told_by_its_cause(body_of, message, error):
    """A client that is gone needs no answer; broken framing and silence do (s3 rule 1.6.2)."""
    first = {"type": "http.request", "body": b"half", "more_body": True}
    with pytest.raises(error):
        finished(body_of(messages=[first, message]))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 5, 4095, 4096, 9000]), max_size=8),
    st.lists(st.sampled_from([1, 7, 4096, 10_000]), max_size=8),
    st.integers(0, 20),
)
def test_buffers_are_filled_for_any_split(body_of, arriving, wanted, head):
    """A block holds what came, in order and without gaps, whether it was read before or copied in; so do the digests."""
    pieces = [bytes([65 + number]) * size for number, size in enumerate(arriving)]
    whole = b"".join(pieces)
    body = body_of(pieces, size=len(whole))
    body.require(SHA256)

    async def scenario():
        got = bytes(await body.read(head))
        buffers = []
        for size in [*wanted, len(whole) + 1]:
            buffer = memoryview(bytearray(size))
            count = await body.read_into(buffer)
            assert count == min(size, len(whole) - len(got))
            got += buffer[:count]
            buffers.append(buffer)
        assert got == whole
        return await body.finish()

    assert asyncio.run(scenario()).values[SHA256] == digest_of(SHA256, whole)


def test_crumbs_take_little_more_memory_than_their_bytes(body_of):
    """A client that sends bytes one by one must not fill the memory with objects."""
    kept = []

    async def one_byte():
        kept.append(len(body._pieces))
        return {"type": "http.request", "body": b"x", "more_body": len(kept) < 20_000}

    body = body_of(receive=one_byte)
    assert bytes(asyncio.run(body.read(30_000))) == b"x" * 20_000
    assert max(kept) == 1


def test_large_body_fills_blocks_and_is_hashed_beside(body_of):
    """Batches are hashed from the blocks, in two threads, while later pieces arrive; what nobody read is hashed, too."""
    pieces = [bytes([number]) * 300_000 for number in range(12)]
    body = body_of(pieces, checksum=checksum_of(SHA256, b"".join(pieces)))

    async def scenario():
        buffers = [memoryview(bytearray(1_500_001)) for _ in range(2)]
        counts = [await body.read_into(buffer) for buffer in buffers]
        await body.finish()
        return counts, b"".join(buffers)

    counts, got = asyncio.run(scenario())
    assert counts == [1_500_001] * 2
    assert got == b"".join(pieces)[:3_000_002]


def test_large_body_goes_through_threads_unharmed(body_of):
    """Batches are hashed beside the loop while later pieces arrive."""
    pieces = [bytes([number]) * 300_000 for number in range(12)]
    body = body_of(pieces, checksum=checksum_of(SHA256, b"".join(pieces)))

    async def scenario():
        read = [bytes(await body.read(1_000_001)) for _ in range(4)]
        await body.finish()
        return b"".join(read)

    assert asyncio.run(scenario()) == b"".join(pieces)
