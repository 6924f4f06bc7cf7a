"""What the end-to-end tests need beside the servers of tests/conftest.py: places for calls that hide nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest

from objstore.testing import S3Server
from objstore.testing.raw_client import RawAnswer, RawCall, RawClient


@pytest.fixture(scope="session")
def plain_server():
    """One http server, for tests whose subject does not depend on the transport."""
    with S3Server() as running:
        yield running


@dataclass(frozen=True, slots=True)
class Place:
    """A server, a client that hides nothing, and a bucket that nobody else uses."""

    server: S3Server
    client: RawClient
    bucket: str

    def call(self, line: str, body: bytes = b"", *headers: tuple[str, str]) -> RawCall:
        """Build a call from `METHOD key?name=value&...`; the key may be empty, values are encoded on the way."""
        method, _, target = line.partition(" ")
        key, _, query = target.partition("?")
        terms = [term.partition("=") for term in query.split("&") if term]
        path = f"/{self.bucket}/{key}" if key else f"/{self.bucket}"
        return RawCall(method, path, tuple((n, v) for n, _, v in terms), headers, body)

    def ask(self, line: str, body: bytes = b"", *headers: tuple[str, str]) -> RawAnswer:
        """Sign and send a call; return the answer."""
        return self.client.send(self.client.signed(self.call(line, body, *headers)))

    def version(self, status: str) -> None:
        """Set the versioning of the bucket."""
        document = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
        assert self.ask("PUT ?versioning", document.encode()).status == 200

    def create(self, key: str, *headers: tuple[str, str]) -> str:
        """Begin an upload in parts; return its id."""
        answer = self.ask(f"POST {key}?uploads", b"", *headers)
        assert answer.status == 200, answer
        return answer.body.decode().partition("<UploadId>")[2].partition("<")[0]

    def complete(
        self, key: str, upload: str, parts: list[tuple[int, str, str]], *headers: tuple[str, str]
    ) -> RawAnswer:
        """Complete an upload from numbers, ETags and further elements of its parts."""
        inner = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>"
            for number, etag, more in parts
        )
        document = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()
        return self.ask(f"POST {key}?uploadId={upload}", document, *headers)


def place_on(running: S3Server) -> Place:
    """Return a place with a fresh bucket."""
    found = Place(running, RawClient.of(running), f"p-{uuid.uuid4().hex[:16]}")
    assert found.ask("PUT ").status == 200
    return found


@pytest.fixture
def place(plain_server):
    """A place on the http server, for what does not depend on the transport."""
    with (found := place_on(plain_server)).client:
        yield found


@pytest.fixture
def everywhere(server):
    """A place on each transport."""
    with (found := place_on(server)).client:
        yield found
