"""Bodies as a server delivers them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from objstore.api.body import RequestBody
from objstore.s3.checksums import BodyExpectations


@pytest.fixture(scope="session")
def pool():
    """Threads that hash."""
    with ThreadPoolExecutor(2) as threads:
        yield threads


def receiver(messages):
    """Give these messages; then the client is gone."""
    left = iter(messages)

    async def receive():
        return next(left, {"type": "http.disconnect"})

    return receive


def messages_of(pieces):
    """Give a body in pieces; the last message ends it."""
    found = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    return [*found, {"type": "http.request", "body": b"", "more_body": False}]


@pytest.fixture(scope="session")
def body_of(pool):
    """Make a body of messages or pieces, with what was stated about it."""

    def make(
        pieces=None,
        *,
        messages=None,
        receive=None,
        size=None,
        md5=None,
        checksum=None,
        trailer=None,
        sha256=None,
        decoder=None,
        size_max=2**40,
    ):
        return RequestBody(
            receive or receiver(messages_of(pieces) if messages is None else messages),
            BodyExpectations(md5, checksum, trailer, size),
            pool=pool,
            payload_sha256=sha256,
            decoder=decoder,
            size_bytes_max=size_max,
        )

    return make
