"""The WAL is bounded, and what it keeps is room for when the drive has none."""

from __future__ import annotations

from contextlib import closing

import pytest

from objstore.metadata.catalog_file import open_catalog_reader, open_catalog_writer
from objstore.metadata.stats import CatalogStats
from objstore.metadata.wal_keeper import WalKeeper


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def connection(path):
    with closing(open_catalog_writer(path)) as connection:
        yield connection


@pytest.fixture
def wal(connection):
    return WalKeeper(connection, CatalogStats())


def write(connection, number, size):
    connection.execute("INSERT OR REPLACE INTO inline VALUES (?,x'',zeroblob(?))", (number, size))


def size_of(path):
    return path.with_name(path.name + "-wal").stat().st_size


def test_blocks_are_kept_and_written_again(path, connection, wal):
    """Small writes after a large one need no new block: they go on when somebody else has filled the drive."""
    write(connection, 1, 300_000)
    before = size_of(path)
    assert before > 300_000
    assert wal.bring_in()
    assert wal.is_empty
    for number in range(2, 12):
        write(connection, number, 100)
        assert wal.bring_in()
    assert size_of(path) == before
    assert not wal.bring_in(), "nothing in it, so that nothing can be gained"


def test_truncating_gives_them_back(path, connection, wal):
    """For whoever has one file only, and after a flood."""
    write(connection, 1, 300_000)
    wal.truncate()
    assert size_of(path) == 0
    assert wal.is_empty


def test_a_reader_in_the_way_is_no_error_and_no_gain(path, connection, wal):
    """What it still sees must stay; the next quiet moment tries again."""
    write(connection, 1, 1_000)
    with closing(open_catalog_reader(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM inline").fetchall()
        write(connection, 2, 1_000)
        assert not wal.bring_in()
        assert not wal.is_empty
        reader.execute("COMMIT")
    assert wal.bring_in()
