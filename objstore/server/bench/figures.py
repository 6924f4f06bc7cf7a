"""Figures of one measurement: rates and percentiles from what the clients counted. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from objstore.server.bench.amounts import render_size
from objstore.server.bench.load import LoadResult

__all__ = ["Figures", "figures_of", "percentile"]

_PERCENTS: Final = (50.0, 90.0, 99.0)


class Figures(msgspec.Struct, frozen=True):
    """One line of the report. An operation of `multipart` is a whole upload; of every other case one request."""

    case: str
    size_bytes: int
    concurrency: int
    processes: int
    requests: int
    """Operations that succeeded."""
    seconds: float
    requests_per_s: float
    mb_per_s: float
    """Object data moved, in 1,000,000 bytes a second; headers and XML do not count."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    error_kinds: dict[str, int]
    reconnects: int

    def as_line(self) -> dict[str, Any]:
        """Return the figures as a JSON object, the size as a person wrote it."""
        line: dict[str, Any] = msgspec.to_builtins(self)
        return line | {"size": render_size(self.size_bytes)}


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of all values do not exceed (nearest rank); 0 for none."""
    if not ordered:
        return 0.0
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[max(0, rank - 1)]


def figures_of(
    result: LoadResult, *, case: str, size_bytes: int, concurrency: int, processes: int
) -> Figures:
    """Return the figures of a result."""
    ordered = sorted(result.latencies_s)
    seconds = result.elapsed_s
    at_50, at_90, at_99 = (round(percentile(ordered, percent) * 1e3, 3) for percent in _PERCENTS)
    return Figures(
        case=case,
        size_bytes=size_bytes,
        concurrency=concurrency,
        processes=processes,
        requests=len(ordered),
        seconds=round(seconds, 3),
        requests_per_s=round(len(ordered) / seconds, 2) if seconds else 0.0,
        mb_per_s=round(result.moved_bytes / seconds / 1e6, 2) if seconds else 0.0,
        p50_ms=at_50,
        p90_ms=at_90,
        p99_ms=at_99,
        max_ms=round(ordered[-1] * 1e3, 3) if ordered else 0.0,
        errors=result.errors.total(),
        error_kinds=dict(result.errors),
        reconnects=result.reconnects,
    )
