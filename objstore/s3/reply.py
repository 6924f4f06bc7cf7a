"""An answer before it becomes bytes on the wire."""

from __future__ import annotations

import msgspec

__all__ = ["HeaderPairs", "Reply"]

HeaderPairs = list[tuple[bytes, bytes]]
"""Names spelled as S3 spells them (`ETag`): some clients compare them case-sensitively."""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """Status, headers and a complete body.

    `content_length` is given where the body does not tell it: HEAD answers and streamed objects.
    """

    status: int
    headers: HeaderPairs
    body: bytes = b""
    content_length: int | None = None
