"""Real servers for the end-to-end tests: one over http, one over https, for the whole session."""

from __future__ import annotations

import hashlib
import uuid

import boto3
import pytest
from botocore.config import Config

from objstore.testing import S3Server
from objstore.testing.certificates import make_certificates


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory):
    """Certificates that the https server shows and clients trust."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session", params=["http", "https"])
def server(request, tls_files):
    """The server under test; every test runs against both transports."""
    with S3Server(tls=tls_files if request.param == "https" else None) as running:
        yield running


@pytest.fixture(scope="session")
def plain_server():
    """One http server, for tests whose subject does not depend on the transport."""
    with S3Server() as running:
        yield running


@pytest.fixture
def s3(server):
    """A boto3 client that does not retry: a fault must be seen."""
    return boto3.client(
        "s3",
        **server.client_arguments(),
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )


@pytest.fixture
def bucket(s3):
    """A fresh bucket."""
    name = f"b-{uuid.uuid4().hex[:16]}"
    s3.create_bucket(Bucket=name)
    return name


def pattern_bytes(size: int, seed: int = 1) -> bytes:
    """Return bytes that repeat at no small distance, so that a misplaced block shows."""
    unit = b"".join(hashlib.sha256(b"%d-%d" % (seed, i)).digest() for i in range(32_768))
    return (unit * (size // len(unit) + 1))[:size]


@pytest.fixture(scope="session")
def pattern():
    """The generator of test bytes."""
    return pattern_bytes
