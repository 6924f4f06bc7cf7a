"""Fixtures for tests that need a real S3: `s3_server` (one for the session) and `s3_bucket` (a fresh one for each test).

Installed with objstore; nothing is started unless a test asks for a fixture.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from objstore.testing.server import S3Server

__all__ = ["s3_bucket", "s3_server"]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Give one running server to all tests of the session."""
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> str:
    """Give the name of a new, empty bucket. Needs boto3."""
    import boto3  # noqa: PLC0415 - only users of this fixture need it

    name = f"test-{uuid.uuid4().hex[:20]}"
    client = boto3.client("s3", **s3_server.client_arguments())
    try:
        client.create_bucket(Bucket=name)
    finally:
        client.close()  # an open connection would be a warning in the user's tests
    return name
