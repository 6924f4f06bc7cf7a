"""Files on disk: what goes when objects go, and what a restart finds."""

from __future__ import annotations

import anyio
import pytest

from objstore.service.maintenance import GarbageCollector, TrashPurger, WorkerState

BIG = bytes(range(256)) * 600


def files_of(tmp_path):
    """All shard files, those in the trash included."""
    return [
        path
        for kind in ("shards", "trash", "quarantine", "tmp")
        for path in tmp_path.glob(f"d*/{kind}/**/*")
        if path.is_file()
    ]


async def give_back(web, drives, catalog, data, ids):
    """Do what the workers of a node do in the end."""
    web.clock.at += 1
    while await GarbageCollector(catalog, data, ids, web.clock).work() is WorkerState.BUSY:
        pass
    web.clock.at += 10**12  # the trash carries the time of the file system
    await TrashPurger(drives, web.clock, retention_s=1).work()


def parts_of(web):
    """Return what the node is made of, through the services."""
    objects = web.node.app._s3._handlers["get_object"].__self__
    data = objects._reader._data
    return list(data._drives.values()), objects._catalog, data, objects._ids


async def _delete(web):
    await web.ask("PUT", "/box/k", body=BIG)
    await web.ask("DELETE", "/box/k")


async def _overwrite(web):
    await web.ask("PUT", "/box/k", body=BIG)
    await web.ask("PUT", "/box/k", body=b"small")


async def _abort(web):
    made = await web.ask("POST", "/box/m", (("uploads", ""),))
    upload = ("uploadId", made.element("UploadId"))
    for number in ("1", "1", "2"):
        part = await web.ask("PUT", "/box/m", (("partNumber", number), upload), body=BIG)
        assert part.status == 200
    assert (await web.ask("DELETE", "/box/m", (upload,))).status == 204


async def _delete_bucket(web):
    await web.ask("PUT", "/brief")
    made = await web.ask("POST", "/brief/m", (("uploads", ""),))
    upload = ("uploadId", made.element("UploadId"))
    await web.ask("PUT", "/brief/m", (("partNumber", "1"), upload), body=BIG)
    assert (await web.ask("DELETE", "/brief")).status == 204


async def _refused(web):
    await web.ask("PUT", "/box/k", body=b"x")
    wrong = (("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),)
    assert (await web.ask("PUT", "/box/big", (), wrong, BIG)).code == "BadDigest"


@pytest.mark.parametrize("waste", [_delete, _overwrite, _abort, _delete_bucket, _refused])
@pytest.mark.parametrize("directories", [1, 3])
def test_disk_is_as_empty_as_before(run, tmp_path, waste, directories):
    """Not one file is left of what nobody can read any more."""

    async def story(web):
        await waste(web)
        await give_back(web, *parts_of(web))
        assert files_of(tmp_path) == []

    run(story, directories=directories)


def test_everything_is_there_after_a_restart(tmp_path, opener):
    """Small and large objects, metadata, and uploads that were open."""
    directories = [tmp_path / "d0", tmp_path / "d1", tmp_path / "d2"]

    async def story():
        async with opener(*directories) as web:
            await web.ask("PUT", "/box/small", (), (("x-amz-meta-a", "b"),), b"v")
            await web.ask("PUT", "/box/big", body=BIG)
            made = await web.ask("POST", "/box/m", (("uploads", ""),))
            upload = ("uploadId", made.element("UploadId"))
            part = await web.ask("PUT", "/box/m", (("partNumber", "1"), upload), body=BIG)
        async with opener(*directories) as web:
            small = await web.ask("GET", "/box/small")
            assert (small.body, small.headers["x-amz-meta-a"]) == (b"v", "b")
            assert (await web.ask("GET", "/box/big")).body == BIG
            document = (
                "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                f"<ETag>{part.headers['etag']}</ETag></Part></CompleteMultipartUpload>"
            )
            done = await web.ask("POST", "/box/m", (upload,), body=document.encode())
            assert done.status == 200
            assert (await web.ask("GET", "/box/m", (), (("range", "bytes=5-9"),))).body == BIG[5:10]

    anyio.run(story)


def test_loss_of_a_later_directory_loses_nothing(tmp_path, opener):
    """It is offline, objects are read from the others, and writes go on."""
    directories = [tmp_path / "d0", tmp_path / "d1", tmp_path / "d2"]

    async def story():
        async with opener(*directories) as web:
            await web.ask("PUT", "/box/big", body=BIG)
        directories[2].rename(tmp_path / "gone")
        async with opener(*directories) as web:
            assert (await web.ask("GET", "/box/big")).body == BIG
            assert (await web.ask("PUT", "/box/new", body=BIG)).status == 200
            assert (await web.ask("GET", "/box/new")).body == BIG
        assert not directories[2].exists()

    anyio.run(story)


def test_added_directories_take_new_writes(tmp_path, opener):
    """Old objects stay readable where they are."""

    async def story():
        async with opener(tmp_path / "d0") as web:
            await web.ask("PUT", "/box/old", body=BIG)
        async with opener(tmp_path / "d0", tmp_path / "d1", tmp_path / "d2") as web:
            assert (await web.ask("GET", "/box/old")).body == BIG
            await web.ask("PUT", "/box/new", body=BIG)
            for name in ("d1", "d2"):
                assert list(tmp_path.glob(f"{name}/shards/*/*"))
            assert (await web.ask("GET", "/box/new")).body == BIG

    anyio.run(story)
