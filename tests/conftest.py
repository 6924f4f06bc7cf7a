"""What several kinds of tests need: a server over http and one over https, a shell for clients of other people, a real etcd."""

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
from objstore.testing.etcd_process import EtcdProcess, find_etcd
from objstore.testing.loop_drives import LoopDrives, why_not

MISSING = "no etcd on this machine: the control store of a cluster was NOT tested (run `make etcd`)"

NO_DRIVES = "not run: needs root and loop mounts: faults of real filesystems were NOT tested"


@pytest.fixture(scope="session")
def etcd_program():
    """Give the program of etcd. Without one the tests do not run: CI fails, elsewhere the report says it."""
    program = find_etcd()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return program


@pytest.fixture(scope="session")
def etcd(etcd_program, tmp_path_factory):
    """Give one running server to all tests that do not stop it; each uses keys of its own."""
    with EtcdProcess(etcd_program, tmp_path_factory.mktemp("etcd")) as process:
        yield process


@pytest.fixture
def etcd_settings(etcd, request):
    """Give settings for the shared server with a key prefix that no other test has."""
    from objstore.cluster.etcd_members import EtcdSettings

    return EtcdSettings(endpoints=(etcd.url,), key_prefix=f"{request.node.nodeid}/")


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    for title, text in (("etcd is missing", MISSING), ("drives cannot be made", NO_DRIVES)):
        count = sum(text in str(report.longrepr) for report in skipped)
        if count:
            terminalreporter.section(title, red=True, bold=True)
            terminalreporter.line(f"{text}; {count} tests did not run")


@pytest.fixture
def drives(tmp_path):
    """Six drives that fail as real ones do. Where they cannot be made: CI fails, elsewhere the report says it."""
    yield from _made_drives(tmp_path, count=6)


@pytest.fixture
def three_drives(tmp_path):
    """Three of them."""
    yield from _made_drives(tmp_path, count=3)


def _made_drives(tmp_path, *, count):
    cause = why_not()
    if cause:
        text = f"{NO_DRIVES} ({cause})"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    with LoopDrives(tmp_path, count=count) as made:
        yield made


# --- servers for the whole session ---


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory):
    """Certificates that the https server shows and clients trust."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session", params=["http", "https"])
def server(request, tls_files):
    """The server under test; every test runs against both transports."""
    with S3Server(tls=tls_files if request.param == "https" else None) as running:
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


# --- clients of other people ---


ROOT = Path(__file__).resolve().parents[1]
CLIENTS_BIN = ROOT / ".venv-clients" / "bin"
CLIENTS_CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "objstore-clients"
)
CLIENTS_FOLDERS = (CLIENTS_BIN, CLIENTS_CACHE / "bin", CLIENTS_CACHE / "s5cmd")
CLIENT_DEADLINE_S = 200
"""A client that hangs must not hang the tests; it says nothing about how fast one is on a busy machine."""
LAUNCHER = ROOT / "tests" / "clients" / "launcher.py"
PROGRAMS = ROOT / "tests" / "clients" / "programs"


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
            "PATH": ":".join(str(folder) for folder in (*CLIENTS_FOLDERS, kept.get("PATH", ""))),
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

    def built(self, language: str) -> Path:
        """Return the folder with the clients of a language, or say in the report that nobody built them."""
        folder = CLIENTS_CACHE / language
        if not (folder / "built").is_file():
            pytest.skip(
                f"not run: no clients in {language} were built (run `make client-programs`)"
            )
        return folder

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

    def run_python(self, path: Path, *arguments: str, python: str = "python", **more: str) -> None:
        """Run a program in Python. Fails unless it came to its end; what its libraries do at exit does not count."""
        said = self.run(python, str(LAUNCHER), str(path), *arguments, **more)
        assert said.splitlines()[-1:] == ["the program came to its end"], said[-3000:]

    def run_program(self, name: str, *arguments: str, python: str = "python", **more: str) -> None:
        """Run one of tests/clients/programs. Fails unless it came to its end."""
        self.run_python(PROGRAMS / f"{name}_program.py", *arguments, python=python, **more)


@pytest.fixture
def shell(server, tmp_path):
    """A shell of a user of this server, in a folder of its own."""
    return ClientShell(server, tmp_path)
