"""The versions that a bug report needs."""

from __future__ import annotations

import sys

import apsw

from objstore import __version__
from objstore.server import versions as module
from objstore.server.versions import version_lines, versions


def test_versions_are_the_ones_that_run() -> None:
    """The library that is loaded counts, not the one that the system has: SQLite is bundled."""
    found = versions()
    assert found["objstore"] == __version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["sqlite"] == apsw.sqlite_lib_version()
    assert len(list(version_lines())) == len(found)


def test_missing_library_is_said_and_no_failure(monkeypatch) -> None:
    """A broken installation is exactly when somebody asks for versions."""
    monkeypatch.setattr(module, "_LIBRARIES", ("no-such-library",))
    assert versions()["no-such-library"] == "not installed"
