"""s5cmd: many files at once, through the old SDK for Go."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.client


def test_trees(shell, name, tree, same):
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
