"""What the catalogue acknowledged survives the death of its process and errors of its drive."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from objstore.metadata import CatalogStore, SqlCatalog
from objstore.metadata.commands import OpenShard
from objstore.metadata.log_driver import CatalogWriter
from objstore.metadata.partitioning import partition_of
from objstore.metadata.reader import CatalogReader
from objstore.model.errors import DriveUnavailable
from objstore.testing.catalog_kit import CommandKit, bucket_record

CHILD = Path(__file__).with_name("catalog_child.py")
LINES_BEFORE_KILL = 200


def run_child_until_killed(directory, round_number):
    """Return the keys that the child saw acknowledged before it was killed in the middle of its work."""
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(directory), str(round_number)],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        lines = [child.stdout.readline() for _ in range(LINES_BEFORE_KILL)]
        child.kill()
        lines += child.stdout.readlines()
    # The last line may have been cut off by the kill.
    return [line.strip().encode() for line in lines if line.endswith("\n")]


async def missing_keys(directory, keys):
    bucket = bucket_record()
    async with CatalogStore(directory / "catalog.sqlite", on_fatal=lambda _error: None) as store:
        catalog = SqlCatalog([store])
        found = [(key, (await catalog.find(bucket, key)).version) for key in keys]
        usage = await catalog.usage(bucket)
        page = await catalog.list_current(
            bucket, prefix=b"", delimiter=b"", after=b"", limit=1_000_000
        )
        assert usage.objects == len(page.rows)
        assert usage.size_bytes == sum(row[3] for row in page.rows)
    return [key for key, version in found if version is None or version.body.data != key * 100]


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path):
    """SIGKILL during group commits, three times over on the same file (reliability rules T5 and T11)."""
    acknowledged = []
    for round_number in range(3):
        acknowledged += run_child_until_killed(tmp_path, round_number)
        assert asyncio.run(missing_keys(tmp_path, acknowledged)) == []
    assert len(acknowledged) >= 3 * LINES_BEFORE_KILL


class FailingVfs(apsw.VFS):
    """Passes everything to the real file system, and fails the syncs that it is told to."""

    def __init__(self):
        self.is_failing = False
        super().__init__("failing", base="")

    def xOpen(self, name, flags):  # noqa: N802 - the name of APSW
        return FailingFile(self, name, flags)


class FailingFile(apsw.VFSFile):
    def __init__(self, vfs, name, flags):
        self.vfs = vfs
        super().__init__("", name, flags)

    def xSync(self, flags):  # noqa: N802 - the name of APSW
        if self.vfs.is_failing:
            raise apsw.IOError("injected")
        super().xSync(flags)


def test_after_a_failed_sync_nobody_is_answered_and_recovery_decides(tmp_path):
    """The row of a failed commit may come back after a restart: "no" would be a lie (reliability rule 4.1)."""
    vfs = FailingVfs()
    failures = []
    bucket = bucket_record()
    kit = CommandKit(bucket.bucket_id)
    partition = partition_of(bucket.bucket_id, 1, b"before")
    path = tmp_path / "catalog.sqlite"

    async def scenario():
        writer = CatalogWriter(path, on_fatal=failures.append, vfs="failing")
        writer.start()
        await writer.submit(partition, kit.make(OpenShard))
        await writer.submit(partition, kit.put(b"before", b"x"))
        vfs.is_failing = True
        waiting = [writer.submit(partition, kit.put(b"during", b"x")) for _ in range(5)]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DriveUnavailable] * 5
        vfs.is_failing = False
        with pytest.raises(DriveUnavailable):
            writer.submit(partition, kit.put(b"after", b"x"))
        await writer.close()

    asyncio.run(scenario())
    assert len(failures) == 1
    assert isinstance(failures[0], apsw.IOError)
    reader = CatalogReader(path)
    _, before = reader.find(bucket.bucket_id, partition, b"before", None)
    _, after = reader.find(bucket.bucket_id, partition, b"after", None)
    reader.close()
    assert before is not None
    assert after is None
