"""Which partition of the metadata ring holds a key. Pure.

The hash space is cut into `PARTITIONS_COUNT` equal arcs, fixed when the cluster is created. The keys of a bucket spread
over `BucketRecord.spread` of them, a power of two: a slot is chosen by the hash of the key, and the bucket's slots lie
at equal distances round the ring from where its id hashes to, so that no two slots of a bucket share a partition.
Hashes are xxh3-64, never Python's `hash`, which differs from process to process.
"""

from __future__ import annotations

from typing import Final

import xxhash

from objstore.model.errors import check
from objstore.model.names import BucketId, ObjectKey, PartitionId

__all__ = ["PARTITIONS_COUNT", "partition_of", "partitions_of"]

PARTITIONS_COUNT: Final = 256


def partition_of(bucket_id: BucketId, spread: int, key: ObjectKey) -> PartitionId:
    """Return the partition that holds a key of a bucket."""
    slot = xxhash.xxh3_64_intdigest(key) & (spread - 1) if spread > 1 else 0
    return _partition_of_slot(bucket_id, spread, slot)


def partitions_of(bucket_id: BucketId, spread: int) -> tuple[PartitionId, ...]:
    """Return all partitions of a bucket, in order of slot."""
    check(
        0 < spread <= PARTITIONS_COUNT and spread & (spread - 1) == 0,
        "the spread of a bucket is a power of two",
    )
    return tuple(_partition_of_slot(bucket_id, spread, slot) for slot in range(spread))


def _partition_of_slot(bucket_id: BucketId, spread: int, slot: int) -> PartitionId:
    start = xxhash.xxh3_64_intdigest(bucket_id)
    return PartitionId((start + slot * (PARTITIONS_COUNT // spread)) % PARTITIONS_COUNT)
