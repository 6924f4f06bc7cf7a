"""Signatures against botocore's signer over random requests, and against random damage."""

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from objstore.model.errors import Denied, InvalidRequest
from objstore.model.instant import Instant
from objstore.s3.signature import (
    Authenticated,
    Authenticator,
    SignedParts,
    SigningKeyCache,
    hoisted_headers,
)
from objstore.s3.signature.canonical import canonical_path, canonical_query, query_pairs

ACCESS_KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNED_AT = datetime(2024, 5, 30, 10, 11, 12, tzinfo=UTC)
NOW = Instant(int(SIGNED_AT.timestamp()) * 1000)
ORIGIN = "http://127.0.0.1:9000"
FROZEN = mock.patch("botocore.auth.get_current_datetime", return_value=SIGNED_AT)

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
odd_keys = keys | st.text("/.+%~= &?#:@;,é", min_size=1, max_size=20)
parameters = st.lists(
    st.tuples(st.text("abB/ =&+é-_.%", min_size=1, max_size=6), keys | st.just("")), max_size=5
)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
metadata = st.dictionaries(
    st.text("abcdefgh-0123", min_size=1, max_size=8), header_values, max_size=4
)


class Users:
    def secret_of(self, access_key):
        return SECRET if access_key == ACCESS_KEY else None


def authenticate(parts):
    return Authenticator(Users(), SigningKeyCache()).authenticate(parts, now=NOW)


def target_of(key, query):
    """Path and query as boto3 builds them."""
    encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(v, safe='-_.~')}" for name, v in query)
    return f"/bucket/{quote(key, safe='/~')}", encoded


def sign_header(key, query, headers, body):
    path, encoded = target_of(key, query)
    url = f"{ORIGIN}{path}" + (f"?{encoded}" if encoded else "")
    named = {f"x-amz-meta-{name}": value for name, value in headers.items()}
    request = AWSRequest(method="PUT", url=url, headers=named, data=body)
    with FROZEN:
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET), "s3", "us-east-1").add_auth(request)
    pairs = [(b"host", b"127.0.0.1:9000")]
    pairs += [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    return SignedParts("PUT", path.encode(), encoded.encode(), pairs)


@settings(max_examples=150, deadline=None)
@given(key=odd_keys, query=parameters, headers=metadata, body=st.binary(max_size=50))
def test_whatever_botocore_signs_verifies(key, query, headers, body):
    """Keys, queries and metadata of all shapes must work with the client most people use."""
    found = authenticate(sign_header(key, query, headers, body))
    assert isinstance(found, Authenticated)
    assert found.access_key == ACCESS_KEY


@settings(max_examples=100, deadline=None)
@given(key=odd_keys, query=parameters)
def test_whatever_botocore_presigns_verifies(key, query):
    """The same for URLs, where the query carries the signature as well."""
    path, encoded = target_of(key, query)
    request = AWSRequest("GET", f"{ORIGIN}{path}" + (f"?{encoded}" if encoded else ""))
    with FROZEN:
        S3SigV4QueryAuth(Credentials(ACCESS_KEY, SECRET), "s3", "us-east-1", 60).add_auth(request)
    signed_path, _, signed_query = request.url.removeprefix(ORIGIN).partition("?")
    parts = SignedParts(
        "GET", signed_path.encode(), signed_query.encode(), [(b"host", b"127.0.0.1:9000")]
    )
    assert isinstance(authenticate(parts), Authenticated)


@settings(max_examples=150, deadline=None)
@given(
    key=odd_keys,
    headers=metadata,
    place=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    where=st.sampled_from(["path", "query", "header"]),
)
def test_one_changed_byte_is_refused(key, headers, place, byte, where):
    """What was signed cannot be changed anywhere, unless the meaning stays the same."""
    good = sign_header(key, [("versionId", "1")], headers, b"body")
    path, query, pairs = good.raw_path, good.query, list(good.headers)
    if where == "path":
        path = changed(path, place, byte)
        assume(unquote_to_bytes(path) != unquote_to_bytes(good.raw_path))
    elif where == "query":
        query = changed(query, place, byte)
        assume(canonical_query(query_pairs(query)) != canonical_query(query_pairs(good.query)))
    else:
        index = place % len(pairs)
        name, value = pairs[index]
        assume(value and name != b"authorization")
        pairs[index] = (name, changed(value, place, byte))
        assume(pairs[index][1].split() != value.split())
    try:
        authenticate(SignedParts("PUT", path, query, pairs))
    except (Denied, InvalidRequest):
        return
    raise AssertionError("a changed request was accepted")


def changed(text, place, byte):
    """Replace one byte."""
    place %= len(text)
    return text[:place] + bytes([byte]) + text[place + 1 :]


@settings(max_examples=200, deadline=None)
@given(
    path=st.binary(max_size=30),
    query=st.binary(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                b"X-Amz-Algorithm=AWS4-HMAC-SHA256",
                b"X-Amz-Credential=AKIDEXAMPLE/20240530/r/s3/aws4_request",
                b"X-Amz-Date=20240530T101112Z",
                b"X-Amz-Expires=10",
                b"X-Amz-SignedHeaders=host",
                b"X-Amz-Signature=%ff%00",
                b"AWSAccessKeyId=x",
                b"x-amz-meta-%ff=%0d",
            ]
        )
    ).map(b"&".join),
    authorization=st.none()
    | st.binary(max_size=80)
    | st.binary(max_size=80).map(lambda noise: b"AWS4-HMAC-SHA256 Credential=" + noise),
    others=st.lists(
        st.tuples(
            st.sampled_from([b"x-amz-date", b"x-amz-content-sha256", b"date", b"host", b"x-amz-a"]),
            st.binary(max_size=20) | st.sampled_from([b"UNSIGNED-PAYLOAD", b"20240530T101112Z"]),
        ),
        max_size=4,
    ),
)
def test_hostile_requests_end_in_an_error_leaf(path, query, authorization, others):
    """No bytes on the wire may turn into an internal error or into somebody's identity."""
    headers = others if authorization is None else [*others, (b"authorization", authorization)]
    for act in (
        lambda: authenticate(SignedParts("GET", path, query, headers)),
        lambda: hoisted_headers(query),
    ):
        try:
            found = act()
        except (Denied, InvalidRequest):
            continue
        assert not isinstance(found, Authenticated)


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=60))
def test_canonical_path_equals_the_dumb_one(raw):
    """The table and the fast path against the library's encoder, twice for stability."""
    path = b"/" + raw
    expected = quote_from_bytes(unquote_to_bytes(path), safe="/-._~").encode()
    assert canonical_path(path) == expected
    assert canonical_path(expected) == expected


@settings(max_examples=200, deadline=None)
@given(query=st.binary(max_size=60))
def test_canonical_query_is_stable_and_keeps_the_meaning(query):
    """Canonical text is its own canonical text and decodes to the same parameters."""
    canonical = canonical_query(query_pairs(query))
    assert canonical_query(query_pairs(canonical)) == canonical

    def meaning(text):
        pairs = [pair.partition(b"=") for pair in text.split(b"&")] if text else []
        decoded = [(name.replace(b"+", b" "), v.replace(b"+", b" ")) for name, _, v in pairs]
        return sorted((unquote_to_bytes(name), unquote_to_bytes(v)) for name, v in decoded)

    assert meaning(canonical) == meaning(query)
