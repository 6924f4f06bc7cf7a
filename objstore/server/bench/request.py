"""What a client script asks for and what it gets: plain values between the scripts and the connections. Pure.

A *script* is a generator: it yields requests, receives answers, and returns the bytes of object data that it moved. One run
of a script is one operation, however many requests it takes. Scripts do no I/O, so that a test can play the server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Final, TypeAlias

import msgspec

__all__ = ["EMPTY_HASH", "Answer", "Expected", "OperationFailed", "Request", "Script"]

EMPTY_HASH: Final = hashlib.sha256(b"").hexdigest().encode()


class OperationFailed(Exception):
    """An operation was answered, and not as it should be; the text says how, in a few words."""


class Expected(msgspec.Struct, frozen=True, gc=False):
    """A body that must come back: `length` bytes of `pool` from `offset` on."""

    pool: bytes
    offset: int
    length: int


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request; path and query are in canonical spelling, as they are sent and signed."""

    method: bytes
    path: bytes
    query: bytes = b""
    body: bytes | memoryview = b""
    payload_hash: bytes = EMPTY_HASH
    """SHA-256 of the body in hex, or `UNSIGNED-PAYLOAD`."""
    headers: bytes = b""
    """Further header lines, each with its line end; not signed."""
    expected: Expected | None = None
    """Compare the body of an answer below 300 with this, piece by piece; `Answer.is_intact` tells."""


class Answer(msgspec.Struct, gc=False):
    """One answer. Bodies are kept up to a bound, and not at all where the request says what to expect."""

    status: int
    body: bytes
    length: int
    """Bytes of the body that arrived."""
    is_intact: bool
    etag: bytes
    content_length: bytes

    def need(self, status: int) -> None:
        """Raise `OperationFailed` unless the status is this one."""
        if self.status != status:
            raise OperationFailed(self.fault())

    def fault(self) -> str:
        """Return status and S3 error code, as `503 SlowDown`."""
        code = self.element(b"Code")
        return f"{self.status} {code}" if code else str(self.status)

    def element(self, name: bytes) -> str:
        """Return the text of the first element of this name in an XML body, or nothing."""
        after = self.body.partition(b"<%b>" % name)[2]
        return after.partition(b"<")[0].decode("utf-8", "replace")


Script: TypeAlias = Generator[Request, Answer, int]
