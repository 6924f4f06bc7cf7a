"""The server is killed at arbitrary moments under load; what was acknowledged must be there, byte for byte.

SIGKILL keeps the page cache, so this is about the process, not about power: half-made files, half-applied commands, results that
were lost on the way. Loss of what was not synced is the business of the drive's and the catalogue's own crash tests.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
from dataclasses import dataclass, field

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from objstore.testing import S3Server

BUCKET = "crash"
SIZES = (100, 5_000, 70_000, 131_072, 131_073, 1_500_000, 9_000_000)
MIB = 1024 * 1024
SEED = int(os.environ.get("OBJSTORE_SEED", "20261120"))
ROUNDS = int(os.environ.get("OBJSTORE_CRASH_ROUNDS", "4"))


def body_of(key: str, attempt: int, size: int) -> bytes:
    """Return bytes that name their own write."""
    unit = hashlib.sha256(f"{key}/{attempt}".encode()).digest()
    return (unit * (size // len(unit) + 1))[:size]


@dataclass
class Ledger:
    """What a writer knows: for each key the states it may be in (None = absent)."""

    certain: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    possible: dict[str, list[tuple[int, int] | None]] = field(default_factory=dict)

    def begin(self, key: str, state) -> None:
        """A write starts: until it is answered both states are possible."""
        self.possible[key] = [self.certain.get(key), state]

    def acknowledge(self, key: str, state) -> None:
        """The write was answered."""
        self.certain[key] = state
        self.possible.pop(key, None)

    def allowed(self, key: str):
        """Return the states that reading may find."""
        return self.possible.get(key, [self.certain.get(key)])


def client_of(server: S3Server):
    """Return a client that neither retries nor waits long."""
    config = Config(retries={"max_attempts": 0}, connect_timeout=20, read_timeout=30)
    return boto3.client("s3", **server.client_arguments(), config=config)


class Writer(threading.Thread):
    """Puts, overwrites, deletes and uploads parts until the server dies under it."""

    def __init__(self, server: S3Server, name: str, seed: int, ledger: Ledger) -> None:
        super().__init__(name=name)
        self.rng = random.Random(seed)
        self.client = client_of(server)
        self.ledger = ledger
        self.attempt = seed % 1000 * 1000
        self.acknowledged = 0

    def run(self) -> None:
        try:
            while True:
                self.step()
                self.acknowledged += 1
        except (BotoCoreError, ClientError, OSError):
            return

    def step(self) -> None:
        key = f"{self.name}/{self.rng.randrange(12)}"
        self.attempt += 1
        choice = self.rng.random()
        if choice < 0.15:
            self.ledger.begin(key, None)
            self.client.delete_object(Bucket=BUCKET, Key=key)
            self.ledger.acknowledge(key, None)
        elif choice < 0.25:
            self.multipart(key)
        else:
            state = (self.attempt, self.rng.choice(SIZES))
            self.ledger.begin(key, state)
            self.client.put_object(Bucket=BUCKET, Key=key, Body=body_of(key, *state))
            self.ledger.acknowledge(key, state)

    def multipart(self, key: str) -> None:
        state = (self.attempt, 5 * MIB + 1000)
        body = body_of(key, *state)
        where = {"Bucket": BUCKET, "Key": key}
        upload = self.client.create_multipart_upload(**where)["UploadId"]
        parts = []
        for number, piece in enumerate((body[: 5 * MIB], body[5 * MIB :]), start=1):
            done = self.client.upload_part(**where, UploadId=upload, PartNumber=number, Body=piece)
            parts.append({"PartNumber": number, "ETag": done["ETag"]})
        self.ledger.begin(key, state)
        self.client.complete_multipart_upload(
            **where, UploadId=upload, MultipartUpload={"Parts": parts}
        )
        self.ledger.acknowledge(key, state)


def found_state(client, key: str, states):
    """Return which of the allowed states a key is in; anything else is a loss."""
    try:
        got = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey:
        return None
    for state in states:
        if state is not None and got == body_of(key, *state):
            return state
    return ("bytes of no acknowledged write", len(got))


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("directories_count", "workers"), [(1, 1), (3, 1), (2, 3)])
def test_acknowledged_writes_survive_sigkill(tmp_path, directories_count, workers):
    """An acknowledged put, delete or completion is there after any number of kills; an unanswered one is whole or absent."""
    rng = random.Random(SEED)
    ledger = Ledger()
    directories = [tmp_path / f"d{index}" for index in range(directories_count)]
    acknowledged = 0
    arguments = ["--workers", str(workers)]
    with S3Server(directories, buckets=[BUCKET], arguments=arguments) as server:
        for round_number in range(ROUNDS):
            writers = [
                Writer(server, f"w{index}", rng.randrange(1 << 30), ledger) for index in range(4)
            ]
            for writer in writers:
                writer.start()
            threading.Event().wait(rng.uniform(0.2, 1.5))
            server.kill()
            for writer in writers:
                writer.join()
            acknowledged += sum(writer.acknowledged for writer in writers)
            server.start()
            client = client_of(server)
            keys = sorted({*ledger.certain, *ledger.possible})
            for key in keys:
                states = ledger.allowed(key)
                state = found_state(client, key, states)
                replay = f"OBJSTORE_SEED={SEED} pytest tests/crash/test_sigkill.py"
                assert state in states, (
                    f"round {round_number}, {key}: {state} not in {states}; {replay}"
                )
                ledger.acknowledge(key, state)
            listed = {
                item["Key"]
                for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
                for item in page.get("Contents", [])
            }
            assert listed == {key for key in keys if ledger.certain[key] is not None}
    assert acknowledged > ROUNDS
