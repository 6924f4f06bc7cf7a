"""SDKs of other languages: a small program in each works in a bucket of its own and compares all bytes itself."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.client

HERE = Path(__file__).parent


@pytest.fixture
def bucket():
    """A bucket name that nobody has used; the programs make the bucket and remove it."""
    return f"sdk-{uuid.uuid4().hex[:16]}"


@pytest.fixture
def nothing_left(s3, bucket):
    """Tell after a program that its bucket is gone: a program that stopped early would leave it."""

    def check() -> bool:
        return bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}

    return check


@pytest.mark.parametrize("program", ["aws_sdk", "minio"])
def test_javascript(shell, bucket, nothing_left, program):
    """The SDKs of Node sign, chunk and parse XML with code of their own; fetch uses their presigned URLs."""
    shell.need("node")
    (shell.folder / "node_modules").symlink_to(shell.built("javascript") / "node_modules")
    source = shell.folder / f"{program}.mjs"
    source.write_bytes((HERE / "javascript" / f"{program}.mjs").read_bytes())
    shell.run("node", str(source), bucket, NODE_EXTRA_CA_CERTS=shell.authority)
    assert nothing_left()


def test_go(shell, bucket, nothing_left):
    """The SDK for Go, version 2, sends checksums behind the body over https, and ranges side by side."""
    shell.run(str(shell.built("go") / "client"), bucket)
    assert nothing_left()


def test_java(shell, bucket, nothing_left):
    """The SDK for Java, version 2: its synchronous client, and its asynchronous one with parts and no native code."""
    shell.need("java")
    folder = shell.built("java")
    options = []
    if shell.secure:
        store = shell.folder / "trust.p12"
        importing = ("-importcert", "-noprompt", "-alias", "test", "-file", shell.authority)
        shell.run("keytool", *importing, "-keystore", str(store), "-storepass", "secret")
        options = [
            f"-Djavax.net.ssl.trustStore={store}",
            "-Djavax.net.ssl.trustStorePassword=secret",
        ]
    classes = f"{folder}/classes:{folder}/jars/*"
    shell.run("java", "-XX:TieredStopAtLevel=1", *options, "-cp", classes, "Client", bucket)
    assert nothing_left()
