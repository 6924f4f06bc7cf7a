"""restic: backups in a bucket, through minio-go."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.client


def test_backups(shell, name, tree, same):
    """Two backups, one forgotten with its data, the rest verified in full and restored byte for byte."""
    shell.need("restic")
    settings = {
        "RESTIC_REPOSITORY": f"s3:{shell.server.endpoint_url}/{name}",
        "RESTIC_PASSWORD": "a test",
    }
    trusted = ["--cacert", shell.authority] if shell.secure else []

    def restic(*arguments: str) -> str:
        return shell.run("restic", *trusted, *arguments, **settings)

    restic("init")
    restic("backup", "tree")
    (tree / "one").write_bytes(b"changed")
    (tree / "big.bin").write_bytes((tree / "big.bin").read_bytes()[::-1])
    restic("backup", "tree")
    assert len(json.loads(restic("snapshots", "--json"))) == 2
    restic("check", "--read-data")
    restic("forget", "--keep-last", "1", "--prune")
    assert len(json.loads(restic("snapshots", "--json"))) == 1
    restic("check", "--read-data")
    restic("restore", "latest", "--target", "back")
    assert same(tree, shell.folder / "back" / "tree")
