"""Answers onto the wire: replies in two messages, streams with back-pressure.

A stream that fails after its head was sent cannot become an error document any more. `StreamAborted` tells the server to cut
the connection, so that the client sees a short read and never a short success.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any

from objstore.s3.reply import HeaderPairs, Reply
from objstore.service.ports import Buffer

__all__ = ["Send", "StreamAborted", "send_reply", "send_stream"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BODILESS = frozenset({204, 304})


class StreamAborted(Exception):
    """The head of an answer is out and its body cannot be completed."""


async def send_reply(
    send: Send, reply: Reply, envelope: HeaderPairs, body: Buffer | None = None, *, is_head: bool
) -> int:
    """Send a complete answer; return the number of body bytes sent."""
    content: Buffer = reply.body if body is None else body
    headers = [*reply.headers, *envelope]
    if reply.status not in _BODILESS:
        length = len(content) if reply.content_length is None else reply.content_length
        headers.append((b"Content-Length", b"%d" % length))
    if is_head or reply.status in _BODILESS:
        content = b""
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
    return len(content)


async def send_stream(
    send: Send, reply: Reply, envelope: HeaderPairs, chunks: AsyncGenerator[Buffer, None]
) -> int:
    """Send a head and then the bytes as they come; return the number of body bytes sent.

    Raises `StreamAborted` when the stream fails or has another length than announced.
    """
    length = reply.content_length or 0
    headers = [*reply.headers, *envelope, (b"Content-Length", b"%d" % length)]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    sent = 0
    try:
        async with aclosing(chunks) as pieces:
            async for piece in pieces:
                sent += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except Exception as error:
        raise StreamAborted(f"stream failed after {sent} of {length} bytes") from error
    if sent != length:
        raise StreamAborted(f"stream ended after {sent} of {length} bytes")
    await send({"type": "http.response.body", "body": b""})
    return sent
