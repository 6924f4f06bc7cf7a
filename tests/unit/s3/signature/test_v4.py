"""SigV4 in the Authorization header, with botocore's signer as the independent implementation."""

import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from objstore.model.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    BadRequestError,
    InvalidAccessKeyId,
    RequestTimeTooSkewed,
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
    derive_signing_key,
    verify,
)
from objstore.s3.signature.canonical import query_pairs

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNED_AT = datetime(2024, 5, 30, 10, 11, 12, tzinfo=UTC)
NOW = Instant(int(SIGNED_AT.timestamp()) * 1000)
LENIENT = RegionPolicy()


class Users:
    """One user, as the credential source sees it."""

    def secret_of(self, access_key):
        return {ACCESS_KEY: SECRET, "with/slash": SECRET}.get(access_key)


@pytest.fixture(autouse=True)
def _frozen_botocore(monkeypatch):
    """Botocore reads a clock; its requests here all carry the same second."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: SIGNED_AT)


def signed(path="/bucket/key", query="", *, method="PUT", headers=(), body=b"", region="us-east-1"):
    """Sign with botocore and return what an ASGI scope would show."""
    url = f"http://127.0.0.1:9000{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method=method, url=url, data=body)
    for name, value in headers:
        request.headers.add_header(name, value)
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET), "s3", region).add_auth(request)
    pairs = [(b"host", b"127.0.0.1:9000")]
    for name, value in request.headers.items():
        raw = value if isinstance(value, bytes) else value.encode()
        pairs.append((name.lower().encode(), raw))
    return SignedParts(method, path.encode(), query.encode(), pairs)


def changed(parts, name, value):
    """The same request with one header set, or removed for None."""
    rest = [pair for pair in parts.headers if pair[0] != name]
    added = [] if value is None else [(name, value)]
    return SignedParts(parts.method, parts.raw_path, parts.query, rest + added)


def header(parts, name):
    return dict(parts.headers)[name]


def authenticate(parts, *, now=NOW, region=LENIENT, keys=None):
    keys = SigningKeyCache() if keys is None else keys
    authenticator = Authenticator(Users(), keys, region)
    return authenticator.authenticate(parts, now=now)


ODD_PATHS = [
    "/",
    "/bucket",
    "/bucket/",
    "/bucket/a%20b",
    "/bucket/%C3%A9%E4%B8%AD",
    "/bucket//double//",
    "/bucket/./../dots/./k",
    "/bucket/plus+and%2Bplus",
    "/bucket/a%252Fb",
    "/bucket/~tilde-_.",
    "/bucket/%3D%26%3F%23",
    "/bucket/%00%0A%7F",
    "/bucket/%25",
]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_keys_that_break_servers(path):
    """A path is decoded once, encoded once and never normalised (s3 rules 1.2.4, 2.2.3)."""
    assert authenticate(signed(path)).access_key == ACCESS_KEY


@pytest.mark.parametrize(
    "path", ["/b/a=b", "/b/a:b@c!", "/b/(x),$y", "/b/a%2fb", "/b/%7Etilde", "/b/x*'", "/b/100%"]
)
def test_paths_signed_as_sent(path):
    """Some clients sign the path as they send it; the second try takes that (s3 rule 2.2.3)."""
    assert authenticate(signed(path)).access_key == ACCESS_KEY


@pytest.mark.parametrize(
    "query",
    [
        "acl",
        "acl=",
        "uploads&x-id=CreateMultipartUpload",
        "prefix=a%2Fb&delimiter=%2F&list-type=2",
        "b=2&a=1&a=0&B=3",
        "marker=%C3%A9%20%2B",
        "empty=&novalue&=x",
        "a-b=1&a.b=2&a_b=3&aB=4&ab=5",
    ],
)
def test_queries_that_break_servers(query):
    """Sorted by encoded name and value, with missing values as empty (s3 rule 2.2.4)."""
    assert authenticate(signed("/bucket", query, method="GET")).access_key == ACCESS_KEY


def test_plus_in_a_query_is_a_space():
    """The router reads `+` as a space, so the signature must cover that reading (2.2.4)."""
    assert query_pairs(b"prefix=a+b") == query_pairs(b"prefix=a%20b")
    assert query_pairs(b"prefix=a%2Bb") == [(b"prefix", b"a%2Bb")]


def test_headers_folded_and_repeated():
    """Inner white space folds to one space, repeated names join with a comma (s3 rule 2.2.5)."""
    parts = signed(
        headers=[
            ("x-amz-meta-a", "v    v"),
            ("x-amz-meta-b", "  lead and trail  "),
            ("x-amz-meta-c", "one"),
            ("x-amz-meta-c", "two"),
            ("x-amz-meta-d", "tab\tand  two"),
            ("Content-Type", "text/plain;  charset=utf-8"),
        ]
    )
    assert authenticate(parts).access_key == ACCESS_KEY


def test_order_of_repeated_headers_is_signed():
    """Swapping two values changes meaning (grants, ranges) and must break the signature."""
    parts = signed(headers=[("x-amz-meta-c", "one"), ("x-amz-meta-c", "two")])
    swapped = list(parts.headers)
    places = [n for n, pair in enumerate(swapped) if pair[0] == b"x-amz-meta-c"]
    swapped[places[0]], swapped[places[1]] = swapped[places[1]], swapped[places[0]]
    with pytest.raises(SignatureDoesNotMatch):
        authenticate(SignedParts(parts.method, parts.raw_path, parts.query, swapped))


def test_header_bytes_are_not_recoded():
    """UTF-8 metadata is signed as the bytes on the wire (s3 rule 2.2.5)."""
    value = "naïve 中".encode()
    parts = changed(signed(), b"x-amz-meta-n", value)
    names = b"host;x-amz-content-sha256;x-amz-date;x-amz-meta-n"
    assert authenticate(resigned(parts, names)).access_key == ACCESS_KEY


def resigned(parts, names, *, secret=SECRET, payload=None, access_key=ACCESS_KEY):
    """Sign by the letter of the rules, for what botocore cannot be made to send."""
    values = dict(parts.headers)
    stamp = values[b"x-amz-date"]
    date = stamp[:8].decode()
    lines = b"".join(n + b":" + b" ".join(values[n].split()) + b"\n" for n in names.split(b";"))
    payload = payload or values[b"x-amz-content-sha256"]
    request = b"\n".join(
        [parts.method.encode(), parts.raw_path, parts.query, lines, names, payload]
    )
    scope = f"{date}/us-east-1/s3/aws4_request"
    text = b"\n".join(
        [b"AWS4-HMAC-SHA256", stamp, scope.encode(), hashlib.sha256(request).hexdigest().encode()]
    )
    key = derive_signing_key(secret, date=date, region="us-east-1")
    signature = hmac.new(key, text, hashlib.sha256).hexdigest()
    value = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope},SignedHeaders={names.decode()},"
        f"Signature={signature}"
    )
    return changed(parts, b"authorization", value.encode())


def test_published_signing_key():
    """The derivation example of the SigV4 documentation, with service s3 put in its place."""
    key = b"AWS4" + SECRET.encode()
    for part in (b"20150830", b"us-east-1", b"s3", b"aws4_request"):
        key = hmac.new(key, part, hashlib.sha256).digest()
    assert derive_signing_key(SECRET, date="20150830", region="us-east-1") == key


def test_published_get_object_example():
    """The GET Object example of the S3 documentation verifies to the last digit."""
    headers = [
        (b"host", b"examplebucket.s3.amazonaws.com"),
        (b"range", b"bytes=0-9"),
        (b"x-amz-content-sha256", hashlib.sha256(b"").hexdigest().encode()),
        (b"x-amz-date", b"20130524T000000Z"),
        (
            b"authorization",
            (
                b"AWS4-HMAC-SHA256 "
                b"Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                b"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
                b"Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
            ),
        ),
    ]

    class Example:
        def secret_of(self, access_key):
            return "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

    now = Instant(int(datetime(2013, 5, 24, tzinfo=UTC).timestamp()) * 1000)
    found = Authenticator(Example(), SigningKeyCache()).authenticate(
        SignedParts("GET", b"/test.txt", b"", headers), now=now
    )
    assert found.access_key == "AKIAIOSFODNN7EXAMPLE"


def test_what_a_verified_request_says():
    """Body handling needs the payload, and chunk signatures the seed, scope, date and key."""
    body = b"hello"
    found = authenticate(signed(body=body))
    assert found.mechanism is Mechanism.V4_HEADER
    assert found.payload.mode is PayloadMode.SIGNED_HEX
    assert found.payload.sha256 == hashlib.sha256(body).digest()
    assert found.scope.endswith(b"/us-east-1/s3/aws4_request")
    assert found.timestamp[:8] == found.scope[:8]
    assert len(found.signature) == 64
    assert found.session_token is None


def test_text_form_of_the_outcome_shows_no_key_material():
    """Outcomes reach logs and tracebacks; a signing key there would sign for a whole day."""
    found = authenticate(signed())
    raw = derive_signing_key(SECRET, date=found.timestamp[:8].decode(), region="us-east-1")
    for shown in (repr(found), repr(found.signing_key)):
        assert raw.hex() not in shown
        assert repr(raw) not in shown
    assert repr(found.signing_key) not in repr(found)
    assert found.signature.decode() not in str(found)


def test_session_token_is_passed_on():
    """A token must be signed; whether it fits the key is for its issuer (s3 rule 2.2.16)."""
    found = authenticate(signed(headers=[("x-amz-security-token", "token")]))
    assert found.session_token == "token"


@pytest.mark.parametrize("region", ["us-east-1", "auto", "aws-global", "eu-north-9", "x" * 200])
def test_any_region_is_accepted_and_used(region):
    """Clients invent regions; a single site takes them all (s3 rule 2.2.14)."""
    assert region.encode() in authenticate(signed(region=region)).scope


def test_empty_region():
    """Some clients send none at all (s3 rule 2.2.14)."""
    assert b"//s3/" in authenticate(signed(region="")).scope


def test_strict_region_names_the_right_one():
    """SDKs correct themselves from the Region element (s3 rules 2.2.13, 2.2.14)."""
    policy = RegionPolicy("eu-central-1", strict=True)
    with pytest.raises(AuthorizationHeaderMalformed) as caught:
        authenticate(signed(), region=policy)
    assert caught.value.detail == {"region": "eu-central-1"}
    assert "the region 'us-east-1' is wrong; expecting 'eu-central-1'" in caught.value.message
    assert authenticate(signed(region="eu-central-1"), region=policy).access_key == ACCESS_KEY


def test_wrong_secret_shows_what_the_server_computed():
    """The error is the tool by which people find their mistake (s3 rule 2.2.15)."""
    parts = resigned(signed(), b"host;x-amz-content-sha256;x-amz-date", secret="other")
    with pytest.raises(SignatureDoesNotMatch) as caught:
        authenticate(parts)
    detail = caught.value.detail
    assert detail["aws_access_key_id"] == ACCESS_KEY
    assert detail["canonical_request"].startswith("PUT\n/bucket/key\n\nhost:127.0.0.1:9000\n")
    assert detail["string_to_sign"].startswith("AWS4-HMAC-SHA256\n")
    assert detail["canonical_request_bytes"].startswith("50 55 54 0A 2F")
    assert bytes.fromhex(detail["string_to_sign_bytes"]).decode() == detail["string_to_sign"]
    assert detail["signature_provided"] in header(parts, b"authorization").decode()


def test_the_right_signature_is_never_shown():
    """An error that printed the expected signature would sign for anybody."""
    good = signed()
    right = header(good, b"authorization").rpartition(b"=")[2].decode()
    forged = changed(
        good, b"authorization", header(good, b"authorization").replace(right.encode(), b"0" * 64)
    )
    with pytest.raises(SignatureDoesNotMatch) as caught:
        authenticate(forged)
    assert right not in str(caught.value)
    assert right not in str(caught.value.detail)


def test_every_signed_part_counts():
    """Changing anything that was signed breaks the signature."""
    good = signed(headers=[("Content-Type", "text/plain")], query="tagging")
    variants = [
        SignedParts("POST", good.raw_path, good.query, good.headers),
        SignedParts(good.method, b"/bucket/other", good.query, good.headers),
        SignedParts(good.method, good.raw_path, b"acl", good.headers),
        SignedParts(good.method, good.raw_path, b"tagging&acl", good.headers),
        SignedParts(good.method, good.raw_path, b"tagging&X-Amz-Foo=1", good.headers),
        changed(good, b"host", b"evil"),
        changed(good, b"content-type", b"text/html"),
        changed(good, b"content-type", None),
        changed(good, b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD"),
    ]
    for variant in variants:
        with pytest.raises(SignatureDoesNotMatch):
            authenticate(variant)


def test_a_second_host_header_breaks_the_signature():
    """With two hosts the router and the verifier could each believe another one."""
    good = signed()
    doubled = [*good.headers, (b"host", b"evil")]
    with pytest.raises(SignatureDoesNotMatch):
        authenticate(SignedParts(good.method, good.raw_path, good.query, doubled))


def test_signature_must_match_exactly():
    """Neither a prefix, nor upper case, nor an empty or non-ASCII value passes."""
    good = signed()
    value = header(good, b"authorization")
    right = value.rpartition(b"=")[2]
    for wrong in (right[:-1], right + b"0", right.upper(), b"x"):
        with pytest.raises(SignatureDoesNotMatch):
            authenticate(changed(good, b"authorization", value.replace(right, wrong)))
    for malformed in (b"", b"\xff" * 64):
        with pytest.raises((AuthorizationHeaderMalformed, SignatureDoesNotMatch)):
            authenticate(changed(good, b"authorization", value.replace(right, malformed)))


def test_signatures_are_compared_in_constant_time(monkeypatch):
    """An early-out comparison leaks a valid signature byte by byte (s3 rule 2.1.5)."""
    compared = []
    real = hmac.compare_digest

    def spy(left, right):
        compared.append((left, right))
        return real(left, right)

    monkeypatch.setattr(verify.hmac, "compare_digest", spy)
    good = signed()
    authenticate(good)
    provided = header(good, b"authorization").rpartition(b"=")[2]
    assert compared == [(provided, provided)]


def test_unknown_access_key():
    """Told apart from a wrong signature, as S3 does (s3 rule 2.2.15)."""
    parts = resigned(signed(), b"host;x-amz-content-sha256;x-amz-date", access_key="NOBODY")
    with pytest.raises(InvalidAccessKeyId) as caught:
        authenticate(parts)
    assert caught.value.detail == {"aws_access_key_id": "NOBODY"}


def test_access_key_may_contain_slashes():
    """The scope is split from the right (s3 rule 2.2.1)."""
    parts = resigned(signed(), b"host;x-amz-content-sha256;x-amz-date", access_key="with/slash")
    assert authenticate(parts).access_key == "with/slash"


def test_unsigned_amz_headers_are_named():
    """An attacker in the middle could add an ACL or a copy source (s3 rule 2.2.7)."""
    good = signed()
    extra = [*good.headers, (b"x-amz-acl", b"public-read"), (b"x-amz-tagging", b"a=b")]
    with pytest.raises(AccessDenied) as caught:
        authenticate(SignedParts(good.method, good.raw_path, good.query, extra))
    assert caught.value.detail == {"headers_not_signed": "x-amz-acl, x-amz-tagging"}
    assert caught.value.message == (
        "There were headers present in the request which were not signed"
    )


def test_harmless_headers_need_no_signature():
    """Proxies add these; `x-amzn-` is not `x-amz-` (s3 rule 2.2.7)."""
    good = signed()
    extra = [*good.headers, (b"x-amzn-trace-id", b"1"), (b"content-md5", b"x"), (b"via", b"p")]
    assert authenticate(SignedParts("PUT", good.raw_path, b"", extra)).access_key == ACCESS_KEY


def test_host_must_be_signed():
    """Without it a signature for one store would work at another (s3 rule 2.2.6)."""
    with pytest.raises(AccessDenied) as caught:
        authenticate(resigned(signed(), b"x-amz-content-sha256;x-amz-date"))
    assert caught.value.detail == {"headers_not_signed": "host"}


def test_payload_hash_is_required():
    """Without the line nothing would tie the body to the signature (s3 rule 2.2.9)."""
    with pytest.raises(BadRequestError, match="Missing required header for this request: x-amz-c"):
        authenticate(changed(signed(), b"x-amz-content-sha256", None))


def test_date_must_be_there_and_readable():
    """No date means no protection against replay (s3 rule 2.2.11)."""
    for value in (None, b"", b"yesterday", b"20240230T000000Z", b"2024-01-01T00:00:00Z"):
        with pytest.raises(AccessDenied, match="requires a valid Date or x-amz-date"):
            authenticate(changed(signed(), b"x-amz-date", value))


def test_clock_skew():
    """Fifteen minutes either way, to the millisecond (s3 rule 2.2.11)."""
    parts = signed()
    for offset in (-900_000, 0, 900_000):
        assert authenticate(parts, now=Instant(NOW + offset)).access_key == ACCESS_KEY
    for offset in (-900_001, 900_001):
        with pytest.raises(RequestTimeTooSkewed) as caught:
            authenticate(parts, now=Instant(NOW + offset))
        assert caught.value.detail["max_allowed_skew_milliseconds"] == 900_000
        assert caught.value.detail["request_time"] == "20240530T101112Z"


def test_date_header_stands_in_for_x_amz_date():
    """Old clients send only Date, in one of three forms (s3 rule 2.2.11)."""
    names = b"date;host;x-amz-content-sha256"
    for text in (
        b"Thu, 30 May 2024 10:11:12 GMT",
        b"Thursday, 30-May-24 10:11:12 GMT",
        b"20240530T101112Z",
    ):
        with_date = changed(signed(), b"date", text)
        parts = changed(resigned(with_date, names), b"x-amz-date", None)
        assert authenticate(parts).timestamp == b"20240530T101112Z"


def test_credential_date_must_be_the_day_of_the_request():
    """Otherwise one derived key would serve for ever (s3 rule 2.2.11)."""
    parts = signed()
    date = header(parts, b"x-amz-date")[:8]
    value = header(parts, b"authorization").replace(date, b"20200101")
    with pytest.raises(AuthorizationHeaderMalformed, match="not the same as"):
        authenticate(changed(parts, b"authorization", value))


SCOPE = "AK/20240530/us-east-1/s3/aws4_request"


@pytest.mark.parametrize(
    ("components", "text"),
    [
        ("", "is malformed"),
        (f"Credential={SCOPE}", "missing SignedHeaders."),
        (f"Credential={SCOPE},SignedHeaders=host", "missing Signature."),
        ("SignedHeaders=host,Signature=a", "missing Credential."),
        (f"Credential={SCOPE},SignedHeaders=host,Signature=", "is malformed"),
        (f"Credential={SCOPE},Credential={SCOPE},SignedHeaders=h,Signature=a", "is malformed"),
        (f"Credential={SCOPE},SignedHeaders=h,Signature=a,Signature=b", "is malformed"),
        (f"Credential={SCOPE},SignedHeaders=h,Signature=a,Extra=b", "is malformed"),
        ("Credential=AK,SignedHeaders=host,Signature=a", "the Credential is mal-formed"),
        ("Credential=/20240530/r/s3/aws4_request,SignedHeaders=h,Signature=a", "is mal-formed"),
        ("Credential=AK/2024-05-30/r/s3/aws4_request,SignedHeaders=h,Signature=a", "date format"),
        ("Credential=AK/20240530/r/s3/aws5_request,SignedHeaders=h,Signature=a", "terminal"),
        ("Credential=AK/20240530/r/ec2/aws4_request,SignedHeaders=h,Signature=a", "service"),
    ],
)
def test_malformed_authorization(components, text):
    """Each fault has its own text, and none gets as far as a key (s3 rule 2.2.13)."""
    value = f"AWS4-HMAC-SHA256 {components}".encode()
    with pytest.raises(AuthorizationHeaderMalformed) as caught:
        authenticate(changed(signed(), b"authorization", value))
    assert caught.value.message.startswith("The authorization header is malformed; ")
    assert text in caught.value.message


def test_components_in_any_order_and_spacing():
    """Commas may or may not be followed by spaces (s3 rule 2.2.1)."""
    parts = signed()
    kind, _, rest = header(parts, b"authorization").partition(b" ")
    reordered = kind + b"   " + b" ,  ".join(reversed(rest.split(b", ")))
    assert authenticate(changed(parts, b"authorization", reordered)).access_key == ACCESS_KEY


def test_two_authorization_headers():
    """Two are never one, whichever the client meant."""
    parts = signed()
    twice = [*parts.headers, (b"authorization", header(parts, b"authorization"))]
    with pytest.raises(AuthorizationHeaderMalformed):
        authenticate(SignedParts(parts.method, parts.raw_path, parts.query, twice))


def test_signed_header_names_in_odd_spelling():
    """Names are compared in lower case and in order, whatever the list looks like (2.2.5)."""
    parts = resigned(signed(), b"host;x-amz-content-sha256;x-amz-date")
    value = header(parts, b"authorization").replace(
        b"host;x-amz-content-sha256;x-amz-date", b"X-Amz-Date;Host;X-Amz-Content-Sha256"
    )
    assert authenticate(changed(parts, b"authorization", value)).access_key == ACCESS_KEY


def test_huge_inputs_are_refused_in_linear_time():
    """Hostile sizes and shapes end in an error; nothing here may backtrack or square."""
    parts = signed()
    names = b";".join(b"h%d" % n for n in range(50_000))
    scope = b"AK/20240530/us-east-1/s3/aws4_request"
    hostile = [
        b"AWS4-HMAC-SHA256 " + b"," * 500_000,
        b"AWS4-HMAC-SHA256 " + b"Credential=" * 100_000,
        b"AWS4-HMAC-SHA256 Credential=" + b"/" * 500_000 + b",SignedHeaders=h,Signature=a",
        b"AWS4-HMAC-SHA256 Credential=" + scope + b",SignedHeaders=" + names + b",Signature=a",
    ]
    for value in hostile:
        with pytest.raises((AuthorizationHeaderMalformed, AccessDenied)):
            authenticate(changed(parts, b"authorization", value))
    many = [*parts.headers, *[(b"x-dup", b"v")] * 50_000]
    assert authenticate(SignedParts("PUT", parts.raw_path, b"", many)).access_key == ACCESS_KEY
