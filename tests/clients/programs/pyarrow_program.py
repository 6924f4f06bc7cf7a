"""A day of a pyarrow user (the C++ SDK of AWS): tables and streams in a bucket. Argument: bucket name."""

from __future__ import annotations

import os
import sys

import pyarrow as pa
from pyarrow import dataset, fs, parquet

MIB = 1024 * 1024


def main(bucket: str) -> None:
    """Exercise the file system; any difference ends the program with an error."""
    scheme, _, address = os.environ["AWS_ENDPOINT_URL"].partition("://")
    files = fs.S3FileSystem(
        endpoint_override=address,
        scheme=scheme,
        tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"),
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )
    files.create_dir(bucket)
    streams(files, bucket)
    tables(files, bucket)
    tree(files, bucket)
    files.delete_dir(bucket)
    assert files.get_file_info(bucket).type == fs.FileType.NotFound


def streams(files: fs.S3FileSystem, bucket: str) -> None:
    """Write in pieces (multipart inside), read whole, at places, and metadata."""
    body = b"".join(index.to_bytes(8, "big") for index in range(23 * MIB // 8)) + b"tail"
    with files.open_output_stream(f"{bucket}/big.bin", metadata={"Content-Type": "x/y"}) as sink:
        for start in range(0, len(body), MIB):
            sink.write(body[start : start + MIB])
    with files.open_input_stream(f"{bucket}/big.bin") as source:
        assert source.read() == body
        assert source.metadata()["Content-Type"] == b"x/y"
    with files.open_input_file(f"{bucket}/big.bin") as source:
        assert source.size() == len(body)
        assert source.read_at(100, 9 * MIB + 3) == body[9 * MIB + 3 : 9 * MIB + 103]
    info = files.get_file_info(f"{bucket}/big.bin")
    assert (info.type, info.size) == (fs.FileType.File, len(body))
    with files.open_output_stream(f"{bucket}/empty") as sink:
        sink.write(b"")
    assert files.get_file_info(f"{bucket}/empty").size == 0


def tables(files: fs.S3FileSystem, bucket: str) -> None:
    """Write and read parquet, one file and a partitioned dataset."""
    table = pa.table({"day": [1, 1, 2], "value": ["a", "b", "c"]})
    parquet.write_table(table, f"{bucket}/t.parquet", filesystem=files)
    assert parquet.read_table(f"{bucket}/t.parquet", filesystem=files).equals(table)
    dataset.write_dataset(
        table, f"{bucket}/set", filesystem=files, format="parquet", partitioning=["day"]
    )
    back = dataset.dataset(
        f"{bucket}/set", filesystem=files, format="parquet", partitioning=["day"]
    )
    assert back.count_rows() == 3
    assert back.to_table(filter=dataset.field("day") == 2)["value"].to_pylist() == ["c"]


def tree(files: fs.S3FileSystem, bucket: str) -> None:
    """Select, copy, move and delete."""
    found = files.get_file_info(fs.FileSelector(bucket, recursive=True))
    names = {info.path for info in found if info.type == fs.FileType.File}
    assert {f"{bucket}/big.bin", f"{bucket}/empty", f"{bucket}/t.parquet"} < names
    folders = {info.path for info in found if info.type == fs.FileType.Directory}
    assert folders == {f"{bucket}/set", f"{bucket}/set/1", f"{bucket}/set/2"}
    files.copy_file(f"{bucket}/big.bin", f"{bucket}/set/copy.bin")
    size = files.get_file_info(f"{bucket}/big.bin").size
    assert files.get_file_info(f"{bucket}/set/copy.bin").size == size
    files.move(f"{bucket}/t.parquet", f"{bucket}/moved.parquet")
    assert files.get_file_info(f"{bucket}/t.parquet").type == fs.FileType.NotFound
    assert parquet.read_table(f"{bucket}/moved.parquet", filesystem=files).num_rows == 3
    files.delete_dir(f"{bucket}/set")
    assert files.get_file_info(f"{bucket}/set").type == fs.FileType.NotFound
    files.delete_file(f"{bucket}/moved.parquet")
    left = files.get_file_info(fs.FileSelector(bucket, recursive=True))
    assert sorted(info.path for info in left) == [f"{bucket}/big.bin", f"{bucket}/empty"]
    files.delete_dir_contents(bucket)


if __name__ == "__main__":
    main(sys.argv[1])
