"""The node's own pages (`/_/...`) on any of its processes: the owner answers, a worker passes on.

So that ready means the same everywhere and metrics are those of the whole node. Only `live` is answered by the process
that was asked: it says that this one's event loop turns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

import msgspec

from objstore.api.body import Receive
from objstore.api.respond import Send
from objstore.cluster.remote_control_store import Peer
from objstore.model.errors import Unavailable
from objstore.server.worker_link import PAGE, AskedPage, ShownPage

__all__ = ["OwnPages", "PageEndpoint"]

Asgi = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LIVE: Final = "/_/health/live"
CALL_S: Final = 10.0
_AWAY: Final = ShownPage(
    503,
    [(b"content-type", b"application/json"), (b"cache-control", b"no-store")],
    b'{"status": "not ready", "problems": {"owner": "the process that owns the data does not answer"}}\n',
)


class OwnPages:
    """ASGI application of a worker for everything below `/_/`."""

    def __init__(self, local: Asgi, owner: Peer) -> None:
        self._local = local
        self._owner = owner

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] == LIVE:
            await self._local(scope, receive, send)
            return
        page = await self._ask(AskedPage(scope["method"], scope["path"]))
        headers = [*page.headers]
        await send({"type": "http.response.start", "status": page.status, "headers": headers})
        await send({"type": "http.response.body", "body": page.body})

    async def _ask(self, asked: AskedPage) -> ShownPage:
        try:
            shown = await self._owner.call(PAGE, msgspec.msgpack.encode(asked), deadline_s=CALL_S)
        except Unavailable:
            return _AWAY
        return msgspec.msgpack.decode(shown, type=ShownPage)


class PageEndpoint:
    """Runs the owner's pages for a worker."""

    def __init__(self, pages: Asgi) -> None:
        self._pages = pages
        self.methods: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = {PAGE: self._show}

    async def _show(self, body: bytes) -> bytes:
        asked = msgspec.msgpack.decode(body, type=AskedPage)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": asked.method,
            "scheme": "http",
            "path": asked.path,
            "raw_path": asked.path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [],
        }
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self._pages(scope, receive, send)
        start, *parts = sent
        content = b"".join(part.get("body", b"") for part in parts)
        headers = [(bytes(name), bytes(value)) for name, value in start["headers"]]
        return msgspec.msgpack.encode(ShownPage(start["status"], headers, content))
