"""s3cmd, configured with a file, over http and https; it signs and parses with code of its own."""

from __future__ import annotations

import filecmp
import uuid

import pytest

pytestmark = [pytest.mark.client, pytest.mark.slow]

MIB = 1024 * 1024


@pytest.fixture
def s3cmd(shell):
    """Run `s3cmd` with a configuration file, as docs/clients.md writes it; return what it printed."""
    address = shell.server.endpoint_url.partition("://")[2]
    lines = [
        "[default]",
        f"access_key = {shell.server.access_key}",
        f"secret_key = {shell.server.secret_key}",
        f"host_base = {address}",
        f"host_bucket = {address}",
        f"use_https = {shell.secure}",
        f"ca_certs_file = {shell.authority}",
    ]
    (shell.folder / "s3cfg").write_text("\n".join(lines) + "\n")
    return lambda *arguments, **more: shell.run("s3cmd", "--config", "s3cfg", *arguments, **more)


@pytest.fixture
def url(s3cmd):
    """A bucket made with `s3cmd mb`, removed with everything in it."""
    name = f"s3://cmd-{uuid.uuid4().hex[:16]}"
    assert s3cmd("mb", name) == f"Bucket '{name}/' created\n"
    yield name
    s3cmd("rb", "--recursive", "--force", name)
    assert name not in s3cmd("ls")


def test_objects(s3cmd, s3, shell, url, pattern):
    """Put, get, part of an object, list, info, copy, move and delete; bytes compared."""
    body = pattern(300_000)
    (shell.folder / "body").write_bytes(body)
    s3cmd("put", "body", f"{url}/a/b c+d\u00e9", "--add-header", "x-amz-meta-colour:blue")
    listed = s3cmd("ls", f"{url}/a/").split(maxsplit=3)
    assert listed[2:] == ["300000", f"{url}/a/b c+d\u00e9\n"]
    assert f"DIR  {url}/a/" in s3cmd("ls", url)
    info = s3cmd("info", f"{url}/a/b c+d\u00e9")
    assert "File size: 300000" in info
    assert "x-amz-meta-colour: blue" in info
    assert f"{url}/ (bucket)" in s3cmd("info", url)
    s3cmd("cp", f"{url}/a/b c+d\u00e9", f"{url}/copy")
    s3cmd("mv", f"{url}/copy", f"{url}/moved")
    s3cmd("get", f"{url}/moved", "back")
    assert (shell.folder / "back").read_bytes() == body
    (shell.folder / "half").write_bytes(body[:1000])
    s3cmd("get", "--continue", f"{url}/moved", "half")
    assert (shell.folder / "half").read_bytes() == body
    s3cmd("put", "--mime-type", "text/x", "body", f"{url}/typed")
    s3cmd("modify", "--add-header", "Cache-Control:max-age=7", f"{url}/typed")
    head = s3.head_object(Bucket=url[5:], Key="typed")
    assert (head["CacheControl"], head["ContentType"]) == ("max-age=7", "text/x")
    s3cmd("del", f"{url}/moved")
    s3cmd("info", f"{url}/moved", code=12)
    assert s3cmd("du", url).split()[:3] == ["600000", "2", "objects"]


def test_multipart(s3cmd, shell, url, pattern):
    """A file above the part size goes up in parts; an upload that stays behind can be listed and aborted."""
    body = pattern(33 * MIB + 5)
    (shell.folder / "large").write_bytes(body)
    s3cmd("put", "--multipart-chunk-size-mb=5", "large", f"{url}/large")
    s3cmd("get", f"{url}/large", "back")
    assert (shell.folder / "back").read_bytes() == body
    assert "s3://" not in s3cmd("multipart", url).partition("\n")[2]
    s3cmd("cp", f"{url}/large", f"{url}/copy")
    s3cmd("get", f"{url}/copy", "copy")
    assert (shell.folder / "copy").read_bytes() == body


def test_sync(s3cmd, shell, url):
    """Sync there and back, with removal; the second run sends nothing."""
    tree = shell.folder / "tree"
    for name in ("one", "sub/two words", "sub/\u00e9/three"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    assert s3cmd("sync", "tree/", f"{url}/t/").count("upload:") == 3
    assert "upload:" not in s3cmd("sync", "tree/", f"{url}/t/")
    (tree / "one").unlink()
    assert "delete:" in s3cmd("sync", "--delete-removed", "tree/", f"{url}/t/")
    s3cmd("sync", f"{url}/t/", "back/")
    assert filecmp.dircmp(tree, shell.folder / "back").left_only == []
    assert (shell.folder / "back/sub/two words").read_text() == "sub/two words"
    s3cmd("del", "--recursive", "--force", f"{url}/t")
    assert s3cmd("ls", "--recursive", url) == ""
