"""Names of blocks, and where the record says that their shards are."""

from __future__ import annotations

from objstore.model.names import DataId, DriveId
from objstore.model.objects import Extent, Misplaced, Scheme
from objstore.replication.homes import block_id, located, shard_ids, spares_for


class Ring:
    version = 1

    def homes(self, block, ring_version):
        return [DriveId(name) for name in "abc"]


COPIES = Scheme(1, 2)


def extent(*, misplaced=(), scheme=COPIES):
    return Extent(DataId(b"\x01" * 16), 2, 100, 10, scheme, 1, misplaced)


def test_block_names_are_part_of_the_format():
    """The ring hashes them: another encoding would look for every block on the wrong drives."""
    assert block_id(DataId(bytes(range(16))), 1, 258).hex() == (
        "000102030405060708090a0b0c0d0e0f0000000100000102"
    )


def test_exceptions_win_over_the_ring():
    """For their own block only."""
    record = extent(misplaced=(Misplaced(3, 1, DriveId("x")), Misplaced(3, 2, None)))
    assert located(Ring(), record, 3) == ["a", "x", None]
    assert located(Ring(), record, 4) == ["a", "b", "c"]


def test_scheme_and_ring_may_differ_in_width():
    """A narrower scheme takes the first homes; a wider one has shards without a home."""
    assert located(Ring(), extent(scheme=Scheme(1, 0)), 0) == ["a"]
    assert located(Ring(), extent(scheme=Scheme(4, 1)), 0) == ["a", "b", "c", None, None]


def test_shards_are_named_by_extent_block_and_place():
    """All that a reader needs follows from the record."""
    assert [shard.name[-6:] for shard in shard_ids(extent(), 7)] == ["-2-7-0", "-2-7-1", "-2-7-2"]


def test_spares_spread_and_leave_homes_out():
    """One lost drive must not send all its shards to the same spare."""
    drives = dict.fromkeys(DriveId(f"d{number}") for number in range(6))
    homes = [DriveId("d0"), DriveId("d1")]
    orders = [spares_for(drives, homes, bytes([block])) for block in range(40)]
    assert all(sorted(order) == ["d2", "d3", "d4", "d5"] for order in orders)
    assert {order[0] for order in orders} == {"d2", "d3", "d4", "d5"}
    assert orders[0] == spares_for(drives, homes, bytes([0]))
