"""The snippets of docs/clients.md, run as they stand: what we tell users works."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.client

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
LABELLED = re.compile(r"^```(\w+) (\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SNIPPETS = {name: (language, text) for language, name, text in LABELLED.findall(PAGE)}
IN_OUR_ENVIRONMENT = ("boto3", "minio")
EXPECTED = {
    "aws",
    "s3cmd",
    "curl",
    "rclone",
    "restic",
    "boto3",
    "minio",
    "s3fs",
    "pyarrow",
    "obstore",
    "polars",
    "deltalake",
}
MAKE_NO_BUCKETS = ("obstore", "polars", "deltalake")


def test_every_client_has_a_snippet():
    """A snippet that lost its label would silently not be run any more."""
    assert set(SNIPPETS) == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_snippet_works(shell, s3, name):
    """Copied into a shell with the settings of the page, over http and https."""
    language, text = SNIPPETS[name]
    more = {"SSL_CERT_FILE": shell.authority} if shell.secure else {}
    if language == "sh":
        shell.need(name)
        shell.run("bash", "-eu", "-o", "pipefail", "-c", text, **more)
        return
    if name in MAKE_NO_BUCKETS:
        s3.create_bucket(Bucket=f"demo-{name}")
    python = sys.executable if name in IN_OUR_ENVIRONMENT else "python"
    snippet = shell.folder / "snippet.py"
    snippet.write_text(text, encoding="utf-8")
    shell.run_python(snippet, python=python, PYTHONWARNINGS="error::ResourceWarning", **more)


def test_the_settings_of_the_page_are_those_of_the_tests(shell):
    """The tests export what the page tells users to export, and nothing else that could help a client."""
    told = set(re.findall(r"^export (\w+)=", PAGE.partition("## Command line")[0], re.MULTILINE))
    ours = {name for name in shell.environment() if name.startswith(("AWS_", "SSL_CERT"))}
    assert ours <= told
    assert told - ours <= {"AWS_CA_BUNDLE", "SSL_CERT_FILE"}


def test_the_table_names_the_locked_versions():
    """The versions in the table are the ones that the lock files install."""
    folder = ROOT / "requirements"
    locks = "".join(
        lock.read_text() for lock in (folder / "dev.lock", *folder.glob("clients*.lock"))
    )
    locked = set(re.findall(r"^([a-z0-9-]+)==(\S+)", locks, re.MULTILINE))
    rows = re.findall(r"^\| ([\w-]+) \| ([^|]+) \| always[^|]*\|", PAGE, re.MULTILINE)
    assert len(rows) == 21
    assert set(rows) <= locked
