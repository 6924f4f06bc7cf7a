"""The first two characters of the path decide who answers."""

from __future__ import annotations

import asyncio

import pytest

from objstore.api.app import NodeApp


def answered_by(raw_path, kind="http"):
    calls = []

    def application(name):
        async def answer(_scope, _receive, _send):
            calls.append(name)

        return answer

    app = NodeApp(application("s3"), application("own"))
    asyncio.run(app({"type": kind, "raw_path": raw_path}, None, None))
    return calls


@pytest.mark.parametrize(
    ("raw_path", "who"),
    [
        (b"/", "s3"),
        (b"/_", "own"),
        (b"/_/health/live", "own"),
        (b"/_x/k", "s3"),
        (b"/bucket/_/k", "s3"),
        (b"/%5F/k", "s3"),
    ],
)
def test_only_the_reserved_prefix_leaves_s3(raw_path, who):
    """`_` is never a bucket; everything else is a bucket's business."""
    assert answered_by(raw_path) == [who]


def test_other_protocols_are_not_served():
    """A web socket would end in nowhere."""
    with pytest.raises(RuntimeError, match="websocket"):
        answered_by(b"/", kind="websocket")
