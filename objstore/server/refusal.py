"""What the server says when it will not start: the cause and the next step, for a person.

This is not an S3 error and never leaves the machine: the command line prints it and ends with exit code 2.
"""

from __future__ import annotations

__all__ = ["StartRefused"]


class StartRefused(Exception):
    """The server cannot start; `causes` says why, `next_step` says what to do about it."""

    def __init__(self, *causes: str, next_step: str = "") -> None:
        super().__init__("; ".join(causes))
        self.causes = causes
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [*self.causes, *([self.next_step] if self.next_step else [])]
        return "\n".join(lines)
