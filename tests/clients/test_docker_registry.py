"""The Docker registry keeps images in a bucket: appended uploads, moves by server-side copy, presigned URLs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from objstore.testing.ports import free_port

pytestmark = pytest.mark.client

MIB = 1024 * 1024
CONFIGURATION = """\
version: 0.1
log: {{level: warn}}
http:
  addr: 127.0.0.1:{port}
  secret: "a test"
storage:
  delete: {{enabled: true}}
  s3:
    accesskey: {access_key}
    secretkey: {secret_key}
    region: {region}
    regionendpoint: {endpoint}
    bucket: {bucket}
    secure: {secure}
    v4auth: true
    chunksize: 5242880
    multipartcopychunksize: 5242880
    multipartcopythresholdsize: 6291456
    rootdirectory: /registry
"""


@pytest.fixture
def registry(shell, made_bucket):
    """The address of a running registry whose storage is the bucket."""
    shell.need("docker-registry")
    port = free_port()
    server = shell.server
    (shell.folder / "registry.yml").write_text(
        CONFIGURATION.format(
            port=port,
            access_key=server.access_key,
            secret_key=server.secret_key,
            region=server.region,
            endpoint=server.endpoint_url,
            bucket=made_bucket,
            secure=str(shell.secure).lower(),
        )
    )
    # The driver of Debian's version does not start with AWS_CA_BUNDLE.
    environment = {n: v for n, v in shell.environment().items() if n != "AWS_CA_BUNDLE"}
    log = (shell.folder / "registry.log").open("wb")
    process = subprocess.Popen(
        ["docker-registry", "serve", "registry.yml"],
        cwd=shell.folder,
        env=environment | {"SSL_CERT_FILE": shell.authority},
        stdout=log,
        stderr=log,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        retrying = ("--retry", "20", "--retry-delay", "1", "--retry-connrefused")
        shell.run("curl", "-sS", "--fail", *retrying, f"{address}/v2/")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def test_an_image_is_pushed_and_pulled(registry, shell, pattern):
    """A layer in three pieces, its manifest, a tag: pulled again byte for byte through the redirect, then deleted."""
    trusted = ("--cacert", shell.authority) if shell.secure else ()

    def curl(*arguments: str) -> str:
        return shell.run("curl", "-sS", "--fail-with-body", *trusted, *arguments)

    def located(*arguments: str) -> str:
        said = curl("--dump-header", "-", "--output", "/dev/null", *arguments)
        lines = [line.partition(": ") for line in said.splitlines()]
        return next(value for name, _, value in lines if name.lower() == "location")

    image = f"{registry}/v2/library/test"
    body = pattern(17 * MIB + 3)
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    place = located("--request", "POST", f"{image}/blobs/uploads/")
    for number, begin in enumerate((0, 6 * MIB, 12 * MIB)):
        piece = shell.folder / f"piece{number}"
        piece.write_bytes(body[begin : begin + 6 * MIB])
        sending = ("--request", "PATCH", "--data-binary", f"@{piece}")
        kind = ("--header", "Content-Type: application/octet-stream")
        place = located(*sending, *kind, place)
    end = urllib.parse.urlencode({"digest": digest})
    located("--request", "PUT", f"{place}&{end}")
    curl("--location", "--output", "back", f"{image}/blobs/{digest}")
    assert (shell.folder / "back").read_bytes() == body
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    layer = {"mediaType": "application/octet-stream", "size": len(body), "digest": digest}
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": layer, "layers": [layer]}
    (shell.folder / "manifest").write_text(json.dumps(manifest))
    sending = ("--request", "PUT", "--data-binary", "@manifest")
    curl(*sending, "--header", f"Content-Type: {kind}", f"{image}/manifests/latest")
    assert json.loads(curl(f"{image}/tags/list")) == {"name": "library/test", "tags": ["latest"]}
    assert json.loads(curl("--header", f"Accept: {kind}", f"{image}/manifests/latest")) == manifest
    curl("--request", "DELETE", f"{image}/blobs/{digest}")
    assert "404" in shell.run("curl", "-sS", "-I", f"{image}/blobs/{digest}")
