"""A day of an fsspec user who names all settings: trees, maps, transactions, URLs. Argument: a bucket name that nobody uses."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import fsspec

MIB = 1024 * 1024


def main(bucket: str) -> None:
    """Exercise the file system; any difference ends the program with an error."""
    authority = os.environ.get("AWS_CA_BUNDLE")
    settings = {
        "anon": False,
        "key": os.environ["AWS_ACCESS_KEY_ID"],
        "secret": os.environ["AWS_SECRET_ACCESS_KEY"],
        "endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "client_kwargs": {"region_name": "us-east-1"}
        | ({"verify": authority} if authority else {}),
        "config_kwargs": {"s3": {"addressing_style": "path"}, "signature_version": "s3v4"},
        "use_listings_cache": False,
    }
    files = fsspec.filesystem("s3", **settings)
    files.mkdir(bucket)
    trees(files, bucket)
    transactions(files, bucket)
    urls(bucket, settings)
    files.rm(bucket, recursive=True)
    assert not files.exists(bucket)


def trees(files: fsspec.AbstractFileSystem, bucket: str) -> None:
    """Put and get a tree, many files at once, and a map of bytes."""
    bodies = {f"d{number % 3}/f {number}": b"%d" % number * 1000 for number in range(60)}
    for name, body in bodies.items():
        path = Path("tree") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    files.put("tree/", f"{bucket}/tree", recursive=True)
    assert sorted(files.find(f"{bucket}/tree")) == sorted(f"{bucket}/tree/{n}" for n in bodies)
    files.get(f"{bucket}/tree/", "back", recursive=True)
    assert {name: (Path("back") / name).read_bytes() for name in bodies} == bodies
    assert files.du(f"{bucket}/tree") == sum(map(len, bodies.values()))
    store = files.get_mapper(f"{bucket}/map")
    store.setitems({"a": b"1", "b/c": b"2"})
    assert store.getitems(["a", "b/c", "none"], on_error="omit") == {"a": b"1", "b/c": b"2"}
    assert sorted(store) == ["a", "b/c"]
    del store["a"]
    assert "a" not in store
    ranges = files.cat_ranges([f"{bucket}/tree/d1/f 1"] * 2, [0, 990], [5, 1000])
    assert ranges == [b"11111", b"1" * 10]


def transactions(files: fsspec.AbstractFileSystem, bucket: str) -> None:
    """What a transaction writes appears at its end, or never."""
    body = os.urandom(11 * MIB)
    with files.transaction, files.open(f"{bucket}/later", "wb") as sink:
        sink.write(body)
        assert not files.exists(f"{bucket}/later")
    assert files.cat(f"{bucket}/later") == body
    with suppress(TypeError), files.transaction, files.open(f"{bucket}/never", "wb") as sink:
        sink.write(body)
        sink.write(None)  # fails
    assert not files.exists(f"{bucket}/never")
    assert files.checksum(f"{bucket}/later")
    files.touch(f"{bucket}/touched", truncate=True)
    assert files.size(f"{bucket}/touched") == 0
    with files.open(f"{bucket}/more", "wb") as sink:
        sink.write(body)
    with files.open(f"{bucket}/more", "ab") as sink:
        sink.write(b"appended")
    assert files.tail(f"{bucket}/more", 8) == b"appended"
    assert files.size(f"{bucket}/more") == 11 * MIB + 8


def urls(bucket: str, settings: dict) -> None:
    """Open by URL, in text mode and compressed, with exclusive creation."""
    with fsspec.open(f"s3://{bucket}/text.gz", "wt", compression="gzip", **settings) as sink:
        sink.write("line \u00e9\n" * 1000)
    with fsspec.open(f"s3://{bucket}/text.gz", "rt", compression="gzip", **settings) as source:
        assert source.read() == "line \u00e9\n" * 1000
    with fsspec.open(f"s3://{bucket}/once", "xb", **settings) as sink:
        sink.write(b"1")
    try:
        with fsspec.open(f"s3://{bucket}/once", "xb", **settings) as sink:
            sink.write(b"2")
    except FileExistsError:
        pass
    else:
        raise AssertionError("created twice")
    with fsspec.open(f"s3://{bucket}/once", "rb", **settings) as source:
        assert source.read() == b"1"


if __name__ == "__main__":
    main(sys.argv[1])
