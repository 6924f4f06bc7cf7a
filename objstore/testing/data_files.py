"""The data files of a running server: what came since a moment, and whether it goes again.

Deletion is work in the background, also of what earlier tests left on the same server: files that were there at the beginning may
vanish at any time. So only what is new is judged, and it gets a bounded time to go.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from objstore.testing.server import S3Server

__all__ = ["NewFiles", "data_files"]

_DEADLINE_S = 30.0
_POLL_S = 0.02


def data_files(server: S3Server) -> set[str]:
    """Return the data files of the server, each as directory and place in it, without those in the trash."""
    return {
        f"{root}/{path.relative_to(root)}"
        for root in server.directories
        for folder in ("shards", "tmp")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }


class NewFiles:
    """The data files of a server that were not there when this was made."""

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._before = data_files(server)

    def paths(self) -> set[str]:
        """Return the new files that are there now."""
        return data_files(self._server) - self._before

    def wait_for_some(self, deadline_s: float = _DEADLINE_S) -> None:
        """Wait until there are new files; AssertionError after the deadline."""
        if not _reached(lambda: bool(self.paths()), deadline_s):
            raise AssertionError("no new file was written")

    def wait_until_gone(self, why: str, deadline_s: float = _DEADLINE_S) -> None:
        """Wait until there is no new file; after the deadline, AssertionError with the reason and those that are left."""
        if not _reached(lambda: not self.paths(), deadline_s):
            raise AssertionError(f"{why}: {sorted(self.paths())}")


def _reached(condition: Callable[[], bool], deadline_s: float) -> bool:
    end_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(_POLL_S)
    return True
