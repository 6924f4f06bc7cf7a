"""The versions that matter when something is wrong: ours, Python's, SQLite's, and those of the libraries."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

from objstore import __version__

__all__ = ["version_lines", "versions"]

_LIBRARIES = (
    "apsw",
    "awscrt",
    "httptools",
    "msgspec",
    "pyeclib",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "uvloop",
    "xxhash",
)


def versions() -> dict[str, str]:
    """Return name and version of everything that takes part."""
    import apsw  # noqa: PLC0415 - loading the SQLite library is only paid for by who asks

    found = {
        "objstore": __version__,
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
    }
    found["platform"] = platform.platform()
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def version_lines() -> Iterator[str]:
    """Yield one line a version, names aligned."""
    found = versions()
    width = max(map(len, found))
    for name, version in found.items():
        yield f"{name:<{width}}  {version}"
