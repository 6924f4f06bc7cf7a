"""What happened in a schedule, line by line, and a digest of it: same seed, same digest, on every machine.

Tracing is off unless somebody asks, and then costs nothing but a comparison: whoever has something to tell looks
for a trace first.
"""

from __future__ import annotations

from collections.abc import Callable

import xxhash

__all__ = ["TraceLog"]


class TraceLog:
    """Lines with their time; `write` is called with each of them."""

    __slots__ = ("_hash", "_write", "lines_count")

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write
        self._hash = xxhash.xxh3_128()
        self.lines_count = 0

    def note(self, now: int, text: str) -> None:
        """Add what happened now; more lines of the same event are indented."""
        line = f"{now:>7} " + text.replace("\n", "\n        ")
        self._hash.update(line.encode())
        self.lines_count += 1
        if self._write is not None:
            self._write(line)

    @property
    def digest(self) -> str:
        """Hex digest of all lines so far."""
        return self._hash.hexdigest()
