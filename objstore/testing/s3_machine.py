"""A state machine that plays random requests on servers and on the twin, and compares every answer (needs Hypothesis).

One machine is one example: a fresh bucket on every server. With several servers the same requests go to all of them, so
what differs between them - drives, limits, processes, transport - must not show. After every step a listing, each time
another, equals the keys that are readable; at the end everything that is left is read once more.

What was played is counted in the arena, as words: the rule `r:copy`, the answer `copy 412 PreconditionFailed`, the situation
`listing v2 pages grouped`. A test that needs something to have been played asks there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from pprint import pformat
from typing import Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from objstore.model.limits import PART_BYTES_MIN
from objstore.testing.s3_arena import Arena
from objstore.testing.s3_player import in_xml
from objstore.testing.s3_twin import Answer, Condition, S3Twin, TwinVersion, md5

__all__ = ["KEYS", "Content", "S3Machine"]

HOT_KEYS = ("a", "a/b", "é")
KEYS = (
    *HOT_KEYS,
    *(
        "a/",
        "a//",
        "/",
        "//",
        "a b",
        "a+b",
        "%",
        "%2F",
        "..",
        "a/../b",
        "\n",
        "\r",
        "\x1f",
        "a\x1f",
    ),
    *(
        "e\u0301",
        "\ufffd",
        "\ufffe",
        "\uffff",
        "\U00010000",
        "a/\U0001f600/b",
        "&<>\"'",
        "~*",
        "z?versionId=1",
    ),
)
SIZES = (0, 1, 1_000, 16_383, 16_384, 16_385, 65_536, 65_537, 150_000)
"""Around the limit of what is kept inline, and around a block."""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that a short text describes."""

    size: int
    seed: int

    @property
    def data(self) -> bytes:
        """The bytes; they repeat at a distance that no block has."""
        return _content(self.size, self.seed)


@lru_cache(maxsize=64)
def _content(size: int, number: int) -> bytes:
    unit = b"".join(b"%d:%d." % (number, at) for at in range(997))
    return (unit * (size // len(unit) + 1))[:size]


keys = st.one_of(st.sampled_from(HOT_KEYS), st.sampled_from(KEYS))
known_keys = st.integers(0, 15) | st.integers(0, 15) | keys
"""A key by name, or one of those that the bucket has seen."""
contents = st.builds(Content, st.sampled_from(SIZES), st.integers(0, 3))
notes = st.sampled_from(("", "one", "two words"))
tag_sets = st.sampled_from(((), (("k", "v"),), (("k", ""), ("a b", "+/="), ("é", "ü"))))
choices = st.none() | st.integers(0, 7)
conditions = st.sampled_from((None, "none", "any", "same", "other"))
page_sizes = st.sampled_from((1, 2, 3, 5, 1000, 0))
_WALKS = (
    ("v2", 1000, True), ("v2", 1000, False), ("versions", 1000, True), ("v2", 8, True), ("v1", 1000, False),
    ("v2", 1000, True), ("uploads", 3, True), ("v1", 8, True), ("versions", 12, False),
)  # fmt: skip
"""Kind, page size and encoding of the listings after the steps, in turn."""
delimiters = st.sampled_from(("", "/", "//", "a", "b", "%", "é", "\n", " "))
prefixes = st.sampled_from(("", "a", "a/", "/", "e", "é", "%", "zz", "\uffff"))
Walk: TypeAlias = tuple[str, str, str | None, int | None, int, bool]
"""Prefix, delimiter, where to go on after (a key, and which version or upload of it), page size, encoded or not."""
walks = st.tuples(
    prefixes, delimiters, st.none() | keys | prefixes, choices, page_sizes, st.booleans()
)


class S3Machine(RuleBasedStateMachine):
    """The rules. Each asks the twin and all players the same, and compares."""

    def __init__(self, arena: Arena) -> None:
        super().__init__()
        self.arena = arena
        self.twin = S3Twin()
        self.players = arena.players()
        self.has_failed = False
        self.turn = 0
        self.is_listed = False
        """Since the last request."""

    def play(self, name: str, *arguments: Any, **more: Any) -> Answer:
        """Ask once; raise if anybody answers something else than the twin."""
        self.is_listed = False
        expected: Answer = getattr(self.twin, name)(*arguments, **more)
        for player in self.players:
            try:
                got = getattr(player, name)(*arguments, **more)
                same = got == expected
            except BaseException:
                self.has_failed = True
                raise
            if not same:
                self.has_failed = True
                raise AssertionError(
                    f"{name}{arguments}{more} on port {player.client.port}\n"
                    f"twin   {_shown(expected)}\nserver {_shown(got)}"
                )
        self.note(f"{name} {expected['status']} {expected['code']}".rstrip())
        return expected

    def note(self, *situations: str) -> None:
        """Count what was played."""
        for situation in situations:
            self.arena.played[situation] += 1

    # --- the bucket -----------------------------------------------------------------------------

    @initialize(
        status=st.sampled_from(("", "Enabled", "Suspended")),
        older=st.lists(st.tuples(keys, contents), max_size=4),
        newer=st.lists(st.tuples(keys, contents), max_size=6),
    )
    def begin(
        self, status: str, older: list[tuple[str, Content]], newer: list[tuple[str, Content]]
    ) -> None:
        """Set the versioning, or leave it never set; some objects are older than that, some newer."""
        self.note(f"begin {status or 'never'}")
        for key, content in older:
            self.put(key, content)
        if status:
            self.note(f"versioning never to {status}")
            self.play("set_versioning", status)
        for key, content in newer:
            self.put(key, content)

    @rule(status=st.sampled_from(("Enabled", "Suspended")), chance=st.integers(0, 3))
    def set_versioning(self, status: str, chance: int) -> None:
        """There is no way back to never set (s3 rule 4.15.1)."""
        if chance == 0:
            self.note(f"versioning {self.twin.versioning or 'never'} to {status}")
            self.play("set_versioning", status)

    @rule(chance=st.integers(0, 99))
    def restart(self, chance: int) -> None:
        """Rarely: it takes a second. What was acknowledged is there afterwards, whether the server was asked to end or not."""
        if chance in (23, 41):
            by_kill = chance == 23
            self.note("restart by kill" if by_kill else "restart")
            self.arena.restart(by_kill=by_kill)

    # --- objects --------------------------------------------------------------------------------

    @rule(key=keys, content=contents)
    def put(self, key: str, content: Content) -> None:
        """Write an object; its content decides what is said about it."""
        note, tags = (("", ()), ("odd", ()), ("", (("k", "v"),)), ("three", (("k", ""),)))[
            content.seed
        ]
        if self.twin.versioning != "Enabled" and self.twin.find(key, "null") is not None:
            self.note(f"null replaced {self.twin.versioning or 'never'}")
        self.play("put", key, content.data, note=note, tags=tags)

    @rule(several=st.lists(st.tuples(keys, contents), min_size=1, max_size=4))
    def put_several(self, several: list[tuple[str, Content]]) -> None:
        """Write objects: without this rule there would be little to read."""
        for key, content in several:
            self.put(key, content)

    @rule(key=known_keys, content=contents, note=notes, tags=tag_sets, condition=conditions)
    def put_with(
        self, key: str | int, content: Content, note: str, tags: Any, condition: str | None
    ) -> None:
        """Write an object with metadata, tags and a condition."""
        key = self.key(key)
        judged = self.condition(key, condition)
        self.play("put", key, content.data, note=note, tags=tags, condition=judged)

    @rule(
        key=known_keys,
        choice=choices,
        method=st.sampled_from(("GET", "HEAD")),
        condition=conditions,
    )
    def get(self, key: str | int, choice: int | None, method: str, condition: str | None) -> None:
        """Read an object or a version, or ask for its head."""
        key = self.key(key)
        judged = self.condition(key, condition)
        if judged == ("If-None-Match", "*"):
            judged = None if self.twin.current(key) is None else ("If-None-Match", "*")
        self.play("get", key, self.version(key, choice), method=method, condition=judged)

    @rule(
        key=known_keys,
        choice=choices,
        first=st.none() | st.sampled_from((0, 1, 16_384, 65_535, 65_536, 140_000)),
        last=st.none() | st.sampled_from((0, 5, 16_384, 65_535, 65_536, 200_000)),
        part=st.none() | st.integers(1, 3),
    )
    def get_some(
        self,
        key: str | int,
        choice: int | None,
        first: int | None,
        last: int | None,
        part: int | None,
    ) -> None:
        """Read a range or a part."""
        key = self.key(key)
        version = self.version(key, choice)
        if part is not None:
            self.play("get", key, version, part=part)
        elif (first, last) != (None, None) and not (first or 0) > (
            last if last is not None else sys.maxsize
        ):
            self.play("get", key, version, span=(first, last))

    @rule(key=known_keys, condition=conditions)
    def delete(self, key: str | int, condition: str | None) -> None:
        """Delete a key."""
        key = self.key(key)
        judged = self.condition(key, condition)
        if judged is not None and judged[0] == "If-None-Match":
            judged = None
        self.play("delete", key, condition=judged)

    @rule(key=known_keys, choice=st.integers(0, 7))
    def delete_version(self, key: str | int, choice: int) -> None:
        """Delete one version for good."""
        key = self.key(key)
        version = self.version(key, choice)
        found = self.twin.find(key, version or "")
        if found is not None:
            kind = "marker" if found.is_marker else "object"
            place = "current" if self.twin.versions[key][0] is found else "noncurrent"
            self.note(f"{place} {kind} removed", *(["null removed"] if version == "null" else []))
        self.play("delete", key, version)

    @rule(entries=st.lists(st.tuples(known_keys, choices), min_size=1, max_size=4))
    def delete_many(self, entries: list[tuple[str | int, int | None]]) -> None:
        """Delete several keys and versions at once."""
        chosen = [(self.key(name), choice) for name, choice in entries]
        self.play(
            "delete_many",
            [(key, self.version(key, choice)) for key, choice in chosen if in_xml(key)]
            or [("a", None)],
        )

    @rule(
        key=known_keys,
        source=known_keys,
        choice=choices,
        note=st.none() | notes,
        tags=st.none() | tag_sets,
        judged=st.just((None, None)) | st.tuples(conditions, conditions),
    )
    def copy(
        self,
        key: str | int,
        source: str | int,
        choice: int | None,
        note: str | None,
        tags: Any,
        judged: tuple[str | None, str | None],
    ) -> None:
        """Copy an object or a version, also onto itself."""
        key = self.key(key)
        source = self.key(source)
        if key == source and note is not None and self.twin.current(key) is not None:
            self.note("copy onto itself")
        self.play(
            "copy",
            key,
            (source, self.version(source, choice)),
            note=note,
            tags=tags,
            condition=self.condition(key, judged[0]),
            source_condition=self.condition(source, judged[1]) if judged[0] else None,
        )

    @rule(key=keys, place=st.integers(0, 15))
    def copy_readable(self, key: str, place: int) -> None:
        """Copy an object that is there, as it is, and read the copy."""
        if sources := self.twin.readable():
            self.play("copy", key, (sources[place % len(sources)], None))
            self.play("get", key)

    @rule(
        key=known_keys,
        choice=choices,
        tags=tag_sets,
        what=st.sampled_from(("put", "get", "get", "delete")),
    )
    def tag(self, key: str | int, choice: int | None, tags: Any, what: str) -> None:
        """Put, read or remove tags."""
        key = self.key(key)
        version = self.version(key, choice)
        more = (tags,) if what == "put" else ()
        self.play(f"{what}_tags", key, version, *more)

    # --- multipart uploads ----------------------------------------------------------------------

    @rule(key=keys, note=notes, tags=tag_sets)
    def create_upload(self, key: str, note: str, tags: Any) -> None:
        """Begin a multipart upload."""
        self.play("create_upload", key, note=note, tags=tags)

    @rule(choice=st.integers(0, 7), number=st.integers(1, 3), content=contents)
    def upload_part(self, choice: int, number: int, content: Content) -> None:
        """Send a part, or send it again."""
        upload, key = self.upload(choice)
        if upload in self.twin.uploads and self.twin.uploads[upload].parts:
            parts = self.twin.uploads[upload].parts
            self.note(
                "part again"
                if number in parts
                else f"part {'in order' if number > max(parts) else 'before a later one'}"
            )
        self.play("upload_part", upload, key, number, content.data)

    @rule(
        choice=st.integers(0, 7),
        number=st.integers(1, 3),
        source=known_keys,
        version=choices,
        span=st.sampled_from((None, (0, 0), (1, 999), (100, 16_384), (65_535, 65_536))),
    )
    def copy_part(
        self,
        choice: int,
        number: int,
        source: str | int,
        version: int | None,
        span: tuple[int, int] | None,
    ) -> None:
        """Take a part from a stored object."""
        source = self.key(source)
        upload, key = self.upload(choice)
        self.play("copy_part", upload, key, number, (source, self.version(source, version)), span)

    @rule(
        choice=st.integers(0, 7),
        flaw=st.sampled_from(("last", "last", "last", "all", "first", "order", "etag", "absent")),
        condition=conditions,
    )
    def complete(self, choice: int, flaw: str, condition: str | None) -> None:
        """Complete an upload, also with a list that is wrong, or once more."""
        upload, key = self.upload(choice)
        if upload in self.twin.uploads:
            numbers = (1, 3) if flaw in ("all", "first", "order") else (2,)
            if len(self.parts(upload, "all")) < len(numbers):
                for number in numbers:
                    self.play("upload_part", upload, key, number, b"part")
        if listed := self.parts(upload, flaw):
            if upload in self.twin.finished:
                self.note("complete once more")
            self.play("complete", upload, key, listed, condition=self.condition(key, condition))

    @rule(
        key=known_keys,
        change=st.sampled_from(("", "put", "delete", "delete_version", "put_tags")),
        choice=st.integers(0, 7),
        condition=conditions,
    )
    def race(self, key: str | int, change: str, choice: int, condition: str | None) -> None:
        """Complete an upload whose key may have changed since it began (s3 rule 4.5.6)."""
        key = self.key(key)
        tags = (("by", "race"),)
        upload = self.play("create_upload", key, note="raced", tags=tags)["upload"]
        self.play("upload_part", upload, key, 1, b"raced")
        if change == "put":
            self.play("put", key, b"changed")
        elif change == "put_tags":
            self.play("put_tags", key, None, (("k", "v"),))
        elif change:
            version = self.version(key, choice) if change == "delete_version" else None
            self.play("delete", key, version)
        listed = self.parts(upload, "all")
        self.play("complete", upload, key, listed, condition=self.condition(key, condition))
        self.play("get", key)

    @rule(key=keys, order=st.permutations((1, 2)), again=st.booleans(), chance=st.integers(0, 9))
    def two_parts(self, key: str, order: list[int], *, again: bool, chance: int) -> None:
        """A large upload from its begin to its end: parts in any order, one of them sent twice, Complete repeated."""
        if chance != 7:
            return
        self.note(f"two parts {order}{' again' if again else ''}")
        pieces = {1: Content(PART_BYTES_MIN, len(key)), 2: Content(70_000, 1)}
        upload = self.play("create_upload", key, note="large")["upload"]
        if again:
            self.play("upload_part", upload, key, 1, b"another try")
        for number in order:
            self.play("upload_part", upload, key, number, pieces[number].data)
        listed = self.parts(upload, "all")
        for _ in range(1 + again):
            self.play("complete", upload, key, listed)
        self.play("get", key, span=(PART_BYTES_MIN - 9, PART_BYTES_MIN + 9))

    @rule(choice=st.integers(0, 7), is_aborted=st.booleans(), page_size=st.integers(1, 3))
    def end_upload(self, choice: int, page_size: int, *, is_aborted: bool) -> None:
        """List the parts, and perhaps abort."""
        upload, key = self.upload(choice)
        self.play("list_parts", upload, key, page_size)
        if is_aborted:
            self.play("abort", upload, key)

    # --- listings -------------------------------------------------------------------------------

    @rule(asked=walks)
    def list_v1(self, asked: Walk) -> None:
        """Walk ListObjects."""
        self.walk("v1", asked)

    @rule(asked=walks)
    def list_v2(self, asked: Walk) -> None:
        """Walk ListObjectsV2."""
        self.walk("v2", asked)

    @rule(asked=walks)
    def list_versions(self, asked: Walk) -> None:
        """Walk ListObjectVersions."""
        self.walk("versions", asked)

    @rule(asked=walks)
    def list_uploads(self, asked: Walk) -> None:
        """Walk ListMultipartUploads."""
        self.walk("uploads", asked)

    def walk(self, kind: str, asked: Walk) -> None:
        """Walk one of the four listings from a place, in pages."""
        prefix, delimiter, after, choice, page_size, encodes = asked
        place = self.place(kind, after, choice)
        pages = self.play(
            "listing",
            kind,
            prefix=prefix,
            delimiter=delimiter,
            after=(after or "", place),
            page_size=max(page_size, 1) if kind == "uploads" else page_size,
            encodes=encodes,
        )["pages"]
        self.note(
            f"listing {kind} by {page_size}",
            f"listing {kind} {'encoded' if encodes else 'raw'}",
            *([f"listing {kind} pages"] if len(pages) > 1 else []),
            *([f"listing {kind} grouped"] if any(page["prefixes"] for page in pages) else []),
            *([f"listing {kind} prefix"] if prefix and any(page["rows"] for page in pages) else []),
            *([f"listing {kind} after"] if after and any(page["rows"] for page in pages) else []),
            *([f"listing {kind} after a version"] if place else []),
        )

    @invariant()
    def what_is_listed_is_readable(self) -> None:
        """The listings of current objects and the reads answer from the same rows."""
        if self.has_failed or self.is_listed:
            return
        kind, page_size, encodes = _WALKS[self.turn % len(_WALKS)]
        self.turn += 1
        listed = self.play("listing", kind, page_size=page_size, encodes=encodes)["pages"]
        rows = [row for page in listed for row in page["rows"]]
        self.note(*([f"listing {kind} pages"] if len(listed) > 1 else []))
        if kind == "versions":
            rows = [row for row in rows if row[2] and not row[3]]
        if kind != "uploads" and [row[0] for row in rows] != self.twin.readable():
            raise AssertionError("the twin contradicts itself")
        self.is_listed = True

    def teardown(self) -> None:
        """Read everything that is left, and try to remove the bucket."""
        if self.has_failed:
            return
        for kind, page_size in (("v1", 9), ("versions", 20), ("uploads", 2)):
            self.play("listing", kind, page_size=page_size)
        for key, versions in self.twin.versions.items():
            self.play("get", key)
            for version in versions[1:3]:
                self.play("get", key, version.label, method="HEAD")
        self.play("delete_bucket")

    # --- choosing -------------------------------------------------------------------------------

    def key(self, name: str | int) -> str:
        """Return a key by its name, or by its place among those that the bucket has seen."""
        if isinstance(name, str):
            return name
        seen = sorted(self.twin.versions)
        return seen[name % len(seen)] if seen else HOT_KEYS[0]

    def version(self, key: str, choice: int | None) -> str | None:
        """Return a version of the key, the null version, or one that never was."""
        if choice is None:
            return None
        known = [version.label for version in self.twin.versions.get(key, [])]
        options = [*known, *known, "null", "v0"]
        return options[choice % len(options)]

    def upload(self, choice: int) -> tuple[str, str]:
        """Return an open upload with its key; rarely one that has ended, another key's or one that never was."""
        if not self.twin.uploads:
            self.play("create_upload", HOT_KEYS[choice % len(HOT_KEYS)])
        known = [(name, upload.key) for name, upload in self.twin.uploads.items()][-4:]
        ended = [(name, row[0]) for name, row in self.twin.finished.items()][-1:]
        strange = [("u0", "a"), *((name, f"{key}x") for name, key in known[-1:])]
        options = [*known, *known, *ended, *strange]
        return options[choice % len(options)]

    def parts(self, upload: str, flaw: str) -> tuple[tuple[int, str], ...]:
        """Return a list for Complete: of a finished upload that of before, else parts with or without a flaw."""
        if upload in self.twin.finished:
            return tuple(self.twin.finished[upload][1])
        parts = self.twin.uploads[upload].parts if upload in self.twin.uploads else {1: b""}
        known = tuple((number, md5(data)) for number, data in sorted(parts.items()))
        return {
            "last": known[-1:],
            "first": known[:1],
            "all": known,
            "order": tuple(reversed(known)),
            "etag": tuple((number, md5(b"no")) for number, _ in known),
            "absent": (*known, (9, md5(b""))),
        }[flaw]

    def condition(self, key: str, choice: str | None) -> Condition | None:
        """Return a condition that holds for the key or does not."""
        current = self.twin.current(key) or TwinVersion("", [b"nothing"])
        return {
            None: None,
            "none": ("If-None-Match", "*"),
            "any": None,
            "same": ("If-Match", current.etag),
            "other": ("If-Match", md5(b"other")),
        }[choice]

    def place(self, kind: str, key: str | None, choice: int | None) -> str | None:
        """Return a version or upload of a key to go on after."""
        if not key or choice is None:
            return None
        known = [version.label for version in self.twin.versions.get(key, [])]
        if kind == "uploads":
            known = [name for name, upload in self.twin.uploads.items() if upload.key == key]
        return known[choice % len(known)] if known and kind in ("versions", "uploads") else None


def _shown(given: Answer) -> str:
    """Return an answer with its body cut: the size and the first bytes tell enough."""
    body = given.get("body")
    if isinstance(body, bytes):
        given = given | {"body": (len(body), md5(body), body[:20])}
    return pformat(given, width=110)
