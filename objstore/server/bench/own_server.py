"""A server of the bench's own: the same command that a person would type, on a directory that goes with it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from objstore.server.bench.refusal import BenchRefused
from objstore.server.healthcheck import ask_readiness

__all__ = ["OwnServer", "own_server", "serving"]

_READY_DEADLINE_S: Final = 60.0
_STOP_DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.02
_TAIL_CHARS: Final = 1_500


class OwnServer(NamedTuple):
    """A running server and how to reach it."""

    endpoint: str
    access_key: str
    secret_key: str
    data: Path
    pid: int
    ready_after_s: float
    """From the start of the process to its first ready answer."""


@contextlib.contextmanager
def own_server(
    directory: Path | None, *, keep: bool = False, arguments: tuple[str, ...] = ()
) -> Iterator[OwnServer]:
    """Serve from a fresh directory below `directory` (the system's temporary one); remove it afterwards unless kept.

    Settings in the environment do not count: what is measured is the default, and `arguments`. Raises `BenchRefused`.
    """
    try:
        data = Path(tempfile.mkdtemp(prefix="objstore-bench-", dir=directory))
    except OSError as error:
        raise BenchRefused(
            f"cannot make a directory below {directory}: {error.strerror}",
            next_step="give a --data directory that you may write to",
        ) from error
    try:
        with serving(data, arguments) as server:
            yield server
    finally:
        if not keep:
            shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def serving(data: Path, arguments: tuple[str, ...] = ()) -> Iterator[OwnServer]:
    """Serve from `data`, which stays; a second time on the same directory is a second start. Raises `BenchRefused`."""
    port = _free_port()
    access_key, secret_key = "objstore-bench", secrets.token_hex(16)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OBJSTORE_")}
    environment |= {"OBJSTORE_ROOT_ACCESS_KEY": access_key, "OBJSTORE_ROOT_SECRET_KEY": secret_key}
    command = [sys.executable, "-m", "objstore.server.main", "serve", str(data / "drive")]
    command += ["--address", f"127.0.0.1:{port}", *arguments]
    log_path = data / "server.log"
    with log_path.open("wb") as log:
        began_s = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own binary
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_ready(process, endpoint, log_path)
        ready_after_s = time.monotonic() - began_s
        yield OwnServer(endpoint, access_key, secret_key, data, process.pid, ready_after_s)
    finally:
        _stop(process)


def _wait_ready(process: subprocess.Popen[bytes], endpoint: str, log_path: Path) -> None:
    deadline_s = time.monotonic() + _READY_DEADLINE_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            tail = log_path.read_text(errors="replace")[-_TAIL_CHARS:]
            raise BenchRefused(f"the bench's own server ended with {process.returncode}:\n{tail}")
        if ask_readiness(endpoint, timeout_s=1.0)[0]:
            return
        time.sleep(_POLL_S)
    raise BenchRefused(f"the bench's own server was not ready after {_READY_DEADLINE_S:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
