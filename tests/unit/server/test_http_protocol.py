"""The HTTP protocol under well-behaved, clumsy and hostile clients."""

from __future__ import annotations

import asyncio
import re

import pytest

from objstore.server.http_exchange import BodyEnd
from objstore.server.http_protocol import DRAIN_BYTES_MAX, HEAD_BYTES_MAX, LINGER_S

GET = b"GET /bucket/key HTTP/1.1\r\nHost: h\r\n\r\n"


def put(length: int, *more: bytes) -> bytes:
    """Return the head of an upload."""
    lines = [b"PUT /b/k HTTP/1.1", b"Host: h", b"Content-Length: %d" % length, *more, b"", b""]
    return b"\r\n".join(lines)


async def answer(send, body: bytes = b"hello", status: int = 200, headers=()) -> None:
    """Send a complete answer."""
    head = [(b"Content-Length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def hello(scope, receive, send) -> None:
    """Answer without looking at the body."""
    await answer(send)


def test_head_and_small_body_leave_in_one_write(connect) -> None:
    """Two segments wait for each other on slow paths: a peer answered small GETs in 44 ms because of it."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(GET)
        assert len(wire.transport.writes) == 1
        assert wire.output.endswith(b"\r\n\r\nhello")

    asyncio.run(scenario())


def test_header_names_keep_their_spelling(connect) -> None:
    """Some clients compare `ETag` case-sensitively (s3 rule 1.7.10)."""

    async def app(scope, receive, send) -> None:
        await answer(send, headers=[(b"ETag", b'"x"')])

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(GET)
        assert b'\r\nETag: "x"\r\n' in wire.output

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bodies_may_be_any_buffer(connect, kind) -> None:
    """Blocks come from the drive as memoryviews; converting each would copy it."""

    async def app(scope, receive, send) -> None:
        await answer(send, body=kind(b"z" * 100_000))

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(GET)
        assert wire.output.endswith(b"\r\n\r\n" + b"z" * 100_000)

    asyncio.run(scenario())


def test_head_request_gets_length_and_no_body(connect) -> None:
    """A stray body after HEAD desynchronises the client's pool (s3 rule 9.3)."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(b"HEAD /b/k HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"Content-Length: 5\r\n" in wire.output
        assert wire.output.endswith(b"\r\n\r\n")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("target", "raw_path", "query"),
    [
        (b"/b//k/../x", b"/b//k/../x", b""),
        (b"/b/a%2Fb?x=%20&y", b"/b/a%2Fb", b"x=%20&y"),
        (b"/b/k?a?b", b"/b/k", b"a?b"),
        (b"http://h:1/b/k?q", b"/b/k", b"q"),
        (b"http://H:1", b"/", b""),
        (b"/b/\xc3\xa9", b"/b/%C3%A9", b""),
        (b"/b/\xff%41", b"/b/%FF%41", b""),
    ],
)
def test_targets_arrive_as_they_were_sent(connect, target, raw_path, query) -> None:
    """Signatures are computed over the target as sent; raw bytes must not break it (s3 rules 1.2.1 to 1.2.4)."""
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append((scope["raw_path"], scope["query_string"]))
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(b"GET " + target + b" HTTP/1.1\r\nHost: h:1\r\n\r\n")
        assert wire.statuses == [200]

    asyncio.run(scenario())
    assert seen == [(raw_path, query)]


def test_raw_bytes_in_headers_stay_when_the_head_comes_in_pieces(connect) -> None:
    """Only the request line is escaped: metadata may hold raw UTF-8."""
    seen = []

    async def app(scope, receive, send) -> None:
        seen.extend(scope["headers"])
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(b"GET /b HTTP/1.1\r", b"\nHost: h\r\n", b"x-amz-meta-a: \xc3\xa9\r\n\r\n")

    asyncio.run(scenario())
    assert (b"x-amz-meta-a", b"\xc3\xa9") in seen


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        put(3, b"Content-Length: 3"),
        put(3, b"Transfer-Encoding: chunked"),
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_http_is_refused_in_xml_and_ends_the_connection(connect, head) -> None:
    """Ambiguous framing is how requests are smuggled (s3 rule 9.5); S3 clients read errors as XML (rule 1.7.5)."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(head)
        assert wire.statuses == [400]
        assert b"<Code>BadRequest</Code>" in wire.output
        assert b"Connection: close\r\n" in wire.output
        assert wire.transport.is_half_closed

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"GET /" + b"k" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    ],
)
def test_requests_that_no_store_takes_are_refused(connect, request_bytes, status) -> None:
    """Tunnels, other protocol versions and endless targets never reach the application."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(request_bytes)
        assert wire.statuses == [status]

    asyncio.run(scenario())


def test_head_beyond_the_s3_limit_reaches_the_application(connect) -> None:
    """S3's own answer for more than 8 KiB needs a request id, so it is the application's (s3 rule 1.6.6)."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 20_000 + b"\r\n\r\n")
        assert wire.statuses == [200]

    asyncio.run(scenario())


def test_endless_head_is_cut_at_its_bound(connect) -> None:
    """A head is held in memory until it is complete, so it needs a bound of its own."""

    async def scenario() -> None:
        wire = connect(hello)
        piece = b"A: " + b"a" * 8000 + b"\r\n"
        await wire.send(b"GET / HTTP/1.1\r\nHost: h\r\n", *[piece] * (HEAD_BYTES_MAX // 8000 + 1))
        assert wire.statuses == [400]
        assert b"RequestHeaderSectionTooLarge" in wire.output

    asyncio.run(scenario())


def test_continue_is_sent_at_the_first_read_only(connect) -> None:
    """Refusals that need no body must come before the body (s3 rule 1.6.1)."""
    events = []

    async def app(scope, receive, send) -> None:
        events.append("before")
        message = await receive()
        events.append(message["body"])
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(put(2, b"Expect: 100-continue"))
        assert wire.output == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(b"ok")
        assert wire.statuses == [100, 200]

    asyncio.run(scenario())
    assert events == ["before", b"ok"]


def test_an_empty_body_is_continued_too(connect) -> None:
    """Older botocore (and the command line of AWS) waits for it, and misreads the next answer on the connection if a final
    status came instead: an upload of an empty file would stall the next upload for a minute.
    """

    async def app(_scope, receive, send) -> None:
        await receive()
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(put(0, b"Expect: 100-continue"), GET)
        assert wire.statuses == [100, 200, 200]
        assert not wire.transport.is_closed

    asyncio.run(scenario())


@pytest.mark.parametrize("length", [0, 2])
def test_refusal_instead_of_continue_ends_the_connection(connect, length) -> None:
    """Nobody can tell whether the next bytes are the body or a request, so there is no next request."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(put(length, b"Expect: 100-continue"))
        assert wire.statuses == [200]
        assert b"Connection: close\r\n" in wire.output
        await wire.send(GET)
        assert wire.statuses == [200]

    asyncio.run(scenario())


def test_short_unread_body_is_dropped_and_the_connection_lives(connect) -> None:
    """Opening a new connection costs the client more than sending a few more bytes (s3 rule 9.2)."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(put(100))
        await wire.send(b"GET /smuggled HTTP/1.1\r\n\r\n".ljust(100), GET)
        assert wire.statuses == [200, 200]
        assert not wire.transport.is_closed

    asyncio.run(scenario())


def test_long_unread_body_lingers_and_ends_the_connection(connect) -> None:
    """Closing at once would reset the connection and destroy the refusal on its way (s3 rule 9.2)."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(put(10 * DRAIN_BYTES_MAX))
        assert b"Connection: close\r\n" in wire.output
        assert wire.transport.is_half_closed
        await wire.send(GET * 100)
        assert wire.statuses == [200]
        assert not wire.transport.is_closed
        wire.pass_time(LINGER_S + 1)
        assert wire.transport.is_closed

    asyncio.run(scenario())


def test_chunked_unread_body_ends_the_connection(connect) -> None:
    """A body without a length has no bound to drain to."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b"Connection: close\r\n" in wire.output
        assert wire.transport.is_half_closed

    asyncio.run(scenario())


def test_body_arrives_whole_and_reading_pauses_when_nobody_takes_it(connect) -> None:
    """A slow drive must slow the client down, not fill the memory."""
    gate = asyncio.Event()
    got = bytearray()

    async def app(scope, receive, send) -> None:
        await gate.wait()
        more = True
        while more:
            message = await receive()
            got.extend(message["body"])
            more = message["more_body"]
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(put(600_000), *[b"x" * 100_000] * 4)
        assert wire.transport.is_reading_paused
        gate.set()
        await wire.settle()
        assert not wire.transport.is_reading_paused
        await wire.send(b"x" * 200_000)
        assert wire.statuses == [200]

    asyncio.run(scenario())
    assert bytes(got) == b"x" * 600_000


def test_broken_chunk_framing_is_told_to_the_application_which_still_answers(connect) -> None:
    """The client's fault deserves an answer; silence would look like a fault of ours."""
    seen = []

    async def app(scope, receive, send) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                seen.append(message["cause"])
                break
        await answer(send, b"broken", status=400)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(
            b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"5\r\nhello\r\n",
            b"zz\r\n",
        )
        assert wire.statuses == [400]
        assert wire.transport.is_half_closed

    asyncio.run(scenario())
    assert seen == ["broken"]


def test_client_gone_ends_reading_and_streaming(connect) -> None:
    """An answer that nobody reads must not be produced to its end."""
    seen = []

    async def app(scope, receive, send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"99")]}
        )
        message = await receive()
        seen.append(message)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        seen.append("sent")

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(put(5))
        wire.protocol.connection_lost(None)
        await wire.settle()

    asyncio.run(scenario())
    assert seen == [{"type": "http.disconnect", "cause": "gone"}]


def test_large_pieces_of_a_body_are_handed_over_one_by_one(connect) -> None:
    """Joining them would copy the body once more; small ones are joined, because a message costs more than their copy."""
    gate, got = asyncio.Event(), []

    async def app(scope, receive, send) -> None:
        await gate.wait()
        while not got or got[-1][1]:
            message = await receive()
            got.append((bytes(message["body"][:1]) * len(message["body"]), message["more_body"]))
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(put(80_020), b"a" * 40_000, b"b" * 40_000, b"c" * 10, b"c" * 10)
        gate.set()
        await wire.settle()
        assert wire.statuses == [200]

    asyncio.run(scenario())
    assert got == [(b"a" * 40_000, True), (b"b" * 40_000, True), (b"c" * 20, False)]


def test_receive_waits_after_the_end_of_the_body(connect) -> None:
    """Frameworks wait for a disconnect this way; answering at once would make them spin."""

    async def app(scope, receive, send) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())  # noqa: TID251 - cancelled below
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await answer(send, b"waits" if not waiting.done() else b"spins")
        waiting.cancel()

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(GET)
        assert wire.output.endswith(b"waits")

    asyncio.run(scenario())


@pytest.mark.parametrize(("announced", "sent"), [(b"4", b"12345"), (b"6", b"12345")])
def test_answer_of_another_length_than_announced_is_never_a_success(
    connect, announced, sent
) -> None:
    """A wrong length must reach the client as a failure, not as a short or long 200."""

    async def app(scope, receive, send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"Content-Length", announced)],
            }
        )
        await send({"type": "http.response.body", "body": sent})

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(GET)
        assert wire.statuses == [500]
        assert wire.transport.is_closed

    asyncio.run(scenario())


def test_stream_that_fails_is_cut(connect) -> None:
    """After the first byte of a 200 only the cut tells the client that it does not have everything."""

    async def app(scope, receive, send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"9")]}
        )
        await send({"type": "http.response.body", "body": b"123", "more_body": True})
        raise ValueError

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(GET)
        assert wire.output.endswith(b"\r\n\r\n123")
        assert wire.transport.is_aborted

    asyncio.run(scenario())


def test_bug_before_the_answer_is_an_internal_error_in_xml(connect) -> None:
    """SDKs retry a 500 with an S3 document and log its code (s3 rule 1.7.7)."""

    async def app(scope, receive, send) -> None:
        raise ValueError

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(GET)
        assert wire.statuses == [500]
        assert b"<Code>InternalError</Code>" in wire.output

    asyncio.run(scenario())


def test_line_break_in_a_header_value_never_reaches_the_wire(connect) -> None:
    """Values may come from users: a line break would let them write headers of their own."""

    async def app(scope, receive, send) -> None:
        await answer(send, headers=[(b"x-amz-meta-a", b"1\r\nSet-Cookie: a=b")])

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(GET)
        assert b"Set-Cookie" not in wire.output
        assert wire.statuses == [500]

    asyncio.run(scenario())


def test_pipelined_requests_are_answered_in_order(connect) -> None:
    """HTTP/1.1 allows it and load generators do it."""
    gates = {"/1": asyncio.Event(), "/2": asyncio.Event()}

    async def app(scope, receive, send) -> None:
        await gates[scope["path"]].wait()
        await answer(send, scope["path"].encode())

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        gates["/2"].set()
        await wire.settle()
        assert wire.output == b""
        gates["/1"].set()
        await wire.settle()
        assert re.findall(rb"\r\n\r\n(/\d)", wire.output) == [b"/1", b"/2"]

    asyncio.run(scenario())


def test_slow_head_is_cut_although_bytes_keep_coming(connect) -> None:
    """A byte a second would otherwise hold a connection for ever."""

    async def scenario() -> None:
        wire = connect(hello, head_timeout_s=10)
        await wire.send(b"GET / HTTP/1.1\r\n")
        for _ in range(9):
            wire.pass_time(1)
            await wire.send(b"A: b\r\n")
        assert not wire.transport.is_closed
        wire.pass_time(2)
        assert wire.transport.is_closed

    asyncio.run(scenario())


def test_silent_and_idle_connections_are_closed(connect) -> None:
    """Connections are limited, so unused ones have to be given back."""

    async def scenario() -> None:
        silent = connect(hello, head_timeout_s=10)
        silent.pass_time(11)
        assert silent.transport.is_closed
        idle = connect(hello, idle_timeout_s=30)
        await idle.send(GET)
        idle.pass_time(29)
        assert not idle.transport.is_closed
        idle.pass_time(2)
        assert idle.transport.is_closed

    asyncio.run(scenario())


def test_stalled_upload_is_told_and_answered(connect) -> None:
    """The answer names the fault; the bytes that never come must not hold the upload's memory."""
    seen = []

    async def app(scope, receive, send) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        seen.append(message["cause"])
        await answer(send, status=400)

    async def scenario() -> None:
        wire = connect(app, stall_timeout_s=10)
        await wire.send(put(100), b"a")
        wire.pass_time(1)
        wire.pass_time(9)
        await wire.send(b"b")
        wire.pass_time(9)
        assert not seen
        wire.pass_time(11)
        await wire.settle()
        assert wire.statuses == [400]

    asyncio.run(scenario())
    assert seen == ["stalled"]


def test_client_that_does_not_read_is_cut(connect) -> None:
    """Its answer would hold memory for as long as it likes."""

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})

    async def scenario() -> None:
        wire = connect(app, stall_timeout_s=10)
        wire.transport.unsent_bytes = 1000
        wire.protocol.pause_writing()
        await wire.send(GET)
        wire.pass_time(1)
        wire.pass_time(9)
        assert not wire.transport.is_aborted
        wire.pass_time(2)
        assert wire.transport.is_aborted
        wire.protocol.connection_lost(None)
        await wire.settle()

    asyncio.run(scenario())


def test_connections_beyond_the_limit_are_told_to_slow_down(connect) -> None:
    """A 503 SlowDown makes SDKs back off and retry (s3 rule 1.7.8); silence would look like an outage."""

    async def scenario() -> None:
        first = connect(hello, connections_max=1)
        second = connect(hello, connections_max=1)
        assert second.statuses == [503]
        assert b"<Code>SlowDown</Code>" in second.output
        await first.send(GET)
        assert first.statuses == [200]

    asyncio.run(scenario())


def test_upgrade_is_ignored_and_answered_as_http_1(connect) -> None:
    """Java's client offers h2c with every request; the offer may be declined in silence."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert wire.statuses == [200]

    asyncio.run(scenario())


def test_http_1_0_gets_its_answer_and_the_end_of_the_connection(connect) -> None:
    """Old tools speak it (s3 rule 9.5); they know neither chunks nor keeping alive."""

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"all"})

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(b"GET / HTTP/1.0\r\n\r\n")
        assert wire.output.endswith(b"\r\n\r\nall")
        assert b"chunked" not in wire.output
        assert wire.transport.is_closed

    asyncio.run(scenario())


def test_shutdown_lets_the_request_in_flight_finish(connect) -> None:
    """Draining must not cost a client its answer."""
    gate = asyncio.Event()

    async def app(scope, receive, send) -> None:
        await gate.wait()
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(GET)
        wire.protocol.shutdown()
        assert not wire.transport.is_closed
        gate.set()
        await wire.settle()
        assert wire.statuses == [200]
        assert b"Connection: close\r\n" in wire.output
        assert wire.transport.is_closed

    asyncio.run(scenario())


def test_an_absolute_target_for_another_host_is_refused(connect) -> None:
    """Two parties that each believe another authority disagree about what is asked (RFC 9112, section 3.2.2)."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(b"HEAD http://evil/b/k HTTP/1.1\r\nHost: h\r\n\r\n")
        assert wire.statuses == [400]
        assert wire.output.endswith(b"\r\n\r\n"), "an answer to HEAD has no body"

    asyncio.run(scenario())


def test_headers_after_a_chunked_body_are_no_headers_of_the_request(connect) -> None:
    """What comes after the body was not judged with the head: nobody checked that it is signed (s3 rule 2.2.7)."""
    seen = []

    async def app(scope, receive, send) -> None:
        seen.extend(name for name, _ in scope["headers"])
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        head = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        await wire.send(head + b"1\r\nx\r\n0\r\nContent-Type: sneaked\r\n\r\n")
        assert wire.statuses == [200]

    asyncio.run(scenario())
    assert seen == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize("tail", [b"1;", b"1\r\nx\r\n0\r\na: "])
def test_chunk_extensions_and_trailers_are_bounded(connect, tail) -> None:
    """They are no body, so no limit of the application sees them; without a bound one of them fills the memory."""
    ends = []

    async def app(scope, receive, send) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        ends.append(message.get("cause"))
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + tail)
        await wire.send(*[b"x" * 16_384] * 5)
        assert wire.statuses == [200]
        assert b"Connection: close" in wire.output

    asyncio.run(scenario())
    assert ends == [BodyEnd.BROKEN]


@pytest.mark.parametrize(
    ("request_bytes", "ends"),
    [(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", []), (put(3) + b"ab", [BodyEnd.BROKEN])],
)
def test_a_client_that_closes_its_half_still_gets_its_answer(connect, request_bytes, ends) -> None:
    """Half-closing is how simple clients say that a request is complete; a body cut short is still an error to tell."""
    seen = []

    async def app(scope, receive, send) -> None:
        await asyncio.sleep(0)
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        seen.extend([message["cause"]] if "cause" in message else [])
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        wire.protocol.data_received(request_bytes)
        assert wire.protocol.eof_received(), "the transport must stay open for the answer"
        await wire.settle()
        assert wire.statuses == [200]
        assert wire.transport.is_closing(), "there is nothing to wait for"

    asyncio.run(scenario())
    assert seen == ends


def test_half_a_head_and_nothing_more_gets_no_answer(connect) -> None:
    """There is no request to answer; the transport closes by itself."""

    async def scenario() -> None:
        wire = connect(hello)
        await wire.send(b"GET / HTTP/1.1\r\nHost")
        assert not wire.protocol.eof_received()
        assert wire.statuses == []

    asyncio.run(scenario())


def test_the_queue_of_pipelined_requests_is_emptied_before_more_is_read(connect) -> None:
    """Each answer used to let in a read full of further requests: a client that pipelines without end filled the memory."""
    gates: list[asyncio.Event] = []

    async def app(scope, receive, send) -> None:
        gates.append(asyncio.Event())
        await gates[-1].wait()
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        await wire.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 3)
        paused = []
        for number in range(3):
            paused.append(wire.transport.is_reading_paused)
            gates[number].set()
            await wire.settle()
        paused.append(wire.transport.is_reading_paused)
        assert paused == [True, True, False, False], "the last one may need its body read"
        assert wire.statuses == [200, 200, 200]

    asyncio.run(scenario())


def test_one_task_answers_a_connection_and_is_in_flight_only_meanwhile(connect, state) -> None:
    """Draining waits for the tasks in flight: a connection at rest must not be one, and must end with its client."""
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append((asyncio.current_task(), len(state.tasks)))
        await answer(send)

    async def scenario() -> None:
        wire = connect(app)
        for _ in range(3):
            await wire.send(GET)
            assert not state.tasks
        await wire.send(GET + GET)
        assert wire.statuses == [200] * 5
        assert {count for _, count in seen} == {1}
        (task,) = {task for task, _ in seen}
        assert not task.done()
        wire.protocol.connection_lost(None)
        await wire.settle()
        assert task.done()
        assert task.exception() is None

    asyncio.run(scenario())


def test_a_request_that_fails_leaves_the_next_ones_alone(connect, state) -> None:
    """The task of the connection outlives what goes wrong in an answer."""
    answers = iter([True, False, True])

    async def app(scope, receive, send) -> None:
        if not next(answers):
            raise RuntimeError("a bug")
        await answer(send)

    async def scenario() -> None:
        wire, other = connect(app), connect(app)
        await wire.send(GET)
        await wire.send(GET)
        assert wire.statuses == [200, 500]
        await other.send(GET)
        assert other.statuses == [200]
        for each in (wire, other):
            each.protocol.connection_lost(None)
        await wire.settle()
        assert not state.tasks

    asyncio.run(scenario())
