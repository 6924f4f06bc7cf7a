"""The op-id results: how long a retry is recognised, and that memory stays bounded."""

from __future__ import annotations

import pytest

from objstore.metadata import results
from objstore.metadata.catalog_file import open_catalog_writer
from objstore.metadata.commands import Deleted, Done
from objstore.metadata.records import Refused
from objstore.metadata.results import OpResults
from objstore.model.instant import Instant
from objstore.model.names import PartitionId

PARTITION = PartitionId(3)


@pytest.fixture
def connection(tmp_path):
    """An empty catalogue."""
    opened = open_catalog_writer(tmp_path / "catalog.sqlite")
    yield opened
    opened.close()


def op(number):
    return number.to_bytes(16, "big")


def write(table, index, numbers, at):
    for number in numbers:
        table.stage(op(number), Deleted(found=True, is_delete_marker=False, version_id=str(number)))
    table.write(index, Instant(at))


def test_results_are_found_again_after_a_restart(connection):
    """A gateway may ask again after the leader has restarted (reliability rule T7); refusals are results too."""
    table = OpResults(connection, PARTITION)
    table.stage(op(1), Done())
    table.stage(op(2), Refused("NoSuchKey", "", {"key": "k"}))
    table.write(7, Instant(0))
    for opened in (table, OpResults(connection, PARTITION)):
        assert opened.find(op(1)) == Done()
        assert opened.find(op(2)) == Refused("NoSuchKey", "", {"key": "k"})
        assert opened.find(op(3)) is None
    assert OpResults(connection, PartitionId(4)).find(op(1)) is None


def test_old_results_go_when_there_are_many(connection, monkeypatch):
    """Age is measured between command times; the newest stay however old they are."""
    monkeypatch.setattr(results, "RECENT_COUNT", 4)
    table = OpResults(connection, PARTITION)
    write(table, 1, range(3), at=0)
    write(table, 2, range(10, 13), at=1_000)
    assert table.find(op(0)) is not None
    write(table, 3, range(20, 23), at=results.KEPT_MS + 500)
    assert table.find(op(0)) is None
    assert table.find(op(10)) is not None
    assert connection.execute('SELECT min("index") FROM results').get == 2


def test_the_number_of_results_is_bounded(connection, monkeypatch):
    """A busy partition would otherwise hold millions of ids in memory within its 30 seconds."""
    monkeypatch.setattr(results, "RECENT_COUNT", 2)
    monkeypatch.setattr(results, "KEPT_COUNT", 10)
    table = OpResults(connection, PARTITION)
    for index in range(1, 20):
        write(table, index, range(index * 100, index * 100 + 3), at=index)
    assert connection.execute("SELECT count(*) FROM results").get <= 4
    assert table.find(op(1900)) is not None
    assert len(table._entry_of) <= 12
