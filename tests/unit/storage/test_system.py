"""The seam of system calls does what the calls do, and nothing is lost between buffers."""

from __future__ import annotations

import os
import threading

import pytest

from objstore.storage.system import SYSTEM


@pytest.mark.parametrize(
    "buffers",
    [
        [b""],
        [b"abc"],
        [b"", b"abc", b"", bytearray(b"def"), memoryview(b"xghi")[1:], b""],
        [b"x" * 70_000, b"y" * 200_000],
    ],
)
def test_all_buffers_are_written_in_order(buffers):
    """A pipe takes a part at a time, as a disk near its limit does: the rest must follow, once."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, True)
    expected = b"".join(buffers)
    got = bytearray()

    def drain():
        while piece := os.read(read_end, 1_000):
            got.extend(piece)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        SYSTEM.write(write_end, buffers)
    finally:
        os.close(write_end)
        thread.join()
        os.close(read_end)
    assert bytes(got) == expected


def test_link_never_replaces(tmp_path):
    """The second writer of a name must learn that it is second."""
    fd = SYSTEM.open_unnamed(tmp_path)
    try:
        SYSTEM.write(fd, [b"first"])
        SYSTEM.link_unnamed(fd, tmp_path / "name")
        with pytest.raises(FileExistsError):
            SYSTEM.link_unnamed(fd, tmp_path / "name")
    finally:
        SYSTEM.close(fd)
    assert (tmp_path / "name").read_bytes() == b"first"


def test_unnamed_file_vanishes_with_its_descriptor(tmp_path):
    """What a crash leaves of a write that had no name yet: nothing."""
    fd = SYSTEM.open_unnamed(tmp_path)
    SYSTEM.write(fd, [b"x"])
    SYSTEM.close(fd)
    assert list(tmp_path.iterdir()) == []


def test_refused_direct_write_leaves_an_ordinary_file(tmp_path):
    """What follows a refusal goes through the cache, and needs no alignment any more."""
    fd = SYSTEM.open_unnamed(tmp_path)
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            SYSTEM.write_direct(fd, [memoryview(bytearray(5001))[1:101]])
        SYSTEM.write(fd, [b"abc"])
        assert os.fstat(fd).st_size == 3
    finally:
        SYSTEM.close(fd)
