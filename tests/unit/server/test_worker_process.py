"""A worker process on its own: it never serves without an owner."""

from __future__ import annotations

import subprocess
import sys

from objstore.model.instant import Instant
from objstore.model.names import DriveId
from objstore.storage.drive import DriveIdentity
from objstore.storage.layout import format_drive


def test_a_worker_that_finds_no_owner_ends(tmp_path) -> None:
    """It would have nobody to send a write to; whoever started it decides what next."""
    directory = tmp_path / "data"
    format_drive(directory, DriveIdentity("c", DriveId("d"), Instant(1)))
    ended = subprocess.run(
        [sys.executable, "-m", "objstore.server.worker_process", str(directory), "worker-1-1"],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    assert b"workers.sock" in ended.stderr or b"No such file" in ended.stderr
