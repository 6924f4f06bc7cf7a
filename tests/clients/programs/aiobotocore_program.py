"""A day of an aiobotocore user: many calls at once on one loop, and streams. Argument: an existing bucket."""

from __future__ import annotations

import asyncio
import os
import sys

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

MIB = 1024 * 1024
OBJECTS = 150


def body_of(size: int, seed: int) -> bytes:
    """Return bytes whose place and object show."""
    return b"".join((index * 1000 + seed).to_bytes(8, "big") for index in range(size // 8 + 1))[
        :size
    ]


async def main(bucket: str) -> None:
    """Exercise the store; any difference ends the program with an error."""
    config = AioConfig(max_pool_connections=40, retries={"max_attempts": 0})
    async with get_session().create_client(
        "s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=config
    ) as s3:
        await many(s3, bucket)
        await parts(s3, bucket)
        await race(s3, bucket)
        await clean(s3, bucket)


async def many(s3, bucket: str) -> None:
    """Put and get many objects of several sizes at the same time."""
    bodies = {f"many/{number}": body_of(number * 1000, number) for number in range(OBJECTS)}

    async def put(key: str) -> None:
        await s3.put_object(Bucket=bucket, Key=key, Body=bodies[key])

    async def get(key: str) -> None:
        async with (await s3.get_object(Bucket=bucket, Key=key))["Body"] as stream:
            assert await stream.read() == bodies[key], key

    await asyncio.gather(*(put(key) for key in bodies))
    await asyncio.gather(*(get(key) for key in bodies))
    found = [
        entry["Key"]
        async for page in s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix="many/", PaginationConfig={"PageSize": 40}
        )
        for entry in page["Contents"]
    ]
    assert found == sorted(bodies)


async def parts(s3, bucket: str) -> None:
    """Send parts at the same time and out of order; read the object as a stream, two readers at once."""
    pieces = {number: body_of(5 * MIB, number) for number in range(1, 5)}
    upload = (await s3.create_multipart_upload(Bucket=bucket, Key="big"))["UploadId"]
    named = {"Bucket": bucket, "Key": "big", "UploadId": upload}

    async def send(number: int) -> dict:
        said = await s3.upload_part(**named, PartNumber=number, Body=pieces[number])
        return {"PartNumber": number, "ETag": said["ETag"]}

    sent = await asyncio.gather(*(send(number) for number in (3, 1, 4, 2)))
    sent.sort(key=lambda part: part["PartNumber"])
    await s3.complete_multipart_upload(**named, MultipartUpload={"Parts": sent})
    whole = b"".join(pieces[number] for number in sorted(pieces))

    async def read() -> None:
        found = bytearray()
        async with (await s3.get_object(Bucket=bucket, Key="big"))["Body"] as stream:
            async for chunk in stream.iter_chunks(100_003):
                found += chunk
        assert found == whole

    await asyncio.gather(read(), read())


async def race(s3, bucket: str) -> None:
    """Of many that create one key only if it is not there, exactly one may."""

    async def create(number: int) -> int | None:
        try:
            await s3.put_object(Bucket=bucket, Key="one", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            code = error.response["Error"]["Code"]
            assert code in {"PreconditionFailed", "ConditionalRequestConflict"}, code
            return None
        return number

    won = [number for number in await asyncio.gather(*map(create, range(30))) if number is not None]
    assert len(won) == 1
    async with (await s3.get_object(Bucket=bucket, Key="one"))["Body"] as stream:
        assert await stream.read() == b"%d" % won[0]


async def clean(s3, bucket: str) -> None:
    """Delete everything in one call."""
    found = (await s3.list_objects_v2(Bucket=bucket))["Contents"]
    objects = [{"Key": entry["Key"]} for entry in found]
    said = await s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert len(said["Deleted"]) == OBJECTS + 2
    assert (await s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 0


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
