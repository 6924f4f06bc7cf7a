"""Unix sockets in a directory of ours: for its user only, at any length of path.

The kernel takes paths of about a hundred bytes. A longer one is reached through the descriptor of its directory.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["connect_unix", "listen_unix"]

_PATH_BYTES_MAX: Final = 100
_BACKLOG: Final = 128


def listen_unix(path: Path) -> socket.socket:
    """Return a listening socket with mode 0600. A socket that was left there is replaced: the caller owns the directory.

    Raises `OSError`.
    """
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as name:
            listening.bind(name)
            # Before listening: nobody can have connected while others were allowed to.
            os.chmod(name, stat.S_IRUSR | stat.S_IWUSR)  # noqa: PTH101 - the name is a text here
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def connect_unix(path: Path) -> socket.socket:
    """Return a connected socket; raise `OSError` when nobody listens there."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as name:
            connected.connect(name)
        connected.setblocking(False)
    except BaseException:
        connected.close()
        raise
    return connected


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a name of the path that fits into a socket address."""
    name = str(path)
    if len(os.fsencode(name)) <= _PATH_BYTES_MAX:
        yield name
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
