"""A node is whole when it is ready, and gone when it is closed."""

from __future__ import annotations

import asyncio
import json
import threading

import anyio
import pytest

from objstore.model.instant import Instant
from objstore.server.bootstrap import open_node
from objstore.server.health import NodeState
from objstore.server.refusal import StartRefused
from objstore.server.settings import (
    AccessSettings,
    S3Settings,
    Secret,
    Settings,
    StorageSettings,
)


class Clock:
    def now(self):
        return Instant(1_750_000_000_000)

    def monotonic_s(self):
        return 0.0


def settings_of(*directories, buckets=()):
    return Settings(
        s3=S3Settings(buckets=buckets),
        storage=StorageSettings(dirs=directories, reserve_bytes=0),
        access=AccessSettings(root_access_key="key", root_secret_key=Secret("secret-0123456789")),
    )


async def page(node, path):
    """Ask for one of the node's own pages."""
    messages = []

    async def send(message):
        messages.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
    }
    await node.app(scope, receive, send)
    return messages[0]["status"], b"".join(m.get("body", b"") for m in messages[1:])


async def bucket_names(node):
    records = await node.app._s3._registry.list(prefix="", after="", limit=0)
    return [record.name for record in records]


def test_buckets_asked_for_exist_when_the_node_is_ready(tmp_path):
    """Ready means ready; at every start, also when they exist already."""

    async def story():
        settings = settings_of(tmp_path / "a", buckets=("one", "two"))
        for _ in range(2):
            async with open_node(settings, clock=Clock()) as node:
                assert node.readiness.state is NodeState.READY
                assert (await page(node, "/_/health/ready"))[0] == 200
                assert await bucket_names(node) == ["one", "two"]

    anyio.run(story)


def test_bucket_that_cannot_be_made_refuses_the_start(tmp_path):
    """A promise that cannot be kept is told at once; and the directory is free again."""

    async def story():
        with pytest.raises(StartRefused, match="No_Good"):
            async with open_node(settings_of(tmp_path / "a", buckets=("No_Good",)), clock=Clock()):
                raise AssertionError("it started")
        async with open_node(settings_of(tmp_path / "a"), clock=Clock()) as node:
            assert await bucket_names(node) == []

    anyio.run(story)


def test_nothing_is_left_running_after_the_end(tmp_path):
    """No task and no thread of ours; a test or a restart in the same process must find a clean place."""

    async def story():
        tasks = asyncio.all_tasks()
        async with open_node(settings_of(tmp_path / "a"), clock=Clock()):
            assert len(asyncio.all_tasks()) > len(tasks)
        assert asyncio.all_tasks() == tasks

    before = set(threading.enumerate())
    anyio.run(story)
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert set(threading.enumerate()) <= before


def test_one_directory_has_one_node(tmp_path):
    """A second node on the same data would corrupt it."""

    async def story():
        settings = settings_of(tmp_path / "a")
        async with open_node(settings, clock=Clock()):
            with pytest.raises(StartRefused):
                async with open_node(settings, clock=Clock()):
                    raise AssertionError("it started")
        async with open_node(settings, clock=Clock()):
            pass

    anyio.run(story)


def test_draining_is_told_to_balancers_and_clients(tmp_path):
    """Not ready any more, alive still."""

    async def story():
        async with open_node(settings_of(tmp_path / "a"), clock=Clock()) as node:
            node.readiness.begin_drain()
            assert (await page(node, "/_/health/ready"))[0] == 503
            assert (await page(node, "/_/health/live"))[0] == 200
            assert node.app._s3.is_draining

    anyio.run(story)


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "one copy"), (2, "2 copies"), (3, "3 copies"), (6, "4+2 erasure coding")],
)
def test_durability_is_told_in_words(tmp_path, count, words):
    """At the terminal and on the cluster page: people decide by it."""

    async def story():
        directories = [tmp_path / f"d{number}" for number in range(count)]
        async with open_node(settings_of(*directories), clock=Clock()) as node:
            assert words in node.notices[0]
            assert any("first directory" in notice for notice in node.notices) is (count == 2)
            shown = json.loads((await page(node, "/_/health/cluster"))[1])
            assert words in shown["scheme"]
            assert (shown["drives"], shown["drives_offline"]) == (count, [])

    anyio.run(story)


def test_offline_directory_is_told(tmp_path):
    """The node starts, serves what it can, and says what is missing."""
    a, b = tmp_path / "a", tmp_path / "b"

    async def story():
        async with open_node(settings_of(a, b), clock=Clock()):
            pass
        b.rename(tmp_path / "gone")
        async with open_node(settings_of(a, b), clock=Clock()) as node:
            assert any(notice.split()[:2] == ["OFFLINE", f"{b}:"] for notice in node.notices)
            shown = json.loads((await page(node, "/_/health/cluster"))[1])
            assert shown["drives_offline"] == [str(b)]

    anyio.run(story)
