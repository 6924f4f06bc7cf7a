"""SigV2 in the query, with botocore's signer as the independent implementation: boto3 presigns with it by default."""

import pytest
from botocore.auth import HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from objstore.model.errors import (
    AccessDenied,
    BadRequestError,
    InvalidAccessKeyId,
    SignatureDoesNotMatch,
)
from objstore.model.instant import Instant
from objstore.s3.signature import (
    Authenticator,
    Mechanism,
    PayloadMode,
    SignedParts,
    SigningKeyCache,
    is_presigned,
)

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNED_AT_S = 1_717_063_872
NOW = Instant(SIGNED_AT_S * 1000)
ORIGIN = "http://127.0.0.1:9000"


class Users:
    """One user, as the credential source sees it."""

    def secret_of(self, access_key):
        return SECRET if access_key == ACCESS_KEY else None


@pytest.fixture(autouse=True)
def _frozen_botocore(monkeypatch):
    """Botocore reads a clock; its URLs here all carry the same second."""
    monkeypatch.setattr("botocore.auth.time.time", lambda: SIGNED_AT_S)


def presign(path="/bucket/key", query="", *, method="GET", headers=(), auth_path=None, token=None):
    """Return method, path and query of a URL that botocore signed for an hour."""
    url = f"{ORIGIN}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method=method, url=url, headers=dict(headers), auth_path=auth_path)
    HmacV1QueryAuth(Credentials(ACCESS_KEY, SECRET, token), 3600).add_auth(request)
    sent_path, _, sent_query = request.url.removeprefix(ORIGIN).partition("?")
    return method, sent_path.encode(), sent_query.encode()


def authenticate(url, *, headers=(), now=NOW, bucket_of_host=b""):
    method, path, query = url
    parts = SignedParts(method, path, query, [(b"host", b"h"), *headers], bucket_of_host)
    return Authenticator(Users(), SigningKeyCache()).authenticate(parts, now=now)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/bucket/key", ""),
        ("/bucket", ""),
        ("/", ""),
        ("/bucket/a%20b%2Bc/%C3%A9", ""),
        ("/bucket/key", "versionId=abc"),
        ("/bucket/key", "response-content-disposition=attachment%3B%20filename%3D%22a%20b%22"),
        ("/bucket/key", "uploadId=x&partNumber=3"),
        ("/bucket", "uploads"),
        ("/bucket", "uploads="),
        ("/bucket", "list-type=2&prefix=a%2Fb&max-keys=3"),
    ],
)
def test_what_botocore_signs_is_taken(path, query):
    """Paths as sent, sub-resources sorted and decoded, listing arguments unsigned (2.5.2)."""
    found = authenticate(presign(path, query))
    assert found.mechanism is Mechanism.V2_PRESIGNED
    assert found.access_key == ACCESS_KEY
    assert found.payload.mode is PayloadMode.UNSIGNED


def test_headers_move_to_the_query():
    """Metadata, type and digest of a presigned PUT are signed where they stand, and count where they arrive (2.5.3)."""
    headers = {"x-amz-meta-my_colour": "a  b", "Content-Type": "text/x", "Content-MD5": "bWQ1"}
    url = presign(method="PUT", headers=headers)
    assert authenticate(url).access_key == ACCESS_KEY
    assert authenticate(url, headers=[(b"content-type", b"text/x")]).access_key == ACCESS_KEY
    for name, value in ((b"content-type", b"text/y"), (b"x-amz-meta-my_colour", b"red")):
        with pytest.raises(SignatureDoesNotMatch):
            authenticate(url, headers=[(name, value)])


def test_headers_that_were_not_signed():
    """s3 rule 2.5.4: a bearer may add neither a type nor an `x-amz-*` header of his own."""
    url = presign(method="PUT")
    for name in (b"content-type", b"x-amz-copy-source", b"x-amz-acl"):
        with pytest.raises(SignatureDoesNotMatch):
            authenticate(url, headers=[(name, b"text/plain")])


@pytest.mark.parametrize("signed_path", ["/bucket/", "/bucket"])
def test_a_bucket_ends_with_a_slash_or_not(signed_path):
    """The slash belongs into the text though it is not sent (2.5.2); signers that leave it out mean the same bucket."""
    url = presign("/bucket", "list-type=2&prefix=a", auth_path=signed_path)
    assert authenticate(url).access_key == ACCESS_KEY


def test_the_bucket_of_the_host_is_signed():
    """s3 rule 2.5.2: a virtual-host URL signs the bucket; it is not good for another bucket."""
    url = presign("/key", auth_path="/bucket/key")
    assert authenticate(url, bucket_of_host=b"bucket").access_key == ACCESS_KEY
    with pytest.raises(SignatureDoesNotMatch):
        authenticate(url, bucket_of_host=b"other")


@pytest.mark.parametrize(
    "addition",
    [b"retention", b"attributes", b"legal-hold=", b"encryption", b"%61ttributes", b"renameObject"],
)
def test_a_link_is_good_for_its_own_operation_only(addition):
    """The scheme signs few sub-resources; one that it does not sign could turn a link into another operation."""
    method, path, query = presign()
    with pytest.raises(AccessDenied, match="does not cover"):
        authenticate((method, path, query + b"&" + addition))


@pytest.mark.parametrize("addition", [b"acl", b"versionId=x", b"t%61gging"])
def test_a_sub_resource_cannot_be_added(addition):
    """Those that are signed fail by the signature."""
    method, path, query = presign()
    with pytest.raises(SignatureDoesNotMatch):
        authenticate((method, path, query + b"&" + addition))


def test_another_method_path_or_date():
    """Every part of the text counts; the error shows what was computed, never the right signature."""
    method, path, query = presign()
    later = query.replace(str(SIGNED_AT_S + 3600).encode(), str(SIGNED_AT_S + 9999).encode())
    assert later != query
    for url in (("PUT", path, query), (method, path + b"2", query), (method, path, later)):
        with pytest.raises(SignatureDoesNotMatch) as caught:
            authenticate(url)
        assert caught.value.detail["string_to_sign"].startswith(url[0])


def test_links_end():
    """s3 rule 2.5.3: good up to the second it names, refused afterwards."""
    end = Instant(NOW + 3600 * 1000)
    assert authenticate(presign(), now=end).access_key == ACCESS_KEY
    with pytest.raises(AccessDenied, match="expired"):
        authenticate(presign(), now=Instant(end + 1))


@pytest.mark.parametrize("name", [b"AWSAccessKeyId", b"Signature", b"Expires"])
def test_missing_and_repeated_parameters(name):
    """A link without one of the three is never anonymous, and nothing chooses between two of a kind (2.5.3)."""
    method, path, query = presign()
    terms = query.split(b"&")
    without = b"&".join(term for term in terms if not term.startswith(name + b"="))
    with pytest.raises(AccessDenied, match="requires the Signature, Expires and AWSAccessKeyId"):
        authenticate((method, path, without))
    with pytest.raises(AccessDenied, match="only once"):
        authenticate((method, path, query + b"&" + name + b"=1"))


def test_a_date_that_is_none():
    """Anything but digits is refused before it is converted."""
    for text in (b"soon", b"-1", b"9" * 5000):
        with pytest.raises(AccessDenied, match="Invalid date"):
            authenticate(("GET", b"/b", b"AWSAccessKeyId=a&Signature=b&Expires=" + text))


def test_unknown_key():
    """s3 rule 2.2.15."""
    with pytest.raises(InvalidAccessKeyId):
        authenticate(("GET", b"/b/k", b"AWSAccessKeyId=nobody&Signature=b&Expires=9999999999"))


def test_a_raw_plus_in_the_signature():
    """s3 rule 2.5.3: base64 has a plus, and not everybody escapes it."""
    for number in range(200):
        method, path, query = presign(f"/bucket/{number}")
        if b"%2B" in query:
            raw = query.replace(b"%2B", b"+")
            assert authenticate((method, path, raw)).access_key == ACCESS_KEY
            return
    pytest.fail("no signature with a plus among 200")


def test_no_signed_streams():
    """There is no seed for chunk signatures, so such a body could not be verified."""
    header = (b"x-amz-content-sha256", b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    with pytest.raises(BadRequestError, match="no chunk signatures"):
        authenticate(presign(method="PUT"), headers=[header])


def test_a_session_token_is_carried():
    """Who issued it decides; here it must not get lost on the way (2.2.16)."""
    assert authenticate(presign(token="T/+=")).session_token == "T/+="


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AWSAccessKeyId", True),
        ("Signature", True),
        ("x-amz-signature", True),
        ("X-Amz-Algorithm", True),
        ("signature", False),
        ("prefix", False),
    ],
)
def test_which_names_make_a_presigned_request(name, expected):
    """The edge lets parameters stand for headers exactly where the signature covers them (2.3.8)."""
    assert is_presigned(["versionId", name]) is expected
