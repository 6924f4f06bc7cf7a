"""The 25 rules that servers most often get wrong, each as a test of its number: rules 14 to 25 (objects, lists, settings).

Rules 1 to 13 are in test_rules_servers_get_wrong.py, rule 22 about settings in test_rules_of_unset_settings.py. Where a rule
speaks of a feature that this server does not have, the test holds that the feature is refused with its code and never ignored.
"""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote, unquote, unquote_plus
from xml.etree import ElementTree as ET

import pytest

from objstore.testing.raw_client import RawCall
from objstore.testing.wire import check_refusal

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
MIB = 1024 * 1024
PAST, FUTURE = "Wed, 01 Jan 2020 00:00:00 GMT", "Thu, 01 Jan 2099 00:00:00 GMT"


def listing(answer) -> ET.Element:
    """Return the document of a listing."""
    assert answer.status == 200, answer
    return ET.fromstring(answer.body)


def texts(document: ET.Element, path: str) -> list[str]:
    """Return the texts at a path, whose steps need no namespace."""
    steps = "/".join(NAMESPACE + step for step in path.split("/"))
    return [node.text or "" for node in document.findall(steps)]


def fill(place, *keys: str) -> None:
    """Store an empty object under each key."""
    for key in keys:
        assert place.ask(f"PUT {quote(key)}").status == 200, key


# --- 14 to 16: conditions, ranges, parts -----------------------------------------------------------------------


def _spelled(text: str, words: dict[str, str]) -> str:
    """Replace the words of a table by what they stand for."""
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


READS = {
    "match, though modified": ([("if-match", "ETAG"), ("if-unmodified-since", PAST)], 200),
    "no match": ([("if-match", '"0"'), ("if-none-match", '"1"')], 412),
    "none matches, though unmodified": ([("if-none-match", '"0"'), ("if-modified-since", "SAME")], 200),
    "matches, though modified": ([("if-none-match", "ETAG"), ("if-modified-since", PAST)], 304),
    "matches and was modified after": ([("if-none-match", "ETAG"), ("if-unmodified-since", PAST)], 412),
    "the same second": ([("if-modified-since", "SAME")], 304),
    "the future": ([("if-modified-since", FUTURE)], 200),
    "unquoted": ([("if-none-match", "BARE")], 304),
    "a list": ([("if-match", '"0", ETAG')], 200),
    "any": ([("if-none-match", "*")], 304),
    "no date": ([("if-modified-since", "yesterday")], 200),
    "a range of what is not there": ([("if-none-match", "ETAG"), ("range", "bytes=99-")], 304),
}  # fmt: skip


@pytest.mark.parametrize("label", READS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_rule_14_conditions_of_reads(place, method, label):
    """Rule 14: If-Match goes before If-Unmodified-Since, both before If-None-Match and If-Modified-Since; the first two
    fail with 412, the others with 304, and the range is judged last (4.1.1, 4.1.2). A 304 has the ETag and no body (4.1.5).
    """
    etag = place.ask("PUT k", b"0123456789").headers["etag"]
    stored = place.ask("HEAD k").headers["last-modified"]
    words = {"ETAG": etag, "BARE": etag.strip('"'), "SAME": stored}
    headers, status = READS[label]
    sent = [(name, _spelled(value, words)) for name, value in headers]
    answer = place.ask(f"{method} k", b"", *sent)
    assert answer.status == status
    if status == 304:
        assert (answer.body, answer.headers["etag"]) == (b"", etag)
        assert answer.headers["last-modified"] == stored


SOURCES = {
    "if-match": '"0"',
    "if-none-match": "ETAG",
    "if-modified-since": "SAME",
    "if-unmodified-since": PAST,
}


@pytest.mark.parametrize("condition", SOURCES)
@pytest.mark.parametrize("line", ["PUT copy", "PUT copy?partNumber=1&uploadId=UPLOAD"])
def test_rule_14_conditions_of_copy_sources(place, condition, line):
    """Rule 14: each of the four conditions of a copy's source fails with 412 and its name, never with 304 (4.1.6)."""
    etag = place.ask("PUT k", b"0123456789").headers["etag"]
    stored = place.ask("HEAD k").headers["last-modified"]
    value = SOURCES[condition].replace("ETAG", etag).replace("SAME", stored)
    line = line.replace("UPLOAD", place.create("copy"))
    source = ("x-amz-copy-source", f"/{place.bucket}/k")
    answer = place.ask(line, b"", source, (f"x-amz-copy-source-{condition}", value))
    check_refusal(answer, 412, "PreconditionFailed")
    assert f"x-amz-copy-source-{condition}" in answer.body.decode().lower()
    fine = [
        ("x-amz-copy-source-if-none-match", '"0"'),
        ("x-amz-copy-source-if-modified-since", stored),
    ]
    assert place.ask(line, b"", source, *fine).status == 200


RANGES = {
    "bytes=0-8": (206, "0-8"), "bytes=0-100": (206, "0-9"), "bytes=3-": (206, "3-9"), "bytes=00-09": (206, "0-9"),
    "bytes=-4": (206, "6-9"), "bytes=-100": (206, "0-9"), "bytes=-0": (416, ""), "bytes=10-": (416, ""),
    "bytes=100-200": (416, ""), "bytes=5-2": (200, ""), "bytes=": (200, ""), "bytes=,": (200, ""), "bytes=a-b": (200, ""),
    "bytes=-1-": (200, ""), "chars=0-1": (200, ""), "0-1": (200, ""), "bytes=0-1,3-4": (200, ""),
}  # fmt: skip


@pytest.mark.parametrize("text", RANGES)
def test_rule_15_ranges_of_reads(place, text):
    """Rule 15: of an object of ten bytes one range is served and clipped; malformed ones and lists are ignored; only what
    begins beyond the end, and `-0`, is 416, which says the size (4.2.1). An empty object has no range.
    """
    body = b"0123456789"
    place.ask("PUT k", body)
    place.ask("PUT empty")
    status, slice_text = RANGES[text]
    for method in ("GET", "HEAD"):
        answer = place.ask(f"{method} k", b"", ("range", text))
        assert answer.status == status
        if status == 206:
            first, last = map(int, slice_text.split("-"))
            assert answer.headers["content-range"] == f"bytes {slice_text}/10"
            assert answer.headers["content-length"] == str(last - first + 1)
            assert answer.body == (body[first : last + 1] if method == "GET" else b"")
        elif status == 416 and method == "GET":
            check_refusal(answer, 416, "InvalidRange")
            assert b"<ActualObjectSize>10</ActualObjectSize>" in answer.body
            assert answer.headers["content-range"] == "bytes */10"
    expected = 200 if status == 200 else 416
    assert place.ask("GET empty", b"", ("range", text)).status == expected


COPY_RANGES = {
    "0-8": "InvalidArgument", "bytes=1-": "InvalidArgument", "bytes=-2": "InvalidArgument", "bytes=5-2": "InvalidArgument",
    "bytes=0-1,3-4": "InvalidArgument", "bytes=0-10": "InvalidArgument", "bytes=10-12": "InvalidRequest",
    "bytes=2-9": "",
}  # fmt: skip


@pytest.mark.parametrize("text", COPY_RANGES)
def test_rule_15_ranges_of_copied_parts_are_strict(place, text):
    """Rule 15: UploadPartCopy clips nothing and ignores nothing: both bounds, inside the source, or 400 (4.10.1)."""
    place.ask("PUT k", b"0123456789")
    upload = place.create("m")
    source = ("x-amz-copy-source", f"{place.bucket}/k")
    line = f"PUT m?partNumber=1&uploadId={upload}"
    answer = place.ask(line, b"", source, ("x-amz-copy-source-range", text))
    listed = listing(place.ask(f"GET m?uploadId={upload}"))
    if COPY_RANGES[text]:
        check_refusal(answer, 400, COPY_RANGES[text], label=text)
        assert texts(listed, "Part/Size") == []
    else:
        assert answer.status == 200
        assert texts(listed, "Part/Size") == ["8"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_rule_16_parts_can_be_read_one_by_one(place, method):
    """Rule 16: `partNumber` answers 206 with Content-Range and `x-amz-mp-parts-count`, HEAD as well; a plain object is one
    part without that count; a number beyond is 416, a Range beside it or a number out of 1 to 10,000 is 400 (4.2.5 to 4.2.7).
    """
    upload = place.create("m")
    bodies = [b"a" * (5 * MIB), b"tail"]
    parts = [
        (n, place.ask(f"PUT m?partNumber={n}&uploadId={upload}", body).headers["etag"], "")
        for n, body in enumerate(bodies, 1)
    ]
    assert place.complete("m", upload, parts).status == 200
    end = 5 * MIB + 3
    for number, span in ((1, f"0-{5 * MIB - 1}"), (2, f"{5 * MIB}-{end}")):
        answer = place.ask(f"{method} m?partNumber={number}")
        assert (answer.status, answer.headers["x-amz-mp-parts-count"]) == (206, "2")
        assert answer.headers["content-range"] == f"bytes {span}/{end + 1}"
        assert answer.headers["content-length"] == str(len(bodies[number - 1]))
        assert answer.body == (bodies[number - 1] if method == "GET" else b"")
    place.ask("PUT k", b"0123456789")
    plain = place.ask(f"{method} k?partNumber=1")
    assert (plain.status, plain.headers["content-range"]) == (206, "bytes 0-9/10")
    assert "x-amz-mp-parts-count" not in plain.headers
    place.ask("PUT empty")
    assert "content-range" not in place.ask(f"{method} empty?partNumber=1").headers
    for line, status in (("m?partNumber=3", 416), ("m?partNumber=0", 400), ("m?partNumber=x", 400)):
        assert place.ask(f"{method} {line}").status == status
    assert place.ask(f"{method} m?partNumber=1", b"", ("range", "bytes=0-1")).status == 400


# --- 17 and 18: versions ---------------------------------------------------------------------------------------


def test_rule_17_delete_markers_hide_and_say_so(place):
    """Rule 17: with a marker on top GET and HEAD are 404 with `x-amz-delete-marker: true` and the marker's id; by the id of
    the marker 405; its tags are 405 (4.15.4, 4.15.5, 4.8.4).
    """
    place.version("Enabled")
    place.ask("PUT k", b"x")
    gone = place.ask("DELETE k")
    assert (gone.status, gone.headers["x-amz-delete-marker"]) == (204, "true")
    marker = gone.headers["x-amz-version-id"]
    for method in ("GET", "HEAD"):
        hidden = place.ask(f"{method} k")
        check_refusal(hidden, 404, "NoSuchKey" if method == "GET" else "")
        assert hidden.headers["x-amz-delete-marker"] == "true"
        assert hidden.headers["x-amz-version-id"] == marker
        named = place.ask(f"{method} k?versionId={marker}")
        check_refusal(named, 405, "MethodNotAllowed" if method == "GET" else "")
        assert named.headers["x-amz-delete-marker"] == "true"
        assert "last-modified" in named.headers
    tags = b"<Tagging><TagSet/></Tagging>"
    for where in ("k?tagging", f"k?tagging&versionId={marker}"):
        for method in ("GET", "PUT", "DELETE"):
            answer = place.ask(f"{method} {where}", tags if method == "PUT" else b"")
            check_refusal(answer, 405, "MethodNotAllowed", label=(method, where))
    removed = place.ask(f"DELETE k?versionId={marker}")
    assert (removed.status, removed.headers["x-amz-delete-marker"]) == (204, "true")
    assert place.ask("GET k").body == b"x"


def test_rule_17_a_suspended_bucket_writes_the_null_version(place):
    """Rule 17: while versioning is suspended PutObject returns no version id and CopyObject returns `null`; a delete leaves a
    marker of id `null`; older versions stay (4.9.6, 4.15.3).
    """
    place.version("Enabled")
    kept = place.ask("PUT k", b"kept").headers["x-amz-version-id"]
    place.version("Suspended")
    assert "x-amz-version-id" not in place.ask("PUT k", b"null").headers
    assert place.ask("GET k").headers["x-amz-version-id"] == "null"
    source = ("x-amz-copy-source", f"{place.bucket}/k?versionId={kept}")
    copied = place.ask("PUT copy", b"", source)
    assert copied.headers["x-amz-version-id"] == "null"
    assert copied.headers["x-amz-copy-source-version-id"] == kept
    gone = place.ask("DELETE k")
    assert gone.headers["x-amz-delete-marker"] == "true"
    assert gone.headers["x-amz-version-id"] == "null"
    assert place.ask(f"GET k?versionId={kept}").body == b"kept"
    check_refusal(place.ask("GET k?versionId=null"), 405, "MethodNotAllowed")


@pytest.mark.parametrize("status", ["", "Enabled"])
def test_rule_18_version_ids_are_judged_before_they_are_looked_up(place, status):
    """Rule 18: a malformed or empty version id is 400 InvalidArgument, also where nothing is versioned and where the key
    is absent; a well-formed unknown one is 404 NoSuchVersion; `null` names the object (4.15.6).
    """
    if status:
        place.ask("PUT k", b"old")
        place.version(status)
    place.ask("PUT k", b"x")
    for key in ("k", "absent"):
        for text in ("", "a b", "../x", "\u00e9", "x" * 1025):
            answer = place.ask(f"GET {key}?versionId={text}")
            check_refusal(answer, 400, "InvalidArgument", label=(key, text))
    check_refusal(place.ask("GET k?versionId=" + "0" * 32), 404, "NoSuchVersion")
    assert place.ask("GET k?versionId=null").body == (b"old" if status else b"x")


# --- 19 to 21: listings ----------------------------------------------------------------------------------------


def test_rule_19_listings_are_in_the_order_of_utf8(place):
    """Rule 19: keys come in the order of their UTF-8 bytes: a character beyond U+FFFF comes after U+FF5E (5.1.1)."""
    keys = ["A", "Z", "a", "a!", "a/", "a/b", "a0", "z", "\u00e9", "\uff5e", "\U0001f600"]
    fill(place, *reversed(keys))
    assert texts(listing(place.ask("GET ")), "Contents/Key") == keys
    assert texts(listing(place.ask("GET ?list-type=2")), "Contents/Key") == keys
    assert texts(listing(place.ask("GET ?versions")), "Version/Key") == keys


def test_rule_19_common_prefixes_count_and_come_once(place):
    """Rule 19: a common prefix takes a place of max-keys, a marker inside it or equal to it does not bring it back, and
    NextMarker comes only with a delimiter (5.1.3, 5.1.4, 5.2.1, 5.2.2).
    """
    fill(place, "a/1", "a/2", "b", "c/1", "c/2", "d")
    marker, seen = "", []
    for _ in range(4):
        page = listing(place.ask(f"GET ?delimiter=/&max-keys=1&marker={marker}"))
        seen += texts(page, "Contents/Key") + texts(page, "CommonPrefixes/Prefix")
        if texts(page, "IsTruncated") == ["false"]:
            assert texts(page, "NextMarker") == []
            break
        (marker,) = texts(page, "NextMarker")
    assert seen == ["a/", "b", "c/", "d"]
    for inside in ("a/", "a/1", "a/2"):
        page = listing(place.ask(f"GET ?delimiter=/&marker={inside}"))
        assert texts(page, "CommonPrefixes/Prefix") == ["c/"], inside
        assert texts(page, "Contents/Key") == ["b", "d"]
    plain = listing(place.ask("GET ?max-keys=2"))
    assert texts(plain, "IsTruncated") == ["true"]
    assert texts(plain, "Contents/Key") == ["a/1", "a/2"]
    for name in ("versions", "list-type=2"):
        page = listing(place.ask(f"GET ?{name}&delimiter=/&max-keys=2"))
        assert len(page.findall(f"{NAMESPACE}CommonPrefixes")) == 1
        assert texts(page, "IsTruncated") == ["true"]


def test_rule_20_encoding_type_url_covers_every_field(place):
    """Rule 20: with `encoding-type=url` Key, Prefix, Delimiter, Marker, NextMarker and StartAfter are encoded, a plus as
    `%2B`; tokens are not; another value is 400 (5.1.10, 5.1.11).
    """
    folder = "p +\u00e9%/"
    keys = [
        f"{folder}{name}"
        for name in ("a\nb", "a b", "a+b", "a\x01", "a&<>", "\u00e9/x", "\u00e9/y")
    ]
    fill(place, *keys)
    query = f"encoding-type=url&prefix={folder}&delimiter=/"
    page = listing(place.ask(f"GET ?{query}"))
    assert texts(page, "EncodingType") == ["url"]
    sent = texts(page, "Contents/Key")
    assert not any(set(key) & set(" +\n\x01&<") for key in sent)
    for decode in (unquote, unquote_plus):  # whichever a client uses, a space must come out as one
        assert sorted(map(decode, sent)) == sorted(keys[:5])
    assert [unquote(text) for text in texts(page, "Prefix")] == [folder]
    assert "%2B" in texts(page, "Prefix")[0]
    assert [unquote(text) for text in texts(page, "CommonPrefixes/Prefix")] == [f"{folder}\u00e9/"]
    first = listing(place.ask(f"GET ?{query}&max-keys=1&marker={folder}a\x01"))
    assert unquote(texts(first, "Marker")[0]) == f"{folder}a\x01"
    assert unquote(texts(first, "NextMarker")[0]) == f"{folder}a\nb"
    second = listing(place.ask(f"GET ?{query}&list-type=2&max-keys=1&start-after={folder}a"))
    assert unquote(texts(second, "StartAfter")[0]) == f"{folder}a"
    (token,) = texts(second, "NextContinuationToken")
    third = listing(place.ask(f"GET ?{query}&list-type=2&max-keys=1&continuation-token={token}"))
    assert unquote(texts(third, "Contents/Key")[0]) == f"{folder}a\nb"
    for value in ("", "URL", "x"):
        answer = place.ask(f"GET ?encoding-type={value}")
        check_refusal(answer, 400, "InvalidArgument", label=value)


def test_rule_20_what_xml_cannot_hold_is_a_reference(place):
    """Rule 20: without encoding-type a character that XML 1.0 forbids is a numeric reference: no raw byte, no lost key; line
    ends are references because parsers fold them (1.2.10, 1.2.11).
    """
    fill(place, "a\x01b", "c\r\nd", "e")
    body = place.ask("GET ?list-type=2").body
    assert b"<Key>a&#1;b</Key>" in body
    assert b"<Key>c&#13;&#10;d</Key>" in body
    assert b"\x01" not in body
    assert body.count(b"<Contents>") == 3


def test_rule_21_the_corners_of_listings(place):
    """Rule 21: max-keys=0 is an empty, finished page; above 1,000 it is 1,000; an empty delimiter is none; a delimiter may be
    long; `start-after` is passed over beside a token; Marker is there although empty (5.1.6, 5.1.7, 5.2.2, 5.3.3).
    """
    fill(place, "a", "b--c", "b--d", "e/f")
    for kind in ("", "list-type=2&", "versions&"):
        none = listing(place.ask(f"GET ?{kind}max-keys=0"))
        assert texts(none, "IsTruncated") == ["false"]
        assert not [child for child in none if child.tag.endswith(("Contents", "Version"))]
        assert texts(listing(place.ask(f"GET ?{kind}max-keys=5000")), "MaxKeys") == ["1000"]
        assert texts(listing(place.ask(f"GET ?{kind}max-keys=")), "MaxKeys") == ["1000"]
        for bad in ("-1", "x", "1.5", "2147483648"):
            check_refusal(
                place.ask(f"GET ?{kind}max-keys={bad}"), 400, "InvalidArgument", label=bad
            )
        flat = listing(place.ask(f"GET ?{kind}delimiter="))
        assert texts(flat, "Delimiter") == []
        assert texts(flat, "CommonPrefixes/Prefix") == []
        long = listing(place.ask(f"GET ?{kind}delimiter=--"))
        assert texts(long, "CommonPrefixes/Prefix") == ["b--"]
        assert texts(long, "Delimiter") == ["--"]
    assert texts(listing(place.ask("GET ")), "Marker") == [""]
    first = listing(place.ask("GET ?list-type=2&max-keys=1"))
    (token,) = texts(first, "NextContinuationToken")
    rest = listing(place.ask(f"GET ?list-type=2&continuation-token={token}&start-after=e"))
    assert texts(rest, "Contents/Key") == ["b--c", "b--d", "e/f"]
    assert texts(rest, "KeyCount") == ["3"]
    after = listing(place.ask("GET ?list-type=2&start-after=b"))
    assert texts(after, "Contents/Key") == ["b--c", "b--d", "e/f"]


# --- 22 to 25: settings, copies, locks, browsers ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["foo-config", "append", "renameObject", "torrent", "restore", "retention", "acl"]
)
def test_rule_22_an_unknown_setting_never_writes_or_deletes(place, name):
    """Rule 22: `PUT key?foo` must not overwrite the key, `DELETE key?foo` must not delete it, `DELETE ?foo` not the bucket
    (1.4.5).
    """
    place.ask("PUT k", b"kept")
    for line in (
        f"PUT k?{name}",
        f"DELETE k?{name}",
        f"POST k?{name}",
        f"PUT ?{name}",
        f"DELETE ?{name}",
    ):
        answer = place.ask(line, b"<a/>" if line.startswith("P") else b"")
        assert 400 <= answer.status < 500 or answer.code == "NotImplemented", (line, answer)
    assert place.ask("GET k").body == b"kept"
    other = f"/{place.bucket}-other"
    refused = place.client.send(place.client.signed(RawCall("PUT", other, ((name, ""),))))
    assert refused.status >= 400
    assert place.client.send(place.client.signed(RawCall("HEAD", other))).status == 404


def test_rule_23_a_copy_onto_itself_must_change_something(place):
    """Rule 23: a copy onto itself is 400 InvalidRequest unless metadata is replaced, or storage class or redirect differ;
    an old version onto its key is a restore and is taken (4.9.5).
    """
    place.ask("PUT k", b"x", ("x-amz-meta-a", "1"))
    source = ("x-amz-copy-source", f"/{place.bucket}/k")
    check_refusal(place.ask("PUT k", b"", source), 400, "InvalidRequest")
    same = ("x-amz-storage-class", "STANDARD")
    check_refusal(place.ask("PUT k", b"", source, same), 400, "InvalidRequest")
    replace = [("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-b", "2")]
    assert place.ask("PUT k", b"", source, *replace).status == 200
    head = place.ask("HEAD k").headers
    assert ("x-amz-meta-a" in head, head["x-amz-meta-b"]) == (False, "2")
    place.version("Enabled")
    place.ask("PUT k", b"newer")
    restore = ("x-amz-copy-source", f"/{place.bucket}/k?versionId=null")
    assert place.ask("PUT k", b"", restore).status == 200
    assert place.ask("GET k").body == b"x"


def test_rule_23_a_copy_takes_its_metadata_and_not_the_requests(place):
    """Rule 23: COPY takes metadata and tags of the source and nothing of the request; the redirect of the source is not
    copied; an unknown directive is 400 (4.9.3, 4.9.4).
    """
    redirect = ("x-amz-website-redirect-location", "/elsewhere")
    place.ask(
        "PUT k",
        b"x",
        ("x-amz-meta-a", "1"),
        ("content-type", "text/x"),
        ("x-amz-tagging", "t=1"),
        redirect,
    )
    source = ("x-amz-copy-source", f"{place.bucket}/k")
    ignored = [("x-amz-meta-b", "2"), ("content-type", "text/y")]
    assert place.ask("PUT copy", b"", source, *ignored).status == 200
    head = place.ask("HEAD copy").headers
    assert (head["x-amz-meta-a"], head["content-type"]) == ("1", "text/x")
    assert "x-amz-meta-b" not in head
    assert redirect[0] not in head
    assert b"<Key>t</Key>" in place.ask("GET copy?tagging").body
    wrong = ("x-amz-metadata-directive", "copy")
    check_refusal(place.ask("PUT copy", b"", source, wrong), 400, "InvalidArgument")


def test_rule_23_the_source_is_decoded_once(place):
    """Rule 23: the source is percent-decoded once; `?versionId=` is cut before that, so `%3F` belongs to the key; a leading
    slash and an encoded one are taken (4.9.1). Errors name the source (4.9.2).
    """
    keys = ["a b+c/\u00e9?x", "a%2Fb", "k?versionId=null"]
    for key in keys:
        place.ask(f"PUT {quote(key)}", key.encode())
        for source in (f"/{place.bucket}/{quote(key)}", quote(f"{place.bucket}/{key}", safe="")):
            assert place.ask("PUT copy", b"", ("x-amz-copy-source", source)).status == 200, source
            assert place.ask("GET copy").body == key.encode()
    for source, status, code in (
        (f"{place.bucket}/absent", 404, "NoSuchKey"),
        ("no-such-bucket-here/k", 404, "NoSuchBucket"),
        (f"{place.bucket}", 400, "InvalidArgument"),
        (f"{place.bucket}/", 400, "InvalidArgument"),
        (f"{place.bucket}/copy?versionId=../x", 400, "InvalidArgument"),
    ):
        check_refusal(
            place.ask("PUT x", b"", ("x-amz-copy-source", source)), status, code, label=source
        )


@pytest.mark.parametrize("part", [False, True])
def test_rule_23_a_raw_plus_in_the_source_is_a_space(place, part):
    """Rule 4.9.1: the source is a URL-encoded value, and S3 reads a plus in it as a space, unlike in a path. Measured on S3 by
    users of clients that sent it raw (aws-cli issue 614, aws-sdk-php 236, aws-sdk-js 1821): NoSuchKey for a key with a plus.
    """
    for key in ("a b", "only+plus"):
        place.ask(f"PUT {quote(key)}", key.encode())
    line = f"PUT copy?partNumber=1&uploadId={place.create('copy')}" if part else "PUT copy"

    def copy(source: str):
        return place.ask(line, b"", ("x-amz-copy-source", f"/{place.bucket}/{source}"))

    assert hashlib.md5(b"a b").hexdigest().encode() in copy("a+b").body
    assert hashlib.md5(b"only+plus").hexdigest().encode() in copy("only%2Bplus").body
    refused = copy("only+plus")
    check_refusal(refused, 404, "NoSuchKey")
    assert b"<Key>only plus</Key>" in refused.body


def test_uploads_are_listed_on_from_one_that_has_ended(place):
    """Rule 5.5.3: who aborts uploads while paging goes on from one that is gone; what is no upload id marks no place."""
    uploads = [place.create("k") for _ in range(3)]
    listed = texts(listing(place.ask("GET ?uploads")), "Upload/UploadId")
    assert sorted(listed) == sorted(uploads)
    place.ask(f"DELETE k?uploadId={listed[0]}")
    page = listing(place.ask(f"GET ?uploads&key-marker=k&upload-id-marker={listed[0]}"))
    assert texts(page, "Upload/UploadId") == listed[1:]
    check_refusal(place.ask("GET ?uploads&key-marker=k&upload-id-marker=x"), 400, "InvalidArgument")
    assert len(texts(listing(place.ask("GET ?uploads&upload-id-marker=x")), "Upload")) == 2


def test_rule_24_deletes_add_markers_and_bypass_needs_a_lock(place):
    """Rule 24: a DELETE without version id of a versioned key succeeds and only adds a marker; the bypass header, whatever
    its value, is 400 in a bucket without Object Lock (4.14.7, 4.16.7). DeleteObjects lets it pass here: clean-up tools send
    it with every batch, and it bypasses nothing.
    """
    place.version("Enabled")
    kept = place.ask("PUT k", b"kept").headers["x-amz-version-id"]
    document = b"<Delete><Object><Key>k</Key></Object></Delete>"
    digest = ("content-md5", base64.b64encode(hashlib.md5(document).digest()).decode())
    for value in ("true", "false", "x"):
        bypass = ("x-amz-bypass-governance-retention", value)
        check_refusal(place.ask("DELETE k", b"", bypass), 400, "InvalidArgument")
        marked = place.ask("POST ?delete", document, bypass, digest)
        assert texts(listing(marked), "Deleted/DeleteMarker") == ["true"]
    assert place.ask("DELETE k").headers["x-amz-delete-marker"] == "true"
    assert place.ask(f"GET k?versionId={kept}").body == b"kept"


LOCKED_WRITES = {
    "a mode without a date": ([("x-amz-object-lock-mode", "GOVERNANCE")], "InvalidArgument"),
    "a date without a mode": ([("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z")], "InvalidArgument"),
    "an unknown mode": (
        [("x-amz-object-lock-mode", "x"), ("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z")],
        "InvalidArgument",
    ),
    "retention": (
        [("x-amz-object-lock-mode", "COMPLIANCE"), ("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z")],
        "InvalidRequest",
    ),
    "a legal hold": ([("x-amz-object-lock-legal-hold", "ON")], "InvalidRequest"),
    "no legal hold": ([("x-amz-object-lock-legal-hold", "maybe")], "InvalidArgument"),
}  # fmt: skip


@pytest.mark.parametrize("label", LOCKED_WRITES)
def test_rule_24_a_lock_that_nobody_holds_is_refused(place, label):
    """Rule 24: who asks for a lock must not get an object without one: in a bucket without Object Lock its headers are 400,
    for Put, Copy and Create (4.16.4).
    """
    place.ask("PUT source", b"x")
    headers, code = LOCKED_WRITES[label]
    copy = ("x-amz-copy-source", f"{place.bucket}/source")
    for line, more in (("PUT k", ()), ("PUT k", (copy,)), ("POST k?uploads", ())):
        body = b"x" if line == "PUT k" and not more else b""
        check_refusal(place.ask(line, body, *headers, *more), 400, code, label=line)
    assert place.ask("HEAD k").status == 404


def test_rule_24_a_bucket_with_object_lock_is_not_made_without_it(place):
    """Rule 24: `x-amz-bucket-object-lock-enabled: true` must not end in a bucket whose objects anyone can delete: it is 501
    and there is no bucket. `false` asks for nothing.
    """
    name = f"/{place.bucket}-lock"
    on, off = (
        place.client.signed(
            RawCall("PUT", name, (), (("x-amz-bucket-object-lock-enabled", value),))
        )
        for value in ("true", "false")
    )
    check_refusal(place.client.send(on), 501, "NotImplemented")
    assert place.client.send(place.client.signed(RawCall("HEAD", name))).status == 404
    assert place.client.send(off).status == 200


def test_rule_25_requests_of_other_origins_are_served(place):
    """Rule 25: an Origin that no rule matches is no reason to refuse a real request: it is served, without CORS headers, so
    that a browser does not hand it to the page (6.5.5).
    """
    origin = ("origin", "https://example.com")
    assert place.ask("PUT k", b"x", origin).status == 200
    got = place.ask("GET k", b"", origin)
    assert (got.status, got.body) == (200, b"x")
    for answer in (got, place.ask("GET absent", b"", origin)):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
