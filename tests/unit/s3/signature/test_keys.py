"""Signing keys and their cache."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.model.errors import InvariantError, SignatureDoesNotMatch
from objstore.model.instant import Instant
from objstore.s3.signature import (
    Authenticator,
    SignedParts,
    SigningKey,
    SigningKeyCache,
    derive_signing_key,
)

NAME = {"date": "20240530", "region": "us-east-1"}


def is_derived(key: SigningKey, secret: str) -> bool:
    raw = derive_signing_key(secret, **NAME)
    return key.sign(b"text") == hmac.digest(raw, b"text", "sha256").hex().encode()


@given(st.binary(max_size=100), st.lists(st.binary(max_size=5_000), min_size=1, max_size=3))
def test_signing_is_hmac_sha256(raw, texts):
    """A key that is used again and again gives what the standard library gives each time (s3 rule 2.2.12)."""
    key = SigningKey(raw)
    for text in texts:
        assert key.sign(text) == hmac.digest(raw, text, "sha256").hex().encode()


def test_key_differs_by_secret_day_and_region():
    """A key that leaks serves for one day and region only (s3 rule 2.2.12)."""
    keys = {
        derive_signing_key("a", date="20240530", region="x"),
        derive_signing_key("b", date="20240530", region="x"),
        derive_signing_key("a", date="20240531", region="x"),
        derive_signing_key("a", date="20240530", region="y"),
    }
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 4


def test_cache_answers_what_it_was_given_and_derives_the_rest():
    """A changed secret of the same user must not find the old key."""
    cache = SigningKeyCache()
    kept = SigningKey(b"k" * 32)
    cache.keep(kept, secret="a", **NAME)
    assert cache.key_for("a", **NAME) is kept
    assert is_derived(cache.key_for("b", **NAME), "b")
    assert len(cache) == 1


def test_cache_is_bounded_and_drops_the_oldest():
    """Keys of past days leave by themselves."""
    cache = SigningKeyCache(2)
    for secret in ("a", "b", "b", "c"):
        cache.keep(SigningKey(secret.encode() * 32), secret=secret, **NAME)
    assert len(cache) == 2
    assert is_derived(cache.key_for("a", **NAME), "a")
    assert cache.key_for("b", **NAME).sign(b"x") == SigningKey(b"b" * 32).sign(b"x")
    with pytest.raises(InvariantError):
        SigningKeyCache(0)


def test_failed_signatures_leave_no_trace():
    """Anybody can name an access key and a thousand regions; that may evict nobody's key."""

    class Users:
        def secret_of(self, access_key):
            return "secret"

    cache = SigningKeyCache()
    authenticator = Authenticator(Users(), cache)
    for number in range(50):
        authorization = (
            f"AWS4-HMAC-SHA256 Credential=AK/19700101/r{number}/s3/aws4_request, "
            f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={'0' * 64}"
        )
        headers = [
            (b"host", b"h"),
            (b"x-amz-date", b"19700101T000000Z"),
            (b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD"),
            (b"authorization", authorization.encode()),
        ]
        with pytest.raises(SignatureDoesNotMatch):
            authenticator.authenticate(SignedParts("GET", b"/", b"", headers), now=Instant(0))
    assert len(cache) == 0
