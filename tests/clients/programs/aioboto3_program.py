"""A day of an aioboto3 user: resources, the transfer calls of its own, streams. Argument: a bucket name that nobody uses."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from pathlib import Path

import aioboto3
from boto3.s3.transfer import TransferConfig

MIB = 1024 * 1024
OBJECTS = 100


async def main(bucket: str) -> None:
    """Exercise the store; any difference ends the program with an error."""
    session = aioboto3.Session()
    settings = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    async with session.resource("s3", **settings) as s3:
        owned = await s3.Bucket(bucket)
        await owned.create()
        await resources(owned)
    async with session.client("s3", **settings) as s3:
        await transfers(s3, bucket)
    async with session.resource("s3", **settings) as s3:
        owned = await s3.Bucket(bucket)
        await owned.objects.all().delete()
        await owned.delete()
        assert bucket not in [entry.name async for entry in s3.buckets.all()]


async def resources(owned) -> None:
    """Put, list, read and copy many objects at once through the resource interface."""
    bodies = {f"r/{number:03d}": b"%d" % number * number for number in range(OBJECTS)}
    await asyncio.gather(*(owned.put_object(Key=key, Body=body) for key, body in bodies.items()))
    assert [entry.key async for entry in owned.objects.filter(Prefix="r/")] == sorted(bodies)

    async def get(key: str) -> None:
        answer = await (await owned.Object(key)).get()
        assert await answer["Body"].read() == bodies[key]

    await asyncio.gather(*map(get, bodies))
    copy = await owned.Object("copy")
    await copy.copy_from(CopySource={"Bucket": owned.name, "Key": "r/099"})
    assert await copy.content_length == len(bodies["r/099"])


async def transfers(s3, bucket: str) -> None:
    """Streams and files in parts, up and down."""
    body = b"".join(index.to_bytes(8, "big") for index in range(17 * MIB // 8)) + b"tail"
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    await s3.upload_fileobj(io.BytesIO(body), bucket, "t/stream", Config=config)
    sink = io.BytesIO()
    await s3.download_fileobj(bucket, "t/stream", sink)
    assert sink.getvalue() == body
    await asyncio.to_thread(Path("large").write_bytes, body)
    await s3.upload_file("large", bucket, "t/file", Config=config)
    await s3.copy({"Bucket": bucket, "Key": "t/file"}, bucket, "t/copy")
    await s3.download_file(bucket, "t/copy", "back")
    assert await asyncio.to_thread(Path("back").read_bytes) == body


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
