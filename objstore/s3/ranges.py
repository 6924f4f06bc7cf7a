"""The Range header: one byte range, or none at all (s3 rule 4.2.1).

S3 never answers `multipart/byteranges`. A header that is malformed or names several ranges is ignored, and the
whole object is served; only a well-formed range without a byte in the object is an error.
"""

from __future__ import annotations

import re
from typing import Final

from objstore.model.errors import InvalidRange
from objstore.s3.inputs import RangeSpec

__all__ = ["apply", "content_range", "parse"]

_SINGLE_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.ASCII | re.IGNORECASE)
_DIGITS_READ: Final = 30
"""More digits than any size has; the rest of a longer number changes nothing and is expensive to convert."""


def parse(text: str | None) -> RangeSpec | None:
    """Read a Range header. None where it is absent, malformed or a list: then it counts for nothing."""
    if text is None:
        return None
    match = _SINGLE_RANGE.fullmatch(text.strip())
    if match is None:
        return None
    first, last = _number(match[1]), _number(match[2])
    if first is None and last is None:
        return None
    if first is not None and last is not None and last < first:
        return None
    return RangeSpec(first, last, text)


def apply(spec: RangeSpec, size: int) -> tuple[int, int]:
    """Return start and length of the bytes that a range means in an object of `size` bytes.

    Raises `InvalidRange` when there is none, which is always so for an empty object (s3 rule 4.2.1).
    """
    if spec.first is None:
        start = max(0, size - (spec.last or 0))
        end = size
    else:
        start = spec.first
        end = size if spec.last is None else min(size, spec.last + 1)
    if start >= end:
        raise InvalidRange(range_requested=spec.text, actual_object_size=size)
    return start, end - start


def content_range(start: int, length: int, size: int) -> str:
    """Return the value of Content-Range for a slice of an object."""
    return f"bytes {start}-{start + length - 1}/{size}"


def _number(digits: str) -> int | None:
    """Convert digits; None for no digits."""
    if not digits:
        return None
    return int(digits.lstrip("0")[:_DIGITS_READ] or "0")
