"""rclone: Debian's release is from before SDKs sent checksums by themselves; `make clients-all` compiles one that does."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.client

MIB = 1024 * 1024


@pytest.fixture
def rclone(shell):
    """Run rclone with `store:` for the server, without retries, cutting files into parts from 5 MiB on."""
    shell.need("rclone")
    settings = {
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Other",
        "RCLONE_CONFIG_STORE_ENDPOINT": shell.server.endpoint_url,
        "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": shell.server.access_key,
        "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": shell.server.secret_key,
        "RCLONE_S3_UPLOAD_CUTOFF": "5Mi",
        "RCLONE_S3_CHUNK_SIZE": "5Mi",
        "AWS_CA_BUNDLE": "",
        "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
    }
    if shell.secure:
        settings["RCLONE_CA_CERT"] = shell.authority

    def run(*arguments: str, stdin: bytes = b"") -> str:
        return shell.run("rclone", *arguments, stdin=stdin, **settings)

    return run


def test_copy_move_and_sync(rclone, shell, name, tree, same):
    """Copy with verification both ways, list, read part, move, sync with removal, and the size of all."""
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


def test_streams_and_copies_on_the_server(rclone, shell, name, tree, same):
    """One file over several connections at once, an upload of unknown length, and a server-side copy in parts."""
    rclone("mkdir", f"store:{name}")
    rclone("copy", str(tree), f"store:{name}/t")
    parallel = ("--multi-thread-cutoff", "5M", "--multi-thread-streams", "4")
    rclone("copy", *parallel, f"store:{name}/t", str(shell.folder / "back"))
    assert same(tree, shell.folder / "back")
    body = (tree / "big.bin").read_bytes()
    rclone("rcat", "--streaming-upload-cutoff", "1M", f"store:{name}/piped", stdin=body)
    copying = ("--s3-copy-cutoff", "6M")
    rclone("copyto", *copying, f"store:{name}/piped", f"store:{name}/copied")
    rclone("copyto", f"store:{name}/copied", str(shell.folder / "copied"))
    assert (shell.folder / "copied").read_bytes() == body
    rclone("purge", f"store:{name}")


def test_old_versions(rclone, shell, s3, made_bucket):
    """`--s3-versions` shows what was overwritten and deleted, and each of them can be read."""
    s3.put_bucket_versioning(Bucket=made_bucket, VersioningConfiguration={"Status": "Enabled"})
    for text in ("first", "second"):
        (shell.folder / "note.txt").write_text(text)
        rclone("copyto", "--ignore-times", "note.txt", f"store:{made_bucket}/note.txt")
    listed = rclone("lsf", "--s3-versions", f"store:{made_bucket}").splitlines()
    assert len(listed) == 2
    assert "note.txt" in listed
    (old,) = (line for line in listed if line != "note.txt")
    assert rclone("cat", "--s3-versions", f"store:{made_bucket}/{old}") == "first"
    assert rclone("cat", f"store:{made_bucket}/note.txt") == "second"
    rclone("deletefile", f"store:{made_bucket}/note.txt")
    assert rclone("lsf", f"store:{made_bucket}") == ""
    assert len(rclone("lsf", "--s3-versions", f"store:{made_bucket}").splitlines()) == 2
