"""Every operation of the table, times every form of authentication, times every way to fail it.

The rows come from the operations table itself, so a new operation is covered on the day it is added. A refusal must be the
exact code, must store nothing and must leave the connection usable.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from objstore.s3.operation import Access, Scope
from objstore.s3.operations import OPERATIONS
from objstore.testing import S3Server
from objstore.testing.raw_client import RawCall, RawClient, shifted

KEY = "guarded"
FORMS = {
    "hex": None,
    "unsigned": "UNSIGNED-PAYLOAD",
    "streaming": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "streaming-trailer": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "unsigned-trailer": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "presigned": "",
}
EXPECTED = {
    "bad signature": ("SignatureDoesNotMatch", 403),
    "unknown key": ("InvalidAccessKeyId", 403),
    "expired": ({"RequestTimeTooSkewed", "AccessDenied"}, 403),
    "unsigned header": ("AccessDenied", 403),
    "anonymous": ("AccessDenied", 403),
}
ROWS = [row for row in OPERATIONS if row.superseded_by is None]


@pytest.fixture(scope="module")
def guarded():
    """A server with one bucket and one object that no refused request may change."""
    with S3Server() as server:
        bucket = f"g-{uuid.uuid4().hex[:12]}"
        client = RawClient.of(server)
        assert client.send(client.signed(RawCall("PUT", f"/{bucket}"))).status == 200
        put = RawCall("PUT", f"/{bucket}/{KEY}", body=b"precious")
        assert client.send(client.signed(put)).status == 200
        yield client, bucket
        client.close()


def call_of(row, bucket: str) -> RawCall:
    """Build the smallest request that resolves to a row."""
    path = {Scope.SERVICE: "/", Scope.BUCKET: f"/{bucket}", Scope.OBJECT: f"/{bucket}/{KEY}"}
    query = [(name, "") for name in row.flags] + list(row.values)
    query += [(name, "1") for name in row.query]
    headers = [(name, f"/{bucket}/{KEY}") for name in row.headers]
    if row.content_type:
        headers.append(("content-type", f"{row.content_type}; boundary=x"))
    target = "/WriteGetObjectResponse" if row.name == "WriteGetObjectResponse" else path[row.scope]
    return RawCall(row.method, target, tuple(query), tuple(headers))


def spoil(client: RawClient, call: RawCall, form: str, fault: str) -> RawCall:
    """Return the call, authenticated in a form, with one fault."""
    late = shifted(-3600) if fault == "expired" else None
    signer = (
        replace(client, access_key="nobody", _connection=None) if fault == "unknown key" else client
    )
    if form == "presigned":
        made = signer.presigned(call, at=late)
    else:
        made = signer.signed(call, payload=FORMS[form], at=late)
    if fault == "bad signature":
        made = flip_signature(made)
    if fault == "unsigned header":
        made = made.with_headers(("x-amz-meta-sneaked", "in"))
    return made


def flip_signature(call: RawCall) -> RawCall:
    """Change the last digit of the signature, wherever it is."""

    def flip(text: str) -> str:
        return text[:-1] + ("0" if text[-1] != "0" else "1")

    headers = tuple((n, flip(v) if n == "authorization" else v) for n, v in call.headers)
    query = tuple((n, flip(v) if n == "X-Amz-Signature" else v) for n, v in call.query)
    return replace(call, headers=headers, query=query)


def check(answer, fault: str, method: str, label: str) -> None:
    """Compare status and, where there is a body, the code."""
    codes, status = EXPECTED[fault]
    assert answer.status == status, (label, answer.status, answer.body[:300])
    if method == "HEAD":
        assert answer.body == b"", label
        return
    assert answer.code in ({codes} if isinstance(codes, str) else codes), (label, answer.body[:300])
    assert b"<RequestId>" in answer.body, label


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", [name for name in EXPECTED if name != "anonymous"])
def test_no_operation_runs_without_a_right_signature(guarded, form, fault):
    """s3 rules 2.2 and 2.3: each fault has its own code, for every row, implemented or not."""
    client, bucket = guarded
    for row in ROWS:
        if row.access is Access.PUBLIC:
            continue
        call = spoil(client, call_of(row, bucket), form, fault)
        check(client.send(call), fault, row.method, f"{row.name} {form} {fault}")
    got = client.send(client.signed(RawCall("GET", f"/{bucket}/{KEY}")))
    assert got.body == b"precious"


def test_nobody_gets_in_without_signing(guarded):
    """s3 rule 2.1.4: anonymous callers are refused everywhere, before a bucket is looked up."""
    client, bucket = guarded
    for row in ROWS:
        if row.access is Access.PUBLIC:
            continue
        for where in (bucket, "no-such-bucket"):
            answer = client.send(call_of(row, where))
            if row.is_signed_in_form:
                # A browser's form carries its signature in a field; nothing here reads it (s3 rule 2.6.3).
                assert (answer.status, answer.code) == (501, "NotImplemented")
                continue
            check(answer, "anonymous", row.method, f"{row.name} anonymous in {where}")


def test_rows_without_a_handler_say_so(guarded):
    """s3 rule 1.4.5: a signed request for an operation that is not built gets 501 with its name, never a neighbour's effect."""
    client, bucket = guarded
    for row in ROWS:
        if row.handler is not None or row.scope is Scope.SERVICE or row.access is Access.PUBLIC:
            continue
        answer = client.send(client.signed(call_of(row, bucket)))
        assert answer.status == 501, (row.name, answer.status, answer.body[:300])
        if row.method != "HEAD":
            assert answer.code == "NotImplemented", row.name
            assert row.name.encode() in answer.body, row.name
    got = client.send(client.signed(RawCall("GET", f"/{bucket}/{KEY}")))
    assert got.body == b"precious"
