"""A day of an s3fs user: a bucket as a file system. Reads the endpoint from the environment; argument: bucket name."""

from __future__ import annotations

import os
import sys

import s3fs

MIB = 1024 * 1024


def body_of(size: int) -> bytes:
    """Return bytes whose place shows."""
    return b"".join(index.to_bytes(8, "big") for index in range(size // 8 + 1))[:size]


def main(bucket: str) -> None:
    """Exercise the file system; any difference ends the program with an error."""
    authority = os.environ.get("AWS_CA_BUNDLE")
    files = s3fs.S3FileSystem(
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        client_kwargs={"verify": authority} if authority else {},
        skip_instance_cache=True,
    )
    files.mkdir(bucket)
    assert files.exists(bucket)
    small, large = body_of(1000), body_of(23 * MIB + 5)
    files.pipe_file(f"{bucket}/a/small.bin", small)
    with files.open(f"{bucket}/a/b/large.bin", "wb", block_size=5 * MIB) as sink:
        for start in range(0, len(large), MIB):
            sink.write(large[start : start + MIB])
    assert files.cat_file(f"{bucket}/a/small.bin") == small
    with files.open(f"{bucket}/a/b/large.bin", "rb") as source:
        assert source.read() == large
        source.seek(9 * MIB + 1)
        assert source.read(77) == large[9 * MIB + 1 : 9 * MIB + 78]
    assert files.cat_file(f"{bucket}/a/b/large.bin", start=5, end=25) == large[5:25]
    assert files.info(f"{bucket}/a/b/large.bin")["size"] == len(large)
    trees(files, bucket, small, large)
    files.rm(bucket, recursive=True)
    files.invalidate_cache()
    assert not files.exists(bucket)
    versions(bucket, authority)


def trees(files: s3fs.S3FileSystem, bucket: str, small: bytes, large: bytes) -> None:
    """Walk, copy, move and remove folders."""
    assert sorted(files.ls(f"{bucket}/a", detail=False)) == [
        f"{bucket}/a/b",
        f"{bucket}/a/small.bin",
    ]
    assert sorted(files.glob(f"{bucket}/**/*.bin")) == [
        f"{bucket}/a/b/large.bin",
        f"{bucket}/a/small.bin",
    ]
    assert sorted(files.find(bucket)) == [f"{bucket}/a/b/large.bin", f"{bucket}/a/small.bin"]
    files.cp(f"{bucket}/a", f"{bucket}/copy", recursive=True)
    assert files.cat_file(f"{bucket}/copy/small.bin") == small
    assert files.cat_file(f"{bucket}/copy/b/large.bin") == large
    files.mv(f"{bucket}/copy/small.bin", f"{bucket}/copy/moved.bin")
    assert files.cat_file(f"{bucket}/copy/moved.bin") == small
    files.rm(f"{bucket}/a", recursive=True)
    files.invalidate_cache()
    assert sorted(files.find(bucket)) == [f"{bucket}/copy/b/large.bin", f"{bucket}/copy/moved.bin"]
    for index in range(12):
        files.pipe_file(f"{bucket}/many/{index}", str(index).encode())
    got = files.cat(f"{bucket}/many/*")
    assert got == {f"{bucket}/many/{index}": str(index).encode() for index in range(12)}


def versions(bucket: str, authority: str | None) -> None:
    """Read an older version of an object."""
    files = s3fs.S3FileSystem(
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        client_kwargs={"verify": authority} if authority else {},
        version_aware=True,
        skip_instance_cache=True,
    )
    name = f"{bucket}-v"
    files.mkdir(name)
    files.call_s3(
        "put_bucket_versioning", Bucket=name, VersioningConfiguration={"Status": "Enabled"}
    )
    files.pipe_file(f"{name}/k", b"one")
    files.pipe_file(f"{name}/k", b"two")
    found = files.object_version_info(f"{name}/k")
    by_latest = {entry["IsLatest"]: entry["VersionId"] for entry in found}
    with files.open(f"{name}/k", "rb", version_id=by_latest[False]) as source:
        assert source.read() == b"one"
    assert files.cat_file(f"{name}/k") == b"two"
    for entry in found:
        files.call_s3("delete_object", Bucket=name, Key="k", VersionId=entry["VersionId"])
    files.rmdir(name)


if __name__ == "__main__":
    main(sys.argv[1])
