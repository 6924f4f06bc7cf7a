"""Commands on their way to the owner: none is forgotten, and each arrives as it was."""

from __future__ import annotations

import asyncio
import typing

import pytest

from objstore.metadata.commands import Command, Done, OpenShard
from objstore.metadata.remote_writer import AnyCommand, RemoteWriter, WriterEndpoint
from objstore.model.errors import PreconditionFailed
from objstore.model.names import BucketId
from objstore.testing.catalog_kit import CommandKit, bucket_record


class Straight:
    """A connection without a socket: what is asked is answered by the endpoint."""

    def __init__(self, methods):
        self._methods = methods

    async def call(self, method, body=b"", *, deadline_s):
        return await self._methods[method](body)


class Recording:
    """A writer that keeps what it gets."""

    def __init__(self, answer):
        self.got = []
        self._answer = answer

    async def submit(self, partition, command):
        self.got.append((partition, command))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_every_command_may_travel() -> None:
    """A command that is missing here works in one process and fails in another."""
    assert set(typing.get_args(AnyCommand)) == set(Command.__subclasses__())


def test_commands_and_results_arrive_as_they_were() -> None:
    """Inline bodies, conditions and ids: whatever the gateway put in is what is applied."""

    async def scenario():
        kit = CommandKit(bucket_record().bucket_id)
        upload = kit.create_upload(b"k").upload
        commands = [
            kit.make(OpenShard),
            kit.put(b"k\x00\xff", b"inline \x00 bytes", if_none_match=True),
            kit.put_extent(b"k", 1 << 40, lost=True),
            kit.delete(b"k"),
            kit.delete_version(b"k", "v" * 32, "e"),
            kit.put_part(upload, 3, 5),
            kit.complete(upload, [kit.put_part(upload, 1, 7).part]),
        ]
        writer = Recording(Done())
        remote = RemoteWriter(Straight(WriterEndpoint(writer.submit).methods))
        for number, command in enumerate(commands):
            assert await remote.submit(number, command) == Done()
        assert writer.got == list(enumerate(commands))

    asyncio.run(scenario())


def test_a_refusal_stays_one() -> None:
    """The endpoint must not wrap what the catalogue raised: the transport carries it."""

    async def scenario():
        writer = Recording(PreconditionFailed(condition="If-Match"))
        remote = RemoteWriter(Straight(WriterEndpoint(writer.submit).methods))
        with pytest.raises(PreconditionFailed):
            await remote.submit(0, CommandKit(BucketId(bytes(16))).put(b"k"))

    asyncio.run(scenario())
