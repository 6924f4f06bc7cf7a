"""Old and new releases of boto3 do the same day's work: users upgrade clients years after servers, or years before.

What differs on the wire: releases before 1.36 send no checksum and Content-MD5 with DeleteObjects; later ones send CRC32 with
every upload, in a trailer over https, and with DeleteObjects, and verify what they read.
"""

from __future__ import annotations

import re
import sys
import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.client

ROOT = Path(__file__).resolve().parents[2]
HOMES = {
    "dev": sys.executable,
    "clients-aioboto3": str(ROOT / ".venv-clients-aioboto3/bin/python"),
    "clients-boto3-1.34": str(ROOT / ".venv-clients-boto3-1.34/bin/python"),
    "clients-boto3-1.36": str(ROOT / ".venv-clients-boto3-1.36/bin/python"),
}


@pytest.mark.parametrize("home", sorted(HOMES))
def test_a_release_of_boto3_does_a_days_work(shell, home):
    """s3 rules 3.1.2, 3.4.1 and 4.14: with the integrity headers of its time, every operation answers as S3 does."""
    lock = (ROOT / "requirements" / f"{home}.lock").read_text(encoding="utf-8")
    (release,) = re.findall(r"^boto3==(\S+)", lock, re.MULTILINE)
    shell.run_program("boto3", f"boto3-{uuid.uuid4().hex[:16]}", release, python=HOMES[home])
