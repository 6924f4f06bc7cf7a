"""The control store over several drives: what the loss of a drive may and may not change."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import apsw
import pytest

from objstore.cluster.control_copy import ControlCopy
from objstore.cluster.control_store import Change
from objstore.cluster.kept_room import KeptRoom
from objstore.cluster.replicated_control_store import ReplicatedControlStore
from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.model.errors import DriveUnavailable, QuorumNotReached, StorageFull

NAMES = ("a", "b", "c")


def paths(directory, names=NAMES):
    return {name: directory / f"{name}.sqlite" for name in names}


@contextlib.asynccontextmanager
async def store_over(directory, names=NAMES, on_fatal=lambda _failure: None):
    """A store over some of the files. A copy that was slow closes its file later: what comes next must not find it locked."""
    async with ReplicatedControlStore(paths(directory, names), on_fatal=on_fatal) as store:
        yield store
    for thread in threading.enumerate():
        if thread.name.startswith("control-copy"):
            await asyncio.to_thread(thread.join, 10.0)


def lose(directory, name):
    for path in directory.glob(f"{name}.sqlite*"):
        path.unlink()


@pytest.mark.parametrize("lost", NAMES)
def test_any_one_copy_may_be_lost(tmp_path, lost):
    """Names of buckets must outlive the loss of any one directory, also of the first."""

    async def scenario():
        async with store_over(tmp_path) as store:
            await store.put("bucket", b"1")
        lose(tmp_path, lost)
        async with store_over(tmp_path) as store:
            assert (await store.get("bucket")).value == b"1"
            assert set(store.members) == set(NAMES)
            await store.put("bucket", b"2")
        for other in NAMES:
            if other != lost:
                lose(tmp_path, other)
                break
        async with store_over(tmp_path) as store:
            assert (await store.get("bucket")).value == b"2"

    asyncio.run(scenario())


def test_a_minority_does_not_start(tmp_path):
    """Two of three copies lost: what is left may be older than what was answered (trap T2)."""

    async def scenario():
        async with store_over(tmp_path) as store:
            await store.put("bucket", b"1")
        lose(tmp_path, "a")
        lose(tmp_path, "b")
        with pytest.raises(QuorumNotReached):
            async with store_over(tmp_path):
                pass

    asyncio.run(scenario())


def test_a_change_that_one_copy_took_before_a_crash_never_returns(tmp_path):
    """Its revision was given to another change meanwhile: the later term is right, not the file that has it."""

    async def scenario():
        async with store_over(tmp_path) as store:
            await store.put("bucket", b"old")
            revision = await store.revision()
        copy = ControlCopy("a", tmp_path / "a.sqlite")
        await copy.append(Change("bucket", b"never answered", revision + 1))
        copy.close()
        async with store_over(tmp_path, ("b", "c")) as store:
            assert (await store.get("bucket")).value == b"old"
        async with store_over(tmp_path) as store:
            assert (await store.get("bucket")).value == b"old"
        async with store_over(tmp_path, ("a", "b")) as store:
            assert (await store.get("bucket")).value == b"old"

    asyncio.run(scenario())


def test_a_copy_that_fails_holds_nobody_up(tmp_path):
    """A drive that fails under a change costs nothing while a majority takes it; a second one ends the process."""
    failures = []

    async def scenario():
        async with store_over(tmp_path, on_fatal=failures.append) as store:
            store.lose("a")
            await store.put("bucket", b"1")
            assert failures == []
            store.lose("b")
            with pytest.raises(QuorumNotReached):
                await store.put("bucket", b"2")
            assert len(failures) == 1
            with pytest.raises(DriveUnavailable):
                await store.get("bucket")

    asyncio.run(scenario())


def test_a_new_drive_takes_the_place_of_a_lost_one(tmp_path):
    """After that another one may be lost: the new copy holds everything."""

    async def scenario():
        async with store_over(tmp_path) as store:
            await store.put("bucket", b"1")
            store.lose("a")
            await store.adopt("d", tmp_path / "d.sqlite", instead_of="a")
            assert set(store.members) == {"b", "c", "d"}
            store.lose("b")
            await store.put("bucket", b"2")
        async with store_over(tmp_path, ("d",)):
            pass

    with pytest.raises(QuorumNotReached):
        asyncio.run(scenario())

    async def reopened():
        async with store_over(tmp_path, ("c", "d")) as store:
            assert (await store.get("bucket")).value == b"2"

    asyncio.run(reopened())


def test_a_store_of_one_drive_grows(tmp_path):
    """Directories are added to a store that had one: nothing is lost, and the new copies count."""

    async def scenario():
        async with SqliteControlStore.open(tmp_path / "a.sqlite") as single:
            await single.put("bucket", b"1")
        async with store_over(tmp_path) as store:
            assert (await store.get("bucket")).value == b"1"
        lose(tmp_path, "a")
        async with store_over(tmp_path) as store:
            assert (await store.get("bucket")).value == b"1"

    asyncio.run(scenario())


class Room:
    """Which copies find no room at the moment."""

    def __init__(self, monkeypatch):
        self.full = set()
        append, replace = ControlCopy._append, ControlCopy._replace

        def checked_append(copy, change):
            self.meet(copy)
            append(copy, change)

        def checked_replace(copy, items, changes):
            self.meet(copy)
            replace(copy, items, changes)

        monkeypatch.setattr(ControlCopy, "_append", checked_append)
        monkeypatch.setattr(ControlCopy, "_replace", checked_replace)

    def meet(self, copy):
        if copy.name in self.full:
            raise apsw.FullError("no room")


async def adopt_what_was_full(store, directory):
    """Do what the watch of the drives does twice a second."""
    for name, path in paths(directory).items():
        if store.was_full(name):
            with contextlib.suppress(DriveUnavailable):
                await store.adopt(name, path, instead_of=name)


def test_full_drives_refuse_and_go_on_when_there_is_room(tmp_path, monkeypatch):
    """Somebody else filled two of three: no process may end for that, and no change may half happen."""

    async def scenario():
        room = Room(monkeypatch)
        fatal = []
        async with store_over(tmp_path, on_fatal=fatal.append) as store:
            await store.put("bucket", b"1")
            room.full = {"b", "c"}
            for _ in range(3):
                with pytest.raises(StorageFull):
                    await store.put("bucket", b"refused")
                await adopt_what_was_full(store, tmp_path)
            assert (await store.get("bucket")).value == b"1"
            room.full = {"c"}
            await adopt_what_was_full(store, tmp_path)
            await store.put("bucket", b"2")
        assert fatal == []
        async with store_over(tmp_path) as store:
            assert (await store.get("bucket")).value == b"2"

    asyncio.run(scenario())


def test_what_full_drives_refused_never_overtakes_what_was_written_later(tmp_path, monkeypatch):
    """One copy has the refused change when its drive goes away; others go on; it must not be right when it comes back."""

    async def scenario():
        room = Room(monkeypatch)
        async with store_over(tmp_path) as store:
            await store.put("bucket", b"1")
            room.full = {"b", "c"}
            with pytest.raises(StorageFull):
                await store.put("bucket", b"refused")
            store.lose("a")
            room.full = set()
            await adopt_what_was_full_but(store, tmp_path, "a")
            await store.put("bucket", b"2")
        async with store_over(tmp_path) as store:
            assert (await store.get("bucket")).value == b"2"

    asyncio.run(scenario())


async def adopt_what_was_full_but(store, directory, lost):
    """The watch leaves a drive alone that is gone."""
    for name, path in paths(directory).items():
        if name != lost and store.was_full(name):
            await store.adopt(name, path, instead_of=name)


def without_blocks(operation):
    """Raise what SQLite does where the index of a WAL cannot grow for lack of room: no `FullError`."""
    error = apsw.IOError(operation)
    error.extendedresult = apsw.SQLITE_IOERR_SHMSIZE
    raise error


@pytest.mark.parametrize("kind", ["file", "index"])
def test_a_full_drive_is_full_whatever_sqlite_calls_it(tmp_path, monkeypatch, kind):
    """No process ends because somebody else filled its drives, and no file is opened again where there is no room for that."""

    async def scenario():
        fatal, opened = [], []
        async with store_over(tmp_path, on_fatal=fatal.append) as store:
            await store.put("bucket", b"1")
            with monkeypatch.context() as patch:
                room = Room(patch)
                if kind == "index":
                    patch.setattr(room, "meet", lambda _copy: without_blocks("append"))
                room.full = set(NAMES)
                patch.setattr("objstore.cluster.control_copy.open_control_writer", opened.append)
                for _ in range(3):
                    with pytest.raises(StorageFull):
                        await store.put("bucket", b"refused")
                    await adopt_what_was_full(store, tmp_path)
            assert (await store.get("bucket")).value == b"1"
            await adopt_what_was_full(store, tmp_path)
            await store.put("bucket", b"2")
            assert store.copies_in_service == len(NAMES)
        assert (fatal, opened) == ([], [])
        async with store_over(tmp_path) as store:
            assert (await store.get("bucket")).value == b"2"

    asyncio.run(scenario())


def test_a_copy_goes_on_with_the_room_that_it_kept(tmp_path, monkeypatch):
    """Buckets are made on full drives as long as that lasts."""

    async def scenario():
        fatal = []
        async with store_over(tmp_path, on_fatal=fatal.append) as store:
            await store.put("bucket", b"1")
            room = Room(monkeypatch)
            room.full = set(NAMES)
            give_up = KeptRoom.give_up
            given_up = []

            def noted(kept):
                given_up.append(kept)
                if len(given_up) == len(NAMES):
                    room.full = set()
                return give_up(kept)

            monkeypatch.setattr(KeptRoom, "give_up", noted)
            with contextlib.suppress(StorageFull):  # one that was early
                await store.put("bucket", b"2")
            await adopt_what_was_full(store, tmp_path)
            await store.put("bucket", b"3")
            assert not any(kept.is_kept for kept in given_up)
        assert fatal == []

    asyncio.run(scenario())
