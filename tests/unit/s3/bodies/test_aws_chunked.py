"""The aws-chunked framing: what real clients send, and what an attacker would."""

import hashlib
import hmac
import io

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.digests import digest_of, encode_digest
from objstore.model.errors import (
    BadRequestError,
    EntityTooLarge,
    IncompleteBody,
    InvariantError,
    MalformedTrailer,
    SignatureDoesNotMatch,
)
from objstore.model.limits import CHUNK_HEADER_BYTES_MAX, TRAILER_BYTES_MAX
from objstore.s3.bodies.aws_chunked import AwsChunkedDecoder
from objstore.s3.signature import (
    Anonymous,
    Authenticated,
    ChunkChain,
    Mechanism,
    Payload,
    PayloadMode,
    SigningKey,
    chunked,
    derive_signing_key,
)

CRC32 = ChecksumAlgorithm.CRC32
DATE = b"20130524T000000Z"
SCOPE = b"20130524/us-east-1/s3/aws4_request"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = derive_signing_key(SECRET, date="20130524", region="us-east-1")


def proof(mode=PayloadMode.STREAMING_SIGNED, seed=b"5" * 64):
    return Authenticated(
        Mechanism.V4_HEADER,
        "AK",
        Payload(mode),
        seed,
        SCOPE,
        DATE,
        SigningKey(KEY),
        session_token=None,
    )


def sign_text(*lines):
    return hmac.new(KEY, b"\n".join(lines), hashlib.sha256).hexdigest().encode()


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest().encode()


def signed_body(chunks, *, trailers=(), seed=b"5" * 64):
    """Frame and sign by the letter of s3 rule 2.4.5, sharing no code with the decoder."""
    previous, out = seed, b""
    for chunk in [*chunks, b""]:
        previous = sign_text(
            b"AWS4-HMAC-SHA256-PAYLOAD", DATE, SCOPE, previous, sha256_hex(b""), sha256_hex(chunk)
        )
        out += b"%x;chunk-signature=%b\r\n" % (len(chunk), previous)
        if chunk:
            out += chunk + b"\r\n"
    lines = b"".join(b"%b:%b\n" % pair for pair in trailers)
    if lines:
        signature = sign_text(b"AWS4-HMAC-SHA256-TRAILER", DATE, SCOPE, previous, sha256_hex(lines))
        out += lines.replace(b"\n", b"\r\n") + b"x-amz-trailer-signature:%b\r\n" % signature
    return out + b"\r\n"


def decode(stream, *, step=None, signed=False, trailer=None, size_bytes=None):
    """Feed a whole stream, in pieces of `step` bytes, and return payload and checksum."""
    chain = ChunkChain(proof()) if signed else None
    decoder = AwsChunkedDecoder(chain=chain, trailer_algorithm=trailer, size_bytes=size_bytes)
    step = step or max(len(stream), 1)
    payload = b""
    for start in range(0, len(stream), step):
        payload += b"".join(decoder.feed(stream[start : start + step]))
    checksum = decoder.finish()
    assert decoder.size_bytes == len(payload)
    return payload, checksum


BOTO3_TRAILER = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
HELLO_CRC32 = Checksum(CRC32, ChecksumType.FULL_OBJECT, bytes.fromhex("3610a686"))


@pytest.mark.parametrize("step", [None, 1, 2, 3, 7])
def test_boto3_over_tls(step):
    """The stream that boto3 sends by default over https (s3 rule 2.4.2)."""
    assert decode(BOTO3_TRAILER, step=step, trailer=CRC32) == (b"hello", HELLO_CRC32)


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_what_botocore_frames(size):
    """The encoder that most uploads of the world go through (s3 rule 2.4.2)."""
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    wrapped = AwsChunkedWrapper(
        io.BytesIO(body), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32"
    )
    payload, checksum = decode(wrapped.read(), step=65536, trailer=CRC32)
    assert payload == body
    assert checksum.digest == digest_of(CRC32, body)


@pytest.mark.parametrize(
    "end",
    [
        b"x-amz-checksum-crc32:NhCmhg==\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\n\r\n\r\n",
        b"x-amz-checksum-crc32: NhCmhg== \r\n\r\n",
        b"X-Amz-Checksum-Crc32:NhCmhg==\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\r\n",
    ],
)
def test_line_ends_of_trailers(end):
    """SDKs end trailer lines in three ways (s3 rule 2.4.2)."""
    assert decode(b"5\r\nhello\r\n0\r\n" + end, trailer=CRC32)[1] == HELLO_CRC32


def test_published_signed_stream():
    """The three chunks of the S3 documentation's streaming example verify to the last digit."""
    seed = b"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    stream = (
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
        b"\r\n" + b"a" * 65536 + b"\r\n"
        b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
        b"\r\n" + b"a" * 1024 + b"\r\n"
        b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
        b"\r\n\r\n"
    )
    decoder = AwsChunkedDecoder.for_request(
        proof(seed=seed), trailer_algorithm=None, size_bytes=66560
    )
    assert b"".join(decoder.feed(stream)) == b"a" * 66560
    assert decoder.finish() is None


@pytest.mark.parametrize("step", [None, 1, 85, 100])
def test_signed_stream_with_signed_trailer(step):
    """Go, Java and MinIO clients over http (s3 rules 2.4.5, 2.4.11)."""
    digest = digest_of(CRC32, b"abcdef")
    trailers = [(b"x-amz-checksum-crc32", encode_digest(digest).encode())]
    stream = signed_body([b"abc", b"def"], trailers=trailers)
    payload, checksum = decode(stream, step=step, signed=True, trailer=CRC32)
    assert payload == b"abcdef"
    assert checksum == Checksum(CRC32, ChecksumType.FULL_OBJECT, digest)


def test_empty_bodies():
    """Nothing is a body too (s3 rule 3.6.4)."""
    assert decode(b"0\r\n\r\n") == (b"", None)
    assert decode(signed_body([]), signed=True) == (b"", None)


def test_payload_is_not_copied():
    """A copy per chunk would cost a large upload its speed; views are what was fed."""
    data = b"100000\r\n" + bytes(1 << 20) + b"\r\n0\r\n\r\n"
    pieces = AwsChunkedDecoder(chain=None).feed(data)
    assert [piece.obj is data for piece in pieces] == [True]
    assert len(pieces[0]) == 1 << 20


def test_memory_stays_bounded_inside_a_huge_chunk():
    """One chunk of 4 GiB must be handed on as it comes, and hashed on the way."""
    decoder = AwsChunkedDecoder(chain=ChunkChain(proof()))
    decoder.feed(b"100000000;chunk-signature=" + b"0" * 64 + b"\r\n")
    piece = bytes(65536)
    for _ in range(20):
        assert [len(view) for view in decoder.feed(piece)] == [65536]
    assert decoder.size_bytes == 20 * 65536


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"5",
        b"5\r\n",
        b"5\r\nhel",
        b"5\r\nhello",
        b"5\r\nhello\r",
        b"5\r\nhello\r\n",
        b"5\r\nhello\r\n0\r\n",
        b"5\r\nhello\r\n0\r\n\r",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"6\r\nhello\r\n0\r\n\r\n",
        b"hello",
        b"\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b"5;foo=bar\r\nhello\r\n0\r\n\r\n",
        "\N{ARABIC-INDIC DIGIT FIVE}\r\nhello\r\n0\r\n\r\n".encode(),
    ],
)
@pytest.mark.parametrize("step", [None, 1])
def test_broken_framing(stream, step):
    """Two readers that disagree about lengths are how requests are smuggled (s3 rule 2.4.8)."""
    with pytest.raises(IncompleteBody):
        decode(stream, step=step)


def test_no_prefix_of_a_stream_is_complete():
    """A cut connection must never look like the end (s3 rule 2.4.8)."""
    for stream, signed in ((b"5\r\nhello\r\n0\r\n\r\n", False), (signed_body([b"abc"]), True)):
        for end in range(len(stream) - 1):
            with pytest.raises(IncompleteBody):
                decode(stream[:end], signed=signed)


@pytest.mark.parametrize("step", [None, 1])
def test_announced_length(step):
    """The decoded length is the object's size; neither more nor less may come (2.4.4)."""
    stream = b"5\r\nhello\r\n0\r\n\r\n"
    assert decode(stream, size_bytes=5, step=step)[0] == b"hello"
    for wrong in (0, 4, 6):
        with pytest.raises(IncompleteBody):
            decode(stream, size_bytes=wrong, step=step)


def test_more_than_announced_is_refused_before_its_data():
    """A sender may not fill a disk beyond what it announced."""
    decoder = AwsChunkedDecoder(chain=None, size_bytes=10)
    with pytest.raises(IncompleteBody):
        decoder.feed(b"b\r\n")


@pytest.mark.parametrize("header", [b"140000001\r\n", b"f" * 16 + b"\r\n"])
def test_chunks_beyond_five_gib(header):
    """Five GiB is what a single PUT may carry (s3 rule 1.6.3)."""
    with pytest.raises(EntityTooLarge):
        AwsChunkedDecoder(chain=None).feed(header)


def test_many_chunks_beyond_five_gib():
    """Unknown length does not mean unlimited: the sum counts, not the single chunk."""
    decoder = AwsChunkedDecoder(chain=None)
    decoder._size = 5 << 30
    with pytest.raises(EntityTooLarge) as caught:
        decoder.feed(b"1\r\n")
    assert caught.value.detail == {
        "proposed_size": (5 << 30) + 1,
        "max_size_allowed": 5 << 30,
    }


@pytest.mark.parametrize("step", [1, 4096])
def test_endless_chunk_header(step):
    """A header line without end may not grow in memory (s3 rule 2.4.8)."""
    decoder = AwsChunkedDecoder(chain=None)
    for _ in range(CHUNK_HEADER_BYTES_MAX // step):
        decoder.feed(b"0" * step)
    with pytest.raises(IncompleteBody):
        decoder.feed(b"0" * step)


def test_endless_trailer():
    """Nor may a trailer (s3 rule 2.4.8)."""
    decoder = AwsChunkedDecoder(chain=None)
    decoder.feed(b"0\r\n")
    for _ in range(TRAILER_BYTES_MAX):
        decoder.feed(b"\n")
    with pytest.raises(MalformedTrailer):
        decoder.feed(b"\n")


@pytest.mark.parametrize(
    "trailer",
    [
        b"\r\n",
        b"x-amz-checksum-crc32c:NhCmhg==\r\n\r\n",
        b"x-amz-checksum-crc32\r\n\r\n",
        b":NhCmhg==\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\r\nx-amz-acl:public-read\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\r\nX-AMZ-CHECKSUM-CRC32:AAAAAA==\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\r\nx-amz-trailer-signature:00\r\n\r\n",
    ],
)
def test_trailer_is_not_what_was_announced(trailer):
    """Missing, misnamed, doubled or extra trailers are refused (s3 rule 2.4.6)."""
    with pytest.raises(MalformedTrailer):
        decode(b"5\r\nhello\r\n0\r\n" + trailer, trailer=CRC32)


def test_unannounced_trailer():
    """A trailer that the signed headers do not name has no authority (s3 rule 2.4.6)."""
    with pytest.raises(MalformedTrailer):
        decode(BOTO3_TRAILER)


@pytest.mark.parametrize("value", [b"", b"NhCmhg", b"NhCmhg==x", b"AAAAAAAAAAA=", b"\xff\xfe"])
def test_trailer_value_is_no_digest(value):
    """The text names the trailing header (s3 rule 2.4.6)."""
    with pytest.raises(BadRequestError) as caught:
        decode(b"0\r\nx-amz-checksum-crc32:" + value + b"\r\n\r\n", trailer=CRC32)
    assert caught.value.message == "Value for x-amz-checksum-crc32 trailing header is invalid."


TWO_CHUNKS = signed_body([b"abc", b"def"])
FRAME_BYTES = len("3;chunk-signature=") + 64 + len("\r\nabc\r\n")


def test_signed_chunks_are_bound_to_their_place():
    """Changed, dropped, repeated and swapped chunks break the chain (s3 rule 2.4.5)."""
    frame = FRAME_BYTES
    first, second, end = TWO_CHUNKS[:frame], TWO_CHUNKS[frame : 2 * frame], TWO_CHUNKS[2 * frame :]
    assert decode(first + second + end, signed=True)[0] == b"abcdef"
    for attack in (
        TWO_CHUNKS.replace(b"\r\nabc\r\n", b"\r\nabx\r\n"),
        second + end,
        first + end,
        first + first + second + end,
        second + first + end,
    ):
        with pytest.raises(SignatureDoesNotMatch):
            decode(attack, signed=True)


def test_truncated_signed_stream_cannot_forge_its_end():
    """Only the key can sign the last chunk, so an attacker cannot shorten an object."""
    cut = TWO_CHUNKS[:FRAME_BYTES]
    with pytest.raises(IncompleteBody):
        decode(cut + b"0\r\n\r\n", signed=True)
    with pytest.raises(SignatureDoesNotMatch):
        decode(cut + b"0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n", signed=True)


def test_another_request_seeds_another_chain():
    """Chunks recorded from one request are worthless in the next."""
    with pytest.raises(SignatureDoesNotMatch):
        decode(signed_body([b"abc"], seed=b"6" * 64), signed=True)


def test_signed_stream_without_signatures():
    """Leaving the signature out is not a way around it (s3 rule 2.4.2)."""
    with pytest.raises(IncompleteBody):
        decode(b"5\r\nhello\r\n0\r\n\r\n", signed=True)


def test_trailer_of_a_signed_stream_must_be_signed():
    """Otherwise a checksum could be exchanged together with nothing else (s3 rule 2.4.5)."""
    body = signed_body([b"abc"])[:-2]
    unsigned = body + b"x-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    with pytest.raises(MalformedTrailer):
        decode(unsigned, signed=True, trailer=CRC32)
    good = signed_body([b"abc"], trailers=[(b"x-amz-checksum-crc32", b"NhCmhg==")])
    with pytest.raises(SignatureDoesNotMatch):
        decode(good.replace(b"NhCmhg==", b"AAAAAA=="), signed=True, trailer=CRC32)


def test_dropped_trailer_of_a_signed_stream():
    """The announcement is signed, so the trailer cannot be left out (s3 rule 2.4.6)."""
    with pytest.raises(MalformedTrailer):
        decode(signed_body([b"abc"]), signed=True, trailer=CRC32)


def test_chunk_signatures_are_compared_in_constant_time(monkeypatch):
    """An early-out comparison would leak the signature of a forged chunk (s3 rule 2.1.5)."""
    compared = []
    real = hmac.compare_digest

    def spy(left, right):
        compared.append(left)
        return real(left, right)

    monkeypatch.setattr(chunked.hmac, "compare_digest", spy)
    trailers = [(b"x-amz-checksum-crc32", b"NhCmhg==")]
    decode(signed_body([b"hello"], trailers=trailers), signed=True, trailer=CRC32)
    assert len(compared) == 3


def test_chunk_mismatch_shows_the_text_but_not_the_signature():
    """As for the request: what was signed is shown, what would be right is not (2.2.15)."""
    good = signed_body([b"abc"])
    right = good[18:82].decode()
    with pytest.raises(SignatureDoesNotMatch) as caught:
        decode(good.replace(right.encode(), b"0" * 64), signed=True)
    assert right not in str(caught.value.detail)
    assert caught.value.detail["string_to_sign"].startswith("AWS4-HMAC-SHA256-PAYLOAD\n")


def test_decoder_follows_the_payload_mode():
    """Signed modes verify; anonymous and unsigned ones cannot; others are not chunked (2.4.1)."""
    unsigned = Anonymous(Payload(PayloadMode.STREAMING_UNSIGNED_TRAILER))
    decoder = AwsChunkedDecoder.for_request(unsigned, trailer_algorithm=None)
    assert decoder.feed(b"1\r\nx\r\n0\r\n\r\n") == [b"x"]
    signed = AwsChunkedDecoder.for_request(
        proof(PayloadMode.STREAMING_SIGNED_TRAILER), trailer_algorithm=None
    )
    with pytest.raises(IncompleteBody):
        signed.feed(b"1\r\nx\r\n0\r\n\r\n")
    with pytest.raises(BadRequestError):
        AwsChunkedDecoder.for_request(
            Anonymous(Payload(PayloadMode.STREAMING_SIGNED)), trailer_algorithm=None
        )
    with pytest.raises(InvariantError):
        AwsChunkedDecoder.for_request(proof(PayloadMode.UNSIGNED), trailer_algorithm=None)
