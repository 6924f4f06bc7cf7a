"""Credential scopes, which a header and a query share."""

import pytest

from objstore.model.errors import (
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
)
from objstore.s3.signature.outcome import RegionPolicy
from objstore.s3.signature.scope import HEADER_BLAME, QUERY_BLAME, parse_scope


def test_parts_of_a_scope():
    """The text without the key is what was signed; keys may contain slashes (s3 rule 2.2.1)."""
    scope = parse_scope(b"a/b/20240530//s3/aws4_request", RegionPolicy(), HEADER_BLAME)
    assert (scope.access_key, scope.date, scope.region) == ("a/b", "20240530", "")
    assert scope.text == b"20240530//s3/aws4_request"


def test_blame_follows_the_place():
    """One fault, two codes: clients parse them apart (s3 rules 2.2.13, 2.3.2)."""
    with pytest.raises(AuthorizationHeaderMalformed, match=r"^The authorization header is"):
        parse_scope(b"x", RegionPolicy(), HEADER_BLAME)
    with pytest.raises(AuthorizationQueryParametersError, match=r"^Error parsing the X-Amz-Cred"):
        parse_scope(b"x", RegionPolicy(), QUERY_BLAME)


@pytest.mark.parametrize("access_key", [b"a b", b"a\x00", b"a\xc3\xa9", b"a%2F", b""])
def test_keys_that_are_no_keys(access_key):
    """What cannot be a key is refused before it reaches a look-up, a log or an XML document."""
    with pytest.raises(AuthorizationHeaderMalformed):
        parse_scope(access_key + b"/20240530/r/s3/aws4_request", RegionPolicy(), HEADER_BLAME)
