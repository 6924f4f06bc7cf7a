"""Sizes and durations as people write them, and back. Pure.

A unit with an `i` counts in 1,024s, one without in 1,000s; a bare letter (`64K`) means the 1,024s, as `dd` has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from objstore.model.limits import GIB, KIB, MIB

__all__ = ["parse_duration", "parse_list", "parse_size", "render_size"]

_Item = TypeVar("_Item")

_AMOUNT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_BYTES_OF_UNIT: Final = {
    "": 1,
    "b": 1,
    "k": KIB,
    "kib": KIB,
    "kb": 1_000,
    "m": MIB,
    "mib": MIB,
    "mb": 1_000_000,
    "g": GIB,
    "gib": GIB,
    "gb": 1_000_000_000,
}
_SECONDS_OF_UNIT: Final = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_size(text: str) -> int:
    """Return bytes for `4KiB`, `64K`, `1.5MB` or `512`. Raises ValueError that says what is expected."""
    number, unit = _split(text)
    if unit not in _BYTES_OF_UNIT:
        raise ValueError(f"{text!r} is not a size; write 512, 4KiB, 1MiB or 64MB")
    return int(number * _BYTES_OF_UNIT[unit])


def parse_duration(text: str) -> float:
    """Return seconds for `5s`, `500ms`, `2m` or `5`. Raises ValueError that says what is expected."""
    number, unit = _split(text)
    if unit not in _SECONDS_OF_UNIT:
        raise ValueError(f"{text!r} is not a duration; write 5s, 500ms or 2m")
    return number * _SECONDS_OF_UNIT[unit]


def parse_list(text: str, parse: Callable[[str], _Item]) -> tuple[_Item, ...]:
    """Return the items of a comma-separated text in order, each once. Raises ValueError for an empty one."""
    items = [parse(part.strip()) for part in text.split(",") if part.strip()]
    if not items:
        raise ValueError("the list is empty")
    return tuple(dict.fromkeys(items))


def render_size(size_bytes: int) -> str:
    """Return the shortest exact text: `4KiB`, `1MiB`, `1000B`."""
    for unit, factor in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size_bytes >= factor and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes}B"


def _split(text: str) -> tuple[float, str]:
    found = _AMOUNT.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} does not begin with a number")
    return float(found.group(1)), found.group(2)
