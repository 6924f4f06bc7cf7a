"""curl, which signs by itself. More programs that are not Python packages stand in tests/clients."""

from __future__ import annotations

import uuid

import pytest

pytestmark = pytest.mark.client


@pytest.fixture
def name():
    """A bucket name that nobody has used."""
    return f"curl-{uuid.uuid4().hex[:16]}"


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
