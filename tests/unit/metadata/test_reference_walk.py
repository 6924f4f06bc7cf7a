"""The walk over references: what it leaves out is moved to the trash, so it may leave out nothing, whatever moves meanwhile."""

from __future__ import annotations

import random

import pytest

from objstore.metadata.catalog_file import open_catalog_writer
from objstore.metadata.commands import (
    AbortUpload,
    CloseShard,
    DropShard,
    ForgetGarbage,
    OpenShard,
    SetVersioning,
)
from objstore.metadata.reader import CatalogReader
from objstore.metadata.stats import CatalogStats
from objstore.metadata.transaction import Transactor
from objstore.model.errors import CorruptRecord
from objstore.model.objects import ExtentBody, Versioning
from objstore.testing.catalog_kit import CommandKit, bucket_record

PARTITION = 7


class File:
    """A catalogue file with one partition, its kits by bucket, and a reader."""

    def __init__(self, path):
        self.connection = open_catalog_writer(path)
        self.transactor = Transactor(self.connection, CatalogStats())
        self.reader = CatalogReader(path)

    def kit(self, number, versioning=None):
        kit = CommandKit(bucket_record(number).bucket_id)
        self.run(kit.make(OpenShard))
        if versioning is not None:
            self.run(kit.make(SetVersioning, versioning=versioning))
        return kit

    def run(self, *commands, partition=PARTITION):
        answers = self.transactor.run([(partition, command) for command in commands])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def walk(self, limit=2, between=lambda: None):
        """Return the data ids of a whole walk; `between` runs after each slice."""
        found, position = [], None
        while True:
            extents, position = self.reader.references(PARTITION, position, limit)
            found += [extent.data_id for extent in extents]
            if position is None:
                return found
            between()


@pytest.fixture
def file(tmp_path):
    made = File(tmp_path / "catalog.sqlite")
    yield made
    made.reader.close()
    made.connection.close()


def put(kit, key):
    """Return a write of an extent and its data id."""
    command = kit.put_extent(key, 100)
    return command, command.version.body.extent.data_id


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_every_kind_of_reference_is_found(file, limit):
    """Objects, old versions, parts of open and finished uploads, garbage, in several buckets; nothing of other partitions."""
    wanted = set()
    for number in (1, 2, 3):
        kit = file.kit(number, Versioning.ENABLED)
        for index in range(5):
            for _ in range(3):
                command, data_id = put(kit, b"key-%d" % index)
                file.run(command, kit.put(b"inline-%d" % index, b"x"))
                wanted.add(data_id)
            file.run(kit.delete(b"inline-0"))
        for key in (b"open", b"done"):
            created = kit.create_upload(key)
            file.run(created)
            parts = [kit.put_part(created.upload, part, 6 << 20) for part in (1, 2, 3)]
            file.run(*parts)
            wanted.update(part.part.body.extent.data_id for part in parts)
            if key == b"done":
                file.run(kit.complete(created.upload, [part.part for part in parts[:2]]))
    stranger = CommandKit(bucket_record(9).bucket_id)
    file.run(stranger.make(OpenShard), put(stranger, b"k")[0], partition=PARTITION + 1)
    found = file.walk(limit)
    assert set(found) == wanted


def test_deleted_data_is_referred_to_until_the_collector_has_forgotten_it(file):
    """The queue names the shards that are still to be removed; afterwards they are nobody's."""
    kit = file.kit(1)
    command, data_id = put(kit, b"k")
    created = kit.create_upload(b"u")
    part = kit.put_part(created.upload, 1, 6 << 20)
    file.run(command, created, part)
    file.run(kit.make(AbortUpload, key=b"u", upload_id=created.upload.upload_id))
    file.run(kit.delete(b"k"))
    file.run(kit.make(CloseShard), kit.make(DropShard))
    assert set(file.walk()) == {data_id, part.part.body.extent.data_id}
    file.run(kit.make(ForgetGarbage, sequences=tuple(range(100))))
    assert file.walk() == []


@pytest.mark.parametrize("seed", range(30))
def test_a_version_that_moves_during_the_walk_is_not_missed(file, seed):
    """A delete makes an old version the object again, a write makes the object an old version: both between two slices."""
    chance = random.Random(seed)
    kit = file.kit(1, Versioning.ENABLED)
    keys = [b"a", b"b", b"c"]
    kept = set()
    for _ in range(12):
        command, data_id = put(kit, chance.choice(keys))
        file.run(command)
        kept.add(data_id)
    extra = []

    def between():
        """Add a version on top of a key, or take one away again: the versions of before stay."""
        for _ in range(chance.randrange(3)):
            if extra and chance.random() < 0.5:
                key, version_id = extra.pop()
                file.run(kit.delete_version(key, version_id))
                continue
            key = chance.choice(keys)
            if chance.random() < 0.5:
                written = file.run(put(kit, key)[0])[0]
            else:
                written = file.run(kit.delete(key))[0]
            extra.append((key, written.version_id))

    assert kept <= set(file.walk(1 + seed % 3, between))


def test_a_row_that_cannot_be_read_ends_the_walk(file):
    """A reference that is damaged is unknown, and what is unknown must not be taken for absent (reliability rule 4.3)."""
    kit = file.kit(1)
    command, _ = put(kit, b"k")
    assert type(command.version.body) is ExtentBody
    file.run(command)
    file.connection.execute(
        "UPDATE objects SET record=CAST(substr(record, 1, length(record)-1) || x'7f' AS BLOB)"
    )
    with pytest.raises(CorruptRecord):
        file.walk()
    with pytest.raises(CorruptRecord):
        file.walk()


def test_a_walk_goes_on_in_the_file_of_another_replica(file, tmp_path):
    """Replicas number their shards differently; a position names buckets and keys."""
    other = File(tmp_path / "other.sqlite")
    commands, wanted = [], set()
    for number in range(1, 5):
        kit = CommandKit(bucket_record(number).bucket_id)
        command, data_id = put(kit, b"k")
        commands.append((kit.make(OpenShard), command))
        wanted.add(data_id)
    for pair in commands:
        file.run(*pair)
    for pair in reversed(commands):
        other.run(*pair)
    found, position, readers = [], None, [file.reader, other.reader]
    while True:
        readers.reverse()
        extents, position = readers[0].references(PARTITION, position, 1)
        found += [extent.data_id for extent in extents]
        if position is None:
            break
    other.reader.close()
    other.connection.close()
    assert set(found) == wanted
