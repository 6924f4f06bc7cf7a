"""A day of a zarr user: one array in many small objects, through fsspec and through obstore. Argument: an existing bucket."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import zarr
from obstore.store import S3Store
from zarr.storage import FsspecStore, ObjectStore

SHAPE, CHUNKS = (400, 600), (100, 100)


def main(bucket: str) -> None:
    """Write, read and resize arrays; any difference ends the program with an error."""
    endpoint, authority = os.environ["AWS_ENDPOINT_URL"], os.environ.get("AWS_CA_BUNDLE")
    client = {"verify": authority} if authority else {}
    by_fsspec = FsspecStore.from_url(
        f"s3://{bucket}/fsspec", storage_options={"endpoint_url": endpoint, "client_kwargs": client}
    )
    options: dict[str, object] = {"allow_http": endpoint.startswith("http:")}
    if authority:
        options["root_certificate"] = Path(authority).read_bytes()
    by_obstore = ObjectStore(
        S3Store(bucket, prefix="obstore", endpoint=endpoint, client_options=options)
    )
    for store in (by_fsspec, by_obstore):
        array(store)


def array(store: zarr.abc.store.Store) -> None:
    """Write a group with an array in chunks and a sharded one, read slices, list members."""
    numbers = np.arange(SHAPE[0] * SHAPE[1], dtype="int64").reshape(SHAPE)
    group = zarr.create_group(store, attributes={"unit": "m"})
    group.create_array("plain", data=numbers, chunks=CHUNKS)
    group.create_array("sharded", data=numbers, chunks=(50, 50), shards=CHUNKS)
    back = zarr.open_group(store, mode="r")
    assert back.attrs["unit"] == "m"
    assert sorted(back.array_keys()) == ["plain", "sharded"]
    for name in ("plain", "sharded"):
        found = back[name]
        assert np.array_equal(found[:], numbers)
        assert np.array_equal(found[95:105, 195:305], numbers[95:105, 195:305])
    writable = zarr.open_group(store, mode="r+")
    writable["plain"][0, :] = -1
    assert (zarr.open_group(store, mode="r")["plain"][0] == -1).all()
    del writable["sharded"]
    assert sorted(zarr.open_group(store, mode="r").array_keys()) == ["plain"]


if __name__ == "__main__":
    main(sys.argv[1])
