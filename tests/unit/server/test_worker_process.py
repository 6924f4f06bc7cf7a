"""A worker process on its own: it never serves without an owner."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from objstore.cluster.shared_page import SharedPage


def test_a_worker_whose_owner_is_gone_ends() -> None:
    """It would have nobody to send a write to; whoever started it decides what next."""
    page = SharedPage()
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        numbers = [str(number) for number in (theirs.fileno(), page.descriptor, os.getpid())]
        ended = subprocess.run(
            [sys.executable, "-m", "objstore.server.worker_process", *numbers, "c", "worker-1-1"],
            capture_output=True,
            timeout=30,
            check=False,
            pass_fds=(theirs.fileno(), page.descriptor),
        )
    page.close()
    assert ended.returncode != 0
    assert b"closed the stream" in ended.stderr
