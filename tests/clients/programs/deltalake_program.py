"""Two writers of one Delta table race; every commit is a conditional PUT, so none is lost.

Arguments: an existing bucket; with `write NUMBER`, be one of the writers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

WRITERS = 2
COMMITS = 8
ROWS = 50


def options() -> dict[str, str]:
    """Return the settings of a store without a lock table: commits rest on If-None-Match and If-Match."""
    return {
        "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_region": os.environ["AWS_REGION"],
        "aws_allow_http": "true",
        "aws_conditional_put": "etag",
    }


def rows(writer: int, commit: int) -> pa.Table:
    """Return the rows of one commit."""
    return pa.table({"writer": [writer] * ROWS, "commit": [commit] * ROWS, "row": range(ROWS)})


def write(place: str, writer: int) -> None:
    """Append, commit after commit; a lost race is tried again by the library."""
    for commit in range(COMMITS):
        write_deltalake(place, rows(writer, commit), mode="append", storage_options=options())


def main(bucket: str) -> None:
    """Race, then judge the history and the rows; any difference ends the program with an error."""
    place = f"s3://{bucket}/tables/t"
    write_deltalake(place, rows(WRITERS, 0), storage_options=options())
    launcher = Path(__file__).parents[1] / "launcher.py"
    command = [sys.executable, str(launcher), __file__, bucket, "write"]
    writers = [subprocess.Popen([*command, str(number)]) for number in range(WRITERS)]
    assert [writer.wait(180) for writer in writers] == [0] * WRITERS
    table = DeltaTable(place, storage_options=options())
    assert table.version() == WRITERS * COMMITS
    wanted = {(WRITERS, 0, row) for row in range(ROWS)} | {
        (writer, commit, row)
        for writer in range(WRITERS)
        for commit in range(COMMITS)
        for row in range(ROWS)
    }
    found = pa.table(table.to_pyarrow_table())
    assert found.num_rows == len(wanted)
    columns = [found[name].to_pylist() for name in ("writer", "commit", "row")]
    assert set(zip(*columns, strict=True)) == wanted
    assert len(table.history()) == WRITERS * COMMITS + 1
    first = DeltaTable(place, version=0, storage_options=options())
    assert first.to_pyarrow_table().num_rows == ROWS
    maintain(place, len(wanted))


def maintain(place: str, count: int) -> None:
    """Checkpoint, compact, delete and vacuum: copies, listings and bulk deletes."""
    table = DeltaTable(place, storage_options=options())
    table.create_checkpoint()
    assert table.optimize.compact()["numFilesRemoved"] > 1
    table.delete("writer = 0")
    left = DeltaTable(place, storage_options=options())
    assert left.to_pyarrow_table().num_rows == count - COMMITS * ROWS
    gone = left.vacuum(0, enforce_retention_duration=False, dry_run=False)
    assert len(gone) >= WRITERS * COMMITS
    assert left.to_pyarrow_table().num_rows == count - COMMITS * ROWS


if __name__ == "__main__":
    if sys.argv[2:3] == ["write"]:
        write(f"s3://{sys.argv[1]}/tables/t", int(sys.argv[3]))
    else:
        main(sys.argv[1])
