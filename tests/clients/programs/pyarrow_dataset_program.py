"""Partitioned datasets of pyarrow: written in many files at once, rewritten in part, filtered. Argument: an existing bucket."""

from __future__ import annotations

import os
import sys

import pyarrow as pa
from pyarrow import compute, dataset, fs

ROWS = 200_000


def main(bucket: str) -> None:
    """Write and read datasets; any difference ends the program with an error."""
    scheme, _, address = os.environ["AWS_ENDPOINT_URL"].partition("://")
    files = fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=address,
        scheme=scheme,
        region="us-east-1",
        tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"),
        background_writes=True,
    )
    table = pa.table(
        {
            "year": pa.array([2000 + number % 4 for number in range(ROWS)], pa.int32()),
            "number": range(ROWS),
        }
    )
    layout = dataset.partitioning(pa.schema([("year", pa.int32())]), flavor="hive")
    place = f"{bucket}/set"
    settings = {"filesystem": files, "format": "parquet", "partitioning": layout}
    dataset.write_dataset(
        table, place, **settings, max_rows_per_file=10_000, max_rows_per_group=5_000
    )
    found = dataset.dataset(place, **settings)
    assert len(found.files) == 20
    assert found.to_table(columns=["year", "number"]).sort_by("number").equals(table)
    one = found.to_table(filter=dataset.field("year") == 2001, columns=["number"])
    assert sorted(one["number"].to_pylist()) == list(range(1, ROWS, 4))
    changed = pa.table({"year": pa.array([2001], pa.int32()), "number": [7]})
    dataset.write_dataset(changed, place, **settings, existing_data_behavior="delete_matching")
    again = dataset.dataset(place, **settings)
    assert len(again.files) == 16
    assert again.count_rows() == ROWS - ROWS // 4 + 1
    wanted = compute.sum(table["number"]).as_py() - sum(range(1, ROWS, 4)) + 7
    assert compute.sum(again.to_table()["number"]).as_py() == wanted


if __name__ == "__main__":
    main(sys.argv[1])
