"""A real etcd server for tests: started on free loopback ports with data in a directory, stopped, killed, paused, restarted.

The program is the one that `OBJSTORE_ETCD` names, or one on PATH, or the one in `.tools/` of the checkout, where
`deploy/etcd.py` puts it.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from objstore.cluster.etcd_versions import check_server_version
from objstore.model.errors import ControlStoreUnfit, check
from objstore.testing.ports import free_port

__all__ = ["EtcdProcess", "find_etcd"]

START_S: Final = 60.0
STOP_S: Final = 30.0
_POLL_S: Final = 0.02
_HEALTH_S: Final = 2.0
_ALONE: Final = ("--heartbeat-interval=20", "--election-timeout=200")
"""A single member waits for an election with itself before it serves, with every start."""
_CHECKOUT: Final = Path(__file__).resolve().parents[2]


def find_etcd() -> Path | None:
    """Return a program of a version that may be used, or None where this machine has none."""
    named = os.environ.get("OBJSTORE_ETCD")
    if named:
        return Path(named)
    found = [shutil.which("etcd"), str(_CHECKOUT / ".tools" / "bin" / "etcd")]
    return next((Path(each) for each in found if each and _is_fit(each)), None)


def _is_fit(program: str) -> bool:
    """Tell whether this is an etcd that the store does not refuse."""
    try:
        told = subprocess.run(  # noqa: S603 - a program of this name is what the caller wants to run
            [program, "--version"], capture_output=True, text=True, timeout=START_S, check=True
        )
        check_server_version(told.stdout.split()[2], endpoint=program)
    except (OSError, subprocess.SubprocessError, IndexError, ControlStoreUnfit):
        return False
    return True


class EtcdProcess:
    """One member; a context manager that starts it and ends it. Its address stays the same over restarts."""

    def __init__(
        self,
        program: Path,
        directory: Path,
        *,
        options: Sequence[str] = (),
        scheme: str = "http",
        peers: dict[str, int] | None = None,
        name: str = "m0",
    ) -> None:
        self.port = free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._program = program
        self._directory = directory
        self._options = list(options)
        self._name = name
        self._peers = peers or {name: free_port()}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        self.await_ready()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()

    def start(self) -> None:
        """Start the process; see `await_ready`. It ends with the thread that calls this, whatever ends that."""
        check(self._process is None, "the server runs already")
        members = {name: f"http://127.0.0.1:{port}" for name, port in self._peers.items()}
        own = members[self._name]
        self._directory.mkdir(parents=True, exist_ok=True)
        arguments = [
            f"--name={self._name}",
            f"--data-dir={self._directory / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={own}",
            f"--initial-advertise-peer-urls={own}",
            f"--initial-cluster={','.join(f'{name}={url}' for name, url in members.items())}",
            *(_ALONE if len(members) == 1 else ()),
            *self._options,
        ]
        command = [*_dying_with_us(), str(self._program), *arguments]
        with (self._directory / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the programs were looked up, the rest is ours
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def await_ready(self) -> None:
        """Wait until the server serves; raise `InvariantError` with the end of its log if it does not."""
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s and self._process and self._process.poll() is None:
            if self._is_healthy():
                return
            time.sleep(_POLL_S)
        log = (self._directory / "etcd.log").read_text("utf-8", "replace")
        check(False, f"etcd did not start: {log[-2000:]}")

    def _is_healthy(self) -> bool:
        if self.url.startswith("https:"):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection: HTTPConnection = HTTPSConnection(
                "127.0.0.1", self.port, timeout=_HEALTH_S, context=context
            )
        else:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=_HEALTH_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End the process in its orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let the process hang: its connections stay, nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._running().send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process = self._running()
        process.send_signal(number)
        process.wait(STOP_S)
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        check(self._process is not None, "the server does not run")
        process = self._process
        if process is None:  # for the type checker; check() raised
            raise AssertionError
        return process


def _dying_with_us() -> list[str]:
    """Return what lets the kernel end a program when its starter is killed, and so cannot end it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
