#!/usr/bin/env python3
"""Gets clients of other people that are not Python packages, for tests/clients; none of them is needed to run a store.

    python3 deploy/client_programs.py
    python3 deploy/client_programs.py all   also what takes many minutes to compile

Five things, side by side, each within a bound of time: packages of the distribution (only as root and with apt-get), the
packages of npm, a Go program and a Java program of tests/clients with the libraries that they name, and s5cmd. What is built
goes to `$XDG_CACHE_HOME/objstore-clients/` (or `~/.cache/`), outside of the checkout, and stays until its sources change.

What this machine cannot get is named and left out: the report of the tests then says which clients were not run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tests" / "clients"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "objstore-clients"
STAMP = "built"
BUILD_S = 240
PACKAGES = {
    "rclone": "rclone",
    "restic": "restic",
    "s3fs": "s3fs",
    "gdal-bin": "gdalinfo",
    "docker-registry": "docker-registry",
}
"""Packages of Debian and its kin, each with a program that tells whether it is there."""
GO_COMMANDS = {
    "litestream": "github.com/benbjohnson/litestream/cmd/litestream@v0.5.18",
    "rclone": "github.com/rclone/rclone@v1.75.1",
    "restic": "github.com/restic/restic/cmd/restic@v0.18.1",
}
"""Programs that are compiled from the Go module proxy: their newest releases, beside the old ones of the distribution."""
COMMAND_S = 1800


class CannotGetError(Exception):
    """A client cannot be had here; the text says why."""


def main(arguments: list[str]) -> int:
    """Get everything side by side; always ends well, because the tests report what is missing."""
    if arguments not in ([], ["all"]):
        print("usage: python3 deploy/client_programs.py [all]", file=sys.stderr)
        return 1
    jobs: dict[str, Callable[[], str]] = {
        "packages": install_packages,
        "javascript": lambda: build("javascript", build_javascript),
        "go": lambda: build("go", build_go),
        "java": lambda: build("java", build_java),
        "s5cmd": lambda: build("s5cmd", build_s5cmd),
    }
    threads = [threading.Thread(target=_report, args=job) for job in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in GO_COMMANDS if arguments else ():
        _report(name, lambda name=name: compile_command(name))
    return 0


def install_packages() -> str:
    """Install the packages whose programs are not here."""
    missing = [package for package, program in PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return "there already"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise CannotGetError(f"needs root and apt-get to install {' '.join(missing)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    waiting = ["-o", "DPkg::Lock::Timeout=60", "-qq"]
    _run(["apt-get", *waiting, "update"], ROOT, quiet)
    _run(["apt-get", *waiting, "install", "-y", "--no-install-recommends", *missing], ROOT, quiet)
    return f"installed {' '.join(missing)}"


def build(language: str, builder: Callable[[Path, Path], None]) -> str:
    """Build the clients of a language in a fresh folder of the cache, unless that was done from the same sources."""
    sources, folder = SOURCES / language, CACHE / language
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for file in sorted(path for path in sources.rglob("*") if path.is_file()):
        digest.update(file.read_bytes())
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text(encoding="ascii") == digest.hexdigest():
        return "there already"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    builder(sources, folder)
    stamp.write_text(digest.hexdigest(), encoding="ascii")
    return "built"


def build_javascript(sources: Path, folder: Path) -> None:
    """Install what package-lock.json names; the lock names no registry, so that npm's own setting decides."""
    _need("node", "npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(sources / name, folder)
    _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder)


def build_go(sources: Path, folder: Path) -> None:
    """Compile the program with the modules of go.sum."""
    _need("go")
    settings = {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    command = ["go", "build", "-mod=readonly", "-buildvcs=false", "-o", str(folder / "client"), "."]
    _run(command, sources, settings)


def build_s5cmd(sources: Path, folder: Path) -> None:
    """Compile the program of others that go.mod requires; `go install` asks for lists of versions, which not every proxy has."""
    _need("go")
    settings = {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    module = "github.com/peak/s5cmd/v2"
    command = ["go", "build", "-mod=readonly", "-buildvcs=false", "-o", str(folder), module]
    _run(command, sources, settings)


def build_java(sources: Path, folder: Path) -> None:
    """Fetch what pom.xml names with Maven and compile the one class with javac: no other plugin is needed."""
    _need("javac", "mvn")
    shutil.copy(sources / "pom.xml", folder)
    copying = ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"]
    _run(["mvn", "--batch-mode", "--no-transfer-progress", "--quiet", *copying], folder)
    options = ["-encoding", "UTF-8", "-proc:none", "-cp", f"{folder}/jars/*"]
    classes = folder / "classes"
    _run(["javac", *options, "-d", str(classes), str(sources / "Client.java")], folder)


def compile_command(name: str) -> str:
    """Compile a program of others into `bin/` of the cache, where the tests find it before the distribution's."""
    _need("go")
    module, folder = GO_COMMANDS[name], CACHE / "bin"
    stamp = folder / f"{name}.{STAMP}"
    if stamp.is_file() and stamp.read_text(encoding="ascii") == module:
        return "there already"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"GOBIN": str(folder), "CGO_ENABLED": "0"}
    _run(["go", "install", module], folder, settings, seconds=COMMAND_S)
    stamp.write_text(module, encoding="ascii")
    return "built"


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise CannotGetError(f"{' and '.join(missing)} not installed")


def _run(
    command: list[str], folder: Path, more: dict[str, str] | None = None, *, seconds: int = BUILD_S
) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | (more or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotGetError(f"{command[0]} took more than {seconds} s") from error
    if done.returncode != 0:
        said = done.stdout.decode("utf-8", "replace").strip().splitlines()[-5:]
        raise CannotGetError(f"{' '.join(command[:2])} failed: {' | '.join(said)}")


def _report(name: str, job: Callable[[], str]) -> None:
    started = time.monotonic()
    try:
        outcome = job()
    except (CannotGetError, OSError) as error:
        outcome = f"left out, {error}"
    print(f"clients: {name}: {outcome} ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
