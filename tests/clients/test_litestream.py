"""Litestream: a SQLite file kept in a bucket while it changes, through the SDK for Go, version 2."""

from __future__ import annotations

import subprocess
import time

import apsw
import pytest

pytestmark = pytest.mark.client

ROWS = 2000
DEADLINE_S = 60
CONFIGURATION = """\
dbs:
  - path: {folder}/data.db
    replica:
      type: s3
      bucket: {bucket}
      path: data
      endpoint: {endpoint}
      region: us-east-1
      force-path-style: true
      sync-interval: 100ms
"""


def test_a_database_is_kept_and_restored(shell, s3, made_bucket):
    """Rows written while it runs are in the database that is made from the bucket alone."""
    shell.need("litestream")
    place = {"folder": shell.folder, "bucket": made_bucket, "endpoint": shell.server.endpoint_url}
    (shell.folder / "litestream.yml").write_text(CONFIGURATION.format(**place))
    # It does not start with AWS_CA_BUNDLE.
    trusting = {"SSL_CERT_FILE": shell.authority, "AWS_CA_BUNDLE": ""} if shell.secure else {}
    database = apsw.Connection(str(shell.folder / "data.db"))
    database.pragma("journal_mode", "wal")
    database.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB)")
    with (shell.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["litestream", "replicate", "-config", "litestream.yml"],
            cwd=shell.folder,
            env=shell.environment() | trusting,
            stdout=log,
            stderr=log,
        )
        try:
            for begin in range(0, ROWS, 100):
                with database:
                    rows = [(number, b"%d" % number * 500) for number in range(begin, begin + 100)]
                    database.executemany("INSERT INTO t VALUES (?, ?)", rows)
            deadline = time.monotonic() + DEADLINE_S
            while not s3.list_objects_v2(Bucket=made_bucket).get("KeyCount"):
                assert time.monotonic() < deadline, (shell.folder / "log").read_text()
                assert process.poll() is None, (shell.folder / "log").read_text()
        finally:
            process.terminate()  # it sends what is left before it ends
            process.wait(timeout=30)
    restoring = ("-config", "litestream.yml", "-o", "back.db", str(shell.folder / "data.db"))
    shell.run("litestream", "restore", *restoring, **trusting)
    restored = apsw.Connection(str(shell.folder / "back.db"))
    everything = "SELECT n, body FROM t ORDER BY n"
    assert list(restored.execute(everything)) == list(database.execute(everything))
    restored.close()
    database.close()
