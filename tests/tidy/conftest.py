"""The project's sources, read and parsed once for all tidy tests."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One Python file of the project."""

    path: str
    """Relative to the root, with `/`."""
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    @property
    def lines_count(self) -> int:
        return self.text.count("\n")


def project_files() -> list[str]:
    """Return the paths of all files that belong to the project, new ones included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = listed.stdout.splitlines()
    else:  # an unpacked source distribution has no history
        tops = ("objstore", "tests", "deploy", "docs", "benchmarks", "requirements")
        found = [str(path.relative_to(ROOT)) for top in tops for path in (ROOT / top).rglob("*")]
    return sorted(path for path in found if (ROOT / path).is_file() and "__pycache__" not in path)


@pytest.fixture(scope="session")
def root() -> Path:
    """Top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[str]:
    """All files of the project."""
    return project_files()


@pytest.fixture(scope="session")
def sources(files) -> list[Source]:
    """All Python files of the project, parsed."""
    found = []
    for path in files:
        if path.endswith(".py"):
            text = (ROOT / path).read_text(encoding="utf-8")
            found.append(Source(path, text, ast.parse(text, path)))
    return found


@pytest.fixture(scope="session")
def ratchet():
    """Read a list of exceptions: one a line, `#` begins a comment. Such a list may only shrink."""

    def read(name: str) -> set[str]:
        text = (Path(__file__).parent / name).read_text(encoding="utf-8")
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        return {line for line in lines if line}

    return read
