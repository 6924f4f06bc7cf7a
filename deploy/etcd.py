"""Fetches the etcd that the tests of a cluster's control store need, where this machine has none.

    .venv/bin/python deploy/etcd.py

The program comes from the distribution's package `etcd-server`, checked by apt as always, and is unpacked into `.tools/bin/`:
nothing is installed, no service is started and no rights are needed. An etcd on PATH is taken as it is, unless its version is
one that the store refuses. Where there is no apt, or it gets nothing, this says so and ends well: the report of the tests
will say what was not tested, and CI will not pass.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from objstore.testing.etcd_process import find_etcd

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
WORK = TOOLS / "etcd-package"
PACKAGE = "etcd-server"
UPDATE_S = 180
DOWNLOAD_S = 180


def main() -> int:
    """Make sure that there is an etcd, or say why there is none."""
    if find_etcd() is not None:
        return 0
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return _give_up("this machine has no apt")
    print(f"etcd: fetching the package {PACKAGE} into .tools/", flush=True)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    try:
        package = _download([]) or _download(_own_lists())
        if package is None:
            return _give_up(f"apt does not find the package {PACKAGE}")
        _run(["dpkg-deb", "--extract", str(package), str(WORK / "files")], seconds=DOWNLOAD_S)
        (TOOLS / "bin").mkdir(exist_ok=True)
        shutil.move(WORK / "files" / "usr" / "bin" / "etcd", TOOLS / "bin" / "etcd")
    except (OSError, subprocess.SubprocessError) as error:
        return _give_up(str(error))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    if find_etcd() is None:
        return _give_up("the version in the package is one that the store refuses")
    return 0


def _download(options: list[str]) -> Path | None:
    """Fetch the package, or return None where apt cannot: its lists may be missing or old."""
    command = ["apt-get", *options, "--quiet", "download", PACKAGE]
    if not _run(command, seconds=DOWNLOAD_S):
        return None
    return next(WORK.glob("*.deb"), None)


def _own_lists() -> list[str]:
    """Fetch fresh lists of packages into a directory of ours, which needs no rights; return the options to use them."""
    state, cache = WORK / "state", WORK / "cache"
    for directory in (state / "lists" / "partial", cache / "archives" / "partial"):
        directory.mkdir(parents=True)
    values = {
        "Dir::State": state,
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": cache,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    options = [part for name, value in values.items() for part in ("-o", f"{name}={value}")]
    _run(["apt-get", *options, "--quiet", "update"], seconds=UPDATE_S)
    return options


def _run(command: list[str], *, seconds: int) -> bool:
    done = subprocess.run(
        command,
        cwd=WORK,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=seconds,
        check=False,
    )
    return done.returncode == 0


def _give_up(reason: str) -> int:
    print(f"etcd: {reason}; put etcd 3.5.6 or later on PATH, or its tests do not run", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
