"""Presigned URLs, with botocore's query signer as the independent implementation."""

import hashlib
from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from objstore.model.errors import (
    AccessDenied,
    AuthorizationQueryParametersError,
    InvalidAccessKeyId,
    InvalidArgument,
    SignatureDoesNotMatch,
)
from objstore.model.instant import Instant
from objstore.s3.signature import (
    Authenticator,
    Mechanism,
    PayloadMode,
    RegionPolicy,
    SignedParts,
    SigningKeyCache,
    hoisted_headers,
)

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNED_AT = datetime(2024, 5, 30, 10, 11, 12, tzinfo=UTC)
NOW = Instant(int(SIGNED_AT.timestamp()) * 1000)
HOST = (b"host", b"127.0.0.1:9000")
LENIENT = RegionPolicy()


class Users:
    """One user, as the credential source sees it."""

    def secret_of(self, access_key):
        return SECRET if access_key == ACCESS_KEY else None


@pytest.fixture(autouse=True)
def _frozen_botocore(monkeypatch):
    """Botocore reads a clock; its URLs here all carry the same second."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: SIGNED_AT)


def presign(path="/bucket/key", query="", *, method="GET", expires=3600, headers=(), token=None):
    """Return method, path and query of a URL that botocore signed."""
    url = f"http://127.0.0.1:9000{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    credentials = Credentials(ACCESS_KEY, SECRET, token)
    S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires).add_auth(request)
    sent_path, _, sent_query = request.url.removeprefix("http://127.0.0.1:9000").partition("?")
    return method, sent_path.encode(), sent_query.encode()


def authenticate(url, *, headers=(), now=NOW, region=LENIENT):
    method, path, query = url
    parts = SignedParts(method, path, query, [HOST, *headers])
    return Authenticator(Users(), SigningKeyCache(), region).authenticate(parts, now=now)


def with_parameter(url, name, value):
    """The URL with one parameter set to another (encoded) value, or removed for None."""
    method, path, query = url
    pairs = [pair for pair in query.split(b"&") if not pair.startswith(name + b"=")]
    if value is not None:
        pairs.append(name + b"=" + value)
    return method, path, b"&".join(pairs)


def test_what_a_presigned_url_says():
    """The bearer proved nothing about the body; everything else is as in a header (2.3.5)."""
    found = authenticate(presign())
    assert found.mechanism is Mechanism.V4_PRESIGNED
    assert found.access_key == ACCESS_KEY
    assert found.payload.mode is PayloadMode.UNSIGNED
    assert found.timestamp == b"20240530T101112Z"


@pytest.mark.parametrize(
    "path",
    [
        "/bucket/a%20b",
        "/bucket/%C3%A9",
        "/bucket//a//..//",
        "/bucket/plus+%2B",
        "/bucket/~",
        "/bucket/a%252Fb",
        "/bucket/a=b",
    ],
)
@pytest.mark.parametrize(
    "query", ["", "versionId=null", "response-content-type=text%2Fplain%3B%20x&acl", "b=1&a=2"]
)
def test_odd_keys_and_queries(path, query):
    """What is signed is what was sent, response overrides included (s3 rules 2.3.6, 2.3.11)."""
    assert authenticate(presign(path, query)).access_key == ACCESS_KEY


def test_order_of_parameters_does_not_matter():
    """SDKs put them in different orders (s3 rule 2.3.6)."""
    method, path, query = presign(query="z=1&a=2")
    reordered = b"&".join(reversed(query.split(b"&")))
    assert authenticate((method, path, reordered)).access_key == ACCESS_KEY


def test_every_part_of_the_url_counts():
    """A URL for one thing must not open another."""
    method, path, query = presign(query="versionId=1")
    for attack in (
        ("PUT", path, query),
        (method, b"/bucket/other", query),
        (method, path, query.replace(b"versionId=1", b"versionId=2")),
        (method, path, query + b"&acl"),
        (method, path, query + b"&x-amz-acl=public-read"),
        with_parameter((method, path, query), b"versionId", None),
        with_parameter((method, path, query), b"X-Amz-Expires", b"604800"),
    ):
        with pytest.raises(SignatureDoesNotMatch):
            authenticate(attack)
    with pytest.raises(SignatureDoesNotMatch):
        authenticate((method, path, query), headers=[(b"host", b"evil")])


@pytest.mark.parametrize(
    "name",
    [
        b"X-Amz-Algorithm",
        b"X-Amz-Credential",
        b"X-Amz-Date",
        b"X-Amz-Expires",
        b"X-Amz-SignedHeaders",
        b"X-Amz-Signature",
    ],
)
def test_required_parameters(name):
    """Missing, empty and doubled ones are refused by name (s3 rule 2.3.1)."""
    url = presign()
    for broken in (with_parameter(url, name, None), with_parameter(url, name, b"")):
        with pytest.raises(AuthorizationQueryParametersError, match="version 4 requires the X-Amz"):
            authenticate(broken)
    for spelled in (name, name.lower(), name.replace(b"-", b"%2D")):
        doubled = (url[0], url[1], url[2] + b"&" + spelled + b"=x")
        with pytest.raises(AuthorizationQueryParametersError, match="only once"):
            authenticate(doubled)


def test_parameter_names_in_other_case():
    """Some tools lower-case them, and sign them so (s3 rule 2.3.1)."""
    method, path, query = presign()
    lowered = query.replace(b"X-Amz-Signature", b"x-amz-signature")
    assert authenticate((method, path, lowered)).access_key == ACCESS_KEY


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (b"X-Amz-Algorithm", b"AWS4-ECDSA-P256-SHA256", "only supports"),
        (b"X-Amz-Algorithm", b"none", "only supports"),
        (b"X-Amz-Credential", b"AK", "the Credential is mal-formed"),
        (b"X-Amz-Credential", b"A%00K/20240530/r/s3/aws4_request", "the Credential is mal-formed"),
        (
            b"X-Amz-Credential",
            b"AK%252F20240530%252Fr%252Fs3%252Faws4_request",
            "the Credential is mal-formed",
        ),
        (b"X-Amz-Credential", b"AK/2024/r/s3/aws4_request", "incorrect date format"),
        (b"X-Amz-Credential", b"AK/20240530/r/s3/aws3_request", "incorrect terminal"),
        (b"X-Amz-Credential", b"AK/20240530/r/sqs/aws4_request", "incorrect service"),
        (b"X-Amz-Credential", b"AK/20240529/r/s3/aws4_request", "not the same as X-Amz-Date"),
        (b"X-Amz-Date", b"2024-05-30T10:11:12Z", "ISO8601 Long Format"),
        (b"X-Amz-Date", b"20240230T101112Z", "ISO8601 Long Format"),
        (b"X-Amz-Expires", b"soon", "should be a number"),
        (b"X-Amz-Expires", b"1.5", "should be a number"),
        (b"X-Amz-Expires", b"%2B5", "should be a number"),
        (b"X-Amz-Expires", b"%D9%A5", "should be a number"),
        (b"X-Amz-Expires", b"-1", "must be non-negative"),
        (b"X-Amz-Expires", b"-" + b"9" * 9000, "must be non-negative"),
        (b"X-Amz-Expires", b"604801", "must be less than a week"),
        (b"X-Amz-Expires", b"9" * 9000, "must be less than a week"),
        (b"X-Amz-SignedHeaders", b"host%0Ax", "not a list of header names"),
    ],
)
def test_faulty_parameters(name, value, text):
    """Each has its own text, all have the one code (s3 rules 2.3.2, 2.3.3, 2.3.10)."""
    with pytest.raises(AuthorizationQueryParametersError) as caught:
        authenticate(with_parameter(presign(), name, value))
    assert text in caught.value.message


def test_strict_region():
    """A wrong region is named in the text of the query's own error (s3 rule 2.3.2)."""
    with pytest.raises(AuthorizationQueryParametersError, match="expecting 'eu-1'"):
        authenticate(presign(), region=RegionPolicy("eu-1", strict=True))


def test_validity_window():
    """From the date less the skew to the end of the validity, inclusive (s3 rule 2.3.4)."""
    url = presign(expires=60)
    for offset_ms in (-900_000, 0, 60_000):
        assert authenticate(url, now=Instant(NOW + offset_ms)).access_key == ACCESS_KEY
    with pytest.raises(AccessDenied, match=r"^Request is not valid yet"):
        authenticate(url, now=Instant(NOW - 900_001))
    with pytest.raises(AccessDenied, match=r"^Request has expired") as caught:
        authenticate(url, now=Instant(NOW + 60_001))
    assert caught.value.detail == {
        "x_amz_expires": 60,
        "expires": "2024-05-30T10:12:12Z",
        "server_time": "2024-05-30T10:12:12Z",
    }


def test_week_long_urls_work_to_the_end():
    """The skew rule of headers does not apply to URLs (s3 rule 2.3.4)."""
    week_s = 604_800
    url = presign(expires=week_s)
    assert authenticate(url, now=Instant(NOW + week_s * 1000)).access_key == ACCESS_KEY


def test_no_validity_at_all():
    """Zero is a number from 0 to a week and means this very moment (s3 rule 2.3.3)."""
    assert authenticate(presign(expires=0)).access_key == ACCESS_KEY


def test_unknown_key():
    """Told apart from a wrong signature (s3 rule 2.2.15)."""
    credential = b"NOBODY/20240530/us-east-1/s3/aws4_request"
    with pytest.raises(InvalidAccessKeyId):
        authenticate(with_parameter(presign(), b"X-Amz-Credential", credential))


def test_unsigned_amz_headers_are_refused():
    """The bearer of an upload URL may not add an ACL to it (s3 rule 2.3.7)."""
    with pytest.raises(AccessDenied) as caught:
        authenticate(presign(method="PUT"), headers=[(b"x-amz-acl", b"public-read")])
    assert caught.value.detail == {"headers_not_signed": "x-amz-acl"}


def test_signed_headers_must_come_as_signed():
    """A URL that fixes a content type or metadata takes nothing else."""
    url = presign(method="PUT", headers={"content-type": "text/plain", "x-amz-meta-a": "b"})
    same = [(b"content-type", b"text/plain"), (b"x-amz-meta-a", b"b")]
    assert authenticate(url, headers=same).access_key == ACCESS_KEY
    for headers in ([], [same[0]], [same[0], (b"x-amz-meta-a", b"c")]):
        with pytest.raises(SignatureDoesNotMatch):
            authenticate(url, headers=headers)


def test_unsigned_content_sha256_is_tolerated_and_honoured():
    """It may bind or frame the body further, but cannot loosen what was signed (2.3.5, 2.3.7)."""
    digest = hashlib.sha256(b"x")
    name = b"x-amz-content-sha256"
    url = presign(method="PUT")
    bound = authenticate(url, headers=[(name, digest.hexdigest().encode())])
    assert bound.payload.sha256 == digest.digest()
    framed = authenticate(url, headers=[(name, b"STREAMING-UNSIGNED-PAYLOAD-TRAILER")])
    assert framed.payload.mode is PayloadMode.STREAMING_UNSIGNED_TRAILER
    fixed = presign(method="PUT", headers={"X-Amz-Content-SHA256": digest.hexdigest()})
    with pytest.raises(SignatureDoesNotMatch):
        authenticate(fixed, headers=[(name, b"UNSIGNED-PAYLOAD")])


def test_session_token_of_the_query():
    """Temporary credentials put it there (s3 rule 2.2.16)."""
    assert authenticate(presign(token="a token+")).session_token == "a token+"


# --- hoisted headers ------------------------------------------------------------------------------


def test_hoisted_headers_stand_for_headers():
    """JS, Java, Go and Rust presigners move headers into the query (s3 rule 2.3.8)."""
    query = (
        b"X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Date=c&X-Amz-Expires=1&X-Amz-Signature=s"
        b"&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
        b"&x-id=PutObject&x-amz-acl=private&X-Amz-Meta-Name=a%20%C3%A9+b&x-amz-tagging=k%3Dv"
        b"&x-amz-copy-source=%2Fb%2Fk%253F"
    )
    assert hoisted_headers(query) == [
        (b"x-amz-acl", b"private"),
        (b"x-amz-meta-name", "a é b".encode()),
        (b"x-amz-tagging", b"k=v"),
        (b"x-amz-copy-source", b"/b/k%3F"),
    ]


def test_checksums_in_the_query_are_ignored():
    """JS v3 computes them over an empty body at signing time (s3 rule 2.3.9)."""
    query = b"x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32"
    assert hoisted_headers(query) == []


@pytest.mark.parametrize("value", [b"a%0D%0ASet-Cookie:x", b"%00", b"%0a", b"%7F", b"%1b"])
def test_hoisted_values_no_header_could_carry(value):
    """Metadata comes back as response headers: a line break would split the response."""
    with pytest.raises(InvalidArgument) as caught:
        hoisted_headers(b"x-amz-meta-a=" + value)
    assert caught.value.detail == {"argument_name": "x-amz-meta-a"}


def test_hoisted_names_no_header_could_carry():
    """A name with an encoded colon or line break is no header name; it stands for nothing."""
    assert hoisted_headers(b"x-amz-meta-a%0D%0Ax=1&x-amz-meta-b%3A=1&%C3%A9=1") == []
