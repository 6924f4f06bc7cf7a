"""A real server for tests: the same binary, its own process, a real socket, real signatures.

    with S3Server() as server:
        client = boto3.client("s3", **server.client_arguments())

It listens on a free loopback port, keeps its data in a temporary directory unless told where, and is gone after the block.
`kill` ends it as a power cut of the process would; `start` brings it back on the same data and port.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from objstore.testing.ports import free_port

__all__ = ["S3Server", "ServerFailed", "TlsFiles"]

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 60.0
_POLL_S = 0.02
_LOG_TAIL_CHARS = 4_000


class ServerFailed(RuntimeError):
    """The server did not start, or died; the text ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificate, key and the authority that clients must trust, as paths of PEM files."""

    cert: Path
    key: Path
    authority: Path


class S3Server:
    """One server process and how to reach it."""

    def __init__(  # noqa: PLR0913 - every argument has a default and a name
        self,
        directories: Sequence[Path] = (),
        *,
        access_key: str = "test-access-key",
        secret_key: str = "test-secret-key-0123456789",  # noqa: S107 - a key for tests
        tls: TlsFiles | None = None,
        buckets: Sequence[str] = (),
        config: str = "",
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.region = "us-east-1"
        self.tls = tls
        self._scratch = Path(tempfile.mkdtemp(prefix="objstore-test-"))
        self.directories = tuple(directories) or (self._scratch / "data",)
        self._buckets = tuple(buckets)
        self._arguments = tuple(arguments)
        self._environment = dict(environment or {})
        self._config = config
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.log_path = self._scratch / "server.log"

    @property
    def endpoint_url(self) -> str:
        """Where S3 is served."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """TCP port of the S3 listener."""
        return self._port

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise ServerFailed("server is not running")
        return self._process.pid

    def client_arguments(self) -> dict[str, Any]:
        """Return keyword arguments for `boto3.client("s3", ...)`."""
        arguments: dict[str, Any] = {
            "endpoint_url": self.endpoint_url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
        }
        if self.tls is not None:
            arguments["verify"] = str(self.tls.authority)
        return arguments

    def start(self) -> Self:
        """Start the process and wait until it is ready. Raises `ServerFailed`."""
        command = [sys.executable, "-m", "objstore.server.main", "serve"]
        command += [str(directory) for directory in self.directories]
        command += ["--address", f"127.0.0.1:{self._port}", *self._options()]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary
                command,
                env=self._full_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_ready()
        return self

    def stop(self) -> int:
        """End the process in order (SIGTERM, then SIGKILL after a deadline); return its exit code."""
        process = self._process
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise ServerFailed(f"server did not end in time\n{self.log_tail()}") from error
        self._process = None
        return code

    def kill(self) -> None:
        """End every process of the server at once, without giving it a chance to do anything."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop in order and start again on the same data and port."""
        self.stop()
        self.start()

    def log_tail(self) -> str:
        """Return the last lines of the server's output."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_text(errors="replace")[-_LOG_TAIL_CHARS:]

    def get(self, path: str, *, timeout_s: float = 5.0) -> tuple[int, bytes]:
        """Fetch one of the server's own pages (`/_/...`); return status and body."""
        context = None
        if self.tls is not None:
            context = ssl.create_default_context(cafile=str(self.tls.authority))
        request = urllib.request.Request(self.endpoint_url + path)  # noqa: S310 - our own server
        try:
            with urllib.request.urlopen(request, timeout=timeout_s, context=context) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove the temporary directory."""
        try:
            self.kill()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _options(self) -> list[str]:
        options = [option for name in self._buckets for option in ("--bucket", name)]
        if self.tls is not None:
            options += ["--tls-cert", str(self.tls.cert), "--tls-key", str(self.tls.key)]
        if self._config:
            path = self._scratch / "objstore.toml"
            path.write_text(self._config)
            options += ["--config", str(path)]
        return [*options, *self._arguments]

    def _full_environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("OBJSTORE_")}
        keys = {
            "OBJSTORE_ROOT_ACCESS_KEY": self.access_key,
            "OBJSTORE_ROOT_SECRET_KEY": self.secret_key,
        }
        return inherited | keys | self._environment

    def _wait_ready(self) -> None:
        process = self._process
        deadline = time.monotonic() + _START_DEADLINE_S
        while process is not None and time.monotonic() < deadline:
            if process.poll() is not None:
                self._process = None
                raise ServerFailed(f"server ended with {process.returncode}\n{self.log_tail()}")
            try:
                if self.get("/_/health/ready", timeout_s=1.0)[0] == 200:
                    return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(_POLL_S)
        tail = self.log_tail()
        self.kill()
        raise ServerFailed(f"server was not ready after {_START_DEADLINE_S} s\n{tail}")

    def __repr__(self) -> str:
        where = json.dumps([str(directory) for directory in self.directories])
        return f"S3Server({self.endpoint_url}, {where})"
