"""Reading a catalogue file: damage is reported, a reader is only a reader."""

from __future__ import annotations

import apsw
import pytest

from objstore.metadata.catalog_file import open_catalog_writer
from objstore.metadata.commands import OpenShard
from objstore.metadata.partitioning import partition_of
from objstore.metadata.reader import CatalogReader
from objstore.metadata.stats import CatalogStats
from objstore.metadata.transaction import Transactor
from objstore.model.errors import CorruptRecord, NoSuchBucket
from objstore.testing.catalog_kit import CommandKit, bucket_record

BUCKET = bucket_record()
PARTITION = partition_of(BUCKET.bucket_id, 1, b"k")


@pytest.fixture
def files(tmp_path):
    """A file with one object, its writing connection, and a reader."""
    path = tmp_path / "catalog.sqlite"
    writer = open_catalog_writer(path)
    kit = CommandKit(BUCKET.bucket_id)
    commands = [kit.make(OpenShard), kit.put(b"k", b"data")]
    Transactor(writer, CatalogStats()).run([(PARTITION, command) for command in commands])
    reader = CatalogReader(path)
    yield writer, reader
    reader.close()
    writer.close()


def find(reader):
    return reader.find(BUCKET.bucket_id, PARTITION, b"k", None)[1]


def test_a_reader_sees_what_is_committed(files):
    """Also from another process: nothing but the file connects them."""
    writer, reader = files
    assert find(reader).body.data == b"data"
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM objects")
    assert find(reader) is not None
    writer.execute("COMMIT")
    assert find(reader) is None


def test_a_damaged_record_is_never_absent(files):
    """Answering 404 for a damaged row would let a sync tool delete the other copy (reliability rule 4.3)."""
    writer, reader = files
    writer.execute(
        "UPDATE objects SET record=CAST(substr(record, 1, length(record)-1) || x'7f' AS BLOB)"
    )
    with pytest.raises(CorruptRecord):
        find(reader)


def test_a_row_that_disagrees_with_its_record_is_damaged(files):
    """A record that is intact but belongs to another version must not be served under this name."""
    writer, reader = files
    writer.execute("UPDATE objects SET sequence=sequence+1")
    with pytest.raises(CorruptRecord):
        find(reader)


@pytest.mark.parametrize("change", ["UPDATE inline SET data=x'00'", "DELETE FROM inline"])
def test_damaged_inline_bytes_are_reported(files, change):
    """Inline bytes have a checksum of their own: the record does not cover them."""
    writer, reader = files
    writer.execute(change)
    with pytest.raises(CorruptRecord):
        find(reader)


def test_a_reader_cannot_change_the_file(files):
    """Gateway processes open the same file; only the owner writes (reliability rule 4.2)."""
    _, reader = files
    with pytest.raises(apsw.ReadOnlyError):
        reader._connection.execute("DELETE FROM objects")


def test_an_unknown_bucket_is_not_an_empty_one(files):
    """A read with the id of a bucket that was deleted and created anew must fail."""
    _, reader = files
    with pytest.raises(NoSuchBucket):
        reader.find(b"other bucket id!", PARTITION, b"k", None)
    with pytest.raises(NoSuchBucket):
        reader.shard(b"other bucket id!", PARTITION)
