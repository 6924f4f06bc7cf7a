"""The ring as a value: lookups, shape, and the record that is stored of it."""

from pathlib import Path

import pytest
import xxhash

from objstore.model.errors import CorruptRecord, InvariantError, UnknownFormat
from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement import Member, Ring, assign, key_hash64
from objstore.placement import ring as ring_module
from objstore.placement.ring import pack_table

SAMPLE = Path(__file__).parents[2] / "samples" / "ring-v1.bin"
KEYS = [f"photos/{number}.jpg".encode() for number in range(500)]


def cluster(count: int) -> list[Member]:
    return [Member(DriveId(f"d{at}"), NodeId(f"n{at}"), Zone(f"z{at % 2}")) for at in range(count)]


def small_ring() -> Ring:
    return assign(cluster(5), None, partitions_count=8, width=3, version=7)


def test_partition_is_the_top_bits_of_the_hash():
    """Partitions are equal arcs of the hash space, in its order."""
    ring = small_ring()
    assert ring.partition_of(0) == 0
    assert ring.partition_of((1 << 61) - 1) == 0
    assert ring.partition_of(1 << 61) == 1
    assert ring.partition_of((1 << 64) - 1) == 7
    assert key_hash64(b"key") == xxhash.xxh3_64_intdigest(b"key")


def test_one_and_many_lookups_agree():
    """Batches exist for speed only."""
    ring = small_ring()
    singly = [ring.partition_for(key) for key in KEYS]
    assert singly == ring.partitions_for(KEYS) == [ring.partition_of(key_hash64(k)) for k in KEYS]
    assert [ring.homes(partition) for partition in singly] == ring.homes_for(KEYS)
    assert sorted(dict.fromkeys(singly)) == list(range(8)), "keys reach every partition"


def test_one_partition_holds_everything():
    """The smallest power of two leaves no bit of the hash."""
    ring = assign(cluster(1), None, partitions_count=1, width=1, version=1)
    assert ring.partitions_for(KEYS) == [0] * len(KEYS)


def test_homes_follow_the_table():
    """The drive in slot i holds shard i, so homes come in the table's order."""
    members = tuple(cluster(3))
    ring = Ring(1, 2, 2, members, pack_table([(2, 0), (1, 2)]))
    assert ring.homes(ring.partition_of(0)) == ("d2", "d0")
    assert ring.homes(ring.partition_of(1 << 63)) == ("d1", "d2")
    assert ring.loads() == (1, 1, 2)
    assert ring.rows() == [(2, 0), (1, 2)]


@pytest.mark.parametrize(
    ("count", "width", "table"),
    [
        (3, 1, pack_table([(0,)] * 3)),
        (0, 1, b""),
        (1 << 17, 1, b""),
        (2, 0, b""),
        (2, 1, b"\0\0"),
        (2, 1, pack_table([(0,), (1,)])),
    ],
)
def test_a_wrong_shape_is_refused(count, width, table):
    """A lookup trusts the shape, so no ring exists without it."""
    with pytest.raises(InvariantError):
        Ring(1, count, width, tuple(cluster(1)), table)


def test_record_round_trip_and_damage():
    """A damaged ring would send reads to the wrong drives; it must not decode."""
    ring = small_ring()
    record = ring.encode()
    assert Ring.decode(record) == ring
    for at in range(0, len(record), 7):
        damaged = record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]
        with pytest.raises(CorruptRecord):
            Ring.decode(damaged)


def test_record_that_is_no_ring_is_corrupt():
    """A checksum proves that bytes are as written, not that they make sense."""
    nonsense = ring_module._CODEC.encode(ring_module._RingRecord(1, 3, 1, tuple(cluster(1)), b""))
    with pytest.raises(CorruptRecord, match="not a ring"):
        Ring.decode(nonsense)


def test_record_of_a_newer_version_says_so():
    """After a downgrade the operator must learn that the record is newer, not broken."""
    prefix, payload = b"\x02", small_ring().encode()[9:]
    digest = xxhash.xxh3_64_digest(prefix + payload)
    with pytest.raises(UnknownFormat):
        Ring.decode(prefix + digest + payload)


def test_stored_sample_of_version_1_still_decodes():
    """Rings written by this version are read by all later ones, for as long as there are
    clusters.
    """
    ring = Ring.decode(SAMPLE.read_bytes())
    assert (ring.version, ring.partitions_count, ring.width) == (7, 8, 3)
    assert [m.drive for m in ring.members] == ["d0", "d1", "d2", "d3", "d4"]
    assert len(ring.homes(ring.partition_for(b"key"))) == 3


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_tables_are_little_endian_everywhere(monkeypatch, byteorder):
    """A ring is computed on one machine and read on others."""
    packed = pack_table([(1, 2)])
    assert packed == b"\x01\x00\x02\x00"
    monkeypatch.setattr(ring_module.sys, "byteorder", byteorder)
    assert ring_module._unpack(pack_table([(1, 2)])).tolist() == [1, 2]
