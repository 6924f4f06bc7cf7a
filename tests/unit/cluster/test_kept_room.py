"""Room that is ours on a drive, for when somebody else has filled it."""

from __future__ import annotations

import apsw
import pytest

from objstore.cluster import kept_room
from objstore.cluster.kept_room import KeptRoom, open_with

SIZE_BYTES = 1024 * 1024


@pytest.fixture
def database(tmp_path):
    return tmp_path / "a.sqlite"


def taken_bytes(database):
    return database.with_name("a.sqlite-room").stat().st_blocks * 512


def test_room_is_taken_given_up_and_taken_again(database, monkeypatch):
    """Given up once; taken again after a while, not at once: whoever gave it up needs it."""
    room = KeptRoom(database, SIZE_BYTES)
    assert room.is_kept
    assert room.wait_s is None
    assert taken_bytes(database) >= SIZE_BYTES
    assert room.give_up()
    assert not room.give_up()
    assert taken_bytes(database) == 0
    room.take_if_due()
    assert not room.is_kept
    assert room.wait_s > 0.0
    monkeypatch.setattr(kept_room, "RETAKE_EVERY_S", 0.0)
    room.take_if_due()
    assert room.is_kept
    room.close()


def test_room_is_kept_over_a_restart(database):
    """It is there before anybody can fill the drive."""
    KeptRoom(database, SIZE_BYTES).close()
    room = KeptRoom(database, SIZE_BYTES)
    assert room.is_kept
    room.close()


def test_nothing_is_made_anew_in_a_directory_that_was_wiped(database, monkeypatch):
    """The store that goes on for a moment holds the old file; a name would make the directory look used."""
    monkeypatch.setattr(kept_room, "RETAKE_EVERY_S", 0.0)
    room = KeptRoom(database, SIZE_BYTES)
    database.with_name("a.sqlite-room").unlink()
    assert room.give_up()
    room.take_if_due()
    assert list(database.parent.iterdir()) == []
    room.close()


def test_a_directory_that_cannot_be_used_has_no_room(tmp_path):
    """That shows when the database is opened."""
    room = KeptRoom(tmp_path / "missing" / "a.sqlite", SIZE_BYTES)
    assert not room.is_kept
    assert room.wait_s is None
    assert not room.give_up()
    room.close()


def test_nothing_is_made_where_nothing_is_to_be_kept(database):
    """Stores of one directory keep none."""
    room = KeptRoom(database, 0)
    assert not room.give_up()
    assert list(database.parent.iterdir()) == []


def test_a_file_is_opened_with_the_room_that_was_kept(database):
    """A start on full drives; without any room it is told as that."""
    room = KeptRoom(database, SIZE_BYTES)

    def opened():
        if room.is_kept:
            raise apsw.FullError("no room")
        return "open"

    def never_opened():
        raise apsw.FullError("no room")

    assert open_with(room, opened) == "open"
    with pytest.raises(apsw.FullError):
        open_with(room, never_opened)
    room.close()
