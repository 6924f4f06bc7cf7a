"""s3fs-fuse: a bucket as a folder of the machine. Needs the device of FUSE and the right to mount."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.client

MIB = 1024 * 1024


@pytest.fixture
def mounted(shell, made_bucket):
    """A folder that shows the bucket, taken away at the end."""
    shell.need("s3fs")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("not run: /dev/fuse is not to be had")
    folder = shell.folder / "mounted"
    folder.mkdir()
    password = shell.folder / "password"
    password.write_text(f"{shell.server.access_key}:{shell.server.secret_key}")
    password.chmod(0o600)
    options = (
        f"url={shell.server.endpoint_url},use_path_request_style,passwd_file={password},retries=1"
        ",multipart_size=5,singlepart_copy_limit=6,parallel_count=3,stat_cache_expire=1"
    )
    if shell.secure:  # built with GnuTLS it reads the system's authorities only
        options += ",no_check_certificate"
    shell.run("s3fs", made_bucket, str(folder), "-o", options)
    yield folder
    subprocess.run(["fusermount", "-u", str(folder)], check=True, timeout=20)


def test_files_in_a_mounted_bucket(mounted, shell, s3, made_bucket, tree, same):
    """Trees are written, read back, renamed (a copy in parts), appended to and removed; boto3 sees the same bytes."""
    assert mounted.is_mount()
    shell.run("cp", "-r", str(tree), str(mounted / "t"))
    assert same(tree, mounted / "t")
    body = (tree / "big.bin").read_bytes()
    assert s3.get_object(Bucket=made_bucket, Key="t/big.bin")["Body"].read() == body
    (mounted / "t" / "big.bin").rename(mounted / "t" / "moved.bin")
    assert (mounted / "t" / "moved.bin").read_bytes() == body
    with (mounted / "t" / "one").open("ab") as sink:
        sink.write(b"more")
    assert s3.get_object(Bucket=made_bucket, Key="t/one")["Body"].read()[10:] == b"more"
    s3.put_object(Bucket=made_bucket, Key="from elsewhere", Body=b"seen")
    assert Path(mounted / "from elsewhere").read_bytes() == b"seen"
    shell.run("rm", "-r", str(mounted / "t"))
    assert [path.name for path in mounted.iterdir()] == ["from elsewhere"]
