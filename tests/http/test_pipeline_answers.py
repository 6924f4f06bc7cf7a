"""Every answer of a node: its envelope, its errors, and what happens before a body is read."""

from __future__ import annotations

import hashlib

import pytest
import structlog

from objstore.api.respond import StreamAborted

BIG = bytes(range(256)) * 600


def test_every_answer_carries_the_envelope(run):
    """Success or not; the document's ids equal the headers (s3 rule 1.7.1). Date and Server are the server's to add."""

    async def story(web):
        seen = set()
        for answer in (
            await web.ask("GET", "/"),
            await web.ask("PUT", "/box/k", body=b"v"),
            await web.ask("GET", "/box/missing"),
            await web.ask("HEAD", "/nowhere"),
            await web.ask("DELETE", "/box/k"),
        ):
            headers = answer.headers
            seen.add(headers["x-amz-request-id"])
            assert len(headers["x-amz-request-id"]) == 16
            assert headers["x-amz-request-id"] == headers["x-amz-request-id"].upper()
            assert not {"server", "date"} & set(headers)
            if answer.code:
                assert answer.element("RequestId") == headers["x-amz-request-id"]
                assert answer.element("HostId") == headers["x-amz-id-2"]
        assert len(seen) == 5

    run(story)


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "status", "code"),
    [
        ("GET", "/box", (("max-keys", "x"),), (), 400, "InvalidArgument"),
        ("GET", "/box/k", (), (("x-amz-expected-bucket-owner", "0" * 12),), 403, "AccessDenied"),
        ("GET", "/box/missing", (), (), 404, "NoSuchKey"),
        ("GET", "/nowhere/k", (), (), 404, "NoSuchBucket"),
        ("DELETE", "/full", (), (), 409, "BucketNotEmpty"),
        ("PUT", "/full/k", (), (("if-none-match", "*"),), 412, "PreconditionFailed"),
        ("GET", "/full/k", (), (("range", "bytes=9-"),), 416, "InvalidRange"),
        ("GET", "/box", (("abac", ""),), (), 501, "NotImplemented"),
        ("PUT", "/full/k", (), (("x-amz-security-token", "t"),), 400, "InvalidToken"),
    ],
    ids=lambda value: value if isinstance(value, str) and value[0] != "/" else "",
)
def test_each_family_of_errors_has_its_answer(run, method, path, query, headers, status, code):
    """Clients decide by code and status (s3 rules 1.7.5, 2.2.16)."""

    async def story(web):
        await web.ask("PUT", "/full")
        await web.ask("PUT", "/full/k", body=b"v")
        answer = await web.ask(method, path, query, headers)
        assert (answer.status, answer.code) == (status, code)
        assert answer.headers["content-type"] == "application/xml"
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert b"xmlns" not in answer.body

    run(story)


def test_head_has_no_body_whatever_happens(run):
    """But the length that a GET would have (s3 rule 1.7.2)."""

    async def story(web):
        await web.ask("PUT", "/box/k", body=BIG)
        found = await web.ask("HEAD", "/box/k")
        assert (found.status, found.body) == (200, b"")
        assert found.headers["content-length"] == str(len(BIG))
        for path in ("/box/missing", "/nowhere/k"):
            answer = await web.ask("HEAD", path)
            assert (answer.status, answer.body) == (404, b"")

    run(story)


def test_nothing_is_read_before_every_check_that_needs_no_body(run):
    """A refused upload must not be sent first (s3 rule 1.6.1)."""

    async def story(web):
        await web.ask("PUT", "/box/there", body=b"v")
        web.bodies_asked = 0
        bad = web.as_user("ann-key", "wrong-secret")
        refused = [
            (await bad.ask("PUT", "/box/k", body=BIG), "SignatureDoesNotMatch"),
            (await web.ask("PUT", "/nowhere/k", body=BIG), "NoSuchBucket"),
            (
                await web.as_user("ann-key", "ann-secret-0123").ask("PUT", "/box/k", body=BIG),
                "AccessDenied",
            ),
            (
                await web.ask("PUT", "/box/there", (), (("if-none-match", "*"),), BIG),
                "PreconditionFailed",
            ),
            (await web.ask("PUT", "/box/k", (("encryption", ""),), body=BIG), "NotImplemented"),
            (
                await web.ask(
                    "PUT", "/box/k", (("tagging", ""),), (("content-md5", "x"),), b"<x/>"
                ),
                "InvalidDigest",
            ),
        ]
        assert [answer.code for answer, _ in refused] == [code for _, code in refused]
        assert web.bodies_asked + bad.bodies_asked == 0

    run(story)


def test_unknown_operation_is_named_before_the_signature_is_judged(run):
    """The row of the table says how a body is signed, so it comes first; nothing leaks by it (s3 rule 1.6.1)."""

    async def story(web):
        answer = await web.as_user("nobody", "x" * 12).ask("GET", "/nowhere/k")
        assert answer.code == "InvalidAccessKeyId"
        metrics = (await web.ask("GET", "/_/metrics")).body.decode()
        assert 'operation="GetObject",status="403"' in metrics

    run(story)


def test_anonymous_callers_are_refused(run):
    """Also for what does not exist: names are nobody's business."""

    async def story(web):
        from objstore.testing.raw_client import RawCall

        for path in ("/", "/box", "/nowhere", "/box/k"):
            answer = await web.send(RawCall("GET", path, headers=(("host", "store.example"),)))
            assert (answer.status, answer.code) == (403, "AccessDenied")

    run(story)


def test_body_where_none_belongs(run):
    """Refused with PUT, ignored with GET and DELETE (s3 rule 1.6.7)."""

    async def story(web):
        await web.ask("PUT", "/box/k", body=b"v")
        copy = (("x-amz-copy-source", "box/k"),)
        answer = await web.ask("PUT", "/box/copy", (), copy, b"surplus")
        assert answer.code == "UnexpectedContent"
        call = web.client.signed(
            type(web.signed("PUT", "/"))(
                "PUT", "/box/copy", (), (*copy, ("transfer-encoding", "chunked"))
            ),
            at=web.moment,
        )
        assert (await web.send(call, pieces=[b"surplus"])).code == "UnexpectedContent"
        assert (await web.send(call, pieces=[])).status == 200
        assert (await web.ask("DELETE", "/box/copy", body=b"surplus")).status == 204

    run(story)


def test_documents_are_bounded_and_may_not_be_empty(run):
    """S3 differs from call to call (s3 rules 1.6.4, 4.11.4)."""

    async def story(web):
        digest = (("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),)
        assert (
            await web.ask("PUT", "/box", (("tagging", ""),), digest)
        ).code == "MissingRequestBodyError"
        assert (await web.ask("POST", "/box/k", (("uploadId", "x"),))).code == "MalformedXML"
        huge = b"<CreateBucketConfiguration>" + b" " * 1_100_000
        answer = await web.ask("PUT", "/other", body=huge)
        assert answer.code == "MaxMessageLengthExceeded"
        assert (
            await web.ask("POST", "/box", (("delete", ""),), body=b"<Delete/>")
        ).code == "InvalidRequest"
        assert (await web.ask("PUT", "/other")).status == 200

    run(story)


def test_wrong_payload_stores_nothing(run):
    """The hash that was signed decides (s3 rule 2.2.10)."""

    async def story(web):
        call = web.signed("PUT", "/box/k", body=b"signed")
        answer = await web.send(call, pieces=[b"forged"])
        assert answer.code == "XAmzContentSHA256Mismatch"
        assert answer.element("S3ComputedContentSHA256") == hashlib.sha256(b"forged").hexdigest()
        assert (await web.ask("GET", "/box/k")).status == 404

    run(story)


def test_bug_of_ours_is_told_to_the_log_and_not_to_the_client(run):
    """InternalError with the request id, the traceback under the same id, once (STYLE: one broad catch)."""

    async def story(web):
        async def broken(_call, _request):
            raise RuntimeError("secret of the house")

        web.node.app._s3._handlers["get_object"] = broken
        with structlog.testing.capture_logs() as events:
            answer = await web.ask("GET", "/box/k")
        assert (answer.status, answer.code) == (500, "InternalError")
        assert b"secret" not in answer.body
        faults = [event for event in events if event["event"] == "request_fault"]
        assert [event["request_id"] for event in faults] == [answer.headers["x-amz-request-id"]]

    run(story)


def test_draining_node_takes_no_new_work(run):
    """503, so that clients try elsewhere; who is not allowed learns nothing new (s3 rule 1.7.8)."""

    async def story(web):
        web.node.readiness.begin_drain()
        answer = await web.ask("PUT", "/box/k", body=b"v")
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        assert (await web.as_user("x", "y" * 10).ask("GET", "/box")).status == 403

    run(story)


def test_headers_hoisted_into_a_presigned_query_count(run):
    """A copy by URL, metadata by URL, and a real header wins (s3 rule 2.3.8)."""

    async def story(web):
        await web.ask("PUT", "/box/k", body=b"v")
        call = web.presigned("PUT", "/box/copy", (("x-amz-copy-source", "box/k"),))
        assert b"CopyObjectResult" in (await web.send(call)).body
        query = (("x-amz-meta-a", "query"), ("x-amz-meta-b", "query"))
        call = web.presigned("PUT", "/box/m", query, (("x-amz-meta-a", "header"),))
        call = type(call)(
            call.method, call.path, call.query, (*call.headers, ("content-length", "1")), b"x"
        )
        assert (await web.send(call)).status == 200
        head = await web.ask("HEAD", "/box/m")
        assert (head.headers["x-amz-meta-a"], head.headers["x-amz-meta-b"]) == ("header", "query")
        expired = web.presigned("GET", "/box/k", expires_s=10)
        web.clock.at += 11_000
        assert (await web.send(expired)).code == "AccessDenied"

    run(story)


def test_stream_that_breaks_is_cut_and_counted(run, tmp_path):
    """After the head is out a short answer must never look complete."""

    async def story(web):
        await web.ask("PUT", "/box/k", body=bytes(300_000))
        messages = []

        async def send(message):
            messages.append(message)
            if message["type"] == "http.response.start":
                for shard in sorted(tmp_path.glob("d0/shards/*/*"))[1:]:
                    shard.unlink()

        with structlog.testing.capture_logs() as events, pytest.raises(StreamAborted):
            await web.send(web.signed("GET", "/box/k"), send=send)
        assert messages[0]["status"] == 200
        assert messages[-1]["more_body"]
        assert any(event["event"] == "request_fault" for event in events)
        metrics = (await web.ask("GET", "/_/metrics")).body.decode()
        assert 'objstore_requests_total{operation="GetObject",status="200"} 1.0' in metrics

    run(story, block_bytes=65_536)


def test_unreadable_object_is_an_error_before_the_first_byte(run, tmp_path):
    """500, never a short 200."""

    async def story(web):
        await web.ask("PUT", "/box/k", body=BIG)
        for shard in tmp_path.glob("d0/shards/*/*"):
            shard.unlink()
        answer = await web.ask("GET", "/box/k")
        assert (answer.status, answer.code) == (500, "InternalError")
        assert answer.is_complete

    run(story)
