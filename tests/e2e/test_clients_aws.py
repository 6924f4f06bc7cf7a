"""The command line of AWS, version 1, as people use it in scripts, over http and https."""

from __future__ import annotations

import filecmp
import json
import os
import ssl
import urllib.request
import uuid

import pytest

pytestmark = [pytest.mark.client, pytest.mark.slow]

MIB = 1024 * 1024


@pytest.fixture
def aws(shell):
    """Run `aws` with arguments; return what it printed."""
    return lambda *arguments, **more: shell.run("aws", *arguments, **more)


@pytest.fixture
def url(aws):
    """A bucket made with `aws s3 mb`, removed with everything in it with `aws s3 rb --force`."""
    name = f"s3://aws-{uuid.uuid4().hex[:16]}"
    assert aws("s3", "mb", name) == f"make_bucket: {name[5:]}\n"
    yield name
    aws("s3", "rb", "--force", name)


def big_file(path, size: int, pattern) -> None:
    """Write a file whose MiBs are all different."""
    unit = pattern(MIB)
    with path.open("wb") as sink:
        for number in range(size // MIB):
            sink.write(number.to_bytes(8, "big") + unit[8:])
        sink.write(unit[: size % MIB])


def test_high_level_commands(aws, shell, url, pattern):
    """Copy up, down and across, move, list, stream, presign and remove; bytes compared."""
    small, large = pattern(1000), pattern(20 * MIB + 3)
    (shell.folder / "small").write_bytes(small)
    (shell.folder / "large").write_bytes(large)
    aws("s3", "cp", "small", f"{url}/a/small", "--metadata", "colour=blue")
    aws("s3", "cp", "large", f"{url}/a/large", "--no-progress")
    listed = aws("s3", "ls", f"{url}/a/").splitlines()
    assert [line.split()[2:] for line in listed] == [
        [str(20 * MIB + 3), "large"],
        ["1000", "small"],
    ]
    assert aws("s3", "ls", url).split() == ["PRE", "a/"]
    summary = aws("s3", "ls", "--recursive", "--summarize", url)
    assert "Total Objects: 2" in summary
    assert f"Total Size: {20 * MIB + 3 + 1000}" in summary
    aws("s3", "cp", f"{url}/a/large", f"{url}/b/large", "--no-progress")
    aws("s3", "mv", f"{url}/a/small", f"{url}/b/moved")
    aws("s3", "ls", f"{url}/a/small", code=1)
    aws("s3", "cp", f"{url}/b/large", "back", "--no-progress")
    assert (shell.folder / "back").read_bytes() == large
    aws("s3", "cp", f"{url}/b/moved", "moved")
    assert (shell.folder / "moved").read_bytes() == small
    aws("s3", "cp", "-", f"{url}/piped", stdin=b"from a pipe")
    assert aws("s3", "cp", f"{url}/piped", "-") == "from a pipe"
    aws("s3", "rm", f"{url}/piped")
    aws("s3", "cp", f"{url}/piped", "-", code=1)
    assert url[5:] in aws("s3", "ls")


def test_sync_sends_only_what_changed(aws, shell, url):
    """Both directions, with deletion; a second run has nothing to do."""
    tree = shell.folder / "tree"
    names = ["one", "two words", "sub/three+four", "sub/deep/\u00e9", "sub/%41"]
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
        # Dates of objects have whole seconds: a file of this very second would look newer than its copy.
        os.utime(tree / name, (1_700_000_000, 1_700_000_000))
    assert len(aws("s3", "sync", "--no-progress", "tree", f"{url}/t").splitlines()) == len(names)
    assert aws("s3", "sync", "--no-progress", "tree", f"{url}/t") == ""
    (tree / "one").write_text("changed, and longer")
    (tree / "two words").unlink()
    said = aws("s3", "sync", "--no-progress", "--delete", "tree", f"{url}/t")
    assert sorted(line.split(":")[0] for line in said.splitlines()) == ["delete", "upload"]
    aws("s3", "sync", "--no-progress", f"{url}/t", f"{url}/u")
    aws("s3", "sync", "--no-progress", f"{url}/u", "back")
    difference = filecmp.dircmp(tree, shell.folder / "back")
    assert (difference.left_only, difference.right_only, difference.diff_files) == ([], [], [])
    assert (shell.folder / "back/sub/deep/\u00e9").read_text() == "sub/deep/\u00e9"
    aws("s3", "rm", "--recursive", f"{url}/t")
    aws("s3", "ls", f"{url}/t/", code=1)


def test_presigned_links_work_without_keys(aws, shell, url, tls_files):
    """s3 rule 2.3: a link of `aws s3 presign` reads the object until it expires."""
    aws("s3", "cp", "-", f"{url}/shared file", stdin=b"for you")
    link = aws("s3", "presign", f"{url}/shared file", "--expires-in", "60").strip()
    context = ssl.create_default_context(cafile=str(tls_files.authority)) if shell.secure else None
    with urllib.request.urlopen(link, context=context, timeout=20) as answer:
        assert answer.read() == b"for you"


def test_low_level_commands_with_versions(aws, shell, url):
    """Versions, markers, ranges, tags, multipart and attributes through `aws s3api`."""
    bucket = url[5:]

    def api(operation: str, *arguments: str) -> dict:
        said = aws("s3api", operation, "--bucket", bucket, "--output", "json", *arguments)
        return json.loads(said) if said.strip() else {}

    api("put-bucket-versioning", "--versioning-configuration", "Status=Enabled")
    assert api("get-bucket-versioning") == {"Status": "Enabled"}
    for number in (b"one", b"second"):
        (shell.folder / "body").write_bytes(number)
        api("put-object", "--key", "k", "--body", "body", "--tagging", "a=b")
    api("delete-object", "--key", "k")
    found = api("list-object-versions")
    assert [entry["Size"] for entry in found["Versions"]] == [6, 3]
    assert [entry["IsLatest"] for entry in found["DeleteMarkers"]] == [True]
    oldest = found["Versions"][1]["VersionId"]
    api("get-object", "--key", "k", "--version-id", oldest, "out")
    assert (shell.folder / "out").read_bytes() == b"one"
    api("delete-object", "--key", "k", "--version-id", found["DeleteMarkers"][0]["VersionId"])
    ranged = api("get-object", "--key", "k", "--range", "bytes=1-3", "out")
    assert ranged["ContentRange"] == "bytes 1-3/6"
    assert (shell.folder / "out").read_bytes() == b"eco"
    assert api("get-object-tagging", "--key", "k")["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert api("head-object", "--key", "k")["ContentLength"] == 6
    upload = api("create-multipart-upload", "--key", "mp")["UploadId"]
    part = ["--key", "mp", "--upload-id", upload]
    tag = api("upload-part", *part, "--part-number", "1", "--body", "body")["ETag"]
    assert [entry["UploadId"] for entry in api("list-multipart-uploads")["Uploads"]] == [upload]
    parts = json.dumps({"Parts": [{"ETag": tag, "PartNumber": 1}]})
    assert api("complete-multipart-upload", *part, "--multipart-upload", parts)["Key"] == "mp"
    remove_all_versions(api)


def remove_all_versions(api) -> None:
    """Delete every version, as one must before the bucket can go."""
    found = api("list-object-versions")
    entries = found.get("Versions", []) + found.get("DeleteMarkers", [])
    objects = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
    said = api("delete-objects", "--delete", json.dumps({"Objects": objects}))
    assert len(said["Deleted"]) == len(objects)


def test_a_gibibyte_goes_up_and_down(aws, shell, url, pattern):
    """1 GiB over http and 256 MiB over https with `aws s3 cp`, compared byte for byte."""
    size = (256 if shell.secure else 1024) * MIB + 77
    big_file(shell.folder / "big", size, pattern)
    aws("s3", "cp", "big", f"{url}/big", "--no-progress")
    aws("s3", "cp", f"{url}/big", "back", "--no-progress")
    assert filecmp.cmp(shell.folder / "big", shell.folder / "back", shallow=False)
    (shell.folder / "big").unlink()
    (shell.folder / "back").unlink()
