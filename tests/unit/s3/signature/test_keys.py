"""Signing keys and their cache."""

import pytest

from objstore.model.errors import InvariantError, SignatureDoesNotMatch
from objstore.model.instant import Instant
from objstore.s3.signature import (
    Authenticator,
    SignedParts,
    SigningKeyCache,
    derive_signing_key,
)

NAME = {"date": "20240530", "region": "us-east-1"}


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
    cache.keep(b"k" * 32, secret="a", **NAME)
    assert cache.key_for("a", **NAME) == b"k" * 32
    assert cache.key_for("b", **NAME) == derive_signing_key("b", **NAME)
    assert len(cache) == 1


def test_cache_is_bounded_and_drops_the_oldest():
    """Keys of past days leave by themselves."""
    cache = SigningKeyCache(2)
    for secret in ("a", "b", "b", "c"):
        cache.keep(secret.encode() * 32, secret=secret, **NAME)
    assert len(cache) == 2
    assert cache.key_for("a", **NAME) == derive_signing_key("a", **NAME)
    assert cache.key_for("b", **NAME) == b"b" * 32
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
