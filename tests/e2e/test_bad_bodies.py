"""Bodies that are not what they claim: framing, signatures, checksums, lengths, documents.

Each refusal has its exact code, stores nothing and leaves no file behind.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
import zlib

import pytest

from objstore.testing.data_files import NewFiles
from objstore.testing.raw_client import RawCall, RawClient
from objstore.testing.wire import ChunkSigner, Wire, check_refusal, rendered

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
BLOCKS = bytes(9 * 1024 * 1024)
"""More than two blocks, so that shards are on the drive before the fault shows."""


@pytest.fixture
def place(server):
    """A client and a bucket; at the end the bucket is empty and the drive has no file that it had not before."""
    client = RawClient.of(server)
    bucket = f"y-{uuid.uuid4().hex[:12]}"
    assert client.send(client.signed(RawCall("PUT", f"/{bucket}"))).status == 200
    files = NewFiles(server)
    yield client, bucket
    listing = client.send(client.signed(RawCall("GET", f"/{bucket}"))).body
    uploads = client.send(client.signed(RawCall("GET", f"/{bucket}", (("uploads", ""),)))).body
    client.close()
    assert b"<Key>" not in listing, "a refused body was stored"
    assert b"<Upload>" not in uploads, "a refused body opened an upload"
    files.wait_until_gone("a refused body left files")


def crc32(data: bytes) -> str:
    """Return the value of a CRC32 header."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def upload(
    client: RawClient, bucket: str, kind: str, *more: tuple[str, str], chunked: bool = True
) -> RawCall:
    """Return the signed head of a streaming upload, without a body."""
    headers = [*more]
    if chunked:
        headers.append(("transfer-encoding", "chunked"))
    if kind.endswith("-TRAILER") and not any(name == "x-amz-trailer" for name, _ in more):
        headers.append(("x-amz-trailer", "x-amz-checksum-crc32"))
    call = RawCall("PUT", f"/{bucket}/x", headers=tuple(headers))
    return client.signed(call, payload=kind)


def in_http_chunks(stream: bytes) -> bytes:
    """Put a stream into chunks of HTTP that cut across those of aws-chunked."""
    size = max(1, len(stream) // 7)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


TRAILER = f"x-amz-checksum-crc32:{crc32(b'abc')}\r\n".encode()

BAD_STREAMS = {
    "size no number": (b"zz\r\nabc\r\n0\r\n" + TRAILER + b"\r\n", "IncompleteBody"),
    "size negative": (b"-3\r\nabc\r\n0\r\n" + TRAILER + b"\r\n", "IncompleteBody"),
    "size with prefix": (b"0x3\r\nabc\r\n0\r\n" + TRAILER + b"\r\n", "IncompleteBody"),
    "size of 17 digits": (
        b"00000000000000003\r\nabc\r\n0\r\n" + TRAILER + b"\r\n",
        "IncompleteBody",
    ),
    "size with a space": (b" 3\r\nabc\r\n0\r\n" + TRAILER + b"\r\n", "IncompleteBody"),
    "size above 5 GiB": (b"ffffffffff\r\nabc", "EntityTooLarge"),
    "bare line feed": (b"3\nabc\r\n0\r\n" + TRAILER + b"\r\n", "IncompleteBody"),
    "unknown extension": (b"3;foo=bar\r\nabc\r\n0\r\n" + TRAILER + b"\r\n", "IncompleteBody"),
    "endless line": (b"3;" + b"x" * 5_000, "IncompleteBody"),
    "no line end after data": (b"3\r\nabcX0\r\n" + TRAILER + b"\r\n", "IncompleteBody"),
    "data longer than said": (b"2\r\nabc\r\n0\r\n" + TRAILER + b"\r\n", "IncompleteBody"),
    "data shorter than said": (b"9\r\nabc\r\n0\r\n", "IncompleteBody"),
    "no last chunk": (b"3\r\nabc\r\n", "IncompleteBody"),
    "cut in the last line": (b"3\r\nabc\r\n0", "IncompleteBody"),
    "nothing at all": (b"", "IncompleteBody"),
    "no trailer": (b"3\r\nabc\r\n0\r\n\r\n", "MalformedTrailerError"),
    "misnamed trailer": (
        b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n",
        "MalformedTrailerError",
    ),
    "two trailers": (b"3\r\nabc\r\n0\r\n" + TRAILER * 2 + b"\r\n", "MalformedTrailerError"),
    "a trailer too many": (
        b"3\r\nabc\r\n0\r\n" + TRAILER + b"x-amz-meta-a:b\r\n\r\n",
        "MalformedTrailerError",
    ),
    "trailer without a colon": (b"3\r\nabc\r\n0\r\nnonsense\r\n\r\n", "MalformedTrailerError"),
    "endless trailer": (
        b"3\r\nabc\r\n0\r\nx:" + b"v" * 20_000 + b"\r\n\r\n",
        "MalformedTrailerError",
    ),
    "trailer no base64": (
        b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:!!!!\r\n\r\n",
        "InvalidRequest",
    ),
    "trailer of a wrong length": (
        b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n",
        "InvalidRequest",
    ),
    "wrong checksum": (b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "BadDigest"),
    "bytes after the end": (
        b"3\r\nabc\r\n0\r\n" + TRAILER + b"\r\nGET / HTTP/1.1\r\n",
        "MalformedTrailerError",
    ),
}


@pytest.mark.parametrize("within", ["chunks", "length"])
@pytest.mark.parametrize("label", BAD_STREAMS)
def test_broken_aws_chunked_streams(server, place, label, within):
    """s3 rules 2.4.2 to 2.4.8: by themselves with a Content-Length, and inside the chunks of HTTP as boto3 sends them."""
    client, bucket = place
    stream, code = BAD_STREAMS[label]
    if within == "chunks":
        data = rendered(upload(client, bucket, UNSIGNED_TRAILER)) + in_http_chunks(stream)
    else:
        length = ("content-length", str(len(stream)))
        call = upload(client, bucket, UNSIGNED_TRAILER, length, chunked=False)
        data = rendered(call) + stream
    with Wire(server) as wire:
        check_refusal(wire.send(data).answer(), 400, code, label=label)


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ("2", "IncompleteBody"),
        ("4", "IncompleteBody"),
        ("abc", "InvalidArgument"),
        ("-1", "InvalidArgument"),
        ("", "InvalidArgument"),
        ("3.0", "InvalidArgument"),
        ("99999999999999999999999", "InvalidArgument"),
        (str(5 * 2**30 + 1), "EntityTooLarge"),
    ],
)
def test_decoded_lengths_that_are_wrong(server, place, stated, code):
    """s3 rule 2.4.4."""
    client, bucket = place
    call = upload(client, bucket, UNSIGNED_TRAILER, ("x-amz-decoded-content-length", stated))
    stream = b"3\r\nabc\r\n0\r\n" + TRAILER + b"\r\n"
    with Wire(server) as wire:
        check_refusal(wire.send(rendered(call) + in_http_chunks(stream)).answer(), 400, code)


@pytest.mark.parametrize("spoiled", range(5))
def test_each_signature_of_a_signed_stream_counts(server, place, spoiled):
    """s3 rule 2.4.5: first, middle and last chunk and the trailer; what came before is on the drive and must go."""
    client, bucket = place
    pieces = [BLOCKS[: 5 * 1024 * 1024], BLOCKS[5 * 1024 * 1024 :], b"end", b""]
    call = upload(client, bucket, SIGNED_TRAILER)
    signer = ChunkSigner(client, call)
    frames = [signer.chunk(piece) for piece in pieces]
    frames.append(signer.trailer([f"x-amz-checksum-crc32:{crc32(BLOCKS + b'end')}"]))
    frame = frames[spoiled]
    at = frame.index(b"signature") + 20
    frames[spoiled] = frame[:at] + (b"0" if frame[at : at + 1] != b"0" else b"1") + frame[at + 1 :]
    with Wire(server) as wire:
        wire.send(rendered(call) + in_http_chunks(b"".join(frames)))
        check_refusal(wire.answer(), 403, "SignatureDoesNotMatch", label=spoiled)


def test_a_right_signed_stream_is_stored_and_removed(server, place):
    """The twin of the test above: the signer of the tests is right, so the refusals are for the reason they name."""
    client, bucket = place
    call = upload(client, bucket, SIGNED_TRAILER)
    signer = ChunkSigner(client, call)
    frames = signer.chunk(b"abc") + signer.chunk(b"")
    frames += signer.trailer([f"x-amz-checksum-crc32:{crc32(b'abc')}"])
    with Wire(server) as wire:
        assert wire.send(rendered(call) + in_http_chunks(frames)).answer().status == 200
    assert client.send(client.signed(RawCall("GET", f"/{bucket}/x"))).body == b"abc"
    assert client.send(client.signed(RawCall("DELETE", f"/{bucket}/x"))).status == 204


def test_a_signed_stream_needs_its_signatures(server, place):
    """s3 rules 2.4.5 and 2.4.8: no chunk and no trailer of a signed stream goes through unsigned."""
    client, bucket = place
    with Wire(server) as wire:
        wire.send(
            rendered(upload(client, bucket, SIGNED)) + in_http_chunks(b"3\r\nabc\r\n0\r\n\r\n")
        )
        check_refusal(wire.answer(), 400, "IncompleteBody")
    call = upload(client, bucket, SIGNED_TRAILER)
    signer = ChunkSigner(client, call)
    frames = signer.chunk(b"abc") + signer.chunk(b"") + TRAILER + b"\r\n"
    with Wire(server) as wire:
        wire.send(rendered(call) + in_http_chunks(frames))
        check_refusal(wire.answer(), 400, "MalformedTrailerError")


BAD_CLAIMS = {
    "md5 no base64": (("content-md5", "!!!"), "InvalidDigest"),
    "md5 too short": (("content-md5", "AAAA"), "InvalidDigest"),
    "md5 empty": (("content-md5", ""), "InvalidDigest"),
    "md5 wrong": (("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="), "BadDigest"),
    "crc32 no base64": (("x-amz-checksum-crc32", "!!!"), "InvalidRequest"),
    "crc32 too long": (("x-amz-checksum-crc32", "AAAAAAAAAAA="), "InvalidRequest"),
    "crc32 wrong": (("x-amz-checksum-crc32", "AAAAAA=="), "BadDigest"),
    "sha256 wrong": (("x-amz-checksum-sha256", base64.b64encode(bytes(32)).decode()), "BadDigest"),
    "unknown checksum": (("x-amz-checksum-foo", "AAAA"), "InvalidRequest"),
    "algorithm without value": (("x-amz-sdk-checksum-algorithm", "CRC32"), "InvalidRequest"),
    "trailer without stream": (("x-amz-trailer", "x-amz-checksum-crc32"), "MalformedTrailerError"),
    "trailer unknown": (("x-amz-trailer", "x-amz-meta-a"), "InvalidRequest"),
}


@pytest.mark.parametrize("label", BAD_CLAIMS)
def test_wrong_digests_store_nothing(server, place, label):
    """s3 rules 3.1.1, 3.3.2, 3.3.3 and 3.3.6, for an inline object and for one of several blocks."""
    client, bucket = place
    header, code = BAD_CLAIMS[label]
    for body in (b"small", BLOCKS):
        call = RawCall("PUT", f"/{bucket}/x", headers=(header,), body=body)
        check_refusal(client.send(client.signed(call)), 400, code, label=label)
        assert client.send(client.signed(RawCall("HEAD", f"/{bucket}/x"))).status == 404


def test_a_body_of_another_hash_than_signed(server, place):
    """s3 rule 2.2.10; the document shows both values."""
    client, bucket = place
    for body in (b"small", BLOCKS):
        call = client.signed(RawCall("PUT", f"/{bucket}/x", body=body), payload="0" * 64)
        answer = client.send(call)
        check_refusal(answer, 400, "XAmzContentSHA256Mismatch")
        assert hashlib.sha256(body).hexdigest().encode() in answer.body


# --- documents ---------------------------------------------------------------------------------------

OBJECT = b"<Object><Key>a</Key></Object>"
BOMB = (
    b'<!DOCTYPE d [<!ENTITY a0 "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY a%d "%b">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
    + b"]><Delete><Object><Key>&a9;</Key></Object></Delete>"
)
BAD_DELETES = {
    "empty": (b"", "MissingRequestBodyError"),
    "blank": (b" \n ", "MalformedXML"),
    "text": (b"hello", "MalformedXML"),
    "not closed": (b"<Delete>" + OBJECT, "MalformedXML"),
    "two roots": (b"<Delete>" + OBJECT + b"</Delete><Delete/>", "MalformedXML"),
    "text after the root": (b"<Delete>" + OBJECT + b"</Delete>x", "MalformedXML"),
    "DTD": (b"<!DOCTYPE Delete><Delete>" + OBJECT + b"</Delete>", "MalformedXML"),
    "entity bomb": (BOMB, "MalformedXML"),
    "external entity": (
        b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><Delete>&x;</Delete>',
        "MalformedXML",
    ),
    "parameter entity": (
        b'<!DOCTYPE d [<!ENTITY % x SYSTEM "http://127.0.0.1:1/">%x;]><Delete/>',
        "MalformedXML",
    ),
    "unknown entity": (b"<Delete><Object><Key>&x;</Key></Object></Delete>", "MalformedXML"),
    "deep": (b"<Delete>" * 50_000, "MalformedXML"),
    "wrong root": (b"<Other>" + OBJECT + b"</Other>", "MalformedXML"),
    "foreign namespace": (b'<Delete xmlns="http://evil/">' + OBJECT + b"</Delete>", "MalformedXML"),
    "no object": (b"<Delete/>", "MalformedXML"),
    "no key": (b"<Delete><Object/></Delete>", "MalformedXML"),
    "empty key": (b"<Delete><Object><Key/></Object></Delete>", "MalformedXML"),
    "two keys": (b"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>", "MalformedXML"),
    "1,001 objects": (b"<Delete>" + OBJECT * 1_001 + b"</Delete>", "MalformedXML"),
    "10,000 objects": (b"<Delete>" + OBJECT * 10_000 + b"</Delete>", "MalformedXML"),
    "NUL": (b"<Delete><Object><Key>a\0</Key></Object></Delete>", "MalformedXML"),
    "NUL by reference": (b"<Delete><Object><Key>a&#0;</Key></Object></Delete>", "MalformedXML"),
    "no UTF-8": (b"<Delete><Object><Key>\xff</Key></Object></Delete>", "MalformedXML"),
    "half a UTF-16": ("<Delete/>".encode("utf-16")[:-1], "MalformedXML"),
    "unknown encoding": (b'<?xml version="1.0" encoding="x"?><Delete/>', "MalformedXML"),
    "quiet is no boolean": (
        b"<Delete><Quiet>maybe</Quiet>" + OBJECT + b"</Delete>",
        "MalformedXML",
    ),
    "key of 1,025 bytes": (
        b"<Delete><Object><Key>" + b"k" * 1025 + b"</Key></Object></Delete>",
        "KeyTooLongError",
    ),
    "over 2 MiB": (b"<Delete>" + OBJECT * 80_000 + b"</Delete>", "MaxMessageLengthExceeded"),
    "over 2 MiB of blanks": (b"<Delete>" + b" " * 3_000_000, "MaxMessageLengthExceeded"),
}


@pytest.mark.parametrize("label", BAD_DELETES)
def test_documents_that_delete_nothing(server, place, label):
    """s3 rules 1.6.4, 4.14.3 and 4.14.5: whatever is wrong with the document, no key of it is deleted."""
    client, bucket = place
    assert client.send(client.signed(RawCall("PUT", f"/{bucket}/a", body=b"kept"))).status == 200
    body, code = BAD_DELETES[label]
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    call = RawCall("POST", f"/{bucket}", (("delete", ""),), (("content-md5", digest),), body)
    check_refusal(client.send(client.signed(call)), 400, code, label=label)
    chunks = replace_length(client, call)
    with Wire(server) as wire:
        check_refusal(wire.send(chunks).answer(), 400, code, label=label)
    assert client.send(client.signed(RawCall("GET", f"/{bucket}/a"))).body == b"kept"
    client.send(client.signed(RawCall("DELETE", f"/{bucket}/a")))


def replace_length(client: RawClient, call: RawCall) -> bytes:
    """Return the same request with its body in chunks, so that no length is announced."""
    chunked = call.with_headers(("transfer-encoding", "chunked"))
    head = client.signed(chunked, payload="UNSIGNED-PAYLOAD")
    return rendered(head).removesuffix(call.body) + in_http_chunks(call.body)


def test_a_large_document_is_refused_before_it_is_sent(server, place):
    """s3 rules 1.6.1 and 1.6.4: the length is announced, so nobody has to read it."""
    client, bucket = place
    headers = (
        ("content-length", "100000000"),
        ("expect", "100-continue"),
        ("content-md5", "A" * 22 + "=="),
    )
    call = RawCall("POST", f"/{bucket}", (("delete", ""),), headers)
    with Wire(server) as wire:
        wire.send(rendered(client.signed(call, payload="UNSIGNED-PAYLOAD")))
        assert wire.interim() == 400
