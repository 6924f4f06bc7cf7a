"""s5cmd: hundreds of calls at once, through the old SDK for Go (version 1)."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.client

MIB = 1024 * 1024
MANY = 1_200
"""More than one DeleteObjects takes and one page of a listing holds."""


@pytest.fixture
def s5cmd(shell):
    """Run s5cmd, without retries: a fault must be seen."""
    shell.need("s5cmd")
    settings = {"S3_ENDPOINT_URL": shell.server.endpoint_url}

    def call(*arguments: str, stdin: bytes = b"") -> str:
        return shell.run("s5cmd", "--retry-count", "0", *arguments, stdin=stdin, **settings)

    return call


def test_trees(s5cmd, shell, name, tree, same):
    """Many files at once, up and down, with listing and removal by pattern."""
    s5cmd("mb", f"s3://{name}")
    s5cmd("cp", f"{tree}/", f"s3://{name}/t/")
    assert len(s5cmd("ls", f"s3://{name}/t/**").splitlines()) == 4
    s5cmd("cp", f"s3://{name}/t/*", "back/")
    assert same(tree, shell.folder / "back")
    s5cmd("rm", f"s3://{name}/*")
    s5cmd("rb", f"s3://{name}")


def test_parts_streams_and_copies_on_the_server(s5cmd, shell, made_bucket, tree, same):
    """Parts up and ranges down at once, a pipe of unknown length, copies and moves of odd names, sync with removal."""
    place = f"s3://{made_bucket}"
    body = (tree / "big.bin").read_bytes()
    s5cmd("cp", "--part-size", "5", "--concurrency", "3", f"{tree}/big.bin", f"{place}/big")
    s5cmd("cp", "--part-size", "5", "--concurrency", "3", f"{place}/big", "big")
    assert (shell.folder / "big").read_bytes() == body
    s5cmd("pipe", "--part-size", "5", f"{place}/piped", stdin=body)
    head = json.loads(s5cmd("--json", "head", f"{place}/piped"))
    assert head["size"] == len(body)
    s5cmd("cp", f"{place}/piped", f"{place}/copied")
    s5cmd("cp", f"{place}/copied", "copied")
    assert (shell.folder / "copied").read_bytes() == body
    s5cmd("rm", f"{place}/*")
    s5cmd("sync", f"{tree}/", f"{place}/t/")
    s5cmd("cp", f"{place}/t/*", f"{place}/c/")
    s5cmd("mv", f"{place}/c/*", f"{place}/m/")
    s5cmd("cp", f"{place}/m/*", "moved/")
    assert same(tree, shell.folder / "moved")
    (tree / "one").unlink()
    s5cmd("sync", "--delete", f"{tree}/", f"{place}/t/")
    s5cmd("sync", f"{place}/t/*", "synced/")
    assert same(tree, shell.folder / "synced")
    assert s5cmd("du", f"{place}/t/*").startswith(f"{70_000 + 12 * MIB + 1} bytes in 3 objects")


def test_thousands_in_one_run(s5cmd, shell, s3, made_bucket):
    """A list of commands in one process, 256 of them at once; then deletion in calls of a thousand keys."""
    place = f"s3://{made_bucket}"
    (shell.folder / "body").write_bytes(b"body")
    lines = "".join(f"cp body {place}/many/{number:05}\n" for number in range(MANY))
    s5cmd("run", stdin=lines.encode())
    assert len(s5cmd("ls", f"{place}/many/*").splitlines()) == MANY
    assert s5cmd("cat", f"{place}/many/01199") == "body"
    s5cmd("rm", f"{place}/many/*")
    assert "Contents" not in s3.list_objects_v2(Bucket=made_bucket)


def test_versions_and_presigned_urls(s5cmd, shell, s3, made_bucket):
    """Every version is listed and read, all are removed at once; a URL works in another client."""
    place = f"s3://{made_bucket}"
    s5cmd("bucket-version", "--set", "Enabled", place)
    assert "Enabled" in s5cmd("bucket-version", place)
    for text in ("first", "second"):
        s5cmd("pipe", f"{place}/note", stdin=text.encode())
    s5cmd("rm", f"{place}/note")
    shown = [line.split()[-1] for line in s5cmd("ls", "--all-versions", f"{place}/*").splitlines()]
    found = s3.list_object_versions(Bucket=made_bucket)
    versions = [entry["VersionId"] for entry in found["Versions"]]
    assert sorted(shown) == sorted([*versions, found["DeleteMarkers"][0]["VersionId"]])
    texts = [s5cmd("cat", "--version-id", version, f"{place}/note") for version in versions]
    assert texts == ["second", "first"]
    s5cmd("rm", "--all-versions", f"{place}/*")
    left = s3.list_object_versions(Bucket=made_bucket)
    assert "Versions" not in left
    assert "DeleteMarkers" not in left
    s5cmd("pipe", f"{place}/shown", stdin=b"shown")
    url = s5cmd("presign", "--expire", "1m", f"{place}/shown").strip()
    assert shell.run("curl", "-sS", "--fail", *authority(shell), url) == "shown"


def authority(shell) -> tuple[str, ...]:
    """Return what curl needs to trust the server."""
    return ("--cacert", shell.authority) if shell.secure else ()
