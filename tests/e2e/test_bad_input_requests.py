"""Requests that are well-formed HTTP and wrong S3: dates, names, tokens, parameters, metadata, lengths, preconditions.

Each gets its exact code, changes nothing, and the connection carries the next request.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from objstore.testing.raw_client import RawCall, RawClient, shifted
from objstore.testing.wire import Wire, check_refusal, rendered

GIB_5 = 5 * 2**30
EXPECT = ("expect", "100-continue")


class WireTo(Wire):
    """A connection to the server of a client."""

    def __init__(self, client: RawClient) -> None:
        tls = None if client.authority is None else SimpleNamespace(authority=client.authority)
        super().__init__(SimpleNamespace(port=client.port, tls=tls))


@pytest.fixture
def place(server):
    """A client, and a bucket with one object that nothing in this module may change."""
    client = RawClient.of(server)
    bucket = f"q-{uuid.uuid4().hex[:12]}"
    assert client.send(client.signed(RawCall("PUT", f"/{bucket}"))).status == 200
    put = RawCall("PUT", f"/{bucket}/good", body=b"good")
    assert client.send(client.signed(put)).status == 200
    yield client, bucket
    assert client.send(client.signed(RawCall("GET", f"/{bucket}/good"))).body == b"good"
    listing = client.send(client.signed(RawCall("GET", f"/{bucket}"))).body
    assert listing.count(b"<Key>") == 1, "a refused request stored something"
    client.close()


def call_of(bucket: str, line: str, headers=(), body: bytes = b"") -> RawCall:
    """Build a call from `METHOD key?name=value&...`; the key may be empty."""
    method, _, target = line.partition(" ")
    key, _, query = target.partition("?")
    terms = [term.partition("=") for term in query.split("&") if term]
    pairs = tuple((name, value) for name, _, value in terms)
    return RawCall(method, f"/{bucket}/{key}" if key else f"/{bucket}", pairs, tuple(headers), body)


WRONG = {
    "GET ?list-type=2&continuation-token=garbage": (400, "InvalidArgument"),
    "GET ?list-type=2&continuation-token=": (400, "InvalidArgument"),
    "GET ?list-type=3": (400, "InvalidArgument"),
    "GET ?max-keys=-1": (400, "InvalidArgument"),
    "GET ?max-keys=x": (400, "InvalidArgument"),
    "GET ?max-keys=99999999999": (400, "InvalidArgument"),
    "GET ?encoding-type=x": (400, "InvalidArgument"),
    "GET ?encoding-type=": (400, "InvalidArgument"),
    "GET ?versions&version-id-marker=x": (400, "InvalidArgument"),
    "GET good?versionId=": (400, "InvalidArgument"),
    "GET good?versionId=../x": (400, "InvalidArgument"),
    "HEAD good?versionId=../x": (400, ""),
    "DELETE good?versionId=../x": (400, "InvalidArgument"),
    "PUT x?versionId=null": (400, "InvalidArgument"),
    "GET good?versionId=00000000000000000000000000000000": (404, "NoSuchVersion"),
    "GET good?versionId=null&versionId=null": (400, "InvalidArgument"),
    "GET good?uploadId=garbage": (404, "NoSuchUpload"),
    "DELETE good?uploadId=garbage": (404, "NoSuchUpload"),
    "PUT x?uploadId=garbage&partNumber=1": (404, "NoSuchUpload"),
    "PUT x?uploadId=garbage&partNumber=0": (400, "InvalidArgument"),
    "PUT x?uploadId=garbage&partNumber=10001": (400, "InvalidArgument"),
    "PUT x?uploadId=a&uploadId=b&partNumber=1": (400, "InvalidArgument"),
    "PUT x?partNumber=1": (400, "InvalidArgument"),
    "PUT x?uploadId=garbage": (400, None),
    "PUT x?acl&tagging": (400, "InvalidArgument"),
    "PUT x?foo": (501, "NotImplemented"),
    "PUT x?append": (501, "NotImplemented"),
    "DELETE ?foo": (501, "NotImplemented"),
    "DELETE ?acl": (405, "MethodNotAllowed"),
    "PUT x?versions": (405, "MethodNotAllowed"),
    "GET good?uploads": (400, "InvalidRequest"),
    "GET good?versions": (400, "InvalidRequest"),
    "POST ?": (412, "PreconditionFailed"),
    "POST x?": (405, "MethodNotAllowed"),
    "GET good?partNumber=0": (400, "InvalidArgument"),
    "GET good?partNumber=2": (416, "InvalidPartNumber"),
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_parameters(place, line):
    """s3 rules 1.4.4, 1.4.5, 4.11.3, 4.15.6 and 5.1: a wrong parameter never falls through to the plain operation."""
    client, bucket = place
    status, code = WRONG[line]
    body = b"x" if line.startswith("PUT") else b""
    answer = client.send(client.signed(call_of(bucket, line, body=body)))
    check_refusal(answer, status, answer.code if code is None else code, label=line)


WRONG_HEADERS = {
    "metadata of 2,049 bytes": (("x-amz-meta-a", "v" * 2048), "MetadataTooLarge"),
    "metadata in many": (("x-amz-meta-" + "n" * 1024, "v" * 1025), "MetadataTooLarge"),
    "owner no number": (("x-amz-expected-bucket-owner", "me"), "InvalidBucketOwnerAWSAccountID"),
    "storage class": (("x-amz-storage-class", "FAST"), "InvalidStorageClass"),
    "tagging": (("x-amz-tagging", "a=1&a=2"), "InvalidArgument"),
    "tagging encoding": (("x-amz-tagging", "a=%zz"), None),
    "token": (("x-amz-security-token", "abc"), "InvalidToken"),
    "redirect": (("x-amz-website-redirect-location", "ftp://x"), "InvalidRedirectLocation"),
    "encryption": (("x-amz-server-side-encryption", "ROT13"), None),
}


@pytest.mark.parametrize("label", WRONG_HEADERS)
def test_wrong_headers_of_a_put(place, label):
    """s3 rules 1.4.6, 4.6.2, 4.7 and 2.2.16; small and large bodies, so that nothing is read that nobody wants."""
    client, bucket = place
    header, code = WRONG_HEADERS[label]
    for size in (1, 200_000):
        call = call_of(bucket, "PUT x", [header], bytes(size))
        answer = client.send(client.signed(call))
        assert answer.status in (400, 501), (label, answer)
        check_refusal(answer, answer.status, answer.code if code is None else code, label=label)


def test_metadata_of_exactly_2_kib_is_taken_and_cannot_add_headers(place):
    """s3 rules 4.6.2 and 4.6.3: the limit is inclusive; line breaks that arrive encoded come back encoded."""
    client, bucket = place
    for value in ("v" * 2047, "=?UTF-8?Q?a=0D=0Ax-evil:_1?=", "=?UTF-8?B?YQ0KeC1ldmlsOiAx?="):
        call = call_of(bucket, "PUT x", [("x-amz-meta-a", value)], b"x")
        put = client.send(client.signed(call))
        assert put.status in (200, 400), put
        if put.status == 200:
            got = client.send(client.signed(call_of(bucket, "GET x")))
            assert got.status == 200, value
            assert "x-evil" not in got.headers
            assert client.send(client.signed(call_of(bucket, "DELETE x"))).status == 204


@pytest.mark.parametrize(
    "name", ["content-type", "content-disposition", "expires", "cache-control"]
)
@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nx-evil: 1", "a\rb", "a\0b", "\x7f", "é"])
def test_overrides_cannot_add_headers(place, name, value):
    """s3 rule 4.3: a presigned link must not let its maker write headers of our answer."""
    client, bucket = place
    call = RawCall("GET", f"/{bucket}/good", ((f"response-{name}", value),))
    with WireTo(client) as wire:
        answer = wire.send(rendered(client.signed(call))).answer()
        assert "x-evil" not in answer.headers
        assert answer.status in (200, 400), answer
        if answer.status == 400:
            check_refusal(answer, 400, "InvalidArgument", label=value)
        again = wire.send(rendered(client.signed(RawCall("GET", f"/{bucket}/good")))).answer()
        assert again.body == b"good"


@pytest.mark.parametrize("length", [1024, 1025])
def test_the_length_of_a_key_is_counted_in_bytes(place, length):
    """s3 rule 1.2.6: after decoding, in UTF-8; an encoded key three times as long is the same key."""
    client, bucket = place
    for key in ("k" * length, "%6B" * length, "%C3%A9" * (length // 2) + "k" * (length % 2)):
        answer = client.send(client.signed(call_of(bucket, f"PUT {key}", body=b"x")))
        if length == 1024:
            assert answer.status == 200
            assert client.send(client.signed(call_of(bucket, f"DELETE {key}"))).status == 204
        else:
            check_refusal(answer, 400, "KeyTooLongError")
            assert b"<Size>1025</Size>" in answer.body


def test_a_key_is_never_a_path(place):
    """s3 rules 1.2.4 and 1.2.5: dots and slashes name distinct keys, or are refused; no file is reached."""
    client, bucket = place
    for key in ("../x", "a/../../b", "./k", "/abs", "..", ".", "a//b", "%2e%2e/x", "~", "x/"):
        put = client.send(client.signed(call_of(bucket, f"PUT {key}", body=key.encode())))
        assert put.status == 200, (key, put)
        got = client.send(client.signed(call_of(bucket, f"GET {key}")))
        assert got.body == key.encode(), key
        assert client.send(client.signed(call_of(bucket, f"DELETE {key}"))).status == 204


BAD_NAMES = (
    "ab", "a" * 64, "Abc", "a_b", "-abc", "abc-", ".abc", "abc.", "a..b", "a.-b", "a-.b", "192.168.1.1",
    "xn--abc", "sthree-abc", "amzn-s3-demo-abc", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3",
    "abc--table-s3", "%C3%A9abc", "a%20b", "a%2Fb", "..%2Fetc", "__", "a*c", "abc%0A",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bucket_names_that_are_refused(place, name):
    """s3 rules 1.3.1 to 1.3.3; reading one of them says that there is no such bucket, or that it can be none."""
    client, _ = place
    answer = client.send(client.signed(RawCall("PUT", f"/{name}")))
    check_refusal(answer, 400, "InvalidBucketName", label=name)
    got = client.send(client.signed(RawCall("GET", f"/{name}")))
    assert (got.status, got.code) in {(404, "NoSuchBucket"), (400, "InvalidBucketName")}, got


def test_bucket_names_that_are_taken(place):
    """s3 rule 1.3.1: the longest, the shortest, and every kind of character."""
    client, _ = place
    unique = uuid.uuid4().hex
    for name in (unique[:3], unique + "a" * 31, f"1.{unique[:8]}-b.2", "1.2.3"):
        assert client.send(client.signed(RawCall("PUT", f"/{name}"))).status == 200, name
        assert client.send(client.signed(RawCall("DELETE", f"/{name}"))).status == 204, name


# --- dates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-901, 901, -86_400 * 400, 86_400 * 400])
def test_clocks_that_are_too_far_away(place, seconds):
    """s3 rule 2.2.11, both ways."""
    client, bucket = place
    answer = client.send(client.signed(call_of(bucket, "GET good"), at=shifted(seconds)))
    check_refusal(answer, 403, "RequestTimeTooSkewed")
    assert b"<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>" in answer.body


@pytest.mark.parametrize("seconds", [-840, 840])
def test_clocks_that_are_near_enough(place, seconds):
    """s3 rule 2.2.11: 15 minutes."""
    client, bucket = place
    assert (
        client.send(client.signed(call_of(bucket, "GET good"), at=shifted(seconds))).status == 200
    )


@pytest.mark.parametrize(
    ("date", "status", "code"),
    [
        (None, 403, "AccessDenied"),
        ("yesterday", 403, "AccessDenied"),
        ("20260231T000000Z", 403, "AccessDenied"),
        ("\u0662\u06600260101T000000Z", 403, "AccessDenied"),
        ("", 403, "AccessDenied"),
    ],
)
def test_dates_that_are_none(place, date, status, code):
    """s3 rule 2.2.11: no guess at what a malformed date might mean."""
    client, bucket = place
    call = client.signed(call_of(bucket, "GET good"))
    kept = tuple((n, v) for n, v in call.headers if n != "x-amz-date")
    more = () if date is None else (("x-amz-date", date),)
    with WireTo(client) as wire:
        wire.send(rendered(RawCall("GET", call.path, (), (*kept, *more))))
        check_refusal(wire.answer(), status, code)


def test_a_credential_of_another_day(place):
    """s3 rule 2.2.11: the scope must be of the day that the request names."""
    client, bucket = place
    call = client.signed(call_of(bucket, "GET good"))
    day = datetime.now(UTC).strftime("%Y%m%d")  # noqa: TID251 - the clock of a client
    headers = tuple(
        (n, v.replace(f"/{day}/", "/20200101/") if n == "authorization" else v)
        for n, v in call.headers
    )
    answer = client.send(RawCall("GET", call.path, (), headers))
    check_refusal(answer, 400, "AuthorizationHeaderMalformed")


# --- sizes and Expect ------------------------------------------------------------------------------------


def refused_uploads(client: RawClient, bucket: str) -> dict[str, tuple[RawCall, int, str]]:
    """Return uploads that are refused from their heads, with status and code."""
    length = ("content-length", "100000")
    signed = client.signed(call_of(bucket, "PUT x", [EXPECT, length]), payload="UNSIGNED-PAYLOAD")
    wrong = tuple((n, v[:-1] + "~" if n == "authorization" else v) for n, v in signed.headers)

    def made(line: str, *headers: tuple[str, str], where: str = bucket) -> RawCall:
        size = () if any(name == "content-length" for name, _ in headers) else (length,)
        call = call_of(where, line, [EXPECT, *size, *headers])
        return client.signed(call, payload="UNSIGNED-PAYLOAD")

    return {
        "signature": (RawCall("PUT", signed.path, (), wrong), 403, "SignatureDoesNotMatch"),
        "anonymous": (call_of(bucket, "PUT x", [EXPECT, length]), 403, "AccessDenied"),
        "bucket": (made("PUT x", where="no-such-bucket"), 404, "NoSuchBucket"),
        "too large": (made("PUT x", ("content-length", str(GIB_5 + 1))), 400, "EntityTooLarge"),
        "exists": (made("PUT good", ("if-none-match", "*")), 412, "PreconditionFailed"),
        "other": (made("PUT good", ("if-match", '"0"')), 412, "PreconditionFailed"),
        "absent": (made("PUT x", ("if-match", '"0"')), 404, "NoSuchKey"),
        "upload": (made("PUT x?uploadId=garbage&partNumber=1"), 404, "NoSuchUpload"),
        "not built": (made("PUT x?encryption"), 501, "NotImplemented"),
        "digest": (made("PUT x", ("content-md5", "!")), 400, "InvalidDigest"),
        "metadata": (made("PUT x", ("x-amz-meta-a", "v" * 3_000)), 400, "MetadataTooLarge"),
    }


REFUSED_UPLOADS = (
    "signature", "anonymous", "bucket", "too large", "exists", "other", "absent", "upload", "not built",
    "digest", "metadata",
)  # fmt: skip


@pytest.mark.parametrize("label", REFUSED_UPLOADS)
def test_an_upload_that_will_be_refused_is_not_asked_for(place, label):
    """s3 rule 1.6.1: the final status comes without `100 Continue`, and then the connection ends: nobody can know
    whether the body follows.
    """
    client, bucket = place
    call, status, code = refused_uploads(client, bucket)[label]
    with WireTo(client) as wire:
        wire.send(rendered(call))
        assert wire.interim() == status, label
    with WireTo(client) as wire:
        wire.send(rendered(call))
        answer = wire.answer()
        check_refusal(answer, status, code, label=label)
        assert answer.headers["connection"] == "close"
        assert wire.rest() == b""


def test_an_upload_that_is_wanted_is_asked_for(place):
    """The twin: `100 Continue` first, then the body, then the answer, then the next request."""
    client, bucket = place
    call = client.signed(call_of(bucket, "PUT x", [EXPECT], b"asked for"))
    with WireTo(client) as wire:
        wire.send(rendered(call).removesuffix(call.body))
        assert wire.interim() == 100
        assert wire.send(call.body).answer().status == 200
        gone = client.signed(call_of(bucket, "DELETE x"))
        assert wire.send(rendered(gone)).answer().status == 204


def test_an_empty_upload_is_asked_for(place):
    """s3 rule 1.6.1: the command line of AWS waits for `100 Continue` with an empty file, too, and takes the answer after a
    final status that came instead for headers: its next upload on the connection would stall for a minute.
    """
    client, bucket = place
    call = client.signed(call_of(bucket, "PUT x", [EXPECT], b""))
    with WireTo(client) as wire:
        wire.send(rendered(call))
        assert wire.interim() == 100
        assert wire.answer().status == 200
    refused = client.signed(call_of(bucket, "PUT x", [EXPECT, ("if-none-match", "*")], b""))
    with WireTo(client) as wire:
        answer = wire.send(rendered(refused)).answer()
        check_refusal(answer, 412, "PreconditionFailed")
        assert answer.headers["connection"] == "close"
        assert wire.rest() == b""
    assert client.send(client.signed(call_of(bucket, "DELETE x"))).status == 204


def test_a_put_without_any_length(place):
    """s3 rule 1.6.2."""
    client, bucket = place
    call = client.signed(call_of(bucket, "PUT x"))
    with WireTo(client) as wire:
        wire.send(rendered(call, length=False))
        check_refusal(wire.answer(), 411, "MissingContentLength")


def test_parts_that_are_too_small_stay_parts(place):
    """s3 rule 4.11.4: a refused Complete changes nothing, so that the client can go on with the upload."""
    client, bucket = place
    begun = client.send(client.signed(call_of(bucket, "POST x?uploads"))).body.decode()
    upload = begun.partition("<UploadId>")[2].partition("<")[0]
    parts = ""
    for number in (1, 2):
        line = f"PUT x?partNumber={number}&uploadId={upload}"
        put = client.send(client.signed(call_of(bucket, line, body=b"small")))
        parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{put.headers['etag']}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    answer = client.send(client.signed(call_of(bucket, f"POST x?uploadId={upload}", body=document)))
    check_refusal(answer, 400, "EntityTooSmall")
    listed = client.send(client.signed(call_of(bucket, f"GET x?uploadId={upload}")))
    assert listed.body.count(b"<Part>") == 2
    assert client.send(client.signed(call_of(bucket, f"DELETE x?uploadId={upload}"))).status == 204


def test_a_body_where_none_belongs(place):
    """s3 rule 1.6.7: writes refuse it, reads and deletes step over it; the connection stays in step either way."""
    client, bucket = place
    with WireTo(client) as wire:
        for line, status in (
            ("GET good", 200),
            ("HEAD good", 200),
            ("DELETE x", 204),
            ("POST x?uploads", 400),
        ):
            for body in (b"GET / HTTP/1.1\r\n\r\n", bytes(60_000)):
                length = ("content-length", str(len(body)))
                call = client.signed(
                    call_of(bucket, line, [length], body), payload="UNSIGNED-PAYLOAD"
                )
                assert wire.send(rendered(call)).answer(call.method).status == status, line
