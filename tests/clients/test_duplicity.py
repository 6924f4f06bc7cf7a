"""duplicity, a backup program that keeps its volumes in a bucket through boto3."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.client

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".venv-clients-duplicity" / "bin" / "duplicity"


@pytest.fixture
def duplicity(shell, made_bucket):
    """Run `duplicity` on a place in a bucket; return what it printed."""
    if sys.platform != "linux":
        pytest.skip("not run: duplicity has wheels for Linux only")
    place = f"boto3+s3://{made_bucket}/backups/home"
    options = ["--s3-endpoint-url", shell.server.endpoint_url, "--no-encryption", "--volsize", "6"]
    options += ["--archive-dir", "cache", "--tempdir", ".", "--verbosity", "notice"]

    def call(action: str, *arguments: str) -> str:
        filled = [place if word == "PLACE" else word for word in arguments]
        return shell.run(str(PROGRAM), action, *options, *filled)

    return call


def test_backups_are_restored_byte_for_byte(duplicity, shell, s3, made_bucket, tree, same):
    """A full backup in volumes, an incremental one, verification, both restored, the older chain removed."""
    duplicity("full", "tree", "PLACE")
    (tree / "one").write_bytes(b"changed")
    (tree / "new").write_bytes(b"new")
    duplicity("incremental", "tree", "PLACE")
    duplicity("verify", "--compare-data", "PLACE", "tree")
    duplicity("restore", "PLACE", "back")
    assert same(tree, shell.folder / "back")
    duplicity("full", "tree", "PLACE")
    duplicity("remove-all-but-n-full", "1", "--force", "PLACE")
    volumes = s3.list_objects_v2(Bucket=made_bucket, Prefix="backups/home/")["Contents"]
    assert not [entry["Key"] for entry in volumes if "inc" in entry["Key"]]
    duplicity("verify", "--compare-data", "PLACE", "tree")
