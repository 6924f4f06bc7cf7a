"""A day of a DuckDB user who reaches S3 through fsspec. Argument: an existing bucket."""

from __future__ import annotations

import os
import sys

import duckdb
import fsspec

ROWS = 300_000


def main(bucket: str) -> None:
    """Write and read tables; any difference ends the program with an error."""
    authority = os.environ.get("AWS_CA_BUNDLE")
    files = fsspec.filesystem(
        "s3",
        anon=False,
        key=os.environ["AWS_ACCESS_KEY_ID"],
        secret=os.environ["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        client_kwargs={"verify": authority} if authority else {},
        config_kwargs={"s3": {"addressing_style": "path"}, "signature_version": "s3v4"},
    )
    database = duckdb.connect()
    database.register_filesystem(files)
    database.execute(
        f"CREATE TABLE t AS SELECT i, i % 3 AS part, md5(i::VARCHAR) AS text FROM range({ROWS}) r(i)"
    )
    wanted = database.execute("SELECT count(*), sum(i), bit_xor(hash(i, text)) FROM t").fetchone()
    database.execute(f"COPY t TO 's3://{bucket}/t.parquet'")
    for part in range(3):
        database.execute(
            f"COPY (FROM t WHERE part = {part}) TO 's3://{bucket}/set/part={part}/x.parquet'"
        )
    for pattern in ("t.parquet", "set/*/*.parquet"):
        question = f"SELECT count(*), sum(i), bit_xor(hash(i, text)) FROM 's3://{bucket}/{pattern}'"
        assert database.execute(question).fetchone() == wanted, pattern
    assert files.du(f"{bucket}/set") > 0


if __name__ == "__main__":
    main(sys.argv[1])
