"""The 25 rules that servers most often get wrong, each as a test of its number: rules 1 to 13 (the wire).

Each test restates its rule. Where a rule speaks of a feature that this server does not have, the test holds that the feature
is refused with its code and never ignored.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import zlib
from xml.etree import ElementTree as ET

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from objstore.testing.raw_client import RawCall, shifted
from objstore.testing.wire import ChunkSigner, Wire, check_refusal, rendered

UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
EXPECT = ("expect", "100-continue")
MIB = 1024 * 1024


def crc32(data: bytes) -> str:
    """Return the text of a CRC32."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def error_of(excinfo) -> tuple[str, int]:
    """Return S3 code and HTTP status of a client error."""
    response = excinfo.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


# --- 1 to 6: digests and streams -------------------------------------------------------------------------------


DELETE = b"<Delete><Object><Key>k</Key></Object></Delete>"
TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
DOCUMENTS = {
    "POST ?delete": (DELETE, 200, ""),
    "PUT ?tagging": (TAGS, 204, ""),
    "PUT k?tagging": (TAGS, 200, ""),
    "PUT ?lifecycle": (b"<LifecycleConfiguration/>", 501, "NotImplemented"),
    "PUT ?policy": (b"{}", 501, "NotImplemented"),
    "PUT ?cors": (b"<CORSConfiguration/>", 501, "NotImplemented"),
    "PUT ?object-lock": (b"<ObjectLockConfiguration/>", 501, "NotImplemented"),
    "PUT k?retention": (b"<Retention/>", 400, "InvalidRequest"),
    "PUT k?legal-hold": (b"<LegalHold/>", 400, "InvalidRequest"),
}


@pytest.mark.parametrize("line", DOCUMENTS)
def test_rule_01_a_checksum_takes_the_place_of_content_md5(place, line):
    """Rule 1: SDKs since 2025 send `x-amz-checksum-crc32` and no Content-MD5 with documents. Both are taken, and CRC32C,
    SHA1, SHA256; a wrong one is refused; DeleteObjects needs one of them (3.1.2). What is not built says so, and not "MD5".
    """
    body, status, code = DOCUMENTS[line]
    digests = [
        ("x-amz-checksum-crc32", crc32(body)),
        ("x-amz-checksum-sha1", base64.b64encode(hashlib.sha1(body).digest()).decode()),
        ("x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(body).digest()).decode()),
        ("content-md5", base64.b64encode(hashlib.md5(body).digest()).decode()),
    ]
    for digest in digests:
        place.ask("PUT k", b"x")
        answer = place.ask(line, body, digest)
        assert (answer.status, answer.code) == (status, code), digest
    if status < 300:
        check_refusal(place.ask(line, body, ("x-amz-checksum-crc32", "AAAAAA==")), 400, "BadDigest")
    if line == "POST ?delete":
        place.ask("PUT k", b"x")
        check_refusal(place.ask(line, body), 400, "InvalidRequest")
        assert place.ask("HEAD k").status == 200


def chunked(data: bytes, *, trailer: bool = True) -> bytes:
    """Return an unsigned aws-chunked stream."""
    parts = b"".join(
        b"%x\r\n%b\r\n" % (len(data[at : at + 50_000]), data[at : at + 50_000])
        for at in range(0, len(data), 50_000)
    )
    line = f"x-amz-checksum-crc32:{crc32(data)}\r\n".encode() if trailer else b""
    return parts + b"0\r\n" + line + b"\r\n"


def in_http_chunks(stream: bytes) -> bytes:
    """Put a stream into chunks of HTTP that do not fit those of aws-chunked."""
    pieces = [stream[at : at + 33_333] for at in range(0, len(stream), 33_333)]
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("framing", ["length", "http chunks"])
@pytest.mark.parametrize("encoding", [None, "aws-chunked", "gzip,aws-chunked"])
def test_rule_02_aws_chunked_is_known_by_its_payload_line(everywhere, framing, encoding, pattern):
    """Rule 2: `x-amz-content-sha256: STREAMING-...` says that a body is aws-chunked, with or without that Content-Encoding;
    with a Content-Length or inside HTTP chunks, with or without the decoded length; over http and https (2.4.1 to 2.4.4).
    """
    body = pattern(200_001)
    for decoded in ((), (("x-amz-decoded-content-length", str(len(body))),)):
        headers = [("x-amz-trailer", "x-amz-checksum-crc32"), *decoded]
        headers += [("content-encoding", encoding)] if encoding else []
        stream = chunked(body)
        if framing == "length":
            headers.append(("content-length", str(len(stream))))
        else:
            headers.append(("transfer-encoding", "chunked"))
            stream = in_http_chunks(stream)
        call = everywhere.call("PUT s", b"", *headers)
        head = rendered(everywhere.client.signed(call, payload=UNSIGNED_TRAILER))
        with Wire(everywhere.server) as wire:
            assert wire.send(head + stream).answer().status == 200
        got = everywhere.ask("GET s", b"", ("x-amz-checksum-mode", "ENABLED"))
        assert got.body == body
        assert got.headers["x-amz-checksum-crc32"] == crc32(body)


def test_rule_02_signed_streams_are_taken_too(everywhere):
    """Rule 2, the signed forms of Java, Go and MinIO's SDKs: each chunk and the trailer is signed (2.4.5)."""
    headers = [("x-amz-trailer", "x-amz-checksum-crc32"), ("transfer-encoding", "chunked")]
    call = everywhere.client.signed(
        everywhere.call("PUT s", b"", *headers),
        payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    )
    signer = ChunkSigner(everywhere.client, call)
    stream = b"".join(signer.chunk(piece) for piece in (b"a" * 9000, b"b", b""))
    stream += signer.trailer([f"x-amz-checksum-crc32:{crc32(b'a' * 9000 + b'b')}"])
    with Wire(everywhere.server) as wire:
        assert wire.send(rendered(call) + in_http_chunks(stream)).answer().status == 200
    assert everywhere.ask("GET s").body == b"a" * 9000 + b"b"


@pytest.mark.parametrize("sized", [True, False])
def test_rule_02_boto3_uploads_as_it_likes(s3, bucket, pattern, sized):
    """Rule 2, as boto3 does it: a hash and a header over http, a trailer without Content-Length over https (2.4.11)."""
    body = pattern(300_000)
    seen = []
    s3.meta.events.register("before-send.s3", lambda request, **_: seen.append(request))
    if sized:
        s3.put_object(Bucket=bucket, Key="b", Body=body)
    else:
        s3.put_object(Bucket=bucket, Key="b", Body=body, ChecksumAlgorithm="SHA256")
    sent = {name.lower(): value for name, value in seen[0].headers.items()}
    secure = seen[0].url.startswith("https")
    assert (str(sent["x-amz-content-sha256"]).strip("b'") == UNSIGNED_TRAILER) == secure
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == body


ENCODINGS = {
    "aws-chunked": None,
    "gzip, aws-chunked": "gzip",
    "aws-chunked, gzip": "gzip",
    "aws-chunked,aws-chunked": None,
    "gzip,aws-chunked,br": "gzip,br",
    "gzip": "gzip",
}


@pytest.mark.parametrize("sent", ENCODINGS)
def test_rule_03_aws_chunked_is_not_stored(place, sent):
    """Rule 3: `aws-chunked` is about the transfer: it is taken out of the stored Content-Encoding wherever it stands, and
    the header goes where nothing is left (2.4.9).
    """
    headers = [("x-amz-trailer", "x-amz-checksum-crc32"), ("content-encoding", sent)]
    call = place.call("PUT e", chunked(b"abc"), *headers)
    assert place.client.send(place.client.signed(call, payload=UNSIGNED_TRAILER)).status == 200
    for line in ("GET e", "HEAD e"):
        stored = place.ask(line).headers.get("content-encoding")
        assert (stored and stored.replace(" ", "")) == ENCODINGS[sent]


def test_rule_04_a_slice_carries_no_checksum_of_the_whole(place):
    """Rule 4: checksum headers come only with `x-amz-checksum-mode: ENABLED`, and never on a range: clients hold them
    against the bytes that they got. A range of the whole object may carry them (3.4.2, 3.4.3).
    """
    mode = ("x-amz-checksum-mode", "ENABLED")
    place.ask("PUT k", b"0123456789", ("x-amz-checksum-crc32", crc32(b"0123456789")))
    for line in ("GET k", "HEAD k"):
        named = place.ask(line, b"", mode)
        assert named.headers["x-amz-checksum-crc32"] == crc32(b"0123456789")
        assert named.headers["x-amz-checksum-type"] == "FULL_OBJECT"
        for headers in ([], [("range", "bytes=0-4")], [mode, ("range", "bytes=1-")]):
            answer = place.ask(line, b"", *headers)
            assert answer.status in (200, 206)
            assert not [name for name in answer.headers if name.startswith("x-amz-checksum")]


def test_rule_04_ranged_reads_of_boto3_work(s3, bucket, pattern):
    """Rule 4, with the client that every table format reads through: it asks for checksums each time and verifies them."""
    body = pattern(100_000)
    s3.put_object(Bucket=bucket, Key="r", Body=body)
    got = s3.get_object(Bucket=bucket, Key="r", Range="bytes=10-20", ChecksumMode="ENABLED")
    assert got["Body"].read() == body[10:21]


def test_rule_05_objects_without_a_checksum_get_crc64nvme(place):
    """Rule 5: a PUT without checksum stores and echoes CRC64NVME, type FULL_OBJECT; so does an upload in parts without an
    algorithm once it is complete (3.4.1, 3.5.9). CRC64NVME of `123456789` is ae8b14860a799888.
    """
    expected = base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()
    put = place.ask("PUT k", b"123456789")
    upload = place.create("m")
    part = place.ask(f"PUT m?partNumber=1&uploadId={upload}", b"123456789")
    done = place.complete("m", upload, [(1, part.headers["etag"], "")])
    assert done.status == 200
    assert f"<ChecksumCRC64NVME>{expected}</ChecksumCRC64NVME>".encode() in done.body
    assert b"<ChecksumType>FULL_OBJECT</ChecksumType>" in done.body
    mode = ("x-amz-checksum-mode", "ENABLED")
    for answer in (put, place.ask("GET k", b"", mode), place.ask("HEAD m", b"", mode)):
        assert answer.headers["x-amz-checksum-crc64nvme"] == expected
        assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    empty = place.ask("PUT e")
    assert empty.headers["x-amz-checksum-crc64nvme"] == "AAAAAAAAAAA="


def test_rule_06_checksums_of_parts_are_composite(place):
    """Rule 6: CRC32 of an upload in parts is COMPOSITE and ends in `-N` in headers and results; GetObjectAttributes leaves
    the `-N` out; a GET of a part carries the checksum of that part and the type of the object (3.2.4, 3.4.4, 3.4.5).
    """
    upload = place.create("m", ("x-amz-checksum-algorithm", "CRC32"))
    bodies = [bytes(5 * MIB), b"tail"]
    parts = []
    for number, body in enumerate(bodies, 1):
        digest = ("x-amz-checksum-crc32", crc32(body))
        put = place.ask(f"PUT m?partNumber={number}&uploadId={upload}", body, digest)
        assert put.headers["x-amz-checksum-crc32"] == crc32(body)
        inner = f"<ChecksumCRC32>{crc32(body)}</ChecksumCRC32>"
        parts.append((number, put.headers["etag"], inner))
    of_parts = b"".join(zlib.crc32(body).to_bytes(4, "big") for body in bodies)
    composite = crc32(of_parts)
    done = place.complete("m", upload, parts)
    assert f"<ChecksumCRC32>{composite}-2</ChecksumCRC32>".encode() in done.body
    mode = ("x-amz-checksum-mode", "ENABLED")
    head = place.ask("HEAD m", b"", mode).headers
    assert head["x-amz-checksum-crc32"] == f"{composite}-2"
    assert head["x-amz-checksum-type"] == "COMPOSITE"
    wanted = ("x-amz-object-attributes", "Checksum,ObjectParts")
    attributes = place.ask("GET m?attributes", b"", wanted).body
    assert f"<ChecksumCRC32>{composite}</ChecksumCRC32>".encode() in attributes
    for number, body in enumerate(bodies, 1):
        part = place.ask(f"GET m?partNumber={number}", b"", mode)
        assert (part.status, part.body) == (206, body)
        assert part.headers["x-amz-checksum-crc32"] == crc32(body)
        assert part.headers["x-amz-checksum-type"] == "COMPOSITE"


# --- 7 to 10: signatures and uploads ---------------------------------------------------------------------------


def test_rule_07_the_path_is_encoded_once_and_never_cleaned(everywhere):
    """Rule 7: the signature covers the path decoded once and encoded once; dots and slashes stay, so these are all keys of
    their own; `%2F` is `/`, `+` is a plus, and `%252F` is the text `%2F` (1.2.2 to 1.2.4, 2.2.3).
    """
    keys = {
        "a/b": b"a/b", "a//b": b"a//b", "/a/b": b"/a/b", "a/b/": b"a/b/", "a/./b": b"a/./b", "a/../b": b"a/../b",
        "../b": b"../b", "..": b"..", "a+b": b"a+b", "a%20b": b"a b", "a%252Fb": b"a%2Fb", "%C3%A9": "\u00e9".encode(),
        "e%CC%81": "e\u0301".encode(), "~-_.%21%2A%27%28%29": b"~-_.!*'()",
    }  # fmt: skip
    for path, key in keys.items():
        assert everywhere.ask(f"PUT {path}", key).status == 200, path
    for path, key in keys.items():
        assert everywhere.ask(f"GET {path}").body == key, path
    assert everywhere.ask("GET a%2Fb").body == b"a/b"
    assert everywhere.ask("GET a%2Bb").body == b"a+b"
    body = everywhere.ask("GET ?list-type=2").body
    names = [node.text.encode() for node in ET.fromstring(body).iter(f"{NAMESPACE}Key")]
    assert names == sorted(keys.values())


def test_rule_08_signed_headers_are_folded_and_taken_from_the_wire(everywhere):
    """Rule 8: values are trimmed, inner white space is folded, repeated headers are joined with a comma; `host` counts with
    its port; `Expect`, `Content-Length`, `Accept-Encoding`, `User-Agent` may be signed as sent (2.2.5 to 2.2.8).
    """
    headers = [
        ("x-amz-meta-a", "v   v\t w"),
        ("x-amz-meta-twice", "one"),
        ("x-amz-meta-twice", "two"),
        ("accept-encoding", "gzip;q=1,  identity"),
        ("user-agent", "a client/1.0"),
        ("content-length", "5"),
        EXPECT,
    ]
    call = everywhere.client.signed(everywhere.call("PUT k", b"hello", *headers))
    with Wire(everywhere.server) as wire:
        wire.send(rendered(call).removesuffix(b"hello"))
        assert wire.interim() == 100
        assert wire.send(b"hello").answer().status == 200
    stored = everywhere.ask("GET k")
    assert "content-encoding" not in stored.headers
    assert stored.headers["x-amz-meta-twice"] == "one,two"
    wrong = everywhere.client.signed(everywhere.call("GET k"), host="127.0.0.1")
    named = tuple(
        (name, everywhere.client.netloc if name == "host" else value)
        for name, value in wrong.headers
    )
    answer = everywhere.client.send(RawCall("GET", wrong.path, (), named))
    check_refusal(answer, 403, "SignatureDoesNotMatch")
    extra = everywhere.client.signed(
        everywhere.call("PUT k", b"x"), unsigned=[("x-amz-meta-b", "1")]
    )
    check_refusal(everywhere.client.send(extra), 403, "AccessDenied")


def test_rule_09_presigned_links_hold_what_was_signed(everywhere):
    """Rule 9: an `x-amz-*` header that was not signed is refused; `x-amz-meta-*` and the like in the signed query act as
    headers; a checksum in the query, which a presigner computes over no body, is ignored (2.3.7 to 2.3.9).
    """
    query = (
        ("x-amz-meta-by", "me"),
        ("x-amz-tagging", "a=1"),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ("x-id", "PutObject"),
    )
    plain = RawCall("PUT", f"/{everywhere.bucket}/up", query)
    link = everywhere.client.presigned(plain)
    upload = RawCall("PUT", link.path, link.query, link.headers, b"of the bearer")
    added = upload.with_headers(("x-amz-storage-class", "STANDARD"))
    check_refusal(everywhere.client.send(added), 403, "AccessDenied")
    assert everywhere.ask("HEAD up").status == 404
    assert everywhere.client.send(upload).status == 200
    got = everywhere.ask("GET up")
    assert (got.body, got.headers["x-amz-meta-by"]) == (b"of the bearer", "me")
    assert got.headers["x-amz-tagging-count"] == "1"
    late = everywhere.client.presigned(plain, expires_s=60, at=shifted(-120))
    check_refusal(everywhere.client.send(late), 403, "AccessDenied")


def test_rule_09_links_of_version_2_work_as_boto3_makes_them(server, s3, bucket):
    """Rule 9: with an endpoint of one's own boto3 presigns with version 2 unless told otherwise, so it must work (2.1.3).
    Its forms for browsers carry a policy and no header: a POST that nobody serves is refused and stores nothing.
    """
    client = boto3.client("s3", **server.client_arguments(), config=Config())
    put = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    assert "AWSAccessKeyId=" in put
    assert "Signature=" in put
    with Wire(server) as wire:
        target = put.partition(f":{server.port}")[2]
        host = f"host: 127.0.0.1:{server.port}\r\n"
        wire.send(f"PUT {target} HTTP/1.1\r\n{host}content-length: 3\r\n\r\nabc".encode())
        assert wire.answer().status == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abc"
    form = client.generate_presigned_post(bucket, "form")
    fields = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (*form["fields"].items(), ("file", "content"))
    )
    body = f"{fields}--x--\r\n".encode()
    with Wire(server) as wire:
        head = f"POST /{bucket} HTTP/1.1\r\n{host}content-length: {len(body)}\r\n"
        wire.send(f"{head}content-type: multipart/form-data; boundary=x\r\n\r\n".encode() + body)
        answer = wire.answer()
    check_refusal(answer, 501, "NotImplemented")
    assert b"<Operation>PostObject</Operation>" in answer.body
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]


REFUSED = {
    "signature": (403, "SignatureDoesNotMatch"),
    "bucket": (404, "NoSuchBucket"),
    "size": (400, "EntityTooLarge"),
    "condition": (412, "PreconditionFailed"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_rule_10_continue_comes_after_the_checks(everywhere, fault):
    """Rule 10: with `Expect: 100-continue` the final status of a refusal comes instead of the 100, before any of the body,
    and the connection is closed or drained: the next request is never read out of a body (1.6.1, 9.2).
    """
    everywhere.ask("PUT there", b"x")
    size = str(6 * 2**30) if fault == "size" else "1000000"
    more = [("if-none-match", "*")] if fault == "condition" else []
    call = everywhere.call("PUT there", b"", EXPECT, ("content-length", size), *more)
    if fault == "bucket":
        call = RawCall("PUT", "/no-such-bucket/k", (), call.headers)
    signed = everywhere.client.signed(call, payload="UNSIGNED-PAYLOAD")
    if fault == "signature":
        headers = tuple((n, v[:-1] + "~" if n == "authorization" else v) for n, v in signed.headers)
        signed = RawCall("PUT", signed.path, (), headers)
    with Wire(everywhere.server) as wire:
        answer = wire.send(rendered(signed)).answer()
        check_refusal(answer, *REFUSED[fault], label=fault)
        assert answer.headers["connection"] == "close"
        assert wire.rest() == b""
    with Wire(everywhere.server) as wire:
        fine = everywhere.client.signed(everywhere.call("PUT k", b"hello", EXPECT))
        wire.send(rendered(fine).removesuffix(b"hello"))
        assert wire.interim() == 100
        assert wire.send(b"hello").answer().status == 200
        after = everywhere.client.signed(everywhere.call("GET k"))
        assert wire.send(rendered(after)).answer().body == b"hello"


# --- 11 to 13: answers and conditions --------------------------------------------------------------------------


def test_rule_11_documents_have_their_namespaces_and_heads_no_body(place):
    """Rule 11: errors have the root `Error` without a namespace, results have the namespace of 2006-03-01; a HEAD has no
    body even when it fails; what the server cannot parse is answered in XML, too (1.7.2 to 1.7.5).
    """
    error = ET.fromstring(place.ask("GET absent").body)
    assert error.tag == "Error"
    assert [child.tag for child in error][:2] == ["Code", "Message"]
    place.ask("PUT k", b"x")
    roots = {
        "GET ?list-type=2": "ListBucketResult",
        "GET ?versions": "ListVersionsResult",
        "GET ?uploads": "ListMultipartUploadsResult",
        "GET ?location": "LocationConstraint",
        "GET k?tagging": "Tagging",
        "POST k?uploads": "InitiateMultipartUploadResult",
    }
    for line, root in roots.items():
        answer = place.ask(line)
        assert ET.fromstring(answer.body).tag == NAMESPACE + root, line
        assert answer.headers["content-type"] == "application/xml"
    with Wire(place.server) as wire:
        for line, status in (("HEAD absent", 404), ("HEAD k?versionId=../x", 400), ("HEAD k", 200)):
            head = place.client.signed(place.call(line))
            answer = wire.send(rendered(head)).answer("HEAD")
            assert answer.status == status
        got = place.client.signed(place.call("GET k"))
        assert wire.send(rendered(got)).answer().body == b"x"
    with Wire(place.server) as wire:
        check_refusal(wire.send(b"nonsense\r\n\r\n").answer(), 400, "BadRequest")


def test_rule_12_complete_is_repeatable_and_well_formed(place):
    """Rule 12: nothing stands before the XML declaration of a Complete; an error inside a 200 would be an `Error` document;
    the same Complete again has the same result; after Abort it is NoSuchUpload (4.11.7, 4.11.8).
    """
    upload = place.create("m")
    part = place.ask(f"PUT m?partNumber=3&uploadId={upload}", b"only")
    listed = [(3, part.headers["etag"], "")]
    first, again = (place.complete("m", upload, listed) for _ in range(2))
    for answer in (first, again):
        assert answer.status == 200
        assert answer.body.startswith(b"<?xml ")
        assert ET.fromstring(answer.body).tag == f"{NAMESPACE}CompleteMultipartUploadResult"
    assert ET.tostring(ET.fromstring(first.body)) == ET.tostring(ET.fromstring(again.body))
    check_refusal(place.ask(f"GET m?uploadId={upload}"), 404, "NoSuchUpload")
    wrong = place.create("m")
    answer = place.complete("m", wrong, [(1, '"0"', "")])
    assert answer.code == "InvalidPart"
    assert ET.fromstring(answer.body).tag == "Error"
    assert place.ask(f"DELETE m?uploadId={wrong}").status == 204
    check_refusal(place.complete("m", wrong, listed), 404, "NoSuchUpload")
    assert place.ask("GET m").body == b"only"


def conditional_writes(place, key: str):
    """Return the three writes that take conditions, as functions of the condition's header."""
    place.ask("PUT source", b"source")
    upload = place.create(key)
    etag = place.ask(f"PUT {key}?partNumber=1&uploadId={upload}", b"part").headers["etag"]
    source = ("x-amz-copy-source", f"/{place.bucket}/source")
    return {
        "put": lambda *headers: place.ask(f"PUT {key}", b"new", *headers),
        "copy": lambda *headers: place.ask(f"PUT {key}", b"", source, *headers),
        "complete": lambda *headers: place.complete(key, upload, [(1, etag, "")], *headers),
    }


@pytest.mark.parametrize("kind", ["put", "copy", "complete"])
def test_rule_13_conditional_writes(place, kind):
    """Rule 13: `If-None-Match: *` and `If-Match` on Put, Copy and Complete: 412 where they do not hold, 404 for If-Match
    without an object or on a delete marker, 501 for values that S3 does not take (4.5.2, 4.5.3).
    """
    write = conditional_writes(place, "c")[kind]
    check_refusal(write(("if-match", '"0"')), 404, "NoSuchKey")
    for header in (("if-none-match", '"0"'), ("if-match", "*")):
        check_refusal(write(header), 501, "NotImplemented")
    check_refusal(write(("if-match", '"0"'), ("if-none-match", "*")), 501, "NotImplemented")
    assert write(("if-none-match", "*")).status == 200
    etag = place.ask("HEAD c").headers["etag"]
    write = conditional_writes(place, "c")[kind]
    check_refusal(write(("if-none-match", "*")), 412, "PreconditionFailed")
    check_refusal(write(("if-match", '"0"')), 412, "PreconditionFailed")
    assert place.ask("HEAD c").headers["etag"] == etag
    if kind != "complete":  # it would be 409 after a write during the upload, see below
        assert write(("if-match", etag)).status == 200


def test_rule_13_a_delete_marker_is_no_object(place):
    """Rule 13: under a marker `If-None-Match: *` writes and `If-Match` is 404, for it has nothing to match (4.5.3)."""
    place.version("Enabled")
    etag = place.ask("PUT c", b"1").headers["etag"]
    assert place.ask("DELETE c").headers["x-amz-delete-marker"] == "true"
    check_refusal(place.ask("PUT c", b"2", ("if-match", etag)), 404, "NoSuchKey")
    assert place.ask("PUT c", b"2", ("if-none-match", "*")).status == 200


def test_rule_13_one_of_many_wins(server, bucket):
    """Rule 13: the check is part of the commit: of twelve `If-None-Match: *` at once exactly one gets 200 (4.5.4)."""
    outcomes, gate = [], threading.Barrier(12)

    def write(number: int) -> None:
        client = boto3.client(
            "s3", **server.client_arguments(), config=Config(retries={"max_attempts": 0})
        )
        gate.wait()
        try:
            client.put_object(Bucket=bucket, Key="c", Body=b"%d" % number, IfNoneMatch="*")
            outcomes.append((number, 200))
        except ClientError as error:
            outcomes.append((number, error.response["ResponseMetadata"]["HTTPStatusCode"]))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [number for number, status in outcomes if status == 200]
    assert len(winners) == 1
    assert {status for _, status in outcomes} <= {200, 409, 412}
    reader = boto3.client("s3", **server.client_arguments())
    assert reader.get_object(Bucket=bucket, Key="c")["Body"].read() == b"%d" % winners[0]
