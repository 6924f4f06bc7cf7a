"""A dumb twin of one S3 bucket: what the store must answer, in dictionaries and lists, without any cleverness.

Every method is one request and returns its visible answer as a dictionary; `objstore.testing.s3_player` asks a real server the
same question in the same words. Ids that a server makes up are named in the order of their creation: versions `v1`, `v2`, ...,
uploads `u1`, `u2`, ... A name that was never given, `v0` or `u0`, stands for an id that does not exist.

The twin knows nothing of time, owners, checksums and access, and has no limits. It promises to be read in a quarter of an hour;
numbers in brackets are the rules of S3 that a line stands for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from objstore.model.limits import PART_BYTES_MIN

__all__ = [
    "Answer",
    "Condition",
    "Place",
    "S3Twin",
    "Tags",
    "TwinUpload",
    "TwinVersion",
    "answer",
]

Answer: TypeAlias = dict[str, Any]
"""What a client sees: always `status`, `code`, `version` and `marker`, and what the operation adds."""
Tags: TypeAlias = tuple[tuple[str, str], ...]
Condition: TypeAlias = tuple[str, str]
"""Name of a header and the ETag, without quotes, or `*`."""
Place: TypeAlias = tuple[str, str | None]
"""Where a listing goes on: after a key, or after one version or upload of it."""
Row: TypeAlias = tuple[Any, ...]

NULL = "null"


def answer(
    status: int, code: str = "", *, version: str | None = None, marker: bool = False, **more: Any
) -> Answer:
    """Return an answer with the fields that every answer has."""
    return {"status": status, "code": code, "version": version, "marker": marker, **more}


@dataclass(slots=True)
class TwinVersion:
    """An object or a delete marker. A multipart object keeps its pieces, any other has one."""

    label: str
    pieces: list[bytes] = field(default_factory=list)
    is_multipart: bool = False
    note: str = ""
    tags: Tags = ()
    is_marker: bool = False
    data: bytes = field(init=False)
    etag: str = field(init=False)
    """MD5, or MD5 of the MD5s with their number (3.6.1)."""

    def __post_init__(self) -> None:
        self.data = b"".join(self.pieces)
        self.etag = md5(self.data)
        if self.is_multipart:
            joined = b"".join(bytes.fromhex(md5(piece)) for piece in self.pieces)
            self.etag = f"{md5(joined)}-{len(self.pieces)}"


@dataclass(slots=True)
class TwinUpload:
    """An open upload; `is_touched` when its key was written or deleted since (4.5.6)."""

    key: str
    note: str
    tags: Tags
    parts: dict[int, bytes] = field(default_factory=dict)
    is_touched: bool = False


class S3Twin:
    """One bucket. Keys are text; the order of code points is the order of UTF-8 bytes (5.1.1)."""

    def __init__(self) -> None:
        self.versioning = ""
        self.versions: dict[str, list[TwinVersion]] = {}
        """Per key, newest first (4.15.7)."""
        self.uploads: dict[str, TwinUpload] = {}
        """Open uploads by name, oldest first."""
        self.finished: dict[str, tuple[str, Sequence[tuple[int, str]], Answer]] = {}
        """Completed uploads: key, list of parts, answer (4.11.8)."""
        self.version_count = 0
        self.upload_count = 0

    # --- what is there --------------------------------------------------------------------------

    def current(self, key: str) -> TwinVersion | None:
        """Return the newest version if it is an object."""
        newest = next(iter(self.versions.get(key, [])), None)
        return None if newest is None or newest.is_marker else newest

    def find(self, key: str, version: str) -> TwinVersion | None:
        """Return a version or marker by its name."""
        return next((v for v in self.versions.get(key, []) if v.label == version), None)

    def readable(self) -> list[str]:
        """Return the keys that a GET finds, in order."""
        return sorted(k for k in self.versions if isinstance(self._look(k, None), TwinVersion))

    def shown(self, label: str) -> str | None:
        """Return a version id as reads show it: not at all before versioning was ever set (4.15.2)."""
        return label if self.versioning else None

    # --- bucket ---------------------------------------------------------------------------------

    def set_versioning(self, status: str) -> Answer:
        """Enable or suspend (4.15.1)."""
        self.versioning = status
        return answer(200)

    def delete_bucket(self) -> Answer:
        """Refuse while anything is left, delete markers too; open uploads do not count (1.3.9)."""
        if any(self.versions.values()):
            return answer(409, "BucketNotEmpty")
        return answer(204)

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
        refused = self._judge_write(key, condition)
        if refused:
            return refused
        version = self._install(key, TwinVersion("", [data], note=note, tags=_of_a_header(tags)))
        return answer(200, version=self._written(version), etag=version.etag)

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
        """GetObject, or HeadObject, whose refusals have no body and so no code."""
        found = self._look(key, version)
        if isinstance(found, TwinVersion):
            found = self._read(found, span, part, condition)
        if method == "HEAD":
            found["code"] = ""
            if "body" in found:
                found["body"] = b""
        return found

    def _read(
        self,
        version: TwinVersion,
        span: tuple[int | None, int | None] | None,
        part: int | None,
        condition: Condition | None,
    ) -> Answer:
        """Conditions first (4.1.1), then the part or the range (4.2)."""
        shown = self.shown(version.label)
        name, etag = condition or ("", "")
        if name == "If-Match" and etag not in ("*", version.etag):
            return answer(412, "PreconditionFailed")
        if name == "If-None-Match" and etag in ("*", version.etag):
            return answer(304, version=shown, etag=version.etag)
        start, end, count = 0, len(version.data), None
        if part is not None:
            if part > len(version.pieces):
                return answer(416, "InvalidPartNumber")
            start = sum(len(piece) for piece in version.pieces[: part - 1])
            end = start + len(version.pieces[part - 1])
            count = len(version.pieces) if version.is_multipart else None
        elif span is not None:
            start, end = _clipped(span, end)
            if start >= end:
                return answer(416, "InvalidRange")
        is_partial = part is not None or span is not None
        extent = f"bytes {start}-{end - 1}/{len(version.data)}" if is_partial else None
        return answer(
            206 if is_partial else 200,
            version=shown,
            etag=version.etag,
            note=version.note,
            tag_count=len(version.tags),
            part_count=count,
            span=extent if end > start else None,
            length=end - start,
            body=version.data[start:end],
        )

    def delete(
        self, key: str, version: str | None = None, *, condition: Condition | None = None
    ) -> Answer:
        """DeleteObject: remove, leave a marker, or remove one version for good (4.14, 4.15.3, 4.15.4)."""
        if version is not None:
            return self._delete_version(key, version)
        refused = self._judge_write(key, condition)
        if refused:
            return refused
        if not self.versioning:
            if self.versions.get(key):
                self.versions[key] = []
                self._touch(key)
            return answer(204)
        marker = self._install(key, TwinVersion("", is_marker=True))
        return answer(204, version=marker.label, marker=True)

    def _delete_version(self, key: str, label: str) -> Answer:
        """An id that does not exist is no error (4.15.6)."""
        version = self.find(key, label)
        if version is None:
            return answer(204)
        if self.current(key) in (version, None):
            self._touch(key)
        self.versions[key].remove(version)
        return answer(204, version=label, marker=version.is_marker)

    def delete_many(self, entries: Sequence[tuple[str, str | None]]) -> Answer:
        """DeleteObjects: one after the other; here an unknown version is an error (4.14.4, 4.14.6, 4.15.6)."""
        rows: list[Row] = []
        for key, version in entries:
            if version not in (None, NULL) and self.find(key, version or "") is None:
                rows.append(("Error", key, version, "NoSuchVersion"))
                continue
            done = self.delete(key, version)
            rows.append(("Deleted", key, version, done["version"] if done["marker"] else None))
        return answer(200, rows=rows)

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
        """CopyObject; a note or tags that are given replace those of the source (4.9.3, 4.8.7)."""
        found = self._source(source, source_condition)
        if not isinstance(found, TwinVersion):
            return found
        if source == (key, None) and note is None:
            return answer(400, "InvalidRequest")  # a copy onto itself that changes nothing (4.9.5)
        refused = self._judge_write(key, condition)
        if refused:
            return refused
        copied = TwinVersion("", [found.data], note=found.note, tags=found.tags)
        copied.note = copied.note if note is None else note
        copied.tags = copied.tags if tags is None else _of_a_header(tags)
        source_version = self.shown(found.label)
        version = self._install(key, copied)
        # A suspended bucket shows `null` here, although PutObject shows nothing (4.9.6).
        return answer(
            200,
            version=self.shown(version.label),
            etag=version.etag,
            source_version=source_version,
        )

    def _source(
        self, source: tuple[str, str | None], condition: Condition | None
    ) -> TwinVersion | Answer:
        """Find what shall be copied (4.9.2) and judge it (4.1.6)."""
        key, label = source
        found = self._look(key, label)
        if not isinstance(found, TwinVersion):
            if found["status"] == 405:
                return answer(400, "InvalidRequest")
            return answer(404, found["code"])
        name, etag = condition or ("", "")
        is_same = etag in ("*", found.etag)
        if (name == "If-Match" and not is_same) or (name == "If-None-Match" and is_same):
            return answer(412, "PreconditionFailed")
        return found

    # --- tags -----------------------------------------------------------------------------------

    def put_tags(self, key: str, version: str | None, tags: Tags) -> Answer:
        """Replace the whole set (4.8.4, 4.8.5)."""
        found = self._tagged(key, version)
        if not isinstance(found, TwinVersion):
            return found
        found.tags = tags
        return answer(200, version=self.shown(found.label))

    def delete_tags(self, key: str, version: str | None) -> Answer:
        """Remove all."""
        done = self.put_tags(key, version, ())
        return done | {"status": 204} if done["status"] == 200 else done

    def get_tags(self, key: str, version: str | None) -> Answer:
        """Return them in the order in which they were put."""
        found = self._tagged(key, version)
        if not isinstance(found, TwinVersion):
            return found
        return answer(200, version=self.shown(found.label), tags=found.tags)

    def _tagged(self, key: str, version: str | None) -> TwinVersion | Answer:
        """A delete marker is 405, even where it is current (4.8.4)."""
        newest = next(iter(self.versions.get(key, [])), None)
        if version is None and newest is not None and newest.is_marker:
            version = newest.label
        return self._look(key, version)

    # --- multipart uploads ----------------------------------------------------------------------

    def create_upload(self, key: str, *, note: str = "", tags: Tags = ()) -> Answer:
        """All but the bytes is fixed now (4.11.1)."""
        self.upload_count += 1
        name = f"u{self.upload_count}"
        self.uploads[name] = TwinUpload(key, note, _of_a_header(tags))
        return answer(200, upload=name)

    def upload_part(self, upload: str, key: str, number: int, data: bytes) -> Answer:
        """The same number again replaces (4.11.3)."""
        target = self._open(upload, key)
        if target is None:
            return answer(404, "NoSuchUpload")
        target.parts[number] = data
        return answer(200, etag=md5(data))

    def copy_part(
        self,
        upload: str,
        key: str,
        number: int,
        source: tuple[str, str | None],
        span: tuple[int, int] | None,
    ) -> Answer:
        """UploadPartCopy: nothing is clipped (4.10.1)."""
        if self._open(upload, key) is None:
            return answer(404, "NoSuchUpload")
        found = self._source(source, None)
        if not isinstance(found, TwinVersion):
            return found
        data = found.data
        if span is not None:
            if span[0] >= len(data):
                return answer(400, "InvalidRequest")
            if span[1] >= len(data):
                return answer(400, "InvalidArgument")
            data = data[span[0] : span[1] + 1]
        stored = self.upload_part(upload, key, number, data)
        return stored | {"source_version": self.shown(found.label)}

    def complete(
        self,
        upload: str,
        key: str,
        listed: Sequence[tuple[int, str]],
        *,
        condition: Condition | None = None,
    ) -> Answer:
        """CompleteMultipartUpload; once more with the same list says the same again (4.11.8)."""
        numbers = [number for number, _ in listed]
        if numbers != sorted(set(numbers)):
            return answer(400, "InvalidPartOrder")  # seen before anything is looked up
        if self.finished.get(upload, ("", (), {}))[:2] == (key, listed):
            return self.finished[upload][2]
        target = self._open(upload, key)
        if target is None:
            return answer(404, "NoSuchUpload")
        refused = self._judge_write(key, condition) or _judge_parts(target, listed)
        if refused:
            return refused  # upload and parts stay (4.5.7)
        if condition is not None and target.is_touched:
            return answer(409, "ConditionalRequestConflict")
        del self.uploads[upload]
        pieces = [target.parts[number] for number, _ in listed]
        made = TwinVersion("", pieces, is_multipart=True, note=target.note, tags=target.tags)
        version = self._install(key, made)
        done = answer(200, version=self._written(version), etag=version.etag)
        self.finished[upload] = (key, listed, done)
        return done

    def abort(self, upload: str, key: str) -> Answer:
        """AbortMultipartUpload (4.11.10)."""
        if self._open(upload, key) is None:
            return answer(404, "NoSuchUpload")
        del self.uploads[upload]
        return answer(204)

    def list_parts(self, upload: str, key: str, page_size: int) -> Answer:
        """Return all pages, by number (4.12)."""
        target = self._open(upload, key)
        if target is None:
            return answer(404, "NoSuchUpload")
        rows = [(n, md5(data), len(data)) for n, data in sorted(target.parts.items())]
        pages = [rows[at : at + page_size] for at in range(0, len(rows), page_size)]
        return answer(200, pages=pages or [[]])

    def _open(self, upload: str, key: str) -> TwinUpload | None:
        """An upload belongs to its key (4.11.2)."""
        found = self.uploads.get(upload)
        return found if found is not None and found.key == key else None

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
        """Return all pages of ListObjects, V2, versions or uploads: rows and common prefixes of each."""
        del encodes  # changes how names are written, not which
        entries = self._grouped(self._rows(kind), prefix, delimiter)
        left = [entry for entry in entries if not _is_passed(entry, entries, after)]
        pages = [left[at : at + page_size] for at in range(0, len(left), page_size or 1)]
        if page_size == 0 or not pages:
            pages = [[]]  # (5.1.6, 5.1.15)
        return answer(
            200,
            pages=[
                {
                    "rows": [row for _, row in page if row is not None],
                    "prefixes": [name for name, row in page if row is None],
                }
                for page in pages
            ],
        )

    def _rows(self, kind: str) -> Iterable[Row]:
        """Return what is listed, in order: by key, versions newest first, uploads oldest first (5.4.1, 5.5.1)."""
        if kind == "uploads":
            return sorted(
                ((upload.key, name) for name, upload in self.uploads.items()),
                key=lambda row: row[0],
            )
        if kind == "versions":
            return [
                (key, v.label, v is versions[0], v.is_marker, *_validators(v))
                for key, versions in sorted(self.versions.items())
                for v in versions
            ]
        found = [(key, self.current(key)) for key in sorted(self.versions)]
        return [(key, None, *_validators(v)) for key, v in found if v is not None]

    @staticmethod
    def _grouped(rows: Iterable[Row], prefix: str, delimiter: str) -> list[tuple[str, Row | None]]:
        """Return (name, row); of a common prefix, once, (prefix, None) (5.1.2, 5.1.3)."""
        entries: list[tuple[str, Row | None]] = []
        for row in rows:
            key = row[0]
            if not key.startswith(prefix):
                continue
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            entry = (prefix + head + found, None) if found else (key, row)
            if entry not in entries:
                entries.append(entry)
        return entries

    # --- shared steps ---------------------------------------------------------------------------

    def _look(self, key: str, version: str | None) -> TwinVersion | Answer:
        """Return the object that a request names, or the refusal (4.15.5, 4.15.6)."""
        if version is None:
            newest = next(iter(self.versions.get(key, [])), None)
            if newest is None:
                return answer(404, "NoSuchKey")
            if newest.is_marker:
                return answer(404, "NoSuchKey", version=newest.label, marker=True)
            return newest
        found = self.find(key, version)
        if found is None:
            return answer(404, "NoSuchVersion")
        if found.is_marker:
            return answer(405, "MethodNotAllowed", version=found.label, marker=True)
        return found

    def _judge_write(self, key: str, condition: Condition | None) -> Answer | None:
        """Hold a condition against the current version only (4.5.3, 4.14.2)."""
        if condition is None:
            return None
        name, etag = condition
        current = self.current(key)
        if name == "If-None-Match":
            return None if current is None else answer(412, "PreconditionFailed")
        if current is None:
            return answer(404, "NoSuchKey")
        return None if etag in ("*", current.etag) else answer(412, "PreconditionFailed")

    def _install(self, key: str, version: TwinVersion) -> TwinVersion:
        """Make a version the newest; unless versioning is enabled it replaces the null version (4.15.2, 4.15.3)."""
        version.label = NULL
        if self.versioning == "Enabled":
            self.version_count += 1
            version.label = f"v{self.version_count}"
        kept = [v for v in self.versions.get(key, []) if v.label != version.label]
        self.versions[key] = [version, *kept]
        self._touch(key)
        return version

    def _touch(self, key: str) -> None:
        for upload in self.uploads.values():
            upload.is_touched |= upload.key == key

    def _written(self, version: TwinVersion) -> str | None:
        """Return a version id as writes show it: only where versioning is enabled (4.15.3)."""
        return version.label if self.versioning == "Enabled" else None


@lru_cache(maxsize=256)
def md5(data: bytes) -> str:
    """Return the MD5 in hexadecimal."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _validators(version: TwinVersion) -> tuple[str, int]:
    return ("", 0) if version.is_marker else (version.etag, len(version.data))


def _clipped(span: tuple[int | None, int | None], size: int) -> tuple[int, int]:
    """Return start and end of a range (4.2.1)."""
    first, last = span
    if first is None:
        return max(0, size - (last or 0)), size
    return first, size if last is None else min(size, last + 1)


def _is_passed(
    entry: tuple[str, Row | None], entries: Sequence[tuple[str, Row | None]], after: Place
) -> bool:
    """Tell whether an entry lies at or before the marker (5.2.1, 5.3.3, 5.4.3, 5.5.3)."""
    name, row = entry
    key, sub = after
    if row is None or sub is None or name != key:
        return name <= key
    same = [other[1] for _, other in entries if other is not None and other[0] == key]
    return same.index(row[1]) <= same.index(sub)


def _judge_parts(upload: TwinUpload, listed: Sequence[tuple[int, str]]) -> Answer | None:
    """Judge the list of a Complete (4.11.4)."""
    for number, etag in listed:
        if number not in upload.parts or md5(upload.parts[number]) != etag:
            return answer(400, "InvalidPart")
    if any(len(upload.parts[number]) < PART_BYTES_MIN for number, _ in listed[:-1]):
        return answer(400, "EntityTooSmall")
    return None


def _of_a_header(tags: Tags) -> Tags:
    """Return tags as the header leaves them: a query has no order (4.8.5)."""
    return tuple(sorted(tags))
