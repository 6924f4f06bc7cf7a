"""Where keys go must be the same in every process, for ever."""

from __future__ import annotations

from collections import Counter

from objstore.metadata.partitioning import PARTITIONS_COUNT, partition_of, partitions_of
from objstore.testing.catalog_kit import bucket_record

BUCKET_ID = bucket_record().bucket_id
KNOWN = [171, 171, 107]


def test_known_places():
    """A change of the function would lose every key that is already stored."""
    assert partitions_of(BUCKET_ID, 1) == (partition_of(BUCKET_ID, 1, b"any"),)
    assert [partition_of(BUCKET_ID, 16, key) for key in (b"a", b"b", b"c")] == KNOWN


def test_the_slots_of_a_bucket_are_different_partitions():
    """A partition that held two slots of a bucket would list its keys twice."""
    for spread in (1, 2, 16, PARTITIONS_COUNT):
        assert len(set(partitions_of(BUCKET_ID, spread))) == spread


def test_every_key_is_in_a_slot_of_its_bucket_and_they_spread():
    """A bucket is not to be bounded by one node: its slots share the keys evenly."""
    count = Counter(partition_of(BUCKET_ID, 16, b"%d" % number) for number in range(16_000))
    assert set(count) == set(partitions_of(BUCKET_ID, 16))
    assert max(count.values()) < 1_150
