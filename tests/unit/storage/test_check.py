"""The checker tells good shards from bad files, and changes nothing."""

from __future__ import annotations

import anyio
import xxhash

from objstore.storage.check import CheckedShard, Finding, FindingKind, check_drive
from objstore.storage.format import directory_name, encode_prefix


async def _all(drive, first_directory=0):
    return [item async for item in check_drive(drive, first_directory=first_directory)]


def test_every_kind_of_file_is_told(open_drive, make_shard, tmp_path):
    """Damage must be shown as damage, never passed over or counted as something else (users 2.2)."""
    drive = open_drive()
    good, bad, strayed, newer = (
        make_shard(b"x" * 300, data_id=bytes([number]) * 16) for number in range(4)
    )
    anyio.run(drive.write, [good, bad, strayed])
    shards = tmp_path / "drive" / "shards"

    def path(shard):
        return shards / directory_name(shard.header.shard_id) / shard.header.shard_id.name

    path(bad).write_bytes(path(bad).read_bytes()[:-1] + b"y")
    other = "00" if directory_name(strayed.header.shard_id) != "00" else "01"
    path(strayed).rename(shards / other / path(strayed).name)
    data = bytearray(encode_prefix(newer))
    data[9] = 2
    data[120:128] = xxhash.xxh3_64_digest(bytes(data[:120]))
    path(newer).write_bytes(data + newer.payload)
    (shards / "ff" / "README").write_bytes(b"hello")
    before = sorted(p.name for p in shards.rglob("*"))

    found = anyio.run(_all, drive)
    assert [item.header for item in found if isinstance(item, CheckedShard)] == [good.header]
    assert {item.name: item.kind for item in found if isinstance(item, Finding)} == {
        path(bad).name: FindingKind.DAMAGED,
        path(strayed).name: FindingKind.STRAYED,
        path(newer).name: FindingKind.NEWER,
        "README": FindingKind.FOREIGN,
    }
    assert sorted(p.name for p in shards.rglob("*")) == before


def test_check_goes_on_where_it_stopped(open_drive, make_shard):
    """A scrub of a large drive takes days and restarts."""
    drive, shard = open_drive(), make_shard()
    anyio.run(drive.write, [shard])
    directory = int(directory_name(shard.header.shard_id), 16)
    assert len(anyio.run(_all, drive, directory)) == 1
    assert anyio.run(_all, drive, directory + 1) == []


def test_shard_deleted_meanwhile_is_passed_over(open_drive, make_shard):
    """Deletes go on during a scrub; they are no findings."""
    drive = open_drive()
    shards = [make_shard(block=block) for block in range(3)]

    async def story():
        await drive.write(shards)
        seen = []
        async for item in check_drive(drive):
            seen.append(item)
            await drive.delete([shards[1].header.shard_id])
        return seen

    assert len(anyio.run(story)) == 2
