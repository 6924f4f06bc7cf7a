"""Real servers for the end-to-end tests: one over http, one over https, for the whole session."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from objstore.testing import S3Server
from objstore.testing.certificates import make_certificates
from objstore.testing.raw_client import RawAnswer, RawCall, RawClient


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


def pattern_bytes(size: int, seed: int = 1) -> bytes:
    """Return bytes that repeat at no small distance, so that a misplaced block shows."""
    unit = b"".join(hashlib.sha256(b"%d-%d" % (seed, i)).digest() for i in range(32_768))
    return (unit * (size // len(unit) + 1))[:size]


@pytest.fixture(scope="session")
def pattern():
    """The generator of test bytes."""
    return pattern_bytes


ROOT = Path(__file__).resolve().parents[2]
CLIENTS_BIN = ROOT / ".venv-clients" / "bin"
CLIENT_DEADLINE_S = 100


@dataclass(frozen=True, slots=True)
class ClientShell:
    """Runs clients of other people as a user does: a shell with the endpoint and the keys in its environment."""

    server: S3Server
    folder: Path

    @property
    def secure(self) -> bool:
        """Whether the server is reached over https."""
        return self.server.tls is not None

    @property
    def authority(self) -> str:
        """Path of the certificate authority to trust; empty over http."""
        return str(self.server.tls.authority) if self.server.tls else ""

    def environment(self) -> dict[str, str]:
        """Return ours without settings of other S3 accounts and proxies, plus what docs/clients.md exports."""
        foreign = (
            "AWS_",
            "OBJSTORE_",
            "RCLONE_",
            "RESTIC_",
            "S3_",
            "SSL_CERT_",
            "CURL_",
            "REQUESTS_",
        )
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(foreign) and not name.lower().endswith("_proxy")
        }
        ours = {
            "PATH": f"{CLIENTS_BIN}{os.pathsep}{kept.get('PATH', '')}",
            "HOME": str(self.folder),
            "AWS_ENDPOINT_URL": self.server.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "AWS_DEFAULT_REGION": self.server.region,
            "AWS_REGION": self.server.region,
        }
        if self.secure:
            ours["AWS_CA_BUNDLE"] = self.authority
        return kept | ours

    def need(self, tool: str) -> None:
        """Say in the report that a tool is absent, instead of passing without it."""
        if shutil.which(tool, path=self.environment()["PATH"]) is None:
            pytest.skip(f"not run: {tool} is not installed")

    def run(self, *command: str, code: int = 0, stdin: bytes = b"", **more: str) -> str:
        """Run a command in the test's folder; return what it printed. Fails on another exit code."""
        if not (CLIENTS_BIN / "python").exists():
            pytest.fail("the clients environment is missing: run `make clients`")
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment() | more,
            input=stdin,
            capture_output=True,
            timeout=CLIENT_DEADLINE_S,
            check=False,
        )
        said = done.stdout.decode("utf-8", "replace")
        complaint = done.stderr.decode("utf-8", "replace")[-3000:]
        assert done.returncode == code, f"{command}\n{said[-3000:]}\n{complaint}"
        return said


@pytest.fixture
def shell(server, tmp_path):
    """A shell of a user of this server, in a folder of its own."""
    return ClientShell(server, tmp_path)
