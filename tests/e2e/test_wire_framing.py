"""Malformed HTTP over real sockets: what is refused, and in which state the connection is left.

After every refusal either the next request on the connection is answered as if nothing had happened, or the connection
ends, in order and after its answer. There is nothing between: that would be request smuggling.
"""

from __future__ import annotations

import uuid
from email.utils import parsedate_to_datetime

import pytest

from objstore.server.clock import SystemClock
from objstore.testing.raw_client import RawCall, RawClient
from objstore.testing.wire import Wire, check_refusal, rendered

GOOD = b"the good object"


@pytest.fixture
def place(server):
    """A client, and a bucket with one good object."""
    client = RawClient.of(server)
    bucket = f"w-{uuid.uuid4().hex[:12]}"
    assert client.send(client.signed(RawCall("PUT", f"/{bucket}"))).status == 200
    put = RawCall("PUT", f"/{bucket}/good", body=GOOD)
    assert client.send(client.signed(put)).status == 200
    yield client, bucket
    client.close()


def get_good(client: RawClient, bucket: str) -> bytes:
    """Return a whole signed request for the good object."""
    return rendered(client.signed(RawCall("GET", f"/{bucket}/good")))


def keys_of(client: RawClient, bucket: str) -> bytes:
    """Return the listing of the bucket."""
    return client.send(client.signed(RawCall("GET", f"/{bucket}"))).body


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("key", ["good", "missing"])
def test_every_answer_says_when_and_by_whom(server, place, method, key):
    """Clients correct their clocks by `Date`; it is in every answer, once, whatever the outcome (s3 rule 1.7.1)."""
    client, bucket = place
    with Wire(server) as wire:
        wire.send(rendered(client.signed(RawCall(method, f"/{bucket}/{key}"))))
        answer = wire.answer(method)
    now = SystemClock().now() / 1000
    assert answer.headers["server"] == "objstore"
    sent_at = parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert now - 5 < sent_at <= now + 1


MALFORMED = {
    "no http": b"\x00\x01\x02 garbage\r\n\r\n",
    "tls in the clear": bytes.fromhex("16030100c8010000c40303") + bytes(190),
    "length no number": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: abc\r\n\r\n",
    "length empty": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: \r\n\r\n",
    "length negative": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: -1\r\n\r\n",
    "length signed": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: +1\r\n\r\nx",
    "length in hex": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: 0x1\r\n\r\nx",
    "length twice": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
    "lengths differ": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "length list": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: 1, 1\r\n\r\nx",
    "length beyond 64 bits": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: 99999999999999999999\r\n\r\n",
    "length and chunked": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ncontent-length: 1\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ntransfer-encoding: chunked\r\n"
    b"content-length: 1\r\n\r\n0\r\n\r\n",
    "chunked not last": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
    "chunked twice": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ntransfer-encoding: chunked\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"PUT /B/x HTTP/1.1\r\nhost: H\r\ntransfer-encoding : chunked\r\n\r\n",
    "folded header": b"GET /B/x HTTP/1.1\r\nhost: H\r\nx-a: b\r\n c: d\r\n\r\n",
    "bare line feeds": b"GET /B/x HTTP/1.1\nhost: H\n\n",
    "carriage return in a value": b"GET /B/x HTTP/1.1\r\nhost: H\r\nx-a: b\rc\r\n\r\n",
    "NUL in a value": b"GET /B/x HTTP/1.1\r\nhost: H\r\nx-a: b\0c\r\n\r\n",
    "control character in a value": b"GET /B/x HTTP/1.1\r\nhost: H\r\nx-a: b\x01c\r\n\r\n",
    "space in a name": b"GET /B/x HTTP/1.1\r\nhost: H\r\nx a: b\r\n\r\n",
    "NUL in a name": b"GET /B/x HTTP/1.1\r\nhost: H\r\nx\0a: b\r\n\r\n",
    "empty name": b"GET /B/x HTTP/1.1\r\nhost: H\r\n: b\r\n\r\n",
    "no colon": b"GET /B/x HTTP/1.1\r\nhost: H\r\nxyz\r\n\r\n",
    "unknown method": b"BREW /B/x HTTP/1.1\r\nhost: H\r\n\r\n",
    "method in lower case": b"get /B/x HTTP/1.1\r\nhost: H\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nhost: H\r\n\r\n",
    "NUL in the target": b"GET /B/a\0b HTTP/1.1\r\nhost: H\r\n\r\n",
    "space in the target": b"GET /B/a b HTTP/1.1\r\nhost: H\r\n\r\n",
    "target of another host": b"GET http://evil.example/B/x HTTP/1.1\r\nhost: H\r\n\r\n",
}


@pytest.mark.parametrize("label", MALFORMED)
def test_malformed_http_ends_the_connection_after_a_readable_answer(server, place, label):
    """s3 rules 1.7 and 9.5: framing that two parties can read in two ways is refused, whatever follows is no request."""
    client, bucket = place
    data = MALFORMED[label].replace(b"/B/", f"/{bucket}/".encode())
    with Wire(server) as wire:
        wire.send(data.replace(b"host: H", f"host: {client.netloc}".encode()))
        wire.send(get_good(client, bucket))
        check_refusal(wire.answer(), 400, "BadRequest", label=label)
        assert GOOD not in wire.rest(), label
    assert b"<Key>x</Key>" not in keys_of(client, bucket)


REFUSED_HEADS = {
    "GET /B/%zz HTTP/1.1": (400, "InvalidURI"),
    "GET /B/%ff HTTP/1.1": (400, "InvalidURI"),
    "GET /B/%c3%28 HTTP/1.1": (400, "InvalidURI"),
    "GET /B/a%00b HTTP/1.1": (400, "InvalidURI"),
    "GET /B?prefix=%zz HTTP/1.1": (400, "InvalidURI"),
    "GET /B?prefix=%ff HTTP/1.1": (400, "InvalidURI"),
    "GET * HTTP/1.1": (400, "InvalidURI"),
    f"GET /B/{'k' * 1025} HTTP/1.1": (400, "KeyTooLongError"),
    f"HEAD /B/{'k' * 1025} HTTP/1.1": (400, ""),
    "PATCH /B/x HTTP/1.1": (405, "MethodNotAllowed"),
    "TRACE /B/x HTTP/1.1": (405, "MethodNotAllowed"),
    "PROPFIND /B/x HTTP/1.1": (405, "MethodNotAllowed"),
    "OPTIONS * HTTP/1.1": (405, "MethodNotAllowed"),
    f"GET /B/x HTTP/1.1\r\nx-a: {'v' * 9_000}": (400, "RequestHeaderSectionTooLarge"),
    f"HEAD /B/x HTTP/1.1\r\nx-a: {'v' * 9_000}": (400, ""),
    "GET /B/x HTTP/1.1" + "".join(f"\r\nh{i}: v" for i in range(2_000)): (
        400,
        "RequestHeaderSectionTooLarge",
    ),
    "GET /B/x HTTP/1.1\r\nhost: other": (400, "InvalidRequest"),
    "GET /B/x HTTP/1.1\r\nauthorization: nonsense": (400, "InvalidArgument"),
    "GET / HTTP/1.1\r\nauthorization: AWS4-HMAC-SHA256 nonsense": (
        400,
        "AuthorizationHeaderMalformed",
    ),
    "HEAD /B/x HTTP/1.1": (403, ""),
    "GET /_/ HTTP/1.1": (404, None),
}


@pytest.mark.parametrize("line", REFUSED_HEADS, ids=lambda line: line[:40])
def test_a_refused_head_leaves_the_connection_usable(server, place, line):
    """s3 rules 1.2, 1.6.6 and 9.2: the framing was sound, so the next request on the connection is answered."""
    client, bucket = place
    status, code = REFUSED_HEADS[line]
    first, _, more = line.replace("/B", f"/{bucket}", 1).partition("\r\n")
    head = "\r\n".join([first, f"host: {client.netloc}", *([more] if more else []), "", ""])
    with Wire(server) as wire:
        for _ in range(2):
            answer = wire.send(head.encode()).answer(line.split(" ")[0])
            if code is None:
                assert answer.status == status
            else:
                check_refusal(answer, status, code, label=line[:60])
        assert wire.send(get_good(client, bucket)).answer().body == GOOD


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /" + b"k" * 20_000 + b" HTTP/1.1\r\n\r\n", 414, "RequestURITooLong"),
        (b"HEAD /" + b"k" * 20_000 + b" HTTP/1.1\r\n\r\n", 414, ""),
        (b"GET / HTTP/1.1\r\nx: " + b"v" * 1_000_000, 400, "RequestHeaderSectionTooLarge"),
        (b"GET / HTTP/1.1\r\n" + b"x: v\r\n" * 200_000, 400, "RequestHeaderSectionTooLarge"),
        (b"GET /" + b"k" * 1_000_000, 400, "RequestHeaderSectionTooLarge"),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", 405, "MethodNotAllowed"),
        (b"GET /\r\n\r\n", 505, "HttpVersionNotSupported"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_heads_beyond_every_bound_are_cut_off(server, head, status, code):
    """s3 rule 1.6.6 with a bound of memory: the answer can be read although the client is still sending."""
    with Wire(server) as wire:
        check_refusal(wire.send(head).answer(head.split(b" ")[0].decode()), status, code)
        assert wire.rest() == b""


def chunked_put(client: RawClient, bucket: str) -> bytes:
    """Return the head of a PUT whose body comes in chunks of HTTP."""
    call = RawCall("PUT", f"/{bucket}/x", headers=(("transfer-encoding", "chunked"),))
    return rendered(client.signed(call, payload="UNSIGNED-PAYLOAD"))


BROKEN_CHUNKS = {
    "size no number": b"zz\r\nabc\r\n0\r\n\r\n",
    "size negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "size beyond 64 bits": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "size empty": b"\r\nabc\r\n0\r\n\r\n",
    "no line end after data": b"3\r\nabcX\r\n0\r\n\r\n",
    "bare line feeds": b"3\nabc\n0\n\n",
    "endless trailer": b"3\r\nabc\r\n0\r\nx: " + b"v" * 1_000_000,
    "endless trailers": b"3\r\nabc\r\n0\r\n" + b"x: v\r\n" * 200_000,
    "endless extension": b"3;" + b"x" * 1_000_000,
}


@pytest.mark.parametrize("label", BROKEN_CHUNKS)
def test_broken_chunks_are_an_incomplete_body(server, place, label):
    """s3 rules 1.6.2 and 9.2: nothing is stored, and what follows is not taken for a request."""
    client, bucket = place
    with Wire(server) as wire:
        wire.send(chunked_put(client, bucket) + BROKEN_CHUNKS[label])
        check_refusal(wire.answer(), 400, "IncompleteBody", label=label)
        assert wire.rest() == b""
    assert b"<Key>x</Key>" not in keys_of(client, bucket)


@pytest.mark.parametrize("coding", ["gzip", "xchunked", "identity", "chunked;q=1"])
def test_a_transfer_coding_that_tells_no_end_is_not_taken(server, place, coding):
    """RFC 9112, section 6.1: only `chunked` says where the body ends; anything else would swallow the next request."""
    client, bucket = place
    call = RawCall("PUT", f"/{bucket}/x", headers=(("transfer-encoding", coding),))
    with Wire(server) as wire:
        wire.send(rendered(client.signed(call, payload="UNSIGNED-PAYLOAD")) + b"0\r\n\r\n")
        wire.send(get_good(client, bucket))
        answer = wire.answer()
        assert answer.status in (400, 501), coding
        check_refusal(answer, answer.status, answer.code, label=coding)
        assert GOOD not in wire.rest()
    assert b"<Key>x</Key>" not in keys_of(client, bucket)


def test_trailers_of_http_are_no_headers(server, place):
    """s3 rule 2.2.7: what comes after the body is not signed, so it must not count as metadata or content type."""
    client, bucket = place
    with Wire(server) as wire:
        wire.send(chunked_put(client, bucket))
        wire.send(b"3\r\nabc\r\n0\r\ncontent-type: text/sneaked\r\nx-amz-meta-a: b\r\n\r\n")
        assert wire.answer().status == 200
        head = wire.send(rendered(client.signed(RawCall("HEAD", f"/{bucket}/x")))).answer("HEAD")
    assert head.headers["content-length"] == "3"
    assert "x-amz-meta-a" not in head.headers
    assert head.headers["content-type"] == "binary/octet-stream"


# --- several requests on one connection -----------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(server, place):
    """RFC 9112, section 9.3.2: a refusal in the middle takes nothing from its neighbours."""
    client, bucket = place
    puts = [RawCall("PUT", f"/{bucket}/p{n}", body=b"%d" % n * 1000) for n in range(3)]
    bad = RawCall("PUT", "/no-such-bucket/p", body=b"GET / HTTP/1.1\r\n\r\n" * 100)
    calls = [puts[0], bad, puts[1], RawCall("HEAD", "/no-such-bucket/p"), puts[2]]
    with Wire(server) as wire:
        wire.send(b"".join(rendered(client.signed(call)) for call in calls))
        wire.send(get_good(client, bucket))
        statuses = [wire.answer(call.method).status for call in calls]
        assert wire.answer().body == GOOD
    assert statuses == [200, 404, 200, 404, 200]
    for number, call in enumerate(puts):
        got = client.send(client.signed(RawCall("GET", call.path)))
        assert got.body == b"%d" % number * 1000


def test_a_body_that_nobody_read_is_never_a_request(server, place):
    """s3 rule 9.2: the classic of request smuggling, with bodies that are requests, short and long."""
    client, bucket = place
    inner = rendered(client.signed(RawCall("PUT", f"/{bucket}/smuggled", body=b"x")))
    for copies in (1, 50, 400, 5_000):
        call = RawCall("PUT", "/no-such-bucket/p", body=inner * copies)
        with Wire(server) as wire:
            wire.send(rendered(client.signed(call)))
            answer = wire.answer()
            check_refusal(answer, 404, "NoSuchBucket")
            if answer.headers.get("connection") == "close":
                assert wire.rest() == b""
            else:
                assert wire.send(get_good(client, bucket)).answer().body == GOOD
    assert b"smuggled" not in keys_of(client, bucket)


def test_http_1_0_gets_an_answer_and_the_end(server, place):
    """s3 rule 9.5: 1.0 clients know the end of the connection as the end of the answer."""
    client, bucket = place
    with Wire(server) as wire:
        wire.send(rendered(client.signed(RawCall("GET", f"/{bucket}/good")), version="HTTP/1.0"))
        assert wire.answer().body == GOOD
        assert wire.is_closed()


def test_an_absolute_target_names_the_same_object(server, place):
    """s3 rule 1.2.1; the signature covers the path alone."""
    client, bucket = place
    scheme = "http" if server.tls is None else "https"
    request = get_good(client, bucket).replace(
        b"GET /", f"GET {scheme}://{client.netloc}/".encode(), 1
    )
    with Wire(server) as wire:
        assert wire.send(request).answer().body == GOOD


def test_an_offer_to_upgrade_is_declined(server, place):
    """RFC 9110, section 7.8: reads and writes are served as HTTP/1.1, and so is what follows on the connection."""
    client, bucket = place
    upgrade = (("connection", "upgrade"), ("upgrade", "h2c"))
    with Wire(server) as wire:
        call = RawCall("GET", f"/{bucket}/good", headers=upgrade)
        assert wire.send(rendered(client.signed(call))).answer().body == GOOD
    chunked = ("transfer-encoding", "chunked")
    for more, body in (((), b"body"), ((chunked,), b"4\r\nbody\r\n0\r\n\r\n")):
        call = RawCall("PUT", f"/{bucket}/x", headers=(*upgrade, *more), body=body)
        with Wire(server) as wire:
            wire.send(rendered(client.signed(call, payload="UNSIGNED-PAYLOAD")) * 2)
            assert [wire.answer().status, wire.answer().status] == [200, 200]
            read = rendered(client.signed(RawCall("GET", f"/{bucket}/x")))
            assert wire.send(read).answer().body == b"body"
    call = RawCall(
        "PUT", f"/{bucket}/y", headers=(*upgrade, ("transfer-encoding", "gzip, chunked"))
    )
    with Wire(server) as wire:
        wire.send(rendered(client.signed(call, payload="UNSIGNED-PAYLOAD")))
        check_refusal(wire.answer(), 501, "NotImplemented")
    assert b"<Key>y</Key>" not in keys_of(client, bucket)


# --- ends of connections -----------------------------------------------------------------------------


def test_plain_http_on_the_https_port_does_no_harm(server, place):
    """The handshake fails, other connections do not notice."""
    client, bucket = place
    if server.tls is None:
        with Wire(server) as wire:
            wire.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
            check_refusal(wire.answer(), 400, "BadRequest")
        return
    with Wire(server, plain=True) as wire:
        wire.send(get_good(client, bucket))
        assert GOOD not in wire.rest()
    assert client.send(client.signed(RawCall("GET", f"/{bucket}/good"))).body == GOOD


def test_a_client_that_half_closes_reads_its_answers(plain_server):
    """nc, shell scripts and some proxies end a request that way; a body cut short is IncompleteBody (s3 rule 1.6.2)."""
    client = RawClient.of(plain_server)
    bucket = f"w-{uuid.uuid4().hex[:12]}"
    client.send(client.signed(RawCall("PUT", f"/{bucket}")))
    client.send(client.signed(RawCall("PUT", f"/{bucket}/good", body=GOOD)))
    with Wire(plain_server) as wire:
        wire.send(get_good(client, bucket)).half_close()
        assert wire.answer().body == GOOD
        assert wire.is_closed()
    for size in (100, 10_000_000):
        put = rendered(client.signed(RawCall("PUT", f"/{bucket}/short", body=bytes(size))))
        with Wire(plain_server) as wire:
            wire.send(put[:-1]).half_close()
            check_refusal(wire.answer(), 400, "IncompleteBody")
            assert wire.is_closed()
    with Wire(plain_server) as wire:
        wire.send(get_good(client, bucket)[:40]).half_close()
        assert wire.is_closed()
    assert b"<Key>short</Key>" not in keys_of(client, bucket)
    client.close()
