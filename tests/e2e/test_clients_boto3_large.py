"""Large objects through boto3's transfer manager; nobody holds the whole object in memory."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

pytestmark = [pytest.mark.client, pytest.mark.slow]

MIB = 1024 * 1024


class Stream(io.RawIOBase):
    """Bytes made as they are read; each MiB starts with its number, so that a misplaced block shows."""

    def __init__(self, size: int, unit: bytes) -> None:
        self._size = size
        self._unit = unit
        self._at = 0

    def readable(self) -> bool:
        return True

    def piece(self, start: int, end: int) -> bytes:
        """Return the bytes of a range."""
        found = []
        while start < end:
            number, offset = divmod(start, MIB)
            block = number.to_bytes(8, "big") + self._unit[8:]
            found.append(block[offset : offset + end - start])
            start += len(found[-1])
        return b"".join(found)

    def readinto(self, into) -> int:
        end = min(self._at + len(into), self._size)
        made = self.piece(self._at, end)
        into[: len(made)] = made
        self._at = end
        return len(made)


class Judge(io.RawIOBase):
    """Takes a download in order and compares it while it comes."""

    def __init__(self, expected: Stream) -> None:
        self._expected = expected
        self.taken = 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        wanted = self._expected.piece(self.taken, self.taken + len(data))
        assert wanted == bytes(data), f"bytes differ after {self.taken}"
        self.taken += len(data)
        return len(data)


@pytest.mark.parametrize("client_checksum", ["when_supported", "when_required"])
def test_what_goes_up_comes_down(server, bucket, pattern, client_checksum):
    """1 GiB over http and 256 MiB over https, multipart with parallel parts, with and without checksums of the client.

    The memory of the server must not follow the size of the object.
    """
    size = (
        1024 if server.tls is None and client_checksum == "when_supported" else 256
    ) * MIB + 4321
    s3 = boto3.client(
        "s3",
        **server.client_arguments(),
        config=Config(request_checksum_calculation=client_checksum, max_pool_connections=8),
    )
    unit = pattern(MIB)
    config = TransferConfig(multipart_chunksize=16 * MIB, max_concurrency=4)
    key = f"large-{uuid.uuid4().hex}"
    s3.upload_fileobj(Stream(size, unit), bucket, key, Config=config)
    head = s3.head_object(Bucket=bucket, Key=key)
    assert head["ContentLength"] == size
    assert head["ETag"].endswith(f'-{size // (16 * MIB) + 1}"')
    judge = Judge(Stream(size, unit))
    s3.download_fileobj(bucket, key, judge, Config=config)
    assert judge.taken == size
    middle = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={100 * MIB - 5}-{100 * MIB + 4}")
    assert middle["Body"].read() == Stream(size, unit).piece(100 * MIB - 5, 100 * MIB + 5)
    s3.delete_object(Bucket=bucket, Key=key)
    assert peak_bytes(server.pid) < 600 * MIB


@pytest.mark.parametrize("size", [5 * MIB, 150 * MIB + 1])
def test_one_request_may_carry_it_all(s3, bucket, pattern, size):
    """A single PUT and a single GET, without multipart, of more bytes than any buffer."""
    body = pattern(size)
    s3.put_object(Bucket=bucket, Key="one", Body=body)
    got = s3.get_object(Bucket=bucket, Key="one")["Body"]
    seen = 0
    for piece in got.iter_chunks(MIB):
        assert piece == body[seen : seen + len(piece)]
        seen += len(piece)
    assert seen == size
    s3.delete_object(Bucket=bucket, Key="one")


def peak_bytes(pid: int) -> int:
    """Return the largest resident set that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
