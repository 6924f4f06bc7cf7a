"""A day of a polars user (Rust's object_store inside). Argument: an existing bucket.

With an authority of one's own, polars trusts what SSL_CERT_FILE names.
"""

from __future__ import annotations

import os
import sys

import polars as pl
from polars.testing import assert_frame_equal

ROWS = 400_000


def main(bucket: str) -> None:
    """Write and scan frames; any difference ends the program with an error."""
    options = {
        "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_region": os.environ["AWS_REGION"],
        "aws_allow_http": "true",
    }
    frame = pl.DataFrame({"number": range(ROWS)}).with_columns(
        part=pl.col("number") % 4, text=pl.col("number").cast(pl.String) + "-text"
    )
    one = f"s3://{bucket}/one file.parquet"
    frame.write_parquet(one, storage_options=options)
    assert_frame_equal(pl.read_parquet(one, storage_options=options), frame)
    found = (
        pl.scan_parquet(one, storage_options=options).filter(pl.col("number") == 77_777).collect()
    )
    assert found["text"].to_list() == ["77777-text"]
    for part in range(4):
        frame.lazy().filter(pl.col("part") == part).drop("part").sink_parquet(
            f"s3://{bucket}/set/part={part}/data.parquet", storage_options=options
        )
    scanned = pl.scan_parquet(
        f"s3://{bucket}/set/", storage_options=options, hive_partitioning=True
    )
    back = scanned.sort("number").select("number", "part", "text").collect()
    assert_frame_equal(back, frame)
    glob = pl.scan_parquet(f"s3://{bucket}/set/*/data.parquet", storage_options=options)
    assert glob.select(pl.len()).collect().item() == ROWS
    frame.lazy().sink_csv(f"s3://{bucket}/t.csv", storage_options=options)
    assert_frame_equal(
        pl.scan_csv(f"s3://{bucket}/t.csv", storage_options=options).collect(), frame
    )
    frame.lazy().sink_ipc(f"s3://{bucket}/t.arrow", storage_options=options)
    ipc = pl.scan_ipc(f"s3://{bucket}/t.arrow", storage_options=options).collect()
    assert_frame_equal(ipc, frame)
    try:
        pl.read_parquet(f"s3://{bucket}/none.parquet", storage_options=options)
    except (OSError, pl.exceptions.PolarsError):
        pass
    else:
        raise AssertionError("read what is not there")


if __name__ == "__main__":
    main(sys.argv[1])
