"""Chunk and trailer signatures, against the texts of the S3 documentation."""

import hashlib

import pytest

from objstore.model.digests import EMPTY_SHA256
from objstore.model.errors import SignatureDoesNotMatch
from objstore.s3.signature import (
    Authenticated,
    ChunkChain,
    Mechanism,
    Payload,
    PayloadMode,
    SigningKey,
    derive_signing_key,
)
from objstore.s3.signature.chunked import chunk_string_to_sign, trailer_string_to_sign

DATE, SCOPE = b"20130524T000000Z", b"20130524/us-east-1/s3/aws4_request"
SEED = b"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
EMPTY = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = SigningKey(derive_signing_key(SECRET, date="20130524", region="us-east-1"))


def chain():
    payload = Payload(PayloadMode.STREAMING_SIGNED)
    return ChunkChain(Authenticated(Mechanism.V4_HEADER, "AK", payload, SEED, SCOPE, DATE, KEY))


def test_text_of_a_chunk():
    """Six lines, the empty digest before the digest of the data (s3 rule 2.4.5)."""
    text = chunk_string_to_sign(DATE, SCOPE, SEED, bytes(32))
    assert text == b"\n".join([b"AWS4-HMAC-SHA256-PAYLOAD", DATE, SCOPE, SEED, EMPTY, b"0" * 64])


def test_text_of_a_trailer():
    """Each trailer ends with a line feed; the digest is over all of them (s3 rule 2.4.5)."""
    text = trailer_string_to_sign(DATE, SCOPE, SEED, [])
    assert text == b"\n".join([b"AWS4-HMAC-SHA256-TRAILER", DATE, SCOPE, SEED, EMPTY])
    one = trailer_string_to_sign(DATE, SCOPE, SEED, [(b"a", b"b")])
    assert one.endswith(hashlib.sha256(b"a:b\n").hexdigest().encode())


def test_a_wrong_chunk_does_not_move_the_chain():
    """After a refusal the chain still stands where the last right signature left it."""
    running = chain()
    with pytest.raises(SignatureDoesNotMatch):
        running.check_chunk(EMPTY_SHA256, b"0" * 64)
    right = KEY.sign(chunk_string_to_sign(DATE, SCOPE, SEED, EMPTY_SHA256))
    running.check_chunk(EMPTY_SHA256, right)
    with pytest.raises(SignatureDoesNotMatch):
        running.check_chunk(EMPTY_SHA256, right)
    running.check_trailer([], KEY.sign(trailer_string_to_sign(DATE, SCOPE, right, [])))


def test_text_form_of_a_chain_shows_no_key():
    """A chain lives as long as an upload and may end in a traceback."""
    raw = derive_signing_key(SECRET, date="20130524", region="us-east-1")
    for shown in (repr(chain()), repr(KEY)):
        assert raw.hex() not in shown
        assert repr(raw) not in shown
