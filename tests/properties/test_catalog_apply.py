"""Random histories: the state machine over SQLite and over dictionaries must agree, and its counters must be exact."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.metadata.apply import apply
from objstore.metadata.catalog_file import open_catalog_writer
from objstore.metadata.commands import (
    AbortUpload,
    CloseShard,
    DropShard,
    ForgetGarbage,
    MoveShards,
    OpenShard,
    RaiseFence,
    ReopenShard,
    SetTags,
    SetVersioning,
)
from objstore.metadata.records import EXTENT_CODEC, PART_CODEC, VERSION_CODEC
from objstore.metadata.stats import CatalogStats
from objstore.metadata.transaction import Transactor
from objstore.model.errors import ObjstoreError
from objstore.model.instant import Instant
from objstore.model.names import BucketId, PartitionId, UploadId, VersionId
from objstore.model.objects import ExtentBody, InlineBody, Usage, Versioning
from objstore.testing.catalog_kit import CommandKit, md5_of
from objstore.testing.memory_state import MemoryState

PARTITION = PartitionId(7)
BUCKET = BucketId(b"b" * 16)
KEYS = [b"a", b"b", "ü".encode()]
MIB = 1 << 20

# Drawn as one number each, so that every kind keeps its weight; the bucket is closed rarely, or nothing else would happen.
KINDS = (
    ["put"] * 4 + ["put_extent"] * 4 + ["delete"] * 3 + ["delete_version"] * 3 + ["create"] * 3
    + ["part"] * 6 + ["inline_part"] * 2 + ["complete"] * 3 + ["abort"] + ["versioning"] * 2
    + ["tags", "fence", "forget", "move", "move", "clock"]
    + ["close", "reopen", "reopen", "drop", "open"]
)  # fmt: skip
step = st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 5))


class History:
    """Turns drawn steps into commands, remembering what was made so that steps meet."""

    def __init__(self):
        self.kit = CommandKit(BUCKET)
        self.version_ids = defaultdict(lambda: ["null"])
        self.uploads = []
        self.parts = defaultdict(dict)
        self.extents = []

    def command(self, kind, key_index, number):
        return getattr(self, f"make_{kind}")(KEYS[key_index], number)

    def note(self, command):
        self.version_ids[command.version.key].append(command.version.version_id)
        return command

    def make_put(self, key, number):
        conditions = [{}, {"if_none_match": True}, {"if_match": md5_of(b"xx")}]
        picked = conditions[number] if number < 3 else {}
        return self.note(self.kit.put(key, b"x" * number, **picked))

    def make_put_extent(self, key, number):
        command = self.note(self.kit.put_extent(key, 100 + number, lost=number % 2 == 0))
        version = command.version
        self.extents.append((key, version.version_id, None, version.body.extent))
        return command

    def make_delete(self, key, number):
        command = self.kit.delete(key, **({"if_match": "*"} if number == 0 else {}))
        self.version_ids[key].append(command.marker.version_id)
        return command

    def pick_version(self, key, number):
        known = self.version_ids[key]
        return known[number % len(known)]

    def make_delete_version(self, key, number):
        etag = md5_of(b"x") if number == 5 else None
        return self.kit.delete_version(key, self.pick_version(key, number), etag)

    def make_tags(self, key, number):
        version_id = None if number < 3 else VersionId(self.pick_version(key, number))
        return self.kit.make(SetTags, key=key, version_id=version_id, tags=(("t", str(number)),))

    def make_versioning(self, _key, number):
        return self.kit.make(SetVersioning, versioning=list(Versioning)[number % 3])

    def make_create(self, key, _number):
        command = self.kit.create_upload(key)
        self.uploads.append(command.upload)
        return command

    def pick_upload(self, key):
        if not self.uploads:
            return self.kit.create_upload(key).upload
        return self.uploads[-1]

    def make_part(self, key, number, **fields):
        upload = self.pick_upload(key)
        command = self.kit.put_part(upload, number + 1, 5 * MIB + number, **fields)
        self.parts[upload.upload_id][number + 1] = command.part
        if isinstance(command.part.body, ExtentBody):
            extent = command.part.body.extent
            self.extents.append((upload.key, None, upload.upload_id, extent))
        return command

    def make_inline_part(self, key, number):
        return self.make_part(key, number, body=InlineBody(b"y" * (number + 1)))

    def make_complete(self, key, number):
        upload = self.pick_upload(key)
        known = sorted(self.parts[upload.upload_id].values(), key=lambda part: part.number)
        return self.kit.complete(upload, known[: max(1, len(known) - number % 2)])

    def make_abort(self, key, _number):
        upload = self.pick_upload(key)
        return self.kit.make(AbortUpload, key=upload.key, upload_id=UploadId(upload.upload_id))

    def make_close(self, _key, _number):
        return self.kit.make(CloseShard)

    def make_reopen(self, _key, _number):
        return self.kit.make(ReopenShard)

    def make_drop(self, _key, _number):
        return self.kit.make(DropShard)

    def make_open(self, _key, _number):
        return self.kit.make(OpenShard)

    def make_fence(self, _key, number):
        return self.kit.make(RaiseFence, stamp=Instant(self.kit.at - 25_000 + number))

    def make_forget(self, _key, number):
        return self.kit.make(ForgetGarbage, sequences=(number, number + 1))

    def make_move(self, key, number):
        owner, version_id, upload_id, extent = (
            self.extents[number % len(self.extents)]
            if self.extents
            else (key, None, None, self.kit.extent(1))
        )
        return self.kit.make(
            MoveShards,
            key=owner,
            version_id=version_id,
            upload_id=upload_id,
            data_id=extent.data_id,
            part=extent.part,
            misplaced=extent.misplaced[:1] if number % 2 else (),
        )

    def make_clock(self, key, number):
        self.kit.at = Instant(self.kit.at + (number - 2) * 10_000)
        return self.make_put(key, number)


def sql_rows(connection):
    """Read what `MemoryState.rows` returns."""

    def read(sql):
        return connection.execute(sql).fetchall()

    inline = dict(read("SELECT id, data FROM inline"))
    names = dict(read("SELECT number, bucket_id FROM shards"))

    def shown(table):
        rows = read(f"SELECT shard, key, sequence, version_id, record, inline_id FROM {table}")
        return sorted((names[row[0]], (*row[1:5], inline.get(row[5], b""))) for row in rows)

    def extent(is_part, record):
        return PART_CODEC.decode(record).body.extent if is_part else EXTENT_CODEC.decode(record)

    garbage = []
    for sequence, since, is_part, record in read("SELECT sequence, since, is_part, record FROM gc"):
        found = extent(is_part, record)
        garbage.append((sequence, since, found.data_id, found.part))
    return {
        "sequence": list(read("SELECT next_sequence, fence FROM partitions")[0]),
        "shards": sorted(
            (row[0], bool(row[1]), row[2], Usage(*row[3:]))
            for row in read(
                "SELECT bucket_id, is_open, versioning, objects, versions, delete_markers, "
                "size_bytes, uploads, part_bytes FROM shards"
            )
        ),
        "objects": shown("objects"),
        "versions": shown("versions"),
        "inline": sorted(inline.values()),
        "uploads": sorted(
            (names[row[0]], *row[1:3], bool(row[3]))
            for row in read("SELECT shard, key, upload_id, is_touched FROM uploads")
        ),
        "parts": sorted(
            (names[row[0]], *row[1:4], inline.get(row[4], b""))
            for row in read("SELECT shard, upload_id, number, record, inline_id FROM parts")
        ),
        "finished": sorted(
            (names[row[0]], *row[1:]) for row in read("SELECT shard, upload_id, at FROM finished")
        ),
        "garbage": sorted(garbage),
        "repairs": sorted(
            (*row[:3], row[3] or "", row[4] or "", row[5])
            for row in read("SELECT data_id, part, key, version_id, upload_id, since FROM repair")
        ),
    }


def recounted(rows):
    """Count the rows of the bucket anew."""
    objects = [VERSION_CODEC.decode(row[3]) for _, row in rows["objects"]]
    others = [VERSION_CODEC.decode(row[3]) for _, row in rows["versions"]]
    versions = [*objects, *(version for version in others if not version.is_delete_marker)]
    open_uploads = {row[2] for row in rows["uploads"]}
    return Usage(
        objects=len(objects),
        versions=len(versions),
        delete_markers=sum(version.is_delete_marker for version in others),
        size_bytes=sum(version.size for version in versions),
        uploads=len(open_uploads),
        part_bytes=sum(
            PART_CODEC.decode(row[3]).size for row in rows["parts"] if row[1] in open_uploads
        ),
    )


def check_version_order(rows):
    """The current object is the newest of its key, and time never runs against the order of commits."""
    by_key = defaultdict(list)
    for table in ("objects", "versions"):
        for _, row in rows[table]:
            by_key[row[0]].append((row[1], table, VERSION_CODEC.decode(row[3])))
    for versions in by_key.values():
        versions.sort(key=lambda item: item[0], reverse=True)
        newest = versions[0]
        assert newest[1] == "objects" or newest[2].is_delete_marker
        assert all(table == "versions" for _, table, _ in versions[1:])
        times = [version.last_modified for _, _, version in versions]
        assert times == sorted(times, reverse=True)
        assert len(set(times)) == len(times)
        ids = [version.version_id for _, _, version in versions]
        assert len(set(ids)) == len(ids)


def answer_of(state, command):
    try:
        return apply(state, command)
    except ObjstoreError as error:
        return error


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(step, min_size=20, max_size=80), batch_size=st.integers(1, 9))
def test_sqlite_and_dictionaries_agree(steps, batch_size):
    """Replicas run on SQLite and the model in memory; where they differ, one of them would lose or invent a version.

    Also: counters are exact after any history (s3 rule 4.15 semantics, reliability rule T12).
    """
    history = History()
    commands = [history.make_open(b"", 0), *(history.command(*drawn) for drawn in steps)]
    memory = MemoryState()
    expected = [answer_of(memory, command) for command in commands]
    with tempfile.TemporaryDirectory() as directory:
        connection = open_catalog_writer(Path(directory) / "catalog.sqlite")
        connection.pragma("synchronous", "OFF")
        transactor = Transactor(connection, CatalogStats())
        found = []
        for start in range(0, len(commands), batch_size):
            batch = commands[start : start + batch_size]
            found += transactor.run([(PARTITION, command) for command in batch])
        rows = sql_rows(connection)
        connection.close()
    assert found == expected
    assert rows == memory.rows()
    for _, _, _, usage in rows["shards"]:
        assert usage == recounted(rows)
    check_version_order(rows)


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(step, min_size=10, max_size=30), cut=st.integers(0, 30))
def test_replay_changes_nothing(steps, cut):
    """A gateway that lost the answer sends the same command again, also after a restart (reliability rule T7)."""
    history = History()
    commands = [history.make_open(b"", 0), *(history.command(*drawn) for drawn in steps)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "catalog.sqlite"
        connection = open_catalog_writer(path)
        connection.pragma("synchronous", "OFF")
        transactor = Transactor(connection, CatalogStats())
        first = [transactor.run([(PARTITION, command)])[0] for command in commands]
        rows = sql_rows(connection)
        connection.close()
        connection = open_catalog_writer(path)
        transactor = Transactor(connection, CatalogStats())
        again = transactor.run([(PARTITION, command) for command in commands[cut:]])
        assert again == first[cut:]
        assert sql_rows(connection) == rows
        connection.close()
