"""A day of a DuckDB user with its own S3 client, the httpfs extension. Argument: an existing bucket.

The extension comes in a Python package; DuckDB verifies its own signature of the file when it loads it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import duckdb

ROWS = 600_000


def connect() -> duckdb.DuckDBPyConnection:
    """Return a database with the extension and the keys."""
    found = importlib.util.find_spec("duckdb_extension_httpfs")
    assert found
    assert found.submodule_search_locations
    (extension,) = Path(found.submodule_search_locations[0]).rglob("httpfs.duckdb_extension")
    database = duckdb.connect()
    database.execute(f"LOAD '{extension}'")
    scheme, _, address = os.environ["AWS_ENDPOINT_URL"].partition("://")
    if authority := os.environ.get("AWS_CA_BUNDLE"):
        database.execute(f"SET ca_cert_file = '{authority}'")
        database.execute("SET enable_server_cert_verification = true")
    database.execute(
        f"""
        CREATE SECRET store (
            TYPE s3, KEY_ID '{os.environ["AWS_ACCESS_KEY_ID"]}',
            SECRET '{os.environ["AWS_SECRET_ACCESS_KEY"]}', REGION '{os.environ["AWS_REGION"]}',
            ENDPOINT '{address}', URL_STYLE 'path', USE_SSL {"true" if scheme == "https" else "false"}
        )
        """
    )
    return database


def main(bucket: str) -> None:
    """Write and read tables; any difference ends the program with an error."""
    database = connect()
    database.execute(
        f"CREATE TABLE t AS SELECT i, i % 5 AS part, md5(i::VARCHAR) AS text FROM range({ROWS}) r(i)"
    )
    expected = database.execute("SELECT count(*), sum(i), bit_xor(hash(i, part, text)) FROM t")
    wanted = expected.fetchone()

    def check(source: str) -> None:
        question = f"SELECT count(*), sum(i), bit_xor(hash(i, part::BIGINT, text)) FROM {source}"
        assert database.execute(question).fetchone() == wanted, source

    database.execute(f"COPY t TO 's3://{bucket}/one file.parquet'")
    check(f"read_parquet('s3://{bucket}/one file.parquet')")
    database.execute(f"COPY t TO 's3://{bucket}/t.csv' (HEADER)")
    check(f"read_csv('s3://{bucket}/t.csv')")
    database.execute(f"COPY t TO 's3://{bucket}/set' (FORMAT parquet, PARTITION_BY (part))")
    check(f"read_parquet('s3://{bucket}/set/*/*.parquet', hive_partitioning = true)")
    files = database.execute(f"SELECT file FROM glob('s3://{bucket}/**') ORDER BY file").fetchall()
    assert len(files) == 7, files
    rows = database.execute(
        f"SELECT text FROM read_parquet('s3://{bucket}/one file.parquet') WHERE i = 77777"
    ).fetchall()
    assert rows == database.execute("SELECT md5('77777')").fetchall()
    try:
        database.execute(f"SELECT * FROM read_parquet('s3://{bucket}/none.parquet')")
    except duckdb.HTTPException as error:
        status = error.status_code
    else:
        raise AssertionError("read what is not there")
    assert status == 404


if __name__ == "__main__":
    main(sys.argv[1])
