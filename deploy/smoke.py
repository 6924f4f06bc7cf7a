"""Installs the wheel of dist/ into an environment of its own, serves with it and asks whether it is ready.

What this catches: files missing from the wheel, a dependency that only the development environment has, an entry point
that does not start. Prints one line and ends with 0, or says what failed and ends with 1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "deploy"))
import bootstrap  # noqa: E402 - found through the line above, as a script has no package

READY_S_MAX = 20.0


def main() -> int:
    """Run the smoke test; return the exit code."""
    wheels = sorted((ROOT / "dist").glob("objstore-*.whl"))
    if len(wheels) != 1:
        print(
            f"smoke: expected one wheel in dist/, found {len(wheels)}: run `make build`",
            file=sys.stderr,
        )
        return 1
    folder = Path(tempfile.mkdtemp(prefix="objstore-smoke-"))
    try:
        install(wheels[0], folder / "venv")
        seconds = serve_once(folder / "venv" / "bin" / "objstore-node")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"smoke: {wheels[0].name} serves, ready after {seconds:.2f} s")
    return 0


def install(wheel: Path, folder: Path) -> None:
    """Make a clean environment from run.lock and the wheel."""
    settings = bootstrap.pip_settings()
    uv = bootstrap.find_uv(settings)
    environment = bootstrap.uv_environment(settings)
    python = ["--python", str(folder / "bin" / "python")]
    lock = str(ROOT / "requirements" / "run.lock")
    for arguments in (
        ["venv", "--quiet", "--python", sys.executable, str(folder)],
        ["pip", "sync", "--quiet", "--require-hashes", *python, lock],
        ["pip", "install", "--quiet", "--no-deps", *python, str(wheel)],
    ):
        subprocess.run([uv, *arguments], check=True, cwd=folder.parent, env=environment)


def serve_once(program: Path) -> float:
    """Start the server, wait until it says that it is ready, stop it; return the seconds to readiness."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OBJSTORE_")
    }
    command = [str(program), "serve", "--dev", "--address", "127.0.0.1:0"]
    started = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd="/", env=environment
    ) as server:
        try:
            url = _endpoint(server)
            seconds = time.monotonic() - started
            subprocess.run([str(program), "healthcheck", "--url", url], check=True, env=environment)
        finally:
            server.terminate()
        if server.wait(timeout=READY_S_MAX) != 0:
            raise SystemExit(f"smoke: the server ended with exit code {server.returncode}")
    return seconds


def _endpoint(server: subprocess.Popen[str]) -> str:
    for line in server.stdout or ():
        if found := re.search(r"S3 endpoint\s+(\S+)", line):
            return found[1]
    raise SystemExit("smoke: the server ended before it was ready")


if __name__ == "__main__":
    sys.exit(main())
