"""The aws-chunked decoder against a dumb encoder, cut and damaged at random."""

import hashlib
import hmac
import itertools
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.checksum import ChecksumAlgorithm
from objstore.model.digests import digest_of, encode_digest
from objstore.model.errors import Denied, InvalidRequest
from objstore.s3.bodies.aws_chunked import AwsChunkedDecoder
from objstore.s3.signature import (
    Authenticated,
    ChunkChain,
    Mechanism,
    Payload,
    PayloadMode,
    SigningKey,
)

KEY = bytes(range(32))
DATE, SCOPE, SEED = b"20240530T101112Z", b"20240530/auto/s3/aws4_request", b"a" * 64
PROOF = Authenticated(
    Mechanism.V4_HEADER,
    "AK",
    Payload(PayloadMode.STREAMING_SIGNED_TRAILER),
    SEED,
    SCOPE,
    DATE,
    SigningKey(KEY),
)

chunk_lists = st.lists(st.binary(min_size=1, max_size=300), max_size=8)
algorithms = st.sampled_from(ChecksumAlgorithm)


def signature(*lines):
    return hmac.new(KEY, b"\n".join(lines), hashlib.sha256).hexdigest().encode()


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest().encode()


def encode(chunks, algorithm, *, signed):
    """The dumb encoder: one chunk after the other, by the letter of s3 rules 2.4.2 and 2.4.5."""
    out, previous = b"", SEED
    for chunk in [*chunks, b""]:
        header = b"%x" % len(chunk)
        if signed:
            previous = signature(
                b"AWS4-HMAC-SHA256-PAYLOAD",
                DATE,
                SCOPE,
                previous,
                sha256_hex(b""),
                sha256_hex(chunk),
            )
            header += b";chunk-signature=" + previous
        out += header + b"\r\n" + chunk + (b"\r\n" if chunk else b"")
    if algorithm is not None:
        name = f"x-amz-checksum-{algorithm.value}".encode()
        line = name + b":" + encode_digest(digest_of(algorithm, b"".join(chunks))).encode()
        out += line + b"\r\n"
        if signed:
            over = sha256_hex(line + b"\n")
            trailer = signature(b"AWS4-HMAC-SHA256-TRAILER", DATE, SCOPE, previous, over)
            out += b"x-amz-trailer-signature:" + trailer + b"\r\n"
    return out + b"\r\n"


def decode(pieces, algorithm, *, signed):
    decoder = AwsChunkedDecoder(
        chain=ChunkChain(PROOF) if signed else None, trailer_algorithm=algorithm
    )
    payload = b"".join(b"".join(decoder.feed(piece)) for piece in pieces)
    return payload, decoder.finish()


def cut(stream, places):
    """Split a stream at the given places."""
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


@settings(max_examples=150, deadline=None)
@given(
    chunks=chunk_lists,
    algorithm=st.none() | algorithms,
    signed=st.booleans(),
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_any_cut_decodes_to_what_was_encoded(chunks, algorithm, signed, places):
    """The network cuts where it likes; the object may not depend on it (s3 rule 2.4.2)."""
    stream = encode(chunks, algorithm, signed=signed)
    payload, checksum = decode(cut(stream, places), algorithm, signed=signed)
    assert payload == b"".join(chunks)
    assert (checksum is None) == (algorithm is None)
    if checksum is not None:
        assert checksum.digest == digest_of(algorithm, payload)


@settings(max_examples=200, deadline=None)
@given(
    chunks=chunk_lists,
    algorithm=st.none() | algorithms,
    signed=st.booleans(),
    place=st.integers(0, 10_000),
    damage=st.binary(max_size=8),
    removed=st.integers(0, 8),
)
def test_damage_ends_in_an_error_leaf(chunks, algorithm, signed, place, damage, removed):
    """Hostile bytes end in a refusal that S3 knows, never in a bug of ours.

    And a signed stream that is accepted after all carries the payload that was signed.
    """
    stream = encode(chunks, algorithm, signed=signed)
    place %= len(stream)
    damaged = stream[:place] + damage + stream[place + removed :]
    try:
        payload, _ = decode(cut(damaged, [place]), algorithm, signed=signed)
    except (InvalidRequest, Denied):
        return
    if signed:
        assert payload == b"".join(chunks)


@settings(max_examples=100, deadline=None)
@given(pieces=st.lists(st.binary(max_size=64), max_size=20), signed=st.booleans())
def test_noise_ends_in_an_error_leaf(pieces, signed):
    """Bytes that were never a stream are refused, whatever they are (s3 rule 2.4.8)."""
    try:
        decode(pieces, ChecksumAlgorithm.CRC32, signed=signed)
    except (InvalidRequest, Denied):
        return
    raise AssertionError("noise was taken for a body with a trailing checksum")


def test_work_grows_linearly_with_the_stream():
    """A sender of tiny chunks in tiny pieces may not make the server's work quadratic.

    Counted in calls, not timed.
    """

    def calls(chunks_count, step):
        stream = encode([b"x"] * chunks_count, None, signed=False)
        pieces = [stream[n : n + step] for n in range(0, len(stream), step)]
        counted = 0

        def count(_frame, event, _argument):
            nonlocal counted
            counted += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            payload, _ = decode(pieces, None, signed=False)
        finally:
            sys.setprofile(None)
        assert payload == b"x" * chunks_count
        return counted

    for step in (1, 7, 1 << 20):
        assert calls(2_000, step) < 2.1 * calls(1_000, step)
