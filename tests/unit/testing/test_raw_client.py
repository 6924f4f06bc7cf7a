"""The client that hides nothing: it signs as the specification says and sends what it is told."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from objstore.testing.raw_client import EMPTY_SHA256, RawAnswer, RawCall, RawClient, shifted
from objstore.testing.server import S3Server

AT = datetime(2013, 5, 24, tzinfo=UTC)


def example_client():
    """Return a client with the keys of the published examples of Signature Version 4."""
    return RawClient(
        "examplebucket.s3.amazonaws.com",
        80,
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )


def test_signature_is_that_of_botocore():
    """An independent signer must agree, or the tests of the wire would prove nothing."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    client = example_client()
    call = RawCall(
        "GET", "/test.txt", (("a b", "c/d"), ("list-type", "2")), (("range", "bytes=0-9"),)
    )
    signed = client.signed(call, at=shifted(0))
    headers = dict(signed.headers)
    request = AWSRequest(
        "GET",
        f"http://{client.netloc}/test.txt?{call.query_string}",
        headers={"range": "bytes=0-9", "host": client.netloc, "x-amz-content-sha256": EMPTY_SHA256},
    )
    auth = S3SigV4Auth(Credentials(client.access_key, client.secret_key), "s3", "us-east-1")
    request.context["timestamp"] = headers["x-amz-date"]
    request.headers["X-Amz-Date"] = headers["x-amz-date"]
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    assert headers["authorization"].endswith(f"Signature={signature}")


def test_unsigned_headers_come_after_the_signature():
    """So that a test can send a header that nobody vouched for."""
    signed = example_client().signed(
        RawCall("GET", "/"), at=AT, unsigned=[("x-amz-acl", "private")]
    )
    assert signed.headers[-1] == ("x-amz-acl", "private")
    authorization = dict(signed.headers)["authorization"]
    assert "x-amz-acl" not in authorization
    assert "host;x-amz-content-sha256;x-amz-date" in authorization


def test_payload_may_be_stated_falsely():
    """Or not at all: the line is signed as it is given."""
    client = example_client()
    call = RawCall("PUT", "/k", body=b"data")
    true = dict(client.signed(call, at=AT).headers)
    false = dict(client.signed(call, at=AT, payload="UNSIGNED-PAYLOAD").headers)
    assert true["x-amz-content-sha256"] == hashlib.sha256(b"data").hexdigest()
    assert false["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert true["authorization"] != false["authorization"]


def test_presigned_query_ends_with_the_signature():
    """Nothing of it stands in a header but the host."""
    call = example_client().presigned(
        RawCall("GET", "/k", (("versionId", "1"),)), expires_s=60, at=AT
    )
    names = [name for name, _ in call.query]
    assert names[0] == "versionId"
    assert names[-1] == "X-Amz-Signature"
    assert dict(call.query)["X-Amz-Expires"] == "60"
    assert [name for name, _ in call.headers] == ["host"]


def test_code_of_an_answer():
    """What most tests look at; empty where there is none."""
    assert RawAnswer(404, {}, b"<Error><Code>NoSuchKey</Code></Error>").code == "NoSuchKey"
    assert RawAnswer(200, {}, b"\xff\xfe").code == ""


@pytest.fixture(scope="module")
def server():
    """One server for the tests that send."""
    with S3Server(buckets=["box"]) as running:
        yield running


def test_calls_arrive_as_they_are(server):
    """Over one connection, again after it was closed, with keys that are no paths."""
    client = RawClient.of(server)
    try:
        put = client.signed(RawCall("PUT", "/box/a%20b//c", body=b"bytes"))
        assert client.send(put).status == 200
        answer = client.send(client.signed(RawCall("GET", "/box/a%20b//c")))
        assert (answer.status, answer.body) == (200, b"bytes")
        client.close()
        client.close()
        presigned = client.presigned(RawCall("GET", "/box/a%20b//c"))
        assert client.send(presigned).body == b"bytes"
        stale = client.signed(RawCall("GET", "/box"), at=shifted(-3600))
        assert client.send(stale).code == "RequestTimeTooSkewed"
        assert client.send(RawCall("GET", "/box")).code == "AccessDenied"
    finally:
        client.close()


def test_server_that_is_gone_is_an_error():
    """And the next call connects anew."""
    gone = S3Server()
    try:
        client = RawClient.of(gone)
        with pytest.raises(OSError):
            client.send(client.signed(RawCall("GET", "/")))
        assert client._connection is None
    finally:
        gone.close()
