"""The durable publish of small files: identity files, keys, certificates.

Order: write a temporary file beside the target, sync it, rename (or link) it, sync the directory. A
crash leaves the old content or the new one, never a mixture and never nothing where there was
something. Leftover temporary files end in `.tmp` and mean nothing.

It promises nothing about two writers of one path at a time; callers have one.
"""

from __future__ import annotations

import os
from pathlib import Path

from objstore.storage.system import SYSTEM, System

__all__ = ["create_directory", "create_file", "replace_file", "sync_directory"]


def sync_directory(directory: Path, system: System = SYSTEM) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        system.sync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, data: bytes, system: System = SYSTEM) -> None:
    """Make `data` the durable content of a file that may exist; mode 0600. Raises `OSError`."""
    temporary = _write_temporary(path, data, system)
    system.rename(temporary, path)
    sync_directory(path.parent, system)


def create_file(path: Path, data: bytes, system: System = SYSTEM) -> None:
    """Make `data` the durable content of a new file; raises `FileExistsError` if it exists."""
    temporary = _write_temporary(path, data, system)
    try:
        system.link(temporary, path)
    finally:
        system.unlink(temporary)
    sync_directory(path.parent, system)


def create_directory(path: Path, system: System = SYSTEM) -> None:
    """Create a directory durably unless it exists; its parent must exist."""
    if path.is_dir():
        return
    system.make_directory(path)
    sync_directory(path.parent, system)


def _write_temporary(path: Path, data: bytes, system: System) -> Path:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    fd = system.open_named(temporary)
    try:
        system.write(fd, (data,))
        system.sync(fd)
    finally:
        system.close(fd)
    return temporary
