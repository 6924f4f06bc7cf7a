"""What tests with clients of other people need: a bucket name, a tree of files, a comparison of trees."""

from __future__ import annotations

import filecmp
import uuid
from pathlib import Path

import pytest

MIB = 1024 * 1024


@pytest.fixture
def name():
    """A bucket name that nobody has used."""
    return f"client-{uuid.uuid4().hex[:16]}"


@pytest.fixture
def made_bucket(s3, name):
    """A bucket for clients that make none."""
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def tree(shell, pattern):
    """A small tree with odd names, an empty file and one file of several parts."""
    folder = shell.folder / "tree"
    files = {"one": 10, "sub/two words": 70_000, "sub/\u00e9/three+": 0, "big.bin": 12 * MIB + 1}
    for path, size in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(pattern(size, seed=size))
    return folder


def trees_are_the_same(left: Path, right: Path) -> bool:
    """Tell whether two trees have the same files with the same bytes."""
    names = sorted(str(path.relative_to(left)) for path in left.rglob("*") if path.is_file())
    found = sorted(str(path.relative_to(right)) for path in right.rglob("*") if path.is_file())
    return names == found and filecmp.cmpfiles(left, right, names, shallow=False)[0] == names


@pytest.fixture(scope="session")
def same():
    """The comparison of two trees, byte for byte."""
    return trees_are_the_same
