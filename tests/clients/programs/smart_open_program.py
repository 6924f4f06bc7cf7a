"""A day of a smart_open user: objects as files, written in parts while the length is unknown. Argument: an existing bucket."""

from __future__ import annotations

import gzip
import sys
from contextlib import suppress

import boto3
from smart_open import open as smart_open

MIB = 1024 * 1024


def main(bucket: str) -> None:
    """Exercise the store; any difference ends the program with an error."""
    s3 = boto3.client("s3")
    body = b"".join(index.to_bytes(8, "big") for index in range(17 * MIB // 8)) + b"tail"
    settings = {"client": s3, "min_part_size": 5 * MIB}
    with smart_open(f"s3://{bucket}/big.bin", "wb", transport_params=settings) as sink:
        for start in range(0, len(body), 300_007):
            sink.write(body[start : start + 300_007])
    assert s3.head_object(Bucket=bucket, Key="big.bin")["ETag"].endswith('-4"')
    with smart_open(f"s3://{bucket}/big.bin", "rb", transport_params={"client": s3}) as source:
        assert source.read() == body
        source.seek(9 * MIB + 1)
        assert source.read(77) == body[9 * MIB + 1 : 9 * MIB + 78]
        source.seek(-4, 2)
        assert source.read() == b"tail"
    lines = [f"line {number} \u00e9\n" for number in range(50_000)]
    with smart_open(
        f"s3://{bucket}/t.gz", "w", transport_params=settings, encoding="utf-8"
    ) as sink:
        sink.writelines(lines)
    with smart_open(
        f"s3://{bucket}/t.gz", transport_params={"client": s3}, encoding="utf-8"
    ) as source:
        assert list(source) == lines
    packed = s3.get_object(Bucket=bucket, Key="t.gz")["Body"].read()
    assert gzip.decompress(packed).decode() == "".join(lines)
    with smart_open(f"s3://{bucket}/empty", "wb", transport_params=settings):
        pass
    assert s3.head_object(Bucket=bucket, Key="empty")["ContentLength"] == 0
    with (
        suppress(TypeError),
        smart_open(f"s3://{bucket}/broken", "wb", transport_params=settings) as sink,
    ):
        sink.write(body)
        sink.write(None)  # fails
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == ["big.bin", "empty", "t.gz"]


if __name__ == "__main__":
    main(sys.argv[1])
