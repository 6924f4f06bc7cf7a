"""Response heads as bytes, and the few answers that the protocol gives by itself.

Header names keep the spelling that the application chose (`ETag`): some S3 clients compare it case-sensitively. Values
may come from users (metadata, overrides), so a head is checked as a whole for line breaks: one count instead of a
pattern for each value.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple
from xml.sax.saxutils import escape

from objstore.model.errors import check

__all__ = ["HeadDate", "RenderedHead", "render_error", "render_head"]

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NAMES_CACHED_MAX = 1024
_BODILESS = frozenset({204, 304})
_MARKED = frozenset({b"connection", b"content-length", b"date", b"server", b"transfer-encoding"})
"""Names whose values matter to the framing, or that are added where they are missing."""

_HOST_ID = base64.b64encode(os.urandom(24)).decode("ascii")
"""What `x-amz-id-2` says where no application answers; opaque."""

_lower_names: dict[bytes, bytes] = {}
"""Valid header names as applications spell them, with their lower-case forms; bounded."""

_STATUS_LINES = {
    status: b"HTTP/1.1 %d %s\r\n"
    % (
        status,
        HTTPStatus(status).phrase.encode() if status in HTTPStatus._value2member_map_ else b"",
    )
    for status in range(100, 600)
}


class HeadDate:
    """The `Date` and `Server` lines, rendered once a second for all answers that bring none."""

    __slots__ = ("date", "server")

    def __init__(self) -> None:
        self.server = b"Server: objstore\r\n"
        self.date = b""
        self.refresh()

    def refresh(self) -> None:
        """Render the present time."""
        self.date = b"Date: %s\r\n" % formatdate(usegmt=True).encode("ascii")


class RenderedHead(NamedTuple):
    """A head ready for the wire, and what it says about the body that follows."""

    head: bytes
    body_bytes: int | None
    """How many bytes follow; None where chunks or the end of the connection tell."""
    is_chunked: bool
    is_last: bool
    """Whether the application asked for the connection to be closed."""


def render_head(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    date: HeadDate,
    *,
    is_head_request: bool,
    keep_alive: bool,
    may_chunk: bool,
) -> RenderedHead:
    """Return the head of an answer. Raises `InvariantError` for a header that would break the framing."""
    parts = [_STATUS_LINES[status]]
    marked: dict[bytes, bytes] = {}
    names_count = 0
    for name, value in headers:
        lower = _lower_names.get(name) or _check_name(name)
        if lower in _MARKED:
            marked[lower] = value
        parts += (name, b": ", value, b"\r\n")
        names_count += 1
    is_chunked = marked.get(b"transfer-encoding", b"").lower() == b"chunked"
    body_bytes = _announced(status, marked, is_head_request=is_head_request)
    added = [
        line
        for name, line in ((b"date", date.date), (b"server", date.server))
        if name not in marked
    ]
    if body_bytes is None and not is_chunked:
        is_chunked = may_chunk
        keep_alive = keep_alive and may_chunk
        if may_chunk:
            added.append(b"Transfer-Encoding: chunked\r\n")
    asked_to_close = b"close" in marked.get(b"connection", b"").lower()
    if not keep_alive and not asked_to_close:
        added.append(b"Connection: close\r\n")
    head = b"".join((*parts, *added, b"\r\n"))
    lines_count = names_count + len(added) + 2
    check(
        head.count(b"\n") == lines_count == head.count(b"\r") and b"\x00" not in head,
        "a header value holds a line break or a NUL",
    )
    return RenderedHead(head, body_bytes, is_chunked, asked_to_close or not keep_alive)


def _announced(status: int, marked: dict[bytes, bytes], *, is_head_request: bool) -> int | None:
    """Return how many body bytes follow the head; None where the head does not tell."""
    if is_head_request or status in _BODILESS:
        return 0
    length = marked.get(b"content-length")
    return None if length is None else int(length)


def render_error(
    status: int, code: str, message: str, date: HeadDate, *, is_head_request: bool = False
) -> bytes:
    """Return a whole S3 error answer that ends the connection; for requests that never became one.

    It names a request id of its own, so that a user can quote one in any case (s3 rule 1.7.1).
    """
    request_id = os.urandom(8).hex().upper()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        f"<RequestId>{request_id}</RequestId><HostId>{_HOST_ID}</HostId></Error>"
    ).encode()
    length = 0 if is_head_request else len(body)
    return b"".join(
        (
            _STATUS_LINES[status],
            f"x-amz-request-id: {request_id}\r\nx-amz-id-2: {_HOST_ID}\r\n".encode(),
            date.date,
            date.server,
            b"Content-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            % length,
            body[:length],
        )
    )


def _check_name(name: bytes) -> bytes:
    """Return the lower-case form of a valid name; remember it while there is room."""
    check(_NAME.fullmatch(name), "a header name is not a token")
    lower = name.lower()
    if len(_lower_names) < _NAMES_CACHED_MAX:
        _lower_names[name] = lower
    return lower
