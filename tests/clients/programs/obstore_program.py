"""A day of an obstore user (Rust object_store). Reads the endpoint from the environment; argument: an existing bucket."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

MIB = 1024 * 1024


def main(bucket: str) -> None:
    """Exercise the store; any difference ends the program with an error."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    options: dict[str, object] = {"allow_http": endpoint.startswith("http:")}
    if authority := os.environ.get("AWS_CA_BUNDLE"):
        options["root_certificate"] = Path(authority).read_bytes()
    store = S3Store(
        bucket,
        endpoint=endpoint,
        region=os.environ["AWS_REGION"],
        virtual_hosted_style_request=False,
        client_options=options,
    )
    reading(store)
    conditions(store)
    listing(store)


def reading(store: S3Store) -> None:
    """Put small and in parts, get whole and in ranges."""
    body = b"".join(index.to_bytes(8, "big") for index in range(23 * MIB // 8)) + b"tail"
    obstore.put(store, "small", b"hello", attributes={"Content-Type": "text/x", "colour": "blue"})
    got = obstore.get(store, "small")
    assert got.attributes["Content-Type"] == "text/x"
    assert got.attributes["colour"] == "blue"
    assert bytes(got.bytes()) == b"hello"
    obstore.put(store, "big", body, use_multipart=True, chunk_size=5 * MIB, max_concurrency=3)
    assert obstore.head(store, "big")["size"] == len(body)
    assert bytes(obstore.get(store, "big").bytes()) == body
    assert (
        bytes(obstore.get_range(store, "big", start=5 * MIB - 1, end=5 * MIB + 1))
        == body[5 * MIB - 1 : 5 * MIB + 1]
    )
    pieces = obstore.get_ranges(store, "big", starts=[0, 9 * MIB], lengths=[10, 20])
    assert [bytes(piece) for piece in pieces] == [body[:10], body[9 * MIB : 9 * MIB + 20]]
    assert b"".join(bytes(piece) for piece in obstore.get(store, "big").stream()) == body
    obstore.copy(store, "big", "copy")
    assert bytes(obstore.get(store, "copy").bytes()) == body


def conditions(store: S3Store) -> None:
    """Create once, and replace only what was seen."""
    seen = obstore.put(store, "once", b"1", mode="create")
    try:
        obstore.put(store, "once", b"2", mode="create")
    except AlreadyExistsError:
        pass
    else:
        raise AssertionError("created twice")
    obstore.put(store, "once", b"3", mode={"e_tag": seen["e_tag"]})
    try:
        obstore.put(store, "once", b"4", mode={"e_tag": seen["e_tag"]})
    except PreconditionError:
        pass
    else:
        raise AssertionError("replaced what was not seen")
    assert bytes(obstore.get(store, "once").bytes()) == b"3"


def listing(store: S3Store) -> None:
    """List flat, from an offset and by folder; rename; delete many."""
    for name in ("d/1", "d/2", "d/e/3", "f"):
        obstore.put(store, name, name.encode())
    folder = obstore.list_with_delimiter(store, "d")
    assert list(folder["common_prefixes"]) == ["d/e"]
    assert [entry["path"] for entry in folder["objects"]] == ["d/1", "d/2"]
    flat = [entry["path"] for entry in obstore.list(store).collect()]
    assert flat == ["big", "copy", "d/1", "d/2", "d/e/3", "f", "once", "small"]
    after = [entry["path"] for entry in obstore.list(store, offset="d/2").collect()]
    assert after == ["d/e/3", "f", "once", "small"]
    obstore.rename(store, "f", "g")
    obstore.delete(store, [name for name in flat if name != "f"])
    assert [entry["path"] for entry in obstore.list(store).collect()] == ["g"]
    assert bytes(obstore.get(store, "g").bytes()) == b"f"
    obstore.delete(store, "g")


if __name__ == "__main__":
    main(sys.argv[1])
