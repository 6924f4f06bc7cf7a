"""Asks a real server what `objstore.testing.s3_twin` answers from memory: the same methods, the same words for the answers.

Real ids of versions and uploads never leave this module: they get the twin's names in the order in which they first show. So two
servers, or a server and the twin, can be compared word for word. What every listing must echo is checked on the way, because the
twin has no use for it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote, urlencode
from xml.sax.saxutils import escape

from objstore.testing.raw_client import RawAnswer, RawCall, RawClient
from objstore.testing.s3_twin import Answer, Condition, Place, Tags, answer

__all__ = ["S3Player", "in_xml"]

Pairs = tuple[tuple[str, str], ...]

NEVER_GIVEN = "0" * 32
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_PAGES_MAX = 500
_ILLEGAL = [*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0xFFFE, 0xFFFF]
_STAND_INS = {code: chr(0xE000 + (code & 0xFFF)) for code in _ILLEGAL}
"""Private characters in place of those that no XML parser takes, even as a reference (s3 rule 1.2.10)."""
_REAL = {ord(private): chr(code) for code, private in _STAND_INS.items()}
_REFERENCE = re.compile(r"&#(\d+);")


def in_xml(text: str) -> bool:
    """Tell whether a request can carry a text in XML."""
    return not any(ord(character) in _STAND_INS for character in text)


class S3Player:
    """One bucket of a server. With `hops`, a connection of its own for every request, so that any process may answer."""

    def __init__(self, client: RawClient, bucket: str, *, hops: bool = False) -> None:
        self.client = client
        self.bucket = bucket
        self._hops = hops
        self._ids: dict[str, str] = {}
        self._names: dict[str, str] = {"null": "null"}
        created = self._send("PUT")
        if created.status != 200:
            raise AssertionError(f"no bucket: {created}")

    # --- bucket ---------------------------------------------------------------------------------

    def set_versioning(self, status: str) -> Answer:
        """PutBucketVersioning."""
        body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
        return self._plain(self._send("PUT", query=(("versioning", ""),), body=body.encode()))

    def delete_bucket(self) -> Answer:
        """DeleteBucket."""
        return self._plain(self._send("DELETE"))

    # --- objects --------------------------------------------------------------------------------

    def put(
        self,
        key: str,
        data: bytes,
        *,
        note: str = "",
        tags: Tags = (),
        condition: Condition | None = None,
    ) -> Answer:
        """PutObject."""
        headers = (*_new(note, tags), *_conditional(condition))
        return self._written(self._send("PUT", key, headers=headers, body=data))

    def get(
        self,
        key: str,
        version: str | None = None,
        *,
        method: str = "GET",
        span: tuple[int | None, int | None] | None = None,
        part: int | None = None,
        condition: Condition | None = None,
    ) -> Answer:
        """GetObject or HeadObject."""
        headers = _conditional(condition)
        if span is not None:
            first, last = ("" if bound is None else str(bound) for bound in span)
            headers += (("range", f"bytes={first}-{last}"),)
        query = self._version(version)
        if part is not None:
            query += (("partNumber", str(part)),)
        got = self._send(method, key, query=query, headers=headers)
        plain = self._plain(got)
        if got.status == 304:
            return plain | {"etag": _etag(got)}
        if got.status >= 300:
            return plain
        parts = got.headers.get("x-amz-mp-parts-count")
        return plain | {
            "etag": _etag(got),
            "note": got.headers.get("x-amz-meta-note", ""),
            "tag_count": int(got.headers.get("x-amz-tagging-count", "0")),
            "part_count": None if parts is None else int(parts),
            "span": got.headers.get("content-range"),
            "length": int(got.headers["content-length"]),
            "body": got.body,
        }

    def delete(
        self, key: str, version: str | None = None, *, condition: Condition | None = None
    ) -> Answer:
        """DeleteObject."""
        query, headers = self._version(version), _conditional(condition)
        return self._plain(self._send("DELETE", key, query=query, headers=headers))

    def delete_many(self, entries: Sequence[tuple[str, str | None]]) -> Answer:
        """DeleteObjects."""
        lines = [f"<Object>{self._entry(key, version)}</Object>" for key, version in entries]
        body = f"<Delete>{''.join(lines)}</Delete>".encode()
        sum_of = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        got = self._send(
            "POST", query=(("delete", ""),), headers=(("content-md5", sum_of),), body=body
        )
        return self._plain(got) | {"rows": [self._outcome(row) for row in _document(got)]}

    def _entry(self, key: str, version: str | None) -> str:
        text = f"<Key>{escape(key, {chr(13): '&#13;', chr(10): '&#10;'})}</Key>"
        return text if version is None else f"{text}<VersionId>{self._real(version)}</VersionId>"

    def _outcome(self, row: ET.Element) -> tuple[str | None, ...]:
        key, version = _text(row, "Key"), self._name(_optional(row, "VersionId"))
        if row.tag == "Error":
            return "Error", key, version or "v0", _text(row, "Code")
        marker = self._name(_optional(row, "DeleteMarkerVersionId"))
        if (marker is not None) != (_optional(row, "DeleteMarker") == "true"):
            raise AssertionError(f"half a delete marker: {ET.tostring(row)!r}")
        return "Deleted", key, version, marker

    def copy(
        self,
        key: str,
        source: tuple[str, str | None],
        *,
        note: str | None = None,
        tags: Tags | None = None,
        source_condition: Condition | None = None,
        condition: Condition | None = None,
    ) -> Answer:
        """CopyObject."""
        headers = (*self._source(source), *_conditional(condition))
        if source_condition is not None:
            name, etag = source_condition
            headers += _conditional((f"x-amz-copy-source-{name}", etag))
        if note is not None:
            headers += (("x-amz-metadata-directive", "REPLACE"), *_new(note, ()))
        if tags is not None:
            headers += (("x-amz-tagging-directive", "REPLACE"), *_new("", tags))
        return self._copied(self._send("PUT", key, headers=headers))

    def _source(self, source: tuple[str, str | None]) -> Pairs:
        key, version = source
        text = f"/{self.bucket}/{quote(key, safe='/')}"
        if version is not None:
            text += f"?versionId={self._real(version)}"
        return (("x-amz-copy-source", text),)

    def _copied(self, got: RawAnswer) -> Answer:
        plain = self._plain(got)
        if got.status != 200:
            return plain
        source = self._name(got.headers.get("x-amz-copy-source-version-id"))
        return plain | {"etag": _text(_document(got), "ETag").strip('"'), "source_version": source}

    # --- tags -----------------------------------------------------------------------------------

    def put_tags(self, key: str, version: str | None, tags: Tags) -> Answer:
        """PutObjectTagging."""
        lines = (f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, value in tags)
        body = f"<Tagging><TagSet>{''.join(lines)}</TagSet></Tagging>".encode()
        return self._plain(self._send("PUT", key, query=self._tagging(version), body=body))

    def delete_tags(self, key: str, version: str | None) -> Answer:
        """DeleteObjectTagging."""
        return self._plain(self._send("DELETE", key, query=self._tagging(version)))

    def get_tags(self, key: str, version: str | None) -> Answer:
        """GetObjectTagging."""
        got = self._send("GET", key, query=self._tagging(version))
        if got.status != 200:
            return self._plain(got)
        found = tuple((_text(tag, "Key"), _text(tag, "Value")) for tag in _document(got)[0])
        return self._plain(got) | {"tags": found}

    def _tagging(self, version: str | None) -> Pairs:
        return (("tagging", ""), *self._version(version))

    # --- multipart uploads ----------------------------------------------------------------------

    def create_upload(self, key: str, *, note: str = "", tags: Tags = ()) -> Answer:
        """CreateMultipartUpload."""
        got = self._send("POST", key, query=(("uploads", ""),), headers=_new(note, tags))
        upload = _text(_document(got), "UploadId")
        name = f"u{sum(name.startswith('u') for name in self._ids) + 1}"
        self._ids[name], self._names[upload] = upload, name
        return self._plain(got) | {"upload": name}

    def upload_part(self, upload: str, key: str, number: int, data: bytes) -> Answer:
        """UploadPart."""
        query = (("uploadId", self._real(upload)), ("partNumber", str(number)))
        return self._written(self._send("PUT", key, query=query, body=data))

    def copy_part(
        self,
        upload: str,
        key: str,
        number: int,
        source: tuple[str, str | None],
        span: tuple[int, int] | None,
    ) -> Answer:
        """UploadPartCopy."""
        query = (("uploadId", self._real(upload)), ("partNumber", str(number)))
        headers = self._source(source)
        if span is not None:
            headers += (("x-amz-copy-source-range", f"bytes={span[0]}-{span[1]}"),)
        return self._copied(self._send("PUT", key, query=query, headers=headers))

    def complete(
        self,
        upload: str,
        key: str,
        listed: Sequence[tuple[int, str]],
        *,
        condition: Condition | None = None,
    ) -> Answer:
        """CompleteMultipartUpload."""
        lines = (
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in listed
        )
        body = f"<CompleteMultipartUpload>{''.join(lines)}</CompleteMultipartUpload>".encode()
        query, headers = (("uploadId", self._real(upload)),), _conditional(condition)
        got = self._send("POST", key, query=query, headers=headers, body=body)
        if got.status != 200:
            return self._plain(got)
        return self._plain(got) | {"etag": _text(_document(got), "ETag").strip('"')}

    def abort(self, upload: str, key: str) -> Answer:
        """AbortMultipartUpload."""
        return self._plain(self._send("DELETE", key, query=(("uploadId", self._real(upload)),)))

    def list_parts(self, upload: str, key: str, page_size: int) -> Answer:
        """ListParts, all pages."""
        pages, marker = [], "0"
        for _ in range(_PAGES_MAX):
            query = (
                ("uploadId", self._real(upload)),
                ("max-parts", str(page_size)),
                ("part-number-marker", marker),
            )
            got = self._send("GET", key, query=query)
            if got.status != 200:
                return self._plain(got)
            page = _document(got)
            pages.append([_part(part) for part in page.iter("Part")])
            if _text(page, "IsTruncated") == "false":
                return answer(200, pages=pages)
            marker = _text(page, "NextPartNumberMarker")
        raise AssertionError("the pages have no end")

    # --- listings -------------------------------------------------------------------------------

    def listing(
        self,
        kind: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: Place = ("", None),
        page_size: int = 1000,
        encodes: bool = True,
    ) -> Answer:
        """Return all pages of a listing, each asked for with what the one before said."""
        asked = _asked(prefix, delimiter, encodes=encodes)
        pages = []
        for page in self._pages(kind, asked, after, page_size):
            _check_echo(page, asked, page_size)
            pages.append(
                {
                    "rows": [self._row(row, encodes=encodes) for row in page if row.tag in _ROWS],
                    "prefixes": [
                        _decoded(_text(group, "Prefix"), encodes=encodes)
                        for group in page.iter("CommonPrefixes")
                    ],
                }
            )
        return answer(200, pages=pages)

    def _pages(self, kind: str, asked: Pairs, after: Place, page_size: int) -> Iterator[ET.Element]:
        names = _MARKERS[kind]
        key, sub = after
        at: Pairs = ((names[0], key),) if key else ()
        if key and sub is not None and len(names) > 1:
            at += ((names[1], self._real(sub)),)
        for _ in range(_PAGES_MAX):
            size = "max-uploads" if kind == "uploads" else "max-keys"
            got = self._send("GET", query=(*_FIXED[kind], *asked, (size, str(page_size)), *at))
            if got.status != 200:
                raise AssertionError(f"{kind}: {got}")
            page = _document(got)
            yield page
            if _text(page, "IsTruncated") == "false":
                if _optional(page, "NextContinuationToken") is not None:
                    raise AssertionError("a token that leads nowhere (s3 rule 5.3.2)")
                return
            at = _following(kind, page, encodes=("encoding-type", "url") in asked)
        raise AssertionError("the pages have no end")

    def _row(self, row: ET.Element, *, encodes: bool) -> tuple[Any, ...]:
        key = _decoded(_text(row, "Key"), encodes=encodes)
        if row.tag == "Upload":
            return key, self._name(_text(row, "UploadId"))
        is_marker = row.tag == "DeleteMarker"
        validators = ("", 0)
        if not is_marker:
            validators = (_text(row, "ETag").strip('"'), int(_text(row, "Size")))
        if row.tag == "Contents":
            return key, None, *validators
        name = self._name(_text(row, "VersionId"))
        return key, name, _text(row, "IsLatest") == "true", is_marker, *validators

    # --- shared steps ---------------------------------------------------------------------------

    def _send(
        self,
        method: str,
        key: str | None = None,
        *,
        query: Pairs = (),
        headers: Pairs = (),
        body: bytes = b"",
    ) -> RawAnswer:
        path = f"/{self.bucket}"
        if key is not None:
            path += "/" + quote(key, safe="/-._~")
        if self._hops:
            self.client.close()
        return self.client.send(self.client.signed(RawCall(method, path, query, headers, body)))

    def _plain(self, got: RawAnswer) -> Answer:
        return answer(
            got.status,
            got.code if got.status >= 400 else "",
            version=self._name(got.headers.get("x-amz-version-id")),
            marker=got.headers.get("x-amz-delete-marker") == "true",
        )

    def _written(self, got: RawAnswer) -> Answer:
        plain = self._plain(got)
        return plain | {"etag": _etag(got)} if got.status == 200 else plain

    def _version(self, name: str | None) -> Pairs:
        return () if name is None else (("versionId", self._real(name)),)

    def _real(self, name: str) -> str:
        return name if name == "null" else self._ids.get(name, NEVER_GIVEN)

    def _name(self, real: str | None) -> str | None:
        """Return the name of an id; one that shows for the first time is the next version."""
        if real is None or real == NEVER_GIVEN:
            return None
        if real not in self._names:
            name = f"v{sum(name.startswith('v') for name in self._ids) + 1}"
            self._ids[name], self._names[real] = real, name
        return self._names[real]


_ROWS = {"Contents", "Version", "DeleteMarker", "Upload"}
_FIXED: dict[str, Pairs] = {
    "v1": (),
    "v2": (("list-type", "2"),),
    "versions": (("versions", ""),),
    "uploads": (("uploads", ""),),
}
_MARKERS = {
    "v1": ("marker",),
    "v2": ("start-after",),
    "versions": ("key-marker", "version-id-marker"),
    "uploads": ("key-marker", "upload-id-marker"),
}


def _asked(prefix: str, delimiter: str, *, encodes: bool) -> Pairs:
    asked: Pairs = (("prefix", prefix),) if prefix else ()
    asked += (("delimiter", delimiter),) if delimiter else ()
    return (*asked, ("encoding-type", "url")) if encodes else asked


def _following(kind: str, page: ET.Element, *, encodes: bool) -> Pairs:
    """Return what asks for the next page (s3 rules 5.2.2, 5.3.2, 5.4.4, 5.5.2)."""
    if kind == "v2":
        return (("continuation-token", _text(page, "NextContinuationToken")),)
    if kind == "v1":
        last = (
            _optional(page, "NextMarker")
            or [_text(row, "Key") for row in page.iter("Contents")][-1]
        )
        return (("marker", _decoded(last, encodes=encodes)),)
    key_marker, sub_marker = _MARKERS[kind]
    key = _decoded(_text(page, "NextKeyMarker"), encodes=encodes)
    sub = _optional(page, "NextVersionIdMarker" if kind == "versions" else "NextUploadIdMarker")
    return ((key_marker, key), (sub_marker, sub)) if sub else ((key_marker, key),)


def _check_echo(page: ET.Element, asked: Pairs, page_size: int) -> None:
    """Hold the echo of a page against the request (s3 rules 5.1.6, 5.1.10, 5.1.16, 5.3.4, 5.4.1)."""
    wanted = dict(asked)
    encodes = "encoding-type" in wanted
    rows = [row for row in page if row.tag in _ROWS]
    count = len(rows) + len(page.findall("CommonPrefixes"))
    size = _optional(page, "MaxKeys") or _optional(page, "MaxUploads")
    dates = [(row.findtext("Key"), row.findtext("LastModified") or "") for row in rows]
    expectations = [
        _decoded(_text(page, "Prefix"), encodes=encodes) == wanted.get("prefix", ""),
        _decoded(_optional(page, "Delimiter") or "", encodes=encodes)
        == wanted.get("delimiter", ""),
        _optional(page, "EncodingType") == wanted.get("encoding-type"),
        size == str(page_size),
        count <= page_size,
        _optional(page, "KeyCount") in (None, str(count)),
        all(new >= old for (key, new), (other, old) in pairwise(dates) if key == other),
    ]
    if not all(expectations):
        raise AssertionError(f"page and request differ {expectations}: {ET.tostring(page)!r}")


def _document(got: RawAnswer) -> ET.Element:
    """Return the root of an answer, its names without the namespace."""
    text = _REFERENCE.sub(
        lambda found: _STAND_INS.get(int(found[1]), found[0]), got.body.decode("utf-8")
    )
    root = ET.fromstring(text)  # noqa: S314 - written by the server under test
    for element in root.iter():
        element.tag = element.tag.removeprefix(_NAMESPACE)
        element.text = (element.text or "").translate(_REAL)
    return root


def _text(element: ET.Element, name: str) -> str:
    found = element.find(name)
    if found is None:
        raise AssertionError(f"no {name}: {ET.tostring(element)!r}")
    return found.text or ""


def _optional(element: ET.Element, name: str) -> str | None:
    found = element.find(name)
    return None if found is None else found.text or ""


def _part(part: ET.Element) -> tuple[int, str, int]:
    number, size = int(_text(part, "PartNumber")), int(_text(part, "Size"))
    return number, _text(part, "ETag").strip('"'), size


def _decoded(text: str, *, encodes: bool) -> str:
    return unquote(text) if encodes else text


def _etag(got: RawAnswer) -> str:
    return got.headers["etag"].strip('"')


def _new(note: str, tags: Tags) -> Pairs:
    headers: Pairs = (("x-amz-meta-note", note),) if note else ()
    return (*headers, ("x-amz-tagging", urlencode(tags))) if tags else headers


def _conditional(condition: Condition | None) -> Pairs:
    if condition is None:
        return ()
    name, etag = condition
    return ((name, etag if etag == "*" else f'"{etag}"'),)
