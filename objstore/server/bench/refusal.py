"""What the bench says when it cannot measure: the cause and the next step, for a person."""

from __future__ import annotations

__all__ = ["BenchRefused"]


class BenchRefused(Exception):
    """There is nothing to measure; the text says why, `next_step` what to do about it."""

    def __init__(self, cause: str, *, next_step: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.cause}\nNext step: {self.next_step}" if self.next_step else self.cause
