"""More of the command line of AWS: trees with filters, and writes with conditions."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.client


@pytest.fixture
def aws(shell):
    """Run `aws` with arguments; return what it printed."""
    return lambda *arguments, **more: shell.run("aws", *arguments, **more)


def test_trees_with_filters(aws, shell, made_bucket, tree, same):
    """`cp --recursive` and `rm --recursive` with `--exclude` and `--include`, and a sync that compares sizes only."""
    url = f"s3://{made_bucket}"
    aws("s3", "cp", "--recursive", "--no-progress", "tree", f"{url}/t")
    aws("s3", "cp", "--recursive", "--no-progress", f"{url}/t", "back")
    assert same(tree, shell.folder / "back")
    only = ["--exclude", "*", "--include", "sub/*"]
    aws("s3", "cp", "--recursive", "--no-progress", *only, f"{url}/t", f"{url}/u")
    listed = aws("s3", "ls", "--recursive", f"{url}/u")
    assert [line.split(maxsplit=3)[3] for line in listed.splitlines()] == [
        "u/sub/two words",
        "u/sub/\u00e9/three+",
    ]
    assert aws("s3", "sync", "--size-only", "--no-progress", f"{url}/t", "back") == ""
    aws("s3", "rm", "--recursive", "--exclude", "*.bin", f"{url}/t")
    assert aws("s3", "ls", "--recursive", f"{url}/t").split()[2:] == ["12582913", "t/big.bin"]


def test_conditions(aws, shell, made_bucket):
    """s3 rule 4.5.4: `--if-none-match '*'` creates once; `--if-match` replaces and reads only what was seen."""
    (shell.folder / "one").write_bytes(b"one")
    (shell.folder / "two").write_bytes(b"two")
    named = ["--bucket", made_bucket, "--key", "k"]

    def put(body: str, *condition: str, code: int = 0) -> str:
        said = aws("s3api", "put-object", *named, "--body", body, *condition, code=code)
        return json.loads(said)["ETag"] if said.strip() else ""

    first = put("one", "--if-none-match", "*")
    put("two", "--if-none-match", "*", code=255)
    put("two", "--if-match", '"00000000000000000000000000000000"', code=255)
    second = put("two", "--if-match", first)
    aws("s3api", "get-object", *named, "--if-match", first, "out", code=255)
    aws("s3api", "get-object", *named, "--if-none-match", second, "out", code=255)
    aws("s3api", "get-object", *named, "--if-match", second, "out")
    assert (shell.folder / "out").read_bytes() == b"two"
    listed = json.loads(aws("s3api", "list-objects-v2", "--bucket", made_bucket))
    assert [(entry["Key"], entry["ETag"]) for entry in listed["Contents"]] == [("k", second)]
