"""What lies in the directories of a server with three or more of them: which replicas a bucket has, and who leads.

It reads the files themselves, beside the server that has them open.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw

from objstore.cluster.sqlite_control_store import CONTROL_FILE_NAME
from objstore.metadata.leader_names import KEY, LeaderName
from objstore.metadata.partitioning import partitions_of
from objstore.model.names import DriveId, PartitionId
from objstore.model.objects import BucketRecord
from objstore.model.versioned import RecordCodec
from objstore.placement import Ring
from objstore.storage.layout import read_identity

__all__ = ["Roles", "roles_of"]

_BUCKET: RecordCodec[BucketRecord] = RecordCodec(BucketRecord, version=1)
_NAMES: RecordCodec[tuple[LeaderName, ...]] = RecordCodec(tuple[LeaderName, ...], version=1)


class Roles(NamedTuple):
    """The first partition of a bucket, and what directories are to it, by their numbers."""

    partition: PartitionId
    leader: int
    followers: tuple[int, ...]
    others: tuple[int, ...]


def roles_of(directories: Sequence[Path], bucket: str) -> Roles:
    """Return who leads a bucket, as the newest copy of the control store says."""
    items = max((_items(directory) for directory in directories), key=_age)
    record = _BUCKET.decode(items[f"buckets/{bucket}"])
    partition = partitions_of(record.bucket_id, record.spread)[0]
    newest = max(key for key in items if key.startswith("rings/metadata/"))
    by_drive = {}
    for number, directory in enumerate(directories):
        identity = read_identity(directory)
        if identity is not None:
            by_drive[identity.drive_id] = number
    voters = {by_drive[d] for d in Ring.decode(items[newest]).homes(partition) if d in by_drive}
    leader = by_drive[_drive(items, partition)]
    return Roles(
        partition,
        leader,
        tuple(sorted(voters - {leader})),
        tuple(sorted(set(range(len(directories))) - voters - {leader})),
    )


def _drive(items: dict[str, bytes], partition: PartitionId) -> DriveId:
    return DriveId(_NAMES.decode(items[KEY])[partition].leader)


def _items(directory: Path) -> dict[str, bytes]:
    path = directory / CONTROL_FILE_NAME
    if not path.exists():
        return {}
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return dict(connection.execute("SELECT key, value FROM items"))


def _age(items: dict[str, bytes]) -> int:
    """Return the sum of the epochs handed out: the control store names leaders again at every start and every hand-over."""
    return sum(name.epoch for name in _NAMES.decode(items[KEY])) if KEY in items else -1
