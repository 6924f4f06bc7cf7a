"""What a figure was measured on: machine, Python, version and commit. A figure without them cannot be compared."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import objstore

__all__ = ["commit", "cpu_model", "file_system", "machine"]

_GIT_DEADLINE_S = 5.0


def machine() -> dict[str, Any]:
    """Return what is worth knowing about this machine."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, or its architecture where the kernel tells no name."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def commit() -> str:
    """Return the commit of the checkout that this package runs from, `+` where files differ; else nothing."""
    top = Path(objstore.__file__).resolve().parents[1]
    if not (top / ".git").exists():
        return ""
    try:
        head = _git(top, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(top, "status", "--porcelain", "--", "objstore") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the kind of file system that holds a path, as `ext4`; nothing where the kernel does not tell."""
    whole = path.resolve()
    best, kind = -1, ""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) > 2 and whole.is_relative_to(fields[1]) and len(fields[1]) >= best:
            best, kind = len(fields[1]), fields[2]
    return kind


def _git(top: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["git", "-C", str(top), *arguments],  # noqa: S607 - git as the person's shell finds it
        capture_output=True,
        text=True,
        check=True,
        timeout=_GIT_DEADLINE_S,
    )
    return done.stdout.strip()
