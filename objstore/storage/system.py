"""The few system calls that durability hangs on, behind one seam.

Production uses `SYSTEM`. Tests hand in a subclass that fails or stops at any call, and so walk
through every crash point of a publish. Nothing is decided here.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from objstore.storage.format import Buffer

__all__ = ["SYSTEM", "System"]

_FILE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700


class System:
    """Calls of the operating system; each raises `OSError` as the call does."""

    def open_unnamed(self, directory: Path) -> int:
        """Open a new file without a name in a directory, for writing."""
        return os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE)

    def open_named(self, path: Path) -> int:
        """Create a file that must not exist, for writing."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        return os.open(path, flags, _FILE_MODE)

    def allocate(self, fd: int, size_bytes: int) -> None:
        """Reserve room, so that a full disk shows before the write."""
        os.posix_fallocate(fd, 0, size_bytes)

    def write(self, fd: int, buffers: Sequence[Buffer]) -> None:
        """Write all buffers, one after the other."""
        rest = [memoryview(buffer) for buffer in buffers]
        while rest:
            written = os.writev(fd, rest)
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if written:
                rest[0] = rest[0][written:]

    def write_direct(self, fd: int, buffers: Sequence[memoryview]) -> None:
        """Write all buffers from the start of a file, past the page cache.

        Addresses and lengths are multiples of what the filesystem takes; it raises `EINVAL` where
        they are not, or where it has no such way. The file is then as if this had not been called, but for its bytes.
        """
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
        try:
            rest = list(buffers)
            offset = 0
            while rest:
                written = os.pwritev(fd, rest, offset)
                offset += written
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if written:
                    rest[0] = rest[0][written:]
        except OSError:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
            raise

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cut a file to its length."""
        os.ftruncate(fd, size_bytes)

    def sync(self, fd: int) -> None:
        """Bring a file or a directory to stable storage."""
        os.fsync(fd)

    def link_unnamed(self, fd: int, path: Path) -> None:
        """Give an unnamed file its name; raises `FileExistsError` instead of replacing."""
        # CPython calls linkat() with AT_SYMLINK_FOLLOW only when a dir_fd is given; both paths are
        # absolute, so that the descriptor (here the file itself) is never looked at.
        source = f"/proc/self/fd/{fd}"
        os.link(source, path, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=True)

    def link(self, source: Path, path: Path) -> None:
        """Give a file a second name; raises `FileExistsError` instead of replacing."""
        os.link(source, path)

    def rename(self, source: Path, path: Path) -> None:
        """Move a file, replacing what has the name."""
        os.rename(source, path)  # noqa: PTH104 -- one call, no Path object for its result

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        os.unlink(path)  # noqa: PTH108 -- as its neighbours

    def make_directory(self, path: Path) -> None:
        """Create a directory that only its owner may enter."""
        os.mkdir(path, _DIRECTORY_MODE)  # noqa: PTH102 -- as its neighbours

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)


SYSTEM: Final = System()
