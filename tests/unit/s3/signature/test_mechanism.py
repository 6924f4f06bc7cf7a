"""Which mechanism a request uses, and what is refused before any signature is looked at."""

import hashlib

import pytest

from objstore.model.errors import (
    AccessDenied,
    AuthorizationQueryParametersError,
    BadRequestError,
    InvalidArgument,
)
from objstore.model.instant import Instant
from objstore.s3.signature import (
    Anonymous,
    Authenticator,
    PayloadMode,
    SignedParts,
    SigningKeyCache,
)


class NoCredentials:
    """Knows nobody: a request that gets this far is refused."""

    def secret_of(self, access_key):
        return None


def authenticate(headers, query=b""):
    parts = SignedParts("GET", b"/bucket/key", query, [(b"host", b"h"), *headers])
    return Authenticator(NoCredentials(), SigningKeyCache()).authenticate(parts, now=Instant(0))


def test_nothing_is_anonymous():
    """A request without any proof is anonymous, not an error (s3 rule 2.1.1)."""
    assert authenticate([], b"prefix=a&versionId=1") == authenticate([(b"authorization", b"")])
    assert isinstance(authenticate([]), Anonymous)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"AWS4-HMAC-SHA256", "one and only one ' ' (space) required"),
        (b"garbage", "one and only one ' ' (space) required"),
        (b"Bearer abc", "Unsupported Authorization Type"),
        (b"aws4-hmac-sha256 Credential=x", "Unsupported Authorization Type"),
    ],
)
def test_unreadable_authorization(value, text):
    """The texts and the argument name are what AWS answers (s3 rule 2.1.2)."""
    with pytest.raises(InvalidArgument) as caught:
        authenticate([(b"authorization", value)])
    assert text in caught.value.message
    assert caught.value.detail["argument_name"] == "Authorization"


def test_refused_authorization_is_not_repeated():
    """A Basic password sent by mistake must not reach a log through the error."""
    with pytest.raises(InvalidArgument) as caught:
        authenticate([(b"authorization", b"Basic c2VjcmV0OnBhc3N3b3Jk")])
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize("value", [b"AWS AK:sig=", b"AWS4-ECDSA-P256-SHA256 Credential=a"])
def test_mechanisms_of_others(value):
    """SigV2 headers and SigV4A are named as not supported, so that a client says why (2.1.2, 2.7.1)."""
    with pytest.raises(BadRequestError, match="Please use AWS4-HMAC-SHA256"):
        authenticate([(b"authorization", value)])


@pytest.mark.parametrize("query", [b"AWSAccessKeyId=a", b"Signature=b", b"AWSAccess%4BeyId=a"])
def test_signature_version_2_in_the_query(query):
    """Half a SigV2 URL may not pass for anonymous: that would run it with other rights (2.5.3)."""
    with pytest.raises(AccessDenied, match="requires the Signature, Expires and AWSAccessKeyId"):
        authenticate([], query)


@pytest.mark.parametrize(
    "query", [b"X-Amz-Algorithm=AWS4-HMAC-SHA256", b"x-amz-signature=a", b"X%2DAmz-Credential=a"]
)
def test_two_mechanisms_at_once(query):
    """Two readers that choose differently would see two identities (s3 rule 2.1.1)."""
    with pytest.raises(InvalidArgument, match="Only one auth mechanism allowed"):
        authenticate([(b"authorization", b"AWS4-HMAC-SHA256 x")], query)


def test_two_mechanisms_in_one_query():
    """SigV2 and SigV4 parameters side by side are refused as well."""
    with pytest.raises(AuthorizationQueryParametersError, match="Only one auth mechanism"):
        authenticate([], b"X-Amz-Signature=a&AWSAccessKeyId=b")


def test_any_presigned_marker_makes_a_presigned_request():
    """Dropping parameters from a URL must not turn it into an anonymous one (s3 rule 2.3.1)."""
    for query in (b"X-Amz-Signature=a", b"X-Amz-Credential=a", b"x-amz-algorithm=a"):
        with pytest.raises(AuthorizationQueryParametersError, match="version 4 requires the"):
            authenticate([], query)


def test_anonymous_payloads():
    """Without a seed nothing can be a signed stream; a digest is still honoured (2.4.10)."""
    header = b"x-amz-content-sha256"
    assert authenticate([]).payload.mode is PayloadMode.UNSIGNED
    trailer = authenticate([(header, b"STREAMING-UNSIGNED-PAYLOAD-TRAILER")]).payload
    assert trailer.mode is PayloadMode.STREAMING_UNSIGNED_TRAILER
    assert trailer.mode.is_chunked
    digest = hashlib.sha256(b"x")
    assert authenticate([(header, digest.hexdigest().encode())]).payload.sha256 == digest.digest()
    for value in (b"", b"-TRAILER"):
        with pytest.raises(BadRequestError, match="Anonymous requests"):
            authenticate([(header, b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + value)])


def test_unknown_payload_line():
    """A typo must not switch body verification off (s3 rule 2.2.9)."""
    for value in (b"unsigned-payload", b"a" * 63, b"g" * 64, b"", b"\xff"):
        with pytest.raises(InvalidArgument) as caught:
            authenticate([(b"x-amz-content-sha256", value)])
        assert caught.value.detail["argument_name"] == "x-amz-content-sha256"
    with pytest.raises(BadRequestError):
        authenticate([(b"x-amz-content-sha256", b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")])
