"""Programs that are not Python packages: they run where they are installed, and the report says where they are not."""

from __future__ import annotations

import filecmp
import json
import uuid

import pytest

pytestmark = pytest.mark.client

MIB = 1024 * 1024


@pytest.fixture
def name():
    """A bucket name that nobody has used."""
    return f"tool-{uuid.uuid4().hex[:16]}"


@pytest.fixture
def tree(shell, pattern):
    """A small tree with odd names, an empty file and one file of several parts."""
    folder = shell.folder / "tree"
    files = {"one": 10, "sub/two words": 70_000, "sub/\u00e9/three+": 0, "big.bin": 12 * MIB + 1}
    for path, size in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(pattern(size, seed=size))
    return folder


def same(left, right) -> bool:
    """Tell whether two trees have the same files with the same bytes."""
    names = sorted(str(path.relative_to(left)) for path in left.rglob("*") if path.is_file())
    found = sorted(str(path.relative_to(right)) for path in right.rglob("*") if path.is_file())
    return names == found and filecmp.cmpfiles(left, right, names, shallow=False)[0] == names


def test_curl(shell, name, pattern):
    """`curl --aws-sigv4` alone can use the store: bucket, upload, whole and partial read, listing, deletion."""
    shell.need("curl")
    server = shell.server
    body = pattern(300_000)
    (shell.folder / "body").write_bytes(body)

    def curl(path: str, *options: str) -> str:
        trusted = ["--cacert", shell.authority] if shell.secure else []
        signed = [
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
            "--user",
            f"{server.access_key}:{server.secret_key}",
        ]
        unsigned_body = ["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
        return shell.run(
            "curl",
            "-sS",
            "--fail-with-body",
            *trusted,
            *signed,
            *unsigned_body,
            *options,
            server.endpoint_url + path,
        )

    curl(f"/{name}", "--request", "PUT")
    curl(f"/{name}/folder/body", "--upload-file", "body")
    curl(f"/{name}/folder/body", "--output", "back")
    assert (shell.folder / "back").read_bytes() == body
    curl(f"/{name}/folder/body", "--range", "5-104", "--output", "part")
    assert (shell.folder / "part").read_bytes() == body[5:105]
    assert "content-length: 300000" in curl(f"/{name}/folder/body", "--head").lower()
    assert "<Key>folder/body</Key>" in curl(f"/{name}?list-type=2&prefix=folder")
    curl(f"/{name}/folder/body", "--request", "DELETE")
    curl(f"/{name}", "--request", "DELETE")


def test_rclone(shell, name, tree):
    """Copy with verification both ways, list, read part, move, sync with removal, and the size of all."""
    shell.need("rclone")
    settings = {
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Other",
        "RCLONE_CONFIG_STORE_ENDPOINT": shell.server.endpoint_url,
        "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": shell.server.access_key,
        "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": shell.server.secret_key,
        "RCLONE_S3_UPLOAD_CUTOFF": "5Mi",
        "RCLONE_S3_CHUNK_SIZE": "5Mi",
        "RCLONE_CA_CERT": shell.authority,
        "AWS_CA_BUNDLE": "",
        "RCLONE_RETRIES": "1",
    }
    if not shell.secure:
        del settings["RCLONE_CA_CERT"]

    def rclone(*arguments: str) -> str:
        return shell.run("rclone", *arguments, **settings)

    rclone("mkdir", f"store:{name}")
    rclone("copy", str(tree), f"store:{name}/t")
    rclone("check", "--download", str(tree), f"store:{name}/t")
    rclone("copy", f"store:{name}/t", str(shell.folder / "back"))
    assert same(tree, shell.folder / "back")
    (tree / "text").write_text("0123456789")
    rclone("copyto", f"{tree}/text", f"store:{name}/text")
    assert rclone("cat", "--offset", "3", "--count", "4", f"store:{name}/text") == "3456"
    rclone("deletefile", f"store:{name}/text")
    (tree / "text").unlink()
    sized = json.loads(rclone("size", "--json", f"store:{name}"))
    assert (sized["count"], sized["bytes"]) == (4, 10 + 70_000 + 12 * MIB + 1)
    rclone("moveto", f"store:{name}/t/one", f"store:{name}/t/moved")
    (tree / "one").rename(tree / "moved")
    (tree / "sub/two words").unlink()
    rclone("sync", str(tree), f"store:{name}/t")
    rclone("check", str(tree), f"store:{name}/t")
    assert rclone("lsf", "--recursive", "--files-only", f"store:{name}/t").splitlines() == [
        "big.bin",
        "moved",
        "sub/\u00e9/three+",
    ]
    rclone("purge", f"store:{name}")


def test_restic(shell, name, tree):
    """A backup, its verification with all data, a restore compared byte for byte, and pruning."""
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
    restic("backup", "tree")
    assert len(json.loads(restic("snapshots", "--json"))) == 2
    restic("check", "--read-data")
    restic("restore", "latest", "--target", "back")
    assert same(tree, shell.folder / "back" / "tree")
    restic("forget", "--keep-last", "1", "--prune")
    restic("check")


def test_s5cmd(shell, name, tree):
    """Many files at once, up and down, with listing and removal by pattern."""
    shell.need("s5cmd")

    def s5cmd(*arguments: str) -> str:
        settings = {"S3_ENDPOINT_URL": shell.server.endpoint_url}
        return shell.run("s5cmd", *arguments, **settings)

    s5cmd("mb", f"s3://{name}")
    s5cmd("cp", f"{tree}/", f"s3://{name}/t/")
    assert len(s5cmd("ls", f"s3://{name}/t/**").splitlines()) == 4
    s5cmd("cp", f"s3://{name}/t/*", "back/")
    assert same(tree, shell.folder / "back")
    s5cmd("rm", f"s3://{name}/*")
    s5cmd("rb", f"s3://{name}")
