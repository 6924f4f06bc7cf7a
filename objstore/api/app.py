"""The application that the server runs: S3, and the server's own pages under `/_/`.

`_` is never a bucket, so the first two characters of the path decide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from objstore.api.body import Receive
from objstore.api.pipeline import Pipeline
from objstore.api.respond import Send

__all__ = ["NodeApp"]

Asgi = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class NodeApp:
    """Hands a connection's requests to S3 or to the own pages."""

    def __init__(self, s3: Pipeline, own_pages: Asgi) -> None:
        self._s3 = s3
        self._own_pages = own_pages

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"unexpected scope {scope['type']}")
        raw_path: bytes = scope["raw_path"]
        if raw_path == b"/_" or raw_path.startswith(b"/_/"):
            await self._own_pages(scope, receive, send)
        else:
            await self._s3(scope, receive, send)
