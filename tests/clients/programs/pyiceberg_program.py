"""A day of a pyiceberg user: a catalog in SQLite, the tables in a bucket. Arguments: an existing bucket, a FileIO class."""

from __future__ import annotations

import os
import sys

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo

ROWS = 20_000


def catalog_of(bucket: str, io: str) -> SqlCatalog:
    """Return the catalog of this folder with its warehouse in the bucket."""
    return SqlCatalog(
        "tests",
        **{
            "uri": "sqlite:///catalog.db",
            "warehouse": f"s3://{bucket}/warehouse",
            "py-io-impl": io,
            "s3.endpoint": os.environ["AWS_ENDPOINT_URL"],
            "s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
            "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "s3.region": os.environ["AWS_REGION"],
        },
    )


def rows(writer: int, count: int = ROWS) -> pa.Table:
    """Return rows of one writer."""
    return pa.table({"writer": pa.array([writer] * count, pa.int64()), "row": range(count)})


def main(bucket: str, io: str) -> None:
    """Write, race, read back and travel in time; any difference ends the program with an error."""
    catalog = catalog_of(bucket, io)
    catalog.create_namespace("n")
    table = catalog.create_table("n.t", schema=rows(0).schema)
    table.append(rows(0))
    first = table.current_snapshot().snapshot_id
    # Both have seen the same metadata: the second must notice that it lost, and commit on top of the first.
    one, other = (catalog_of(bucket, io).load_table("n.t") for _ in range(2))
    one.append(rows(1))
    other.append(rows(2))
    fresh = catalog_of(bucket, io).load_table("n.t")
    found = fresh.scan().to_arrow()
    counted = found.group_by("writer").aggregate([("row", "count"), ("row", "sum")])
    wanted = [
        {"writer": writer, "row_count": ROWS, "row_sum": sum(range(ROWS))} for writer in range(3)
    ]
    assert sorted(counted.to_pylist(), key=lambda row: row["writer"]) == wanted
    assert fresh.scan(row_filter=EqualTo("writer", 2)).to_arrow().num_rows == ROWS
    assert fresh.scan(snapshot_id=first).to_arrow().num_rows == ROWS
    fresh.delete(EqualTo("writer", 1))
    assert catalog.load_table("n.t").scan().to_arrow().num_rows == 2 * ROWS
    catalog.purge_table("n.t")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
