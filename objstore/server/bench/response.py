"""Reads HTTP/1.1 answers, one at a time, from pieces of any size. Pure: bytes in, state out.

It promises the same result however the bytes are split, and refuses what it does not understand instead of guessing. It keeps
no body: pieces go to `on_body` as they come. It does not do pipelining: bytes after the end of an answer are a fault.

    head --(no body)--> done
    head --(content-length)--> counted body --> done
    head --(chunked)--> size line -> chunk -> ... -> trailer --> done
    head --(neither)--> body until the end of the connection --> done
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

__all__ = ["HEAD_BYTES_MAX", "MalformedAnswer", "ResponseParser"]

HEAD_BYTES_MAX: Final = 64 * 1024
_LINE_BYTES_MAX: Final = 4 * 1024
_BODILESS: Final = frozenset({204, 304})


class MalformedAnswer(Exception):
    """What came over the connection is not an HTTP/1.1 answer that this reader understands."""


class _State(Enum):
    HEAD = "waiting for the end of the head"
    COUNTED = "body of known length"
    CHUNK_SIZE = "line with the size of a chunk"
    CHUNK = "bytes of a chunk"
    CHUNK_END = "line end after a chunk"
    TRAILER = "lines after the last chunk"
    UNTIL_CLOSE = "body until the connection ends"
    DONE = "complete"


class ResponseParser:
    """One answer after the other; `expect` begins each."""

    __slots__ = (
        "_head",
        "_is_bodiless",
        "_left",
        "_lower",
        "_on_body",
        "_pending",
        "_state",
        "keeps_alive",
        "status",
    )

    def __init__(self, on_body: Callable[[bytes | memoryview], None]) -> None:
        self._on_body = on_body
        self._state = _State.DONE
        self._pending = b""
        self._left = 0
        self._head = self._lower = b""
        self._is_bodiless = False
        self.status = 0
        self.keeps_alive = True

    def expect(self, *, is_bodiless: bool) -> None:
        """Begin the next answer; `is_bodiless` for HEAD, whose answers announce a body and have none."""
        self._state = _State.HEAD
        self._pending = b""
        self._is_bodiless = is_bodiless
        self.status = 0
        self.keeps_alive = True

    @property
    def is_done(self) -> bool:
        """Whether no answer is under way."""
        return self._state is _State.DONE

    def header(self, name: bytes) -> bytes:
        """Return the value of a header of the last head, or nothing; `name` in lower case."""
        at = self._lower.find(b"\r\n" + name + b":")
        if at < 0:
            return b""
        start = at + len(name) + 3
        return self._head[start : self._head.index(b"\r\n", start)].strip()

    def feed(self, data: bytes | memoryview) -> bool:
        """Take the next bytes; return whether the answer is complete. Raises `MalformedAnswer`."""
        if self._state is _State.HEAD:
            data = self._read_head(data)
        while data:
            if self._state is _State.COUNTED:
                data = self._read_counted(data)
            elif self._state is _State.UNTIL_CLOSE:
                self._on_body(data)
                return False
            elif self._state is _State.DONE:
                raise MalformedAnswer(f"{len(data)} bytes after the end of an answer")
            elif self._state is _State.HEAD:
                data = self._read_head(data)
            else:
                data = self._read_chunked(data)
        return self._state is _State.DONE

    def feed_end(self) -> bool:
        """Tell that the connection ended; return whether that completed the answer."""
        if self._state is _State.UNTIL_CLOSE:
            self._state = _State.DONE
            self.keeps_alive = False
            return True
        return False

    def _read_head(self, data: bytes | memoryview) -> bytes | memoryview:
        gathered = self._pending + data if self._pending else bytes(data)
        end = gathered.find(b"\r\n\r\n")
        if end < 0:
            if len(gathered) > HEAD_BYTES_MAX:
                raise MalformedAnswer(
                    f"the head of the answer is longer than {HEAD_BYTES_MAX} bytes"
                )
            self._pending = gathered
            return b""
        self._pending = b""
        self._head = gathered[: end + 2]
        self._lower = self._head.lower()
        self._read_status()
        if self.status >= 200:
            self._choose_body()
        return memoryview(gathered)[end + 4 :]

    def _read_status(self) -> None:
        head = self._head
        status = head[9:12]
        if not (head.startswith(b"HTTP/1.") and status.isdigit() and len(status) == 3):
            raise MalformedAnswer(f"not an HTTP answer: {head[:40]!r}")
        self.status = int(status)
        connection = self.header(b"connection").lower()
        self.keeps_alive = connection != b"close" and (
            head[7:8] == b"1" or connection == b"keep-alive"
        )

    def _choose_body(self) -> None:
        if self._is_bodiless or self.status in _BODILESS:
            self._state = _State.DONE
            return
        length = self.header(b"content-length")
        if length:
            if not length.isdigit():
                raise MalformedAnswer(f"content-length is {length!r}")
            self._left = int(length)
            self._state = _State.COUNTED if self._left else _State.DONE
        elif self.header(b"transfer-encoding").lower() == b"chunked":
            self._state = _State.CHUNK_SIZE
        else:
            self._state = _State.UNTIL_CLOSE

    def _read_counted(self, data: bytes | memoryview) -> bytes | memoryview:
        left = self._left
        if len(data) <= left:
            self._on_body(data)
            self._left = left - len(data)
            if not self._left:
                self._state = _State.DONE
            return b""
        self._on_body(data[:left])
        self._state = _State.DONE
        return data[left:]

    def _read_chunked(self, data: bytes | memoryview) -> bytes | memoryview:
        if self._state is _State.CHUNK:
            piece = data[: self._left]
            self._on_body(piece)
            self._left -= len(piece)
            if not self._left:
                self._state = _State.CHUNK_END
            return data[len(piece) :]
        return self._read_line(data)

    def _read_line(self, data: bytes | memoryview) -> bytes | memoryview:
        gathered = self._pending + bytes(data)
        end = gathered.find(b"\r\n")
        if end < 0:
            if len(gathered) > _LINE_BYTES_MAX:
                raise MalformedAnswer("a line between chunks does not end")
            self._pending = gathered
            return b""
        self._pending = b""
        self._take_line(gathered[:end])
        return memoryview(gathered)[end + 2 :]

    def _take_line(self, line: bytes) -> None:
        if self._state is _State.CHUNK_SIZE:
            try:
                self._left = int(line.partition(b";")[0], 16)
            except ValueError as error:
                raise MalformedAnswer(f"the size of a chunk is {line[:20]!r}") from error
            self._state = _State.CHUNK if self._left else _State.TRAILER
        elif self._state is _State.CHUNK_END:
            if line:
                raise MalformedAnswer(f"{line[:20]!r} where a chunk should end")
            self._state = _State.CHUNK_SIZE
        elif not line:
            self._state = _State.DONE
